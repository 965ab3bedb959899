"""The papers' figures: their numbers and our reference results on the same axes.

Of each experiment (`latentgen.figures.paper_experiments`), the same rows of theirs and of ours are drawn.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from latentgen.figures.averages import PLOTTED, at_the_end, curves_of
from latentgen.figures.curves import draw_curves
from latentgen.figures.panels import (
    PUBLISHED,
    accuracy_axis,
    draw_bars_against,
    draw_chance,
    epoch_axes,
    legend,
    ours,
    panels,
)
from latentgen.figures.paper_experiments import BASELINES, ROW, SUBSPACES, Experiment
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import PUBLISHED_LINE, Key, Style, curve_styles, style_key
from latentgen.networks.base import INPUT
from latentgen.tables.best_layers import PUBLISHED as PUBLISHED_BEST_LAYERS
from latentgen.tables.best_layers import best_layers_table
from latentgen.tables.published import without_older_networks
from latentgen.tables.reading import typed
from latentgen.tables.statistics import mean_value_over_seeds

_ANGLE: Key = ("angle", "readout", "angle")
_EXTRA: dict[Key, Style] = {
    ("model", "readout", "true"): Style("model, train (true labels)", "#56b4e9", "v"),
    ("model", "readout", "unedited"): Style("model, test, without the edit", "#e69f00", "s"),
    ("transfer-zero", "readout", "train"): Style("transfer, bias zero", "#d55e00", "P", order=5),
    ("transfer-zero", "readout", "true"): Style("transfer, bias zero", "#d55e00", "P", order=5),
    _ANGLE: Style("VeLPIC vector to readout row", "#0072b2", "o"),
    ("MASC", "best", "corrupted"): Style("MASC, corrupted labels", "#0072b2", "o"),
    ("MASC", "best", "true"): Style("MASC, true labels", "#56b4e9", "s"),
    ("MASC", "best", "untrained"): Style("MASC, untrained network", "#999999", "v"),
    ("VeLPIC", "best", "corrupted"): Style("VeLPIC, corrupted labels", "#d55e00", "D"),
    ("VeLPIC", "best", "true"): Style("VeLPIC, true labels", "#e69f00", "^"),
    ("VeLPIC", "best", "untrained"): Style("VeLPIC, untrained network", "#cc79a7", "x"),
}

_UNNAMED = ("transfer", "angle")
"""Values of `ROW` that the axis does not name."""
_NAMES = {
    "MASC-1pc": "MASC, 1 component",
    "MASC": "MASC, 0.99 of variance",
    "logistic": "logistic regression",
    "nearest_mean": "nearest mean",
    "decoding": "“Decoding …”",
    "dynamics": "“On the dynamics …”",
}


def their_points(published: pd.DataFrame, experiment: Experiment, source: str) -> pd.DataFrame:
    """Return the mean of the papers' runs, with their lowest and highest, columns `PLOTTED` and `ROW`."""
    rows = experiment.rows(without_older_networks(published))
    if experiment.against == "p":
        rows = rows[rows["final"]].assign(epoch=0)
    rows = rows.assign(split=rows["split"].replace("online", "train"))
    return _their_mean(_of_true_labels(rows), "accuracy", source)


def our_points(accuracy: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Return our mean over seeds with its interval, columns `PLOTTED` and `ROW`."""
    rows = _of_true_labels(experiment.rows(accuracy))
    average = curves_of if experiment.against == "epoch" else at_the_end
    parts = [average(of_row).assign(**{ROW: name}) for name, of_row in rows.groupby(ROW, sort=False)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*PLOTTED, ROW])


def _of_true_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Give training accuracies against true labels their own split, which determines the style."""
    true = (rows["split"] == "train") & (rows["eval_labels"] == "true")
    return rows.assign(split=rows["split"].mask(true, "true"))


def _their_mean(rows: pd.DataFrame, value: str, source: str) -> pd.DataFrame:
    by = ["p", "probe", "layer", "fit_labels", "split", "eval_labels", "epoch", ROW]
    rows = rows.assign(final=rows.get("final", False))
    who = [*by[:6], ROW, "final"]
    # Their runs end at different epochs: the end is drawn at the mean epoch.
    ends = rows.groupby(who, sort=False)["epoch"].transform("mean")
    rows = rows.assign(epoch=rows["epoch"].astype(float).mask(rows["final"], ends))
    grouped = rows.groupby([*by, "final"], sort=False)[value]
    table = grouped.agg(mean="mean", low="min", high="max", seeds="size").reset_index()
    table = table.sort_values("epoch", kind="stable").drop_duplicates(by, keep="last")
    return table.reset_index(drop=True).assign(source=source, final=False)[[*PLOTTED, ROW]]


def their_angles(angles: pd.DataFrame) -> pd.DataFrame:
    """Return the papers' curves of angles, averaged over their runs; columns `PLOTTED` and `ROW`."""
    rows = _as_angles(angles.rename(columns={"angle_degrees": "value"}))
    return _their_mean(rows, "value", PUBLISHED[0])


def our_angles(geometry: pd.DataFrame) -> pd.DataFrame:
    """Return our curves of angles (`latentgen.tables.geometry`), columns `PLOTTED` and `ROW`."""
    rows = geometry[(geometry["source"] == "ours") & (geometry["angle_to"] == "readout")]
    rows = _as_angles(rows.rename(columns={"degrees": "value"}))
    if rows.empty:
        return pd.DataFrame(columns=[*PLOTTED, ROW])
    return curves_of(rows, mean_value_over_seeds).assign(**{ROW: "angle"})


def _as_angles(rows: pd.DataFrame) -> pd.DataFrame:
    names = {"probe": "angle", "layer": "readout", "fit_labels": "corrupted", "split": "angle"}
    return rows.assign(**names, eval_labels="none", **{ROW: "angle"})


def their_best_layers(best: pd.DataFrame) -> pd.DataFrame:
    """Return the papers' best-layer tables, a panel per paper; columns `PLOTTED` and `ROW`."""
    return _their_mean(_as_best(best).assign(epoch=0, **{ROW: best["paper"]}), "accuracy", PUBLISHED[0])


def our_best_layers(accuracy: pd.DataFrame, papers: list[str]) -> pd.DataFrame:
    """Return our best hidden layers, chosen by test accuracy like theirs, in the panel of each paper."""
    none = typed(pd.DataFrame(columns=list(PUBLISHED_BEST_LAYERS)), PUBLISHED_BEST_LAYERS)
    best = best_layers_table(accuracy[accuracy["layer"] != INPUT], none)
    untrained = (best["what"] != "model") & (best["fit_labels"] == "corrupted")
    rows = _as_best(best[best["chosen_by"].eq("test") & (best["stage"].eq("end") | untrained)])
    rows = rows.assign(epoch=0, source="ours", final=True)
    parts = [rows.assign(**{ROW: paper})[[*PLOTTED, ROW]] for paper in papers]
    return pd.concat(parts, ignore_index=True)


def _as_best(best: pd.DataFrame) -> pd.DataFrame:
    model = best["what"] == "model"
    split = best["fit_labels"].mask(best["stage"] == "untrained", "untrained").mask(model, "test")
    return best.assign(
        probe=best["what"], layer=np.where(model, "readout", "best"), split=split, eval_labels="true"
    )


def draw_paper(table: pd.DataFrame, against: str, chance: float | None) -> Figure:
    """Draw their numbers dashed, ours with markers and intervals; a row of panels, or a panel, per `ROW`.

    Parameters
    ----------
    table : DataFrame
        Columns `PLOTTED` and `ROW`.
    against : str
        ``epoch``: a column of panels per p; ``p``: one panel per `ROW`.
    chance : float, optional
        Level of chance; None for angles, in degrees.
    """
    table = table.assign(order=_order(table)).sort_values(["order", "epoch"], kind="stable")
    rows = sorted({name for name in table[ROW] if name}, key=row_order) or [""]
    styles, by_epoch = paper_styles(table), against == "epoch"
    ps = sorted(table["p"].unique())
    shape = (len(rows), len(ps)) if by_epoch else (1, len(rows))
    figure, grid = panels(*shape, height=1.75 if by_epoch else 2.2)
    for index, name in enumerate(rows):
        of_row = table[table[ROW].isin([name, ""])]
        if not by_epoch:
            _draw_against_p(grid[0][index], of_row, table, styles)
            grid[0][index].set_title(name_of_row(name).removeprefix("MASC, "))
            draw_chance(grid[0][index], chance)
            continue
        for p, axes in zip(ps, grid[index], strict=True):
            draw_curves(axes, ours(of_row[of_row["p"] == p]), styles)
            _draw_theirs(axes, of_row[of_row["p"] == p], styles)
            draw_chance(axes, chance)
            if index == 0:
                axes.set_title(f"p = {p:g}")
        label = "" if name in _UNNAMED else f"{name}:\n"
        grid[index][0].set_ylabel("angle (°)" if name == "angle" else f"{label}accuracy (%)")
    for axes in (axes for row in grid for axes in row):
        if table["probe"].eq("angle").any():
            axes.yaxis.set_major_locator(MultipleLocator(10))
        else:
            _accuracy_axis(axes, table)
    if by_epoch:
        figure.supxlabel(_epoch_axes(grid, table), fontsize="medium")
    else:
        grid[0][0].set_ylabel(("MASC:\n" if "MASC" in rows else "") + "test accuracy (%)")
        figure.supxlabel(P_LABEL, fontsize="medium")
    _legend(figure, table, styles, by_epoch, chance)
    return figure


def _accuracy_axis(axes: Axes, table: pd.DataFrame) -> None:
    """Let the axis end at 100 %, or little above the highest test accuracy if that is below 25 %."""
    accuracy_axis(axes)
    highest = table.loc[table["split"] != "train", "mean"].max()
    if highest < 0.25:
        top = ceil(20 * highest) / 20
        axes.set_ylim(-0.02 * top, 1.02 * top)
        axes.yaxis.set_major_locator(MultipleLocator(0.05))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0, symbol=""))


def _epoch_axes(grid: Sequence[Sequence[Axes]], table: pd.DataFrame) -> str:
    """Give all panels an axis of epochs, and return its label: of edited networks, from the edit on."""
    first, last = table["epoch"].min(), table["epoch"].max()
    if table["split"].eq("unedited").any() or first >= 10:
        grid[0][0].set_xlim(first - 0.03 * (last - first), last + 0.03 * (last - first))
        return "epoch"
    for axes in (axes for row in grid for axes in row):
        epoch_axes(axes, last, width=5.5 / len(grid[0]))
    return "epoch, on a scale of log(1 + epoch); 0: untrained"


def _legend(
    figure: Figure, table: pd.DataFrame, styles: dict[Key, Style], by_epoch: bool, chance: float | None
) -> None:
    """Put a legend above the panels, whose title says what is drawn of ours and of theirs."""
    own, theirs = ours(table), table[table["source"].isin(PUBLISHED)]
    entries = {style.label: style for style in styles.values()}
    if own.empty:
        dashed = {"line": PUBLISHED_LINE["linestyle"], "marker": "none"}
        entries = {label: replace(style, **dashed) for label, style in entries.items()}
    interval = ("bands" if by_epoch else "bars") if own["low"].notna().any() else None
    legend(figure, own if own.empty else table, entries.values(), chance, interval)
    if len(theirs):
        title = figure.legends[0].get_title()
        of_theirs = "mean of their runs"
        if by_epoch and (theirs["seeds"] > 1).any():
            of_theirs += ", pale bands: their range"
        words = title.get_text()
        of_ours = "" if own.empty else f"Ours: {words[0].lower()}{words[1:]}\n"
        title.set_text(f"{of_ours}The papers’{' numbers only' if own.empty else ''}: {of_theirs}")
        title.set_multialignment("center")


def _order(table: pd.DataFrame) -> "pd.Series[str]":
    """Return a key that sorts rows by layer, in the order of the networks; colours follow that order."""
    first = {"readout": "0", "input": "1", "flatten": "2"}
    return table["layer"].map(lambda name: first.get(name, f"3{name}"))


def row_order(name: str) -> tuple[int, str]:
    """Return a key that sorts panels, or rows of panels."""
    known = (*SUBSPACES, "VeLPIC", *BASELINES)
    return (known.index(name) if name in known else len(known), name)


def name_of_row(row: str) -> str:
    """Return the name of a panel, or a row of panels, as the figures have it."""
    return _NAMES.get(row) or (row.replace("-", ", ") + " of variance" if row in SUBSPACES else row)


def paper_styles(table: pd.DataFrame) -> dict[Key, Style]:
    """Return the style of every curve of a table; all of ours are solid, since theirs are dashed."""
    keys = set(table[["probe", "layer", "split"]].itertuples(index=False, name=None))
    extra = {key: style for key, style in _EXTRA.items() if key in keys}
    known = table[[tuple(key) not in extra for key in table[["probe", "layer", "split"]].to_numpy()]]
    styles = (curve_styles(known) if len(known) else {}) | extra
    return {key: replace(style, line="-") for key, style in styles.items()}


def _draw_theirs(axes: Axes, table: pd.DataFrame, styles: dict[Key, Style]) -> None:
    """Draw the mean of the papers' runs, and their range if there are several; few points are dots too."""
    for _, curve in table[table["source"].isin(PUBLISHED)].groupby(["probe", "layer", "split"], sort=False):
        color, dot = styles[style_key(curve)].color, "." if len(curve) <= 12 else "none"
        axes.plot(curve["epoch"], curve["mean"], color=color, marker=dot, markersize=4, **PUBLISHED_LINE)
        several = curve[curve["seeds"] > 1]
        if len(several):
            range_ = several["epoch"], several["low"], several["high"]
            axes.fill_between(*range_, color=color, alpha=0.1, linewidth=0)


def _draw_against_p(axes: Axes, points: pd.DataFrame, table: pd.DataFrame, styles: dict[Key, Style]) -> None:
    by = ["probe", "layer", "split"]
    own = [(styles[style_key(curve)], curve) for _, curve in ours(points).groupby(by, sort=False)]
    if own:
        draw_bars_against(axes, own, "p", table["p"].unique())
    for _, curve in points[points["source"].isin(PUBLISHED)].groupby(by, sort=False):
        curve, style = curve.sort_values("p"), styles[style_key(curve)]
        axes.plot(curve["p"], curve["mean"], color=style.color, marker=".", markersize=3, **PUBLISHED_LINE)
    p_axis(axes, table)
