"""The figure `relabel`: networks trained on a probe's labels, and their controls."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import PLOTTED, at_the_end
from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH, accuracy_axis, draw_bars_against, draw_chance, legend
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import BLACK, GREY, Style
from latentgen.study.runs import BEST, BEST_ON_TEST, EARLY_STOP, EARLY_STOP_NOISY
from latentgen.tables.columns import RELABEL_FACTS
from latentgen.tables.facts import control_of, edits_of
from latentgen.tables.selection import last_checkpoint, paired
from latentgen.tables.statistics import mean_difference_over_seeds

_COLORS = ("#0072b2", "#56b4e9", "#332288", "#88ccee", "#44aa99")

_WHOSE = {
    "MASC": "MASC’s",
    "MASC_cross_fitted": "cross-fitted MASC’s",
    "unit_means": "unit means’",
    "ridge": "ridge’s",
}
_ORACLES = {"MASC": "oracle"} | {
    source: f"oracle {whose}" for source, whose in _WHOSE.items() if source != "MASC"
}
"""The same, fitted with true labels."""
_CHOSEN = {BEST: "most agreeing layer", BEST_ON_TEST: "layer chosen on test"}
"""What chooses the layer; ``best`` with other labels than MASC's: held-out noisy labels, if there are any."""
_FACTS = ["edit", "relabel_layer", *RELABEL_FACTS]


def relabel_table(material: Material) -> pd.DataFrame:
    """Return the points: final accuracy on the test examples that are not used for early stopping.

    Rows with a ``reference`` are differences from another intervention's, paired by seed.
    """
    accuracy = material.all_runs
    rows = accuracy[(accuracy["probe"] == "model") & (accuracy["split"] == "test_rest")]
    last = last_checkpoint(rows)
    edits = edits_of(rows)
    retrained = list(edits.index[edits["edit"].isin(["relabel", EARLY_STOP])])
    last = last[last["p"].isin(last.loc[last["intervention"].isin(retrained), "p"])]
    parts = [
        at_the_end(last[last["intervention"] == name]).assign(intervention=name, reference="")
        for name in ("none", *retrained)
    ]
    pair = ["p", "seed", "probe", "layer", "fit_labels", "split", "eval_labels"]
    for name in retrained:
        for reference in filter(None, (control_of(name, edits), "none")):
            pairs = paired(last[last["intervention"] == name], last[last["intervention"] == reference], pair)
            if len(pairs):
                difference = at_the_end(pairs, mean_difference_over_seeds)
                parts.append(difference.assign(intervention=name, reference=reference))
    table = pd.concat(parts, ignore_index=True)[[*PLOTTED, "intervention", "reference"]]
    return table.join(edits[_FACTS], on="intervention")


def draw_relabel(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final accuracy against p, and the paired differences from both references."""
    references = {
        "": "final accuracy (%)",
        EARLY_STOP: "minus corrupted labels\nstopped early (points)",
        "none": "minus memorized\ncorrupted labels (points)",
    }
    differences = table[table["reference"] != ""]
    low, high = min(0.0, differences["low"].min()), max(0.0, differences["high"].max())
    shown = [reference for reference in references if (table["reference"] == reference).any()]
    figure = Figure(figsize=(PAGE_WIDTH, 2.75), layout="constrained")
    (row,) = figure.subplots(1, len(shown), squeeze=False)
    styles = _styles(table.drop_duplicates("intervention"))
    for reference, axes in zip(shown, row, strict=True):
        points = table[table["reference"] == reference]
        curves = [(style, points[points["intervention"] == name]) for name, style in styles.items()]
        draw_bars_against(
            axes, [(style, curve) for style, curve in curves if len(curve)], "p", table["p"].unique()
        )
        p_axis(axes, table)
        axes.set_title(references[reference])
        accuracy_axis(axes, None if reference else (0, 1))
        if reference:
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        else:
            draw_chance(axes, chance)
    figure.supxlabel(P_LABEL, fontsize="medium")
    legend(figure, table.assign(final=True), styles.values(), chance, "bars")
    return figure


def _styles(interventions: pd.DataFrame) -> dict[str, Style]:
    styles = {
        "none": Style("corrupted labels, memorized", BLACK, "o"),
        EARLY_STOP: Style("corrupted labels, stopped early", GREY, "s", (0, (4, 1.5))),
    }
    if EARLY_STOP_NOISY in set(interventions["intervention"]):
        styles[EARLY_STOP_NOISY] = Style("stopped by held-out noisy labels", GREY, "X", (0, (1, 1)))
    relabelled = interventions[interventions["edit"] == "relabel"].to_dict("records")
    for one, color, marker in zip(relabelled, cycle(_COLORS), cycle("D^v<>ph*"), strict=False):
        styles[one["intervention"]] = Style(_label(one), color, marker, order=4)
    return {name: style for name, style in styles.items() if name in set(interventions["intervention"])}


def _label(one: Mapping[Any, Any]) -> str:
    """Say whose labels a network was retrained on, and from which weights."""
    source, layer = one["relabel_from"], one["relabel_layer"]
    chosen = "chosen layer" if layer == BEST and source != "MASC" else _CHOSEN.get(layer, layer)
    whose = _WHOSE[source] if one["relabel_subspaces"] == "corrupted" else _ORACLES[source]
    how = "from memorized" if one["relabel_start"] == "memorized" else "stopped early"
    return f"{whose} labels ({chosen}), {how}"
