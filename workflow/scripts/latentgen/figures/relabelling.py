"""The figure of relabelling: networks trained on what MASC says, and what they are to be held against."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.curves import PLOTTED, at_the_end
from latentgen.figures.panels import PAGE_WIDTH, draw_bars_against, draw_chance, legend, percent
from latentgen.figures.styles import BLACK, GREY, Look
from latentgen.study.runs import EARLY_STOP, RELABEL, control_of
from latentgen.tables.statistics import mean_difference_over_seeds

_COLORS = ("#0072b2", "#56b4e9", "#332288", "#88ccee", "#44aa99")


def relabel_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the points of `draw_relabel`: final accuracy on the items that no training was stopped by.

    Rows with a ``reference`` are differences from another intervention's, paired by seed.

    Parameters
    ----------
    accuracy : DataFrame
        All runs of a pair, those with an intervention too; ``intervention`` is kept.
    """
    rows = accuracy[(accuracy["probe"] == "model") & (accuracy["split"] == "test_rest")]
    last = rows[rows["epoch"] == rows.groupby("run")["epoch"].transform("max")]
    afresh = [
        name for name in rows["intervention"].unique() if name == EARLY_STOP or name.startswith(RELABEL)
    ]
    last = last[last["p"].isin(last.loc[last["intervention"].isin(afresh), "p"])]
    parts = [
        at_the_end(last[last["intervention"] == name]).assign(intervention=name, reference="")
        for name in ("none", *afresh)
    ]
    pair = ["p", "seed", "probe", "layer", "fit_labels", "split", "eval_labels"]
    for name in afresh:
        for reference in filter(None, (control_of(name), "none")):
            less = last.loc[last["intervention"] == reference, [*pair, "correct", "total"]]
            paired = last[last["intervention"] == name].merge(
                less.rename(columns={"correct": "reference_correct", "total": "reference_total"}), on=pair
            )
            if len(paired):
                difference = at_the_end(paired, mean_difference_over_seeds)
                parts.append(difference.assign(intervention=name, reference=reference))
    return pd.concat(parts, ignore_index=True)[[*PLOTTED, "intervention", "reference"]]


def draw_relabel(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final accuracy against p, and the paired differences from both references."""
    references = {
        "": "final accuracy (%)",
        EARLY_STOP: "less that of corrupted labels\nstopped early (points)",
        "none": "less that of memorized\ncorrupted labels (points)",
    }
    differences = table[table["reference"] != ""]
    low, high = min(0.0, differences["low"].min()), max(0.0, differences["high"].max())
    shown = [reference for reference in references if (table["reference"] == reference).any()]
    figure = Figure(figsize=(PAGE_WIDTH, 2.75), layout="constrained")
    (row,) = figure.subplots(1, len(shown), squeeze=False)
    looks = _looks(table["intervention"].unique())
    ps = np.sort(table["p"].unique())
    for reference, axes in zip(shown, row, strict=True):
        points = table[table["reference"] == reference]
        curves = [(look, points[points["intervention"] == name]) for name, look in looks.items()]
        draw_bars_against(axes, [(look, curve) for look, curve in curves if len(curve)], "p", ps)
        axes.set_xticks(ps, [f"{p:g}" for p in ps])
        axes.set_title(references[reference])
        percent(axes, None if reference else (0, 1))
        if reference:
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        else:
            draw_chance(axes, chance)
    figure.supxlabel("p, the probability that a label was redrawn", fontsize="medium")
    legend(figure, table.assign(final=True), looks.values(), chance, "bars")
    return figure


def _looks(names: np.ndarray) -> dict[str, Look]:
    looks = {
        "none": Look("corrupted labels, memorized", BLACK, "o"),
        EARLY_STOP: Look("corrupted labels, stopped early", GREY, "s", (0, (4, 1.5))),
    }
    relabelled = [name for name in names if name.startswith(RELABEL)]
    for name, color, marker in zip(relabelled, _COLORS, "D^v<>", strict=False):
        layer = name.removeprefix(RELABEL)
        where = "most agreeing layer" if layer == "best" else layer
        looks[name] = Look(f"MASC’s labels ({where}), stopped early", color, marker, order=4)
    return {name: look for name, look in looks.items() if name in names}
