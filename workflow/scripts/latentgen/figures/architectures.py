"""The figure `architectures`: memorization and latent generalization in all networks of a study."""

from collections.abc import Iterator
from textwrap import fill
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, PercentFormatter
from matplotlib.typing import ColorType

from latentgen.figures.averages import CURVE, at_the_end, curves_of
from latentgen.figures.material import Material
from latentgen.figures.panels import legend, panels, title_of_p
from latentgen.figures.styles import BLACK, CHANCE_LINE, GREY, INPUT_STYLE
from latentgen.networks.base import INPUT
from latentgen.tables.comparisons import choosing_rows
from latentgen.tables.selection import last_checkpoint, on_test


class Look(NamedTuple):
    """Label, colour and marker of a point."""

    label: str
    color: ColorType
    marker: str
    filled: bool = True


LOOKS = {
    "peak": Look("model at its peak", BLACK, "o", filled=False),
    "stopped": Look("model stopped early by held-out noisy labels", BLACK, "^", filled=False),
    "end": Look("model at the end", BLACK, "o"),
    "input": Look("control: MASC on the raw input", INPUT_STYLE.color, "X"),
    "MASC": Look("MASC on the chosen layer", "#0072b2", "s"),
    "VeLPIC": Look("VeLPIC on the chosen layer", "#009e73", "D"),
    "transfer-zero": Look("transfer, bias zero", "#d55e00", "P"),
}
"""The points of each network, from top to bottom; from `end` on at the end of training."""

UNTRAINED = "untrained"
"""What follows a probe's name if its point is that of the untrained network, on the same layer."""


def architectures_table(material: Material) -> pd.DataFrame:
    """Return the points in `LOOKS` for each pair of the study; ``place`` is the position of the pair.

    The chosen layer is the one, other than the raw input, on which the probe predicts most held-out noisy
    labels at the end, over all seeds; without held-out examples, most true labels of training examples. The
    untrained network is probed on the same layer. The peak is the checkpoint with the highest mean.
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
    of_model = test[test["probe"] == "model"]
    curves = curves_of(of_model)
    yield "peak", curves.loc[curves.groupby(CURVE)["mean"].idxmax()]
    yield "end", curves[curves["final"]]
    choosing = choosing_rows(rows)
    stopping = choosing[(choosing["probe"] == "model") & (choosing["split"] == "held_out")]
    if not stopping.empty:
        best = stopping.loc[stopping.groupby("run")["correct"].idxmax(), ["run", "epoch"]]
        yield "stopped", at_the_end(of_model.merge(best))
    on_input = test["layer"] == INPUT
    if not (raw := test[on_input & (test["probe"] == "MASC")]).empty:
        yield "input", at_the_end(raw)
    by_layer = last_checkpoint(choosing).groupby(["p", "probe", "layer"], sort=False)["correct"].sum()
    for probe in ("MASC", "VeLPIC", "transfer-zero"):
        of_probe = test[(test["probe"] == probe) & ~on_input]
        if len(of_probe["layer"].unique()) > 1:
            known = by_layer.reset_index().query("probe == @probe and layer != @INPUT")
            of_probe = of_probe.merge(known.loc[known.groupby("p")["correct"].idxmax(), ["p", "layer"]])
        if not of_probe.empty:
            yield probe, at_the_end(of_probe)
        if probe != "transfer-zero" and not (untrained := of_probe[of_probe["epoch"] == 0]).empty:
            yield f"{probe} {UNTRAINED}", at_the_end(untrained)


def draw_architectures(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy by network: a panel per p, a row per network."""
    ps = sorted(table["p"].unique())
    pairs = table.drop_duplicates("place").sort_values("place")
    shown = [what for what in LOOKS if (table["what"] == what).any()]
    figure, grid = panels(1, len(ps), height=0.4 + 0.11 * (len(shown) + 1) * len(pairs))
    for p, axes in zip(ps, grid[0], strict=True):
        of_p = table[table["p"] == p]
        for rank, what in enumerate(shown):
            look, shift = LOOKS[what], (rank + 1) / (len(shown) + 1) - 0.5
            _draw_points(
                axes, of_p[of_p["what"] == f"{what} {UNTRAINED}"], look._replace(filled=False), shift
            )
            _draw_points(axes, of_p[of_p["what"] == what], look, shift)
        if chance is not None:
            axes.axvline(chance, **CHANCE_LINE, zorder=1)
        for place in pairs["place"].iloc[1:]:
            axes.axhline(place - 0.5, color=GREY, linewidth=0.5, zorder=0.5)
        axes.set_title(title_of_p(p, table))
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_locator(FixedLocator([0, 0.5, 1] if len(ps) > 4 else [0, 0.2, 0.4, 0.6, 0.8, 1]))
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.set_yticks(pairs["place"], _names(pairs))
        axes.grid(visible=False, axis="y")
    figure.supxlabel("test accuracy (%)", fontsize="medium")
    entries = [_entry(LOOKS[what], LOOKS[what].label) for what in shown]
    if table["what"].str.endswith(UNTRAINED).any():
        entries.append(_entry(Look("", GREY, "s", filled=False), "control: that layer, untrained"))
    legend(figure, table.assign(final=True), entries, chance, "bars")
    return figure


def _names(pairs: pd.DataFrame) -> list[str]:
    """Return the names of networks, and of their data if not all have the same."""
    names = pairs["model"].str.replace("_", " ")
    if len(pairs["dataset"].unique()) > 1:
        data = pairs["dataset"].str.replace("_", " ")
        names = names + "\n" + data.map(lambda name: fill(name, 18))
    return list(names)


def _entry(look: Look, label: str) -> Line2D:
    return Line2D([], [], label=label, **_marks(look))


def _draw_points(axes: Axes, points: pd.DataFrame, look: Look, shift: float) -> None:
    errors = [points["mean"] - points["low"], points["high"] - points["mean"]]
    axes.errorbar(points["mean"], points["place"] + shift, xerr=errors, elinewidth=0.7, **_marks(look))


def _marks(look: Look) -> dict[str, Any]:
    """Return how a point looks, in the panels and in the legend."""
    return {
        "color": look.color,
        "marker": look.marker,
        "markersize": 4,
        "markerfacecolor": look.color if look.filled else "white",
        "linestyle": "none",
    }
