"""Figures of single checkpoints: the untrained network, and the end of training."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from latentgen.figures.curves import at_the_end, control_of, on_test, published_rows, with_rows_beside
from latentgen.figures.panels import (
    by_p,
    draw_bars_against,
    draw_chance,
    draw_control,
    legend,
    ours,
    panels,
    panels_of_p,
    percent,
    title_of_p,
)
from latentgen.figures.styles import BLACK, PUBLISHED_LINE, key_of, layers, looks_of, probe_looks

_UNTRAINED: dict[str, Any] = {"color": BLACK, "marker": "o", "markerfacecolor": "white", "markersize": 2.8}
_PERMUTED: dict[str, Any] = {"color": BLACK, "marker": "x", "markersize": 2.8, "markeredgewidth": 0.8}
_BESIDE_BAR = {**PUBLISHED_LINE, "linestyle": "-", "linewidth": 1.4}


def final_table(accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the points of `draw_final`: test accuracy at the seeds' final checkpoints."""
    shown = ["model", "MASC", "VeLPIC", "transfer-zero", "transfer-kept"]
    rows = accuracy[accuracy["probe"].isin(shown)]
    table = pd.concat([at_the_end(rows[on_test(rows)]), control_of(rows, at_the_end)])
    return table if published is None else with_rows_beside(table, published_rows(published, final=True))


def draw_final(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against p, with the model in every panel: MASC, VeLPIC, transfer."""
    kinds = {"MASC": ["MASC"], "VeLPIC": ["VeLPIC"], "transfer": ["transfer-zero", "transfer-kept"]}
    kinds = {title: probes for title, probes in kinds.items() if table["probe"].isin(probes).any()}
    figure, grid = panels(1, len(kinds), height=2.1)
    ps = np.sort(table["p"].unique())
    for (title, probes), axes in zip(kinds.items(), grid[0], strict=True):
        _draw_against(axes, table[table["probe"].isin(["model", *probes])], table, "p")
        axes.set_title(title)
        axes.set_xticks(ps, [f"{p:g}" for p in ps])
        draw_chance(axes, chance)
        percent(axes)
    grid[0][0].set_ylabel("final test accuracy (%)")
    figure.supxlabel("p, the probability that a label was redrawn", fontsize="medium")
    _legend_of_lines(figure, table, chance)
    return figure


def share_of(probe: str) -> tuple[float, str] | None:
    """Return where MASC with some share of the variance, or so many components, stands in an order.

    Returns
    -------
    tuple of float and str, or None
        Numbers of components come first (negative), then shares; and what the place is called. None for
        other probes.
    """
    found = re.fullmatch(r"MASC(?:-(\d+)pc|-([0-9.]+))?", probe)
    if found is None:
        return None
    components, share = found.groups()
    if components:
        return -1 / float(components), f"{components} pc"
    return float(share or 0.99), share or "0.99"


def sensitivity_table(accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the points of `draw_sensitivity`: final accuracy of MASC by its share of the variance.

    ``place`` is the share's place among the others.
    """
    shares = {probe: share for probe in accuracy["probe"].unique() if (share := share_of(probe))}
    places = {probe: place for place, probe in enumerate(sorted(shares, key=lambda probe: shares[probe]))}
    rows = accuracy[accuracy["probe"].isin(places)]
    table = pd.concat([at_the_end(rows[on_test(rows)]), control_of(rows, at_the_end)])
    if published is not None:
        table = with_rows_beside(table, published_rows(published, final=True))
    return table.assign(place=table["probe"].map(places).astype(float))


def draw_sensitivity(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against the share of variance kept: a panel per p, a line per layer."""
    figure, grid = panels_of_p(table)
    names = table.drop_duplicates("probe").sort_values("place")["probe"]
    for p, axes in by_p(table, grid):
        _draw_against(axes, table[table["p"] == p], table, "place")
        draw_chance(axes, chance)
        percent(axes)
        axes.set_title(title_of_p(p, table))
        labels = [share_of(name)[1] for name in names]  # type: ignore[index]
        axes.set_xticks(range(len(names)), [label.removeprefix("0") for label in labels])
    grid[0][0].set_ylabel("MASC, final test accuracy (%)")
    figure.supxlabel(
        "share of the variance that each class’s subspace keeps; pc: so many components instead",
        fontsize="medium",
    )
    _legend_of_lines(figure, table, chance)
    return figure


def untrained_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the bars of `draw_untrained`: test accuracy at epoch 0, by layer; permuted labels beside."""
    rows = accuracy[(accuracy["epoch"] == 0) & _side_by_side(accuracy)]
    return at_the_end(rows[on_test(rows) | on_test(rows, "permuted")]).assign(final=False)


def draw_untrained(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy of probes on the untrained network: a row per p, bars by layer."""
    return _draw_bars(table, chance, "untrained:\ntest (%)")


def probes_table(accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the bars of `draw_probes`: final test accuracy of every kind of probe by layer.

    Beside it the controls: the same probes on the untrained network (``final`` is false), and fitted with
    permuted labels.
    """
    rows = accuracy[_side_by_side(accuracy)]
    ends = at_the_end(rows[on_test(rows) | on_test(rows, "permuted")])
    untrained = untrained_table(accuracy[(accuracy["fit_labels"] == "corrupted")])
    table = pd.concat([ends, untrained], ignore_index=True)
    return table if published is None else with_rows_beside(table, published_rows(published, final=True))


def draw_probes(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy of all kinds of probes: a row per p, bars by layer, and the controls."""
    return _draw_bars(table, chance, "end: test (%)")


def _side_by_side(accuracy: pd.DataFrame) -> "pd.Series[bool]":
    return accuracy["probe"].isin(["model", *probe_looks(accuracy["probe"])])


def _draw_bars(table: pd.DataFrame, chance: float | None, label: str) -> Figure:
    import seaborn as sns  # takes seconds

    ps = sorted(table["p"].unique())
    looks = probe_looks(table["probe"])
    kinds = list(looks)
    figure, grid = panels(len(ps), 1, height=1.15 if len(ps) > 2 else 1.6)
    names = layers(table)
    both = table["final"].any()
    beside = 0.22 / len(kinds)  # to either side of the whisker
    for p, (axes,) in zip(ps, grid, strict=True):
        here = table[table["p"] == p]
        bars = ours(here[here["final"] | ~both])
        sns.barplot(
            bars[bars["probe"] != "model"],
            x="layer",
            y="mean",
            hue="probe",
            order=names,
            hue_order=kinds,
            palette={kind: look.color for kind, look in looks.items()},
            saturation=1,
            errorbar=None,
            legend=False,
            width=0.84,
            ax=axes,
        )
        centres = {
            (probe, layer): place + (rank - (len(kinds) - 1) / 2) * 0.84 / len(kinds)
            for rank, probe in enumerate(kinds)
            for place, layer in enumerate(names)
        }
        _draw_intervals(axes, bars, centres)
        _draw_marks(axes, here[here["fit_labels"] == "permuted"], centres, -beside, _PERMUTED)
        if both:
            _draw_marks(axes, ours(here[~here["final"]]), centres, beside, _UNTRAINED)
        for row in here[here["source"] == "published"].to_dict("records"):
            if (centre := centres.get((row["probe"], row["layer"]))) is not None:
                half = 0.4 / len(kinds)
                axes.hlines(row["mean"], centre - half, centre + half, color="0.1", **_BESIDE_BAR)
        model = bars.loc[bars["probe"] == "model", "mean"]
        if len(model):
            axes.axhline(float(model.iloc[0]), color=BLACK, linewidth=0.9, zorder=2.5)
        draw_chance(axes, chance)
        percent(axes)
        axes.set(title=title_of_p(p, table), xlabel="", ylabel=label)
        axes.grid(axis="x", visible=False)
    things: list[Patch | Line2D] = [Patch(color=look.color, label=look.label) for look in looks.values()]
    things.append(
        Line2D([], [], color=BLACK, linewidth=0.9, label="model" if both else "model, its own output")
    )
    if both and (~table["final"] & (table["fit_labels"] != "permuted")).any():
        things.append(Line2D([], [], linestyle="none", **_UNTRAINED, label="control: untrained network"))
    if (table["fit_labels"] == "permuted").any():
        things.append(Line2D([], [], linestyle="none", **_PERMUTED, label="control: permuted labels"))
    legend(figure, table.assign(final=True), things, chance, "whiskers", _BESIDE_BAR)
    return figure


Centres = Mapping[tuple[str, str], float]
"""Where each bar stands, by probe and layer."""


def _draw_intervals(axes: Axes, bars: pd.DataFrame, centres: Centres) -> None:
    for row in bars.to_dict("records"):
        if (centre := centres.get((row["probe"], row["layer"]))) is not None:
            axes.vlines(centre, row["low"], row["high"], color="0.1", linewidth=0.6, zorder=5)


def _draw_marks(
    axes: Axes, rows: pd.DataFrame, centres: Centres, shift: float, style: Mapping[str, Any]
) -> None:
    shown = [row for row in rows.to_dict("records") if (row["probe"], row["layer"]) in centres]
    xs = [centres[row["probe"], row["layer"]] + shift for row in shown]
    axes.plot(xs, [row["mean"] for row in shown], linestyle="none", zorder=7, **style)


def _draw_against(axes: Axes, points: pd.DataFrame, table: pd.DataFrame, x: str) -> None:
    """Draw lines with bars against a column, side by side at each value; published ones thin, no bars."""
    looks = looks_of(ours(table))
    by = [name for name in ("probe", "layer", "split") if not (x == "place" and name == "probe")]
    curves = ours(points).groupby(by, sort=False)
    draw_bars_against(axes, [(looks[key_of(curve)], curve) for _, curve in curves], x, table[x].unique())
    for _, curve in points[points["source"] == "published"].groupby(by, sort=False):
        curve = curve.sort_values(x)
        axes.plot(curve[x], curve["mean"], color=looks[key_of(curve)].color, **PUBLISHED_LINE)
    draw_control(axes, points, x)


def _legend_of_lines(figure: Figure, table: pd.DataFrame, chance: float | None) -> None:
    looks = {look.label: look for look in looks_of(ours(table)).values()}
    legend(figure, table.assign(final=True), looks.values(), chance, "bars")
