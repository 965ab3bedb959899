"""The figure `difference`: one probe's test accuracy minus another's, paired by seed."""

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import PLOTTED, curves_of, probes_at_every_checkpoint
from latentgen.figures.curves import draw_curves, finish_curves
from latentgen.figures.material import Material
from latentgen.figures.panels import panels
from latentgen.figures.styles import BLACK, curve_styles
from latentgen.tables.selection import on_test, paired
from latentgen.tables.statistics import mean_difference_over_seeds

PROBE_PAIRS = (("VeLPIC", "MASC"), ("MASC", "logistic"), ("VeLPIC", "logistic"))
"""The first minus the second."""


def difference_table(material: Material) -> pd.DataFrame:
    """Return the curves: differences of fractions; ``reference`` is what is subtracted."""
    probes = probes_at_every_checkpoint(material.accuracy)
    test = material.accuracy[on_test(material.accuracy)]
    pair = ["p", "seed", "layer", "epoch"]
    parts = []
    for probe, reference in PROBE_PAIRS:
        if probe in probes and reference in probes:
            pairs = paired(test[test["probe"] == probe], test[test["probe"] == reference], pair)
            parts.append(curves_of(pairs, mean_difference_over_seeds).assign(reference=reference))
    return pd.concat(parts) if parts else pd.DataFrame(columns=[*PLOTTED, "reference"])


def draw_difference(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw differences of probes against epoch: row per two probes, column per p, line per layer."""
    rows = list(table[["probe", "reference"]].drop_duplicates().itertuples(index=False, name=None))
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.75 if len(rows) == 1 else 1.4)
    styles = curve_styles(table)
    for (probe, reference), row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
            shown = (table["p"] == p) & (table["probe"] == probe) & (table["reference"] == reference)
            draw_curves(axes, table[shown], styles)
        row[0].set_ylabel(f"{probe} − {reference}\ntest (points)")
    finish_curves(figure, grid, table, styles, None, limits=None)
    return figure
