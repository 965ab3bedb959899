"""The figure `difference`: one probe's test accuracy minus another's, paired by seed."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentgen.figures.averages import CURVE, PLOTTED, curves_of, probes_at_every_checkpoint
from latentgen.figures.curves import draw_curves, finish_curves
from latentgen.figures.material import Material
from latentgen.figures.panels import panels
from latentgen.figures.styles import BLACK, curve_styles
from latentgen.figures.wording import percent_at_least
from latentgen.tables.selection import ONE_COMPONENT, on_test, paired, with_one_component
from latentgen.tables.statistics import mean_difference_over_seeds

PROBE_PAIRS = (("VeLPIC", "MASC"), ("MASC", "logistic"), ("VeLPIC", "logistic"))
"""The first minus the second."""


def difference_table(material: Material) -> pd.DataFrame:
    """Return the curves: differences of fractions; ``reference`` is what is subtracted.

    ``equal`` is, where it was counted, the lowest fraction of test examples to which both give the same
    class, over the seeds and epochs of a curve.
    """
    probes = probes_at_every_checkpoint(material.accuracy)
    test = material.accuracy[on_test(material.accuracy)]
    pair = ["p", "seed", "layer", "epoch"]
    parts = [pd.DataFrame(columns=[*PLOTTED, "reference", "equal"])]
    for probe, reference in PROBE_PAIRS:
        if probe in probes and reference in probes:
            pairs = paired(test[test["probe"] == probe], test[test["probe"] == reference], pair)
            parts.append(_curves(pairs, reference))
    if "VeLPIC" in probes:
        parts.append(_curves(with_one_component(test[test["probe"] == "VeLPIC"]), ONE_COMPONENT))
    filled = [part for part in parts if len(part)]
    return pd.concat(filled) if filled else parts[0]


def _curves(pairs: pd.DataFrame, reference: str) -> pd.DataFrame:
    table = curves_of(pairs, mean_difference_over_seeds).assign(reference=reference)
    if reference != ONE_COMPONENT:
        return table.assign(equal=float("nan"))
    fractions = (pairs["one_component_equal"] / pairs["total"]).astype(float)
    lowest = fractions.groupby([pairs[name] for name in CURVE]).min().rename("equal")
    return table.join(lowest, on=CURVE)


def draw_difference(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw differences of probes against epoch: row per two probes, column per p, line per layer."""
    rows = list(table[["probe", "reference"]].drop_duplicates().itertuples(index=False, name=None))
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.75 if len(rows) == 1 else 1.4)
    styles = curve_styles(table)
    for (probe, reference), row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
            shown = table[(table["p"] == p) & (table["probe"] == probe) & (table["reference"] == reference)]
            draw_curves(axes, shown, styles)
            if shown["equal"].notna().any():
                _write_agreement(axes, shown["equal"].min())
        row[0].set_ylabel(f"{probe} − {reference}\ntest (points)")
    finish_curves(figure, grid, table, styles, None, limits=None)
    return figure


def _write_agreement(axes: Axes, equal: float) -> None:
    text = f"at least {percent_at_least(equal)} % of" if equal < 1 else "all"
    axes.text(0.03, 0.05, f"same class for {text} examples", transform=axes.transAxes, fontsize="small")
