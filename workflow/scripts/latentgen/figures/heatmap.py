"""The figure `heatmap`: accuracy of every layer at every checkpoint, as colours."""

from math import ceil

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from latentgen.figures.averages import curves_of, probes_at_every_checkpoint
from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH, legend, panels, title_of_p
from latentgen.figures.styles import probe_styles
from latentgen.tables.selection import on_test

MODEL = "model"


def heatmap_table(material: Material) -> pd.DataFrame:
    """Return the cells: test accuracy at the epochs that all seeds reached; ``place`` is its position.

    The model is drawn above its layers, at the same epochs, in the panels of every probe.
    """
    accuracy = material.accuracy
    shown = accuracy["probe"].isin([MODEL, *probes_at_every_checkpoint(accuracy)])
    cells = curves_of(accuracy[shown & on_test(accuracy)])
    cells = cells[~cells["final"]]
    layers = [layer for layer in accuracy["layer"].unique() if layer != "readout"]
    places = {layer: place for place, layer in enumerate([*layers, "readout"])}
    return cells.assign(place=cells["layer"].map(places)).reset_index(drop=True)


def draw_heatmap(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw a heat map for each probe (rows) and p (columns): layers upwards, epochs to the right."""
    probes, ps = list(probe_styles(table["probe"])), sorted(table["p"].unique())
    rows = table.drop_duplicates("place").sort_values("place")
    epochs = np.sort(table["epoch"].unique())
    low = min(table["mean"].min(), chance if chance is not None else 1.0)
    colors = ScalarMappable(Normalize(low, table["mean"].max()), colormaps["viridis"])
    figure, grid = panels(len(probes), len(ps), height=0.55 + 0.16 * len(rows))
    for probe, line in zip(probes, grid, strict=True):
        for p, axes in zip(ps, line, strict=True):
            shown = table[(table["p"] == p) & table["probe"].isin([MODEL, probe])]
            _draw_cells(axes, shown, len(rows), epochs, colors)
        line[0].set_ylabel(probe)
        names = [MODEL if name == "readout" else str(name).replace("_", " ") for name in rows["layer"]]
        line[0].set_yticks(np.arange(len(rows)) + 0.5, names)
    every = ceil(len(epochs) * 0.33 / (0.7 * PAGE_WIDTH / len(ps)))
    for p, axes in zip(ps, grid[0], strict=True):
        axes.set_title(title_of_p(p, table))
        axes.set_xticks(np.arange(len(epochs))[::every] + 0.5, [f"{epoch:g}" for epoch in epochs[::every]])
    levels = np.linspace(*colors.get_clim(), 6)
    entries = [
        Patch(color=to_hex(tuple(colors.to_rgba(level))), label=f"{100 * level:.0f} %") for level in levels
    ]
    legend(figure, table.assign(final=True), entries, None, None)
    figure.supxlabel("epoch; 0: untrained", fontsize="medium")
    return figure


def _draw_cells(
    axes: Axes, cells: pd.DataFrame, n_rows: int, epochs: np.ndarray, colors: ScalarMappable
) -> None:
    """Draw the cells of one panel; cells without a value are white."""
    values = np.full((n_rows, len(epochs)), np.nan)
    values[cells["place"].to_numpy(int), np.searchsorted(epochs, cells["epoch"])] = cells["mean"]
    low, high = colors.get_clim()
    axes.pcolormesh(np.ma.masked_invalid(values), cmap=colors.cmap, vmin=low, vmax=high)
    axes.axhline(n_rows - 1, color="white", linewidth=1.5)  # between the layers and the model
    axes.grid(False)
