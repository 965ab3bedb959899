"""Points with error bars against p or another quantity, and axes and legend of their panels."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentgen.figures.panels import PUBLISHED, draw_bars_against, draw_control, legend, ours
from latentgen.figures.styles import PUBLISHED_LINE, curve_styles, style_key

P_LABEL = "p, the probability that a label was redrawn"


def p_axis(axes: Axes, table: pd.DataFrame) -> None:
    """Give a panel a tick at each p."""
    ps = np.sort(table["p"].unique())
    axes.set_xticks(ps, [f"{p:g}" for p in ps])


def draw_against(axes: Axes, points: pd.DataFrame, table: pd.DataFrame, x: str, by: list[str]) -> None:
    """Draw lines with error bars against a column; published numbers as thin lines without bars.

    Parameters
    ----------
    axes : Axes
    points : DataFrame
        The rows of this panel.
    table : DataFrame
        The rows of all panels, which determine styles and limits.
    x : str
        The column on the horizontal axis.
    by : list of str
        The columns that identify a line.
    """
    styles = curve_styles(ours(table))
    curves = ours(points).groupby(by, sort=False)
    draw_bars_against(axes, [(styles[style_key(curve)], curve) for _, curve in curves], x, table[x].unique())
    for _, curve in points[points["source"].isin(PUBLISHED)].groupby(by, sort=False):
        curve = curve.sort_values(x)
        axes.plot(curve[x], curve["mean"], color=styles[style_key(curve)].color, **PUBLISHED_LINE)
    draw_control(axes, points, x)


def legend_of_points(figure: Figure, table: pd.DataFrame, chance: float | None) -> None:
    """Put a legend with one entry for each style above the panels."""
    styles = {style.label: style for style in curve_styles(ours(table)).values()}
    legend(figure, table.assign(final=True), styles.values(), chance, "bars")
