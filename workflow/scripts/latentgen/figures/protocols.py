"""The figure `protocols`: the same pair in two studies."""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.averages import CURVE, PLOTTED, curves_of, probes_at_every_checkpoint
from latentgen.figures.curves import draw_curve, finish_curves
from latentgen.figures.material import Material
from latentgen.figures.panels import draw_chance, panels
from latentgen.figures.styles import curve_styles, probe_styles, probed_layers, style_key
from latentgen.tables.selection import on_test

_OTHER_LINE = (0, (4, 2))


def protocols_table(material: Material) -> pd.DataFrame:
    """Return the curves of the model, and of probes on the last layer, in two studies.

    Only curves in both studies are returned; the ``source`` of the other's rows is its name.
    """
    other = material.other
    if other is None:
        return pd.DataFrame(columns=PLOTTED)
    tables = []
    for counts, source in ((material.accuracy, "ours"), (other, other["study"].iloc[0])):
        probes = probes_at_every_checkpoint(counts)
        test = counts[on_test(counts)]
        last = test["probe"].isin(probes) & test["layer"].isin(probed_layers(test)[-1:])
        tables.append(curves_of(test[test["probe"].eq("model") | last]).assign(source=source))
    shared = tables[0][CURVE].drop_duplicates().merge(tables[1][CURVE].drop_duplicates())
    return pd.concat([table.merge(shared) for table in tables])


def draw_protocols(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw two studies of the same pair: row per probe, column per p, the other study dashed."""
    rows = ["model", *probe_styles(table["probe"])]
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.4)
    styles = curve_styles(table)
    for probe, row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            panel = table[(table["p"] == p) & (table["probe"] == probe)]
            for rank, (source, curve) in enumerate(panel.groupby("source", sort=False)):
                style, alpha = styles[style_key(curve)], 0.15
                if source != "ours":
                    style, alpha = replace(style, marker="none", line=_OTHER_LINE, width=1.1), 0.08
                draw_curve(axes, curve, style, rank, alpha)
            draw_chance(axes, chance)
        row[0].set_ylabel(f"{probe}\ntest accuracy (%)")
    studies = [
        Line2D([], [], color="0.3", label="this study")
        if source == "ours"
        else Line2D([], [], color="0.3", linestyle=_OTHER_LINE, label=source)
        for source in table["source"].unique()
    ]
    finish_curves(figure, grid, table, styles, chance, more=studies)
    return figure
