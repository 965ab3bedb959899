"""The figure `architectures`: memorization and latent generalization in all networks of a study."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.averages import CURVE, at_the_end, curves_of
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, legend, panels, title_of_p
from latentgen.figures.styles import BLACK
from latentgen.tables.selection import last_checkpoint, on_test


class Look(NamedTuple):
    """Label, colour and marker of a point."""

    label: str
    color: str
    marker: str
    filled: bool = True


LOOKS = {
    "peak": Look("model at its peak", BLACK, "o", filled=False),
    "end": Look("model at the end", BLACK, "o"),
    "MASC": Look("MASC on the chosen layer", "#0072b2", "s"),
    "VeLPIC": Look("VeLPIC on the chosen layer", "#009e73", "D"),
    "transfer-zero": Look("transfer, bias zero", "#d55e00", "P"),
}
"""The points of each network, from left to right; all but the peak are at the end of training."""


def architectures_table(material: Material) -> pd.DataFrame:
    """Return the points in `LOOKS` for each pair of the study; ``place`` is the position of the pair.

    The chosen layer is the one on which the probe gives most training examples their true label, over all
    seeds: no test label is used. The peak is the checkpoint with the highest mean.
    """
    rows = material.accuracy if material.study_runs.empty else material.study_runs
    parts = []
    for place, ((dataset, model), of_pair) in enumerate(rows.groupby(["dataset", "model"], sort=False)):
        parts += [
            part.assign(what=what, dataset=str(dataset), model=str(model), place=place)
            for what, part in _parts(of_pair)
        ]
    return pd.concat(parts, ignore_index=True)


def _parts(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the points of one pair."""
    test = rows[on_test(rows)]
    curves = curves_of(test[test["probe"] == "model"])
    yield "peak", curves.loc[curves.groupby(CURVE)["mean"].idxmax()]
    yield "end", curves[curves["final"]]
    train = (rows["split"] == "train") & (rows["eval_labels"] == "true") & (rows["fit_labels"] == "corrupted")
    correct = last_checkpoint(rows[train]).groupby(["p", "probe", "layer"], sort=False)["correct"].sum()
    for probe in ("MASC", "VeLPIC", "transfer-zero"):
        of_probe = test[test["probe"] == probe]
        layers = of_probe["layer"].unique()
        if len(layers) > 1:
            known = correct.reset_index().query("probe == @probe")
            chosen = known.loc[known.groupby("p")["correct"].idxmax(), ["p", "layer"]]
            of_probe = of_probe.merge(chosen)
        if not of_probe.empty:
            yield probe, at_the_end(of_probe)


def draw_architectures(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy by network: a panel per p."""
    ps = sorted(table["p"].unique())
    pairs = table.drop_duplicates("place").sort_values("place")
    figure, grid = panels(1, len(ps), height=2.4)
    shown = [what for what in LOOKS if (table["what"] == what).any()]
    for p, axes in zip(ps, grid[0], strict=True):
        for rank, what in enumerate(shown):
            look = LOOKS[what]
            points = table[(table["p"] == p) & (table["what"] == what)]
            axes.errorbar(
                points["place"] + 0.15 * (rank - (len(shown) - 1) / 2),
                points["mean"],
                yerr=[points["mean"] - points["low"], points["high"] - points["mean"]],
                color=look.color,
                marker=look.marker,
                markersize=4,
                markerfacecolor=look.color if look.filled else "white",
                linestyle="none",
                elinewidth=0.7,
            )
        draw_chance(axes, chance)
        accuracy_axis(axes)
        axes.set_title(title_of_p(p, table))
        axes.set_xlim(-0.5, len(pairs) - 0.5)
        several = len(set(pairs["dataset"])) > 1
        names = (pairs["dataset"] + "\n" if several else "") + pairs["model"].str.replace("_", " ")
        axes.set_xticks(np.arange(len(pairs)), names, rotation=90 if len(pairs) > 1 else 0)
    grid[0][0].set_ylabel("test accuracy (%)")
    entries = [
        Line2D(
            [],
            [],
            color=LOOKS[what].color,
            marker=LOOKS[what].marker,
            markersize=4,
            markerfacecolor=LOOKS[what].color if LOOKS[what].filled else "white",
            linestyle="none",
            label=LOOKS[what].label,
        )
        for what in shown
    ]
    legend(figure, table.assign(final=True), entries, chance, "bars")
    return figure
