"""What a figure is: its words, what makes its table, and what draws that table."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.material import Material


class FigureKind(NamedTuple):
    """A figure.

    The numbers are computed in `table`; `draw` computes nothing. What is plotted is therefore a table too,
    and is kept beside the figure.
    """

    name: str
    """As a study file names it."""
    title: str
    caption: str
    """What to look at, in the report."""
    table: Callable[[Material], pd.DataFrame]
    """Computes what is plotted from the tables of a pair."""
    draw: Callable[[pd.DataFrame, float | None], Figure]
    """Draws that table; the second argument is the level of chance, if it is known."""
    shows_probes: bool = True
    """Whether it shows probes, and not models alone."""
