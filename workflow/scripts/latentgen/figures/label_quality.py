"""The figure `label_quality`: how many wrong labels a probe sets right, and how many right ones it spoils."""

from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH, draw_bars_against, legend
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import BLACK, GREY, Style, curve_styles
from latentgen.study.runs import BEST, BEST_ON_TEST, CHOSEN_LAYERS
from latentgen.tables.statistics import mean_over_seeds

MEASURES = {
    "set_right": ("wrong labels that\nare corrected (%)", "wrong"),
    "spoilt": ("correct labels that\nare spoilt (%)", "right"),
    "wrong_after": ("labels that are\nwrong afterwards (%)", "labels"),
}
"""What is counted, its title, and of how many labels."""

WHOSE = {
    "MASC": "MASC",
    "MASC_cross_fitted": "MASC,\ncross-fitted",
    "unit_means": "unit means",
    "ridge": "ridge",
}
_VARIANT = ["relabel_from", "relabel_subspaces"]
_BEFORE = Style("before: wrong by noise", GREY, "s", (0, (4, 1.5)), order=2)
_CHOSEN = {
    BEST: Style("chosen layer", BLACK, "o", width=1.3, order=5),
    BEST_ON_TEST: Style("layer chosen on test", BLACK, "x", (0, (2, 1)), width=1.3, order=6),
}


def label_quality_table(material: Material) -> pd.DataFrame:
    """Return the points: means over seeds by p, layer, and what labels are from.

    In ``layer`` stand the rules for choosing one too (`CHOSEN_LAYERS`), and ``before``. Runs that
    differ in how networks are retrained have the same labels.
    """
    rows = material.label_quality.assign(
        labels=material.label_quality["wrong"] + material.label_quality["right"]
    )
    of_layers = rows.drop_duplicates([*_VARIANT, "p", "seed", "layer"])
    chosen = rows[rows["chosen"] & rows["relabel_layer"].isin(CHOSEN_LAYERS)]
    chosen = chosen.assign(layer=chosen["relabel_layer"])
    chosen = chosen.drop_duplicates([*_VARIANT, "p", "seed", "layer"])
    before = of_layers.drop_duplicates([*_VARIANT, "p", "seed"])
    before = before.assign(layer="before", wrong_after=before["wrong"], wrong=0, right=0)
    counts = pd.concat([of_layers, chosen, before], ignore_index=True)
    parts = []
    for measure, (_, total) in MEASURES.items():
        some = counts[counts[total] > 0]
        some = some.assign(correct=some[measure], total=some[total])
        parts.append(mean_over_seeds(some, [*_VARIANT, "layer", "p"]).assign(measure=measure))
    table = pd.concat(parts, ignore_index=True).drop(columns="deviation")
    return table.assign(source="ours", fit_labels=table["relabel_subspaces"], final=True)


def draw_label_quality(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw each measure against p: a row for each kind of labels, a line for each layer."""
    variants = list(table[_VARIANT].drop_duplicates().itertuples(index=False, name=None))
    figure = Figure(figsize=(PAGE_WIDTH, 1.75 * len(variants) + 0.9), layout="constrained")
    grid = figure.subplots(len(variants), len(MEASURES), sharex=True, sharey="col", squeeze=False)
    styles = _styles(table)
    for (row, variant), (column, measure) in product(enumerate(variants), enumerate(MEASURES)):
        shown = (table[_VARIANT] == list(variant)).all(axis=1) & (table["measure"] == measure)
        _draw_panel(grid[row][column], table[shown], table, styles)
        if row == 0:
            grid[row][column].set_title(MEASURES[measure][0])
    for line, (source, subspaces) in zip(grid, variants, strict=True):
        line[0].set_ylabel(WHOSE[source] + (",\noracle" if subspaces == "true" else ""))
    figure.supxlabel(P_LABEL, fontsize="medium")
    legend(figure, table, styles.values(), None, "bars")
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, table: pd.DataFrame, styles: dict[str, Style]) -> None:
    curves = [(style, rows[rows["layer"] == layer]) for layer, style in styles.items()]
    draw_bars_against(
        axes, [(style, curve) for style, curve in curves if len(curve)], "p", table["p"].unique()
    )
    p_axis(axes, table)
    top = min(1.0, table.loc[table["measure"].isin(rows["measure"]), "high"].max())
    axes.set_ylim(-0.03 * top, 1.03 * top)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.04 else 1, symbol=""))


def _styles(table: pd.DataFrame) -> dict[str, Style]:
    rules = {"before": _BEFORE, **_CHOSEN}
    layers = table[~table["layer"].isin(rules)].assign(probe="MASC", split="test")
    styles = {layer: style for (_, layer, _), style in curve_styles(layers).items()}
    return styles | {name: style for name, style in rules.items() if name in set(table["layer"])}
