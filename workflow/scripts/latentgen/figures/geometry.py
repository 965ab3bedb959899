"""The figure `geometry`: angles of VeLPIC's vectors with other vectors, and the energy along them."""

from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from latentgen.figures.averages import PLOTTED, curves_of
from latentgen.figures.curves import draw_curve
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, epoch_axes, legend, ours, panels, title_of_p
from latentgen.figures.styles import BLACK, INPUT_STYLE, MARKERS, PUBLISHED_LINE, Style
from latentgen.networks.base import INPUT
from latentgen.tables.statistics import mean_value_over_seeds

ANGLES = {
    "readout": "VeLPIC vector\nto readout row (°)",
    "true": "noisy-label to true-\nlabel vector (°)",
}
"""Directions that the vectors fitted with noisy labels are compared with, and labels of the rows of
panels."""
ENERGIES = {"train": "energy along it,\ntraining (%)", "test": "energy along it,\ntest (%)"}
"""Examples whose energy along the vectors is shown, and labels of the rows of panels."""
ROWS = ANGLES | ENERGIES


def geometry_table(material: Material) -> pd.DataFrame:
    """Return the curves over training, mean over classes and seeds; of the papers, each of their runs.

    Where accuracies have a probe stands what is shown (`ROWS`): an angle in degrees, or a fraction of energy.
    """
    angles = material.geometry
    if angles.empty:
        return pd.DataFrame(columns=[*PLOTTED, "published_run"])
    # What is shown takes the column of the probe, so that curves are averaged like accuracies.
    rows = angles.assign(
        probe=angles["angle_to"].fillna(angles["energy_of"]),
        value=angles["degrees"].fillna(angles["energy"]),
        **{"fit_labels": "corrupted", "split": "angle", "eval_labels": "none"},
    )
    table = curves_of(rows[rows["source"] == "ours"], mean_value_over_seeds).assign(published_run=np.nan)
    theirs = rows[rows["source"] == "published"]
    theirs = theirs.assign(mean=theirs["value"], low=np.nan, high=np.nan, seeds=1, final=False)
    theirs = theirs.rename(columns={"seed": "published_run"})[list(table)]
    return pd.concat([table, theirs.astype(table.dtypes)], ignore_index=True) if len(theirs) else table


def draw_geometry(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw angles and energies against epoch: a column per p, a row for each of them, a line per layer."""
    own = ours(table)
    rows = [kind for kind in ROWS if (own["probe"] == kind).any()]
    ps = sorted(own["p"].unique())
    figure, _ = panels(len(rows), len(ps), height=1.7 if len(rows) < 3 else 1.3)
    figure.clear()
    grid = figure.subplots(len(rows), len(ps), sharex=True, sharey="row", squeeze=False)
    styles = _layer_styles(own)
    for kind, line in zip(rows, grid, strict=True):
        for p, axes in zip(ps, line, strict=True):
            shown = own[(own["p"] == p) & (own["probe"] == kind)]
            for rank, (layer, curve) in enumerate(shown.groupby("layer", sort=False)):
                draw_curve(axes, curve, styles[str(layer)], rank, alpha=0.15)
            theirs = table[(table["source"] == "published") & (table["p"] == p) & (table["probe"] == kind)]
            for (layer, _), curve in theirs.groupby(["layer", "published_run"], sort=False):
                axes.plot(curve["epoch"], curve["mean"], color=styles[str(layer)].color, **PUBLISHED_LINE)
            if kind == "readout":
                axes.axhline(90, color=BLACK, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
            epoch_axes(axes, table["epoch"].max(), width=5.5 / len(ps))
            if kind in ENERGIES:
                accuracy_axis(axes)
            else:
                axes.yaxis.set_major_locator(MultipleLocator(10))
        line[0].set_ylabel(ROWS[kind])
    for p, axes in zip(ps, grid[0], strict=True):
        axes.set_title(title_of_p(p, table))
    figure.supxlabel("epoch, on a scale of log(1 + epoch); 0: untrained", fontsize="medium")
    legend(figure, table, styles.values(), None, "bands")
    return figure


def _layer_styles(table: pd.DataFrame) -> dict[str, Style]:
    """Return the style of each layer, as in figures of accuracies."""
    # The readout's rows are compared with one layer only; the other kinds have all, in the network's order.
    order = next(rows for kind in ("train", "true", "readout") if len(rows := table[table["probe"] == kind]))
    names = [name for name in order["layer"].unique()[::-1] if name != INPUT]
    colors = matplotlib.colormaps["viridis"](np.linspace(0.8, 0.05, len(names)))
    styles = {
        name: Style(name, tuple(color), marker)
        for name, color, marker in zip(names, colors, cycle(MARKERS), strict=False)
    }
    first = {INPUT: INPUT_STYLE} if (table["layer"] == INPUT).any() else {}
    return first | dict(reversed(styles.items()))
