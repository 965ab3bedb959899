"""The figure `depth`: accuracy by layer, at the end, at its peak, and untrained."""

from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.averages import CURVE, curves_of, probes_at_every_checkpoint
from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH, accuracy_axis, draw_chance, legend, ours, panels, title_of_p
from latentgen.figures.styles import BLACK, GREY, INPUT_STYLE, probe_styles
from latentgen.networks.base import INPUT, READOUT_INPUT
from latentgen.networks.layer_choice import probed
from latentgen.tables.selection import on_test

MOMENTS = {"final": ("#0072b2", "o"), "peak": ("#d55e00", "^"), "untrained": (GREY, "s")}
"""Colour and marker of the last checkpoint, the best one, and epoch 0."""

RAW_LINE: dict[str, Any] = {
    "color": INPUT_STYLE.color,
    "linestyle": INPUT_STYLE.line,
    "linewidth": INPUT_STYLE.width,
}
"""The level of the raw input, a control, as in the other figures."""

POOL_LINES: dict[str, Any] = {
    "flatten": "-",
    "mean": (0, (4, 1.5)),
    "cls": (0, (1, 1)),
    "max": (0, (4, 1.5, 1, 1.5)),
    "last": (0, (4, 1, 1, 1, 1, 1)),
}
"""Line style of each pooling."""

POOL_NAMES = {
    "flatten": "all numbers",
    "mean": "mean",
    "cls": "first token",
    "max": "maximum",
    "last": "last token",
}


def depth_table(material: Material) -> pd.DataFrame:
    """Return the points: test accuracy of every layer at each of `MOMENTS`; ``place`` is its position.

    The peak is the checkpoint with the highest mean over the seeds.
    """
    accuracy = material.accuracy
    shown = accuracy["probe"].isin(["model", *probes_at_every_checkpoint(accuracy)])
    curves = curves_of(accuracy[shown & on_test(accuracy)])
    peaks = curves.loc[curves.groupby(CURVE)["mean"].idxmax()]
    untrained = curves[(curves["epoch"] == 0) & ~curves["final"]]
    moments = {"final": curves[curves["final"]], "peak": peaks, "untrained": untrained}
    table = pd.concat([rows.assign(moment=moment) for moment, rows in moments.items()], ignore_index=True)
    parts = {name: probed(name) for name in accuracy["layer"].unique()}  # in the order of the network
    places: dict[str, int] = {}
    for part in parts.values():
        if part.layer not in (INPUT, "readout"):
            places.setdefault(part.layer, len(places))
    return table.assign(
        module=table["layer"].map({name: part.layer for name, part in parts.items()}),
        pool=table["layer"].map({name: part.pool for name, part in parts.items()}),
        place=table["layer"].map({name: places.get(part.layer) for name, part in parts.items()}),
    )


def draw_depth(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw accuracy by layer: column per p, row per probe, with the model in all panels."""
    probes, ps = list(probe_styles(table["probe"])), sorted(table["p"].unique())
    layers = table.dropna(subset="place").drop_duplicates("place").sort_values("place")
    figure, grid = panels(len(probes), len(ps), height=1.9)
    for probe, row in zip(probes, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            panel = table[table["p"] == p]
            _draw_model(axes, panel[panel["probe"] == "model"])
            _draw_layers(axes, panel[panel["probe"] == probe])
            draw_chance(axes, chance)
            accuracy_axis(axes)
        row[0].set_ylabel(f"{probe}\ntest accuracy (%)")
    for p, axes in zip(ps, grid[0], strict=True):
        axes.set_title(title_of_p(p, table))
    for axes in grid[-1]:
        names = [str(name).replace("_", " ") for name in layers["module"]]
        upright = max(map(len, names)) > 3
        width = 0.16 if upright else 0.3  # of a label, in inches
        every = ceil(len(names) * width / (0.8 * PAGE_WIDTH / len(ps)))
        axes.set_xticks(layers["place"][::every], names[::every], rotation=90 if upright else 0)
        axes.set_xlim(-0.4, len(layers) - 0.6)
    legend(figure, table.assign(final=True), _entries(table), chance, "bars at the end")
    return figure


def _draw_layers(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw a line for each moment and pooling, and the level of the raw input."""
    raw = rows[(rows["module"] == INPUT) & (rows["pool"] == "flatten") & (rows["moment"] == "final")]
    for level in raw["mean"]:
        axes.axhline(level, **RAW_LINE, zorder=1.5)
    lines = ours(rows.dropna(subset="place")).copy()
    # The readout's input is a vector: if layers are pooled, it is not connected by a line.
    lines["alone"] = (lines["module"] == READOUT_INPUT) & (len(set(lines["pool"])) > 1)
    for (moment, pool, _), line in lines.groupby(["moment", "pool", "alone"], sort=False):
        color, marker = MOMENTS[str(moment)]
        line = line.sort_values("place")
        shift = 0.06 * (list(MOMENTS).index(str(moment)) - 1)  # so that markers of a layer do not overlap
        axes.errorbar(
            line["place"] + shift,
            line["mean"],
            yerr=[line["mean"] - line["low"], line["high"] - line["mean"]] if moment == "final" else None,
            color=color,
            marker=marker,
            markersize=3,
            linestyle=POOL_LINES[str(pool)],
            linewidth=1.0,
            elinewidth=0.6,
            zorder=4 if moment == "final" else 3,
        )


def _draw_model(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the levels of the model itself."""
    for moment, line in {"final": "-", "peak": (0, (2, 1))}.items():
        for level in rows.loc[rows["moment"] == moment, "mean"]:
            axes.axhline(level, color=BLACK, linewidth=1.0, linestyle=line, zorder=1.5)


def _entries(table: pd.DataFrame) -> list[Line2D]:
    """Return the entries of the legend: moments, levels, poolings."""
    entries = [
        Line2D([], [], color=color, marker=marker, markersize=3, label=label)
        for (moment, (color, marker)), label in zip(
            MOMENTS.items(), ("at the end", "at its peak", "untrained network"), strict=True
        )
        if (table["moment"] == moment).any()
    ]
    entries += [
        Line2D([], [], color=BLACK, linewidth=1.0, label="model at the end"),
        Line2D([], [], color=BLACK, linewidth=1.0, linestyle=(0, (2, 1)), label="model at its peak"),
    ]
    if (table["module"] == INPUT).any():
        entries.append(Line2D([], [], **RAW_LINE, label="raw input"))
    shown = table.loc[table["place"].notna(), "pool"].unique()
    if len(shown) > 1:
        entries += [
            Line2D([], [], color="0.3", linewidth=1.0, linestyle=line, label=f"line: {POOL_NAMES[pool]}")
            for pool, line in POOL_LINES.items()
            if pool in shown
        ]
    return entries
