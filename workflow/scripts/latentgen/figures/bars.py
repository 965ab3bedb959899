"""The figures `untrained` and `probes`: bars by layer for every kind of probe, with controls."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from latentgen.figures.averages import at_the_end, with_published
from latentgen.figures.material import Material
from latentgen.figures.panels import (
    PUBLISHED,
    accuracy_axis,
    draw_chance,
    legend,
    ours,
    panels,
    title_of_p,
)
from latentgen.figures.styles import BLACK, PUBLISHED_LINE, Style, probe_styles, probed_layers
from latentgen.tables.facts import usual_probes
from latentgen.tables.selection import on_test

_UNTRAINED: dict[str, Any] = {"color": BLACK, "marker": "o", "markerfacecolor": "white", "markersize": 2.8}
_PERMUTED: dict[str, Any] = {"color": BLACK, "marker": "x", "markersize": 2.8, "markeredgewidth": 0.8}
_PUBLISHED = {**PUBLISHED_LINE, "linestyle": "-", "linewidth": 1.4}
_WIDTH = 0.84
"""Width of all bars of a layer together, as a fraction of the distance between layers."""

Centres = Mapping[tuple[str, str], float]
"""Horizontal position of each bar, by probe and layer."""


def untrained_table(material: Material) -> pd.DataFrame:
    """Return the bars of `untrained`: test accuracy at epoch 0, by layer; permuted labels as a control."""
    rows = _shown(material.accuracy)
    rows = rows[rows["epoch"] == 0]
    return at_the_end(rows[on_test(rows) | on_test(rows, "permuted")]).assign(final=False)


def probes_table(material: Material) -> pd.DataFrame:
    """Return the bars of `probes`: final test accuracy of every kind of probe by layer.

    The controls are included: the same probes on the untrained network (``final`` is false), and fitted with
    permuted labels.
    """
    rows = _shown(material.accuracy)
    ends = at_the_end(rows[on_test(rows) | on_test(rows, "permuted")])
    untrained = at_the_end(rows[(rows["epoch"] == 0) & on_test(rows)]).assign(final=False)
    return with_published(pd.concat([ends, untrained], ignore_index=True), material.published, final=True)


def _shown(accuracy: pd.DataFrame) -> pd.DataFrame:
    return accuracy[accuracy["probe"].isin(["model", *usual_probes(accuracy)])]


def draw_untrained(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy of probes on the untrained network: a row per p, bars by layer."""
    return _draw_bars(table, chance, "untrained:\ntest (%)")


def draw_probes(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy of all kinds of probes: a row per p, bars by layer, and the controls."""
    return _draw_bars(table, chance, "end: test (%)")


def _draw_bars(table: pd.DataFrame, chance: float | None, label: str) -> Figure:
    ps = sorted(table["p"].unique())
    styles = probe_styles(table["probe"])
    figure, grid = panels(len(ps), 1, height=1.15 if len(ps) > 2 else 1.6)
    trained = bool(table["final"].any())
    for p, (axes,) in zip(ps, grid, strict=True):
        _draw_panel(axes, table[table["p"] == p], styles, probed_layers(table), trained)
        draw_chance(axes, chance)
        accuracy_axis(axes)
        axes.set(title=title_of_p(p, table), xlabel="", ylabel=label)
        axes.grid(axis="x", visible=False)
    entries: list[Patch | Line2D] = [Patch(color=style.color, label=style.label) for style in styles.values()]
    model = "model" if trained else "model, its own output"
    entries.append(Line2D([], [], color=BLACK, linewidth=0.9, label=model))
    if trained and (~table["final"] & (table["fit_labels"] != "permuted")).any():
        entries.append(Line2D([], [], linestyle="none", **_UNTRAINED, label="control: untrained network"))
    if (table["fit_labels"] == "permuted").any():
        entries.append(Line2D([], [], linestyle="none", **_PERMUTED, label="control: permuted labels"))
    legend(figure, table.assign(final=True), entries, chance, "whiskers", _PUBLISHED)
    return figure


def _draw_panel(
    axes: Axes, table: pd.DataFrame, styles: Mapping[str, Style], layers: list[str], trained: bool
) -> None:
    """Draw the bars of one p, with whiskers, the model's line, controls and the papers' numbers."""
    import seaborn as sns  # takes seconds

    probes = list(styles)
    bars = ours(table[table["final"] | (not trained)])
    sns.barplot(
        bars[bars["probe"] != "model"],
        x="layer",
        y="mean",
        hue="probe",
        order=layers,
        hue_order=probes,
        palette={probe: style.color for probe, style in styles.items()},
        saturation=1,
        errorbar=None,
        legend=False,
        width=_WIDTH,
        ax=axes,
    )
    width = _WIDTH / len(probes)
    centres = {
        (probe, layer): place + (rank - (len(probes) - 1) / 2) * width
        for rank, probe in enumerate(probes)
        for place, layer in enumerate(layers)
    }
    for row in _with_a_bar(bars, centres):
        centre = centres[row["probe"], row["layer"]]
        axes.vlines(centre, row["low"], row["high"], color="0.1", linewidth=0.6, zorder=5)
    shift = 0.22 / len(probes)  # controls are drawn on either side of the whisker
    _draw_marks(axes, table[table["fit_labels"] == "permuted"], centres, -shift, _PERMUTED)
    if trained:
        _draw_marks(axes, ours(table[~table["final"]]), centres, shift, _UNTRAINED)
    for row in _with_a_bar(table[table["source"].isin(PUBLISHED)], centres):
        centre, half = centres[row["probe"], row["layer"]], 0.4 / len(probes)
        axes.hlines(row["mean"], centre - half, centre + half, color="0.1", **_PUBLISHED)
    model = bars.loc[bars["probe"] == "model", "mean"]
    if len(model):
        axes.axhline(float(model.iloc[0]), color=BLACK, linewidth=0.9, zorder=2.5)


def _with_a_bar(rows: pd.DataFrame, centres: Centres) -> list[dict[Any, Any]]:
    return [row for row in rows.to_dict("records") if (row["probe"], row["layer"]) in centres]


def _draw_marks(
    axes: Axes, rows: pd.DataFrame, centres: Centres, shift: float, style: Mapping[str, Any]
) -> None:
    shown = _with_a_bar(rows, centres)
    xs = [centres[row["probe"], row["layer"]] + shift for row in shown]
    axes.plot(xs, [row["mean"] for row in shown], linestyle="none", zorder=7, **style)
