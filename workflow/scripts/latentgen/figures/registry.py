"""All figures by name; a new one is a module and a line here."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from latentgen.errors import LatentgenError
from latentgen.figures import (
    bars,
    cost,
    difference,
    dynamics,
    edits,
    final,
    geometry,
    initialization,
    protocols,
    relabel,
    rewind,
    sensitivity,
    subspaces,
    transfer,
)
from latentgen.figures.kinds import FigureKind
from latentgen.figures.material import Material
from latentgen.runtime.files import atomic_path

STYLE = Path(__file__).with_name("latentgen.mplstyle")
"""Sizes, fonts and lines of every figure."""

FIGURES: Mapping[str, FigureKind] = {
    kind.name: kind
    for kind in (
        dynamics.DYNAMICS,
        difference.DIFFERENCE,
        transfer.TRANSFER,
        final.FINAL,
        bars.UNTRAINED,
        bars.PROBES,
        sensitivity.SENSITIVITY,
        cost.COST,
        protocols.PROTOCOLS,
        edits.EDITS,
        initialization.INITIALIZATION,
        relabel.RELABEL_FIGURE,
        subspaces.SUBSPACES,
        geometry.GEOMETRY_FIGURE,
        rewind.REWIND_FIGURE,
    )
}


def make_figure(
    name: str,
    material: Material,
    stem: str | Path,
    *,
    n_classes: int | None = None,
    style: str | Path = STYLE,
) -> None:
    """Compute, draw and save one figure of one pair.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    material : Material
        The tables of the pair.
    stem : str or Path
        Where to: path without suffix, to which ``.pdf``, ``.png`` and ``.csv`` are added.
    n_classes : int, optional
        Number of classes; the level of chance is drawn if it is given.
    style : str or Path
        Matplotlib style file; it alone sets the style, no settings of the user's.

    Raises
    ------
    LatentgenError
        If the material has none of the probes that the figure shows.
    """
    kind = FIGURES[name]
    table = kind.table(material)
    if table.empty or (kind.shows_probes and table["probe"].eq("model").all()):
        raise LatentgenError(
            f"The tables have no probe of {material.name} that the figure {name} shows. "
            "Remove the figure from the study, or add its probes."
        )
    with matplotlib.rc_context(fname=str(style)):
        save_figure(kind.draw(table, 1 / n_classes if n_classes else None), table, stem)


def save_figure(figure: Figure, table: pd.DataFrame, stem: str | Path) -> None:
    """Write a figure as PDF and PNG and its table as CSV; the same figure gives the same bytes."""
    stem = Path(stem)
    dateless = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    for suffix, metadata in dateless.items():
        with atomic_path(stem.with_name(f"{stem.name}.{suffix}")) as partial:
            figure.savefig(partial, format=suffix, metadata=metadata)
    with atomic_path(stem.with_name(f"{stem.name}.csv")) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
