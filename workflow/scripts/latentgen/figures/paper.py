"""The papers' figures: their numbers and our reference results on the same axes.

Each experiment selects rows of the papers' numbers and the same rows of ours, and draws both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

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
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import PUBLISHED_LINE, Key, Style, curve_styles, style_key
from latentgen.tables.statistics import mean_value_over_seeds

ROW = "row"
"""Column with the panel, or the row of panels, of a curve; empty: in all of them."""

_ANGLE: Key = ("angle", "readout", "angle")
_EXTRA: dict[Key, Style] = {
    ("model", "readout", "true"): Style("model, train (true labels)", "#56b4e9", "v", (0, (1, 1))),
    ("transfer-zero", "readout", "train"): Style("transfer, bias zero", "#d55e00", "P", (0, (3, 1)), order=5),
    ("transfer-zero", "readout", "true"): Style("transfer, bias zero", "#d55e00", "P", (0, (3, 1)), order=5),
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
BASELINES = ("logistic", "KNN", "LDA", "QDA", "nearest_mean")
SUBSPACES = ("MASC-1pc", "MASC-0.25", "MASC-0.5", "MASC-0.75", "MASC")
TRANSFERRED = ("transfer-zero", "transfer-kept")

Rows = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Experiment:
    """One of the papers' experiments.

    Attributes
    ----------
    name, title, claim : str
        Its name in file names, its heading, and the claim of the papers.
    rows : callable
        Selects the experiment's rows of a table of accuracies (theirs, ours or both), and adds a column
        `ROW`.
    against : str
        ``epoch``, or ``p`` for the end of training.
    """

    name: str
    title: str
    claim: str
    rows: Rows
    against: str = "epoch"


def _test(table: pd.DataFrame, fit_labels: str = "corrupted") -> "pd.Series[bool]":
    return (table["split"] == "test") & (table["eval_labels"] == "true") & (table["fit_labels"] == fit_labels)


def _plain(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["intervention"] == "none"


def _dynamics(table: pd.DataFrame) -> pd.DataFrame:
    training = table["split"].isin(["online", "train"]) & (table["eval_labels"] == "corrupted")
    model = (table["probe"] == "model") & (training | _test(table))
    probes = table["probe"].isin(["MASC", "VeLPIC"]) & _test(table)
    rows = table[_plain(table) & (model | probes)]
    return rows.assign(**{ROW: rows["probe"].where(rows["probe"] != "model", "")})


def _transfer(table: pd.DataFrame) -> pd.DataFrame:
    shown = ((table["probe"] == "model") | table["probe"].isin(TRANSFERRED)) & _test(table)
    return table[_plain(table) & shown].assign(**{ROW: "transfer"})


def _transfer_training(table: pd.DataFrame) -> pd.DataFrame:
    edited = table["probe"].eq("transfer-zero") & table["split"].eq("train")
    model = table["probe"].eq("model") & table["split"].isin(["online", "train"])
    rows = table[_plain(table) & (edited | model)]
    return rows.assign(
        **{ROW: rows["eval_labels"].map({"corrupted": "corrupted labels", "true": "true labels"})}
    )


def _edits(table: pd.DataFrame) -> pd.DataFrame:
    edited = table["intervention"].str.match(r"velpic_at_(10|40)(_batch1)?$")
    shown = (table["probe"] == "model") & table["split"].isin(["test", "online", "train"])
    rows = table[edited & shown]
    return rows.assign(**{ROW: rows["intervention"].str.extract(r"at_(\d+)")[0].radd("edited at epoch ")})


def _end(table: pd.DataFrame, probes: tuple[str, ...], fit_labels: str = "corrupted") -> pd.DataFrame:
    rows = table[_plain(table) & table["probe"].isin(probes) & _test(table, fit_labels)]
    return rows.assign(**{ROW: rows["probe"]})


def _with_model(table: pd.DataFrame, probes: tuple[str, ...]) -> pd.DataFrame:
    model = _end(table, ("model",)).assign(**{ROW: ""})
    return pd.concat([model, _end(table, probes)], ignore_index=True)


EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "dynamics",
            "Accuracy over training, of the network and of probes on its layers",
            "Latent generalization peaks early, with the network's test accuracy; while the network "
            "memorizes, it falls less and stays above the network's test accuracy.",
            _dynamics,
        ),
        Experiment(
            "transfer",
            "VeLPIC's vectors in the readout, without training",
            "The edited network immediately generalizes better than the memorized one.",
            _transfer,
        ),
        Experiment(
            "transfer_training",
            "VeLPIC's vectors in the readout: what the network says of training examples",
            "The edited network gives fewer training examples their corrupted label, and more their true "
            "one.",
            _transfer_training,
        ),
        Experiment(
            "edits",
            "Training resumed after the edit",
            "A network edited midway starts from higher test accuracy when training resumes.",
            _edits,
        ),
        Experiment(
            "end",
            "End of training, by p: MASC with fewer components",
            "MASC on hidden layers is more accurate than the memorized network, and depends little on the "
            "fraction of variance its subspaces keep.",
            lambda table: _with_model(table, SUBSPACES),
            against="p",
        ),
        Experiment(
            "baselines",
            "End of training, by p: other probes fitted with the corrupted labels",
            "Other probes show latent generalization too; logistic regression is a trained linear probe.",
            lambda table: _with_model(table, BASELINES),
            against="p",
        ),
        Experiment(
            "true_labels",
            "End of training, by p: other probes fitted with true labels",
            "Fitted with true labels, probes on a memorized network are even more accurate.",
            lambda table: _end(table, BASELINES, "true"),
            against="p",
        ),
    )
}
"""The experiments with accuracies; `geometry` and `best_layers` have their own tables."""


def their_points(published: pd.DataFrame, experiment: Experiment, source: str) -> pd.DataFrame:
    """Return the mean of the papers' runs, with their lowest and highest, columns `PLOTTED` and `ROW`."""
    rows = experiment.rows(published)
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


def our_best_layers(best: pd.DataFrame, papers: list[str]) -> pd.DataFrame:
    """Return our best layers, chosen by test accuracy like theirs, in the panel of each paper."""
    rows = _as_best(best[best["chosen_by"].isin(["test"]) | (best["what"] == "model")])
    rows = rows.assign(epoch=0, source="ours", final=True).drop_duplicates(["p", "probe", "layer", "split"])
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
    rows = sorted({name for name in table[ROW] if name}, key=_row_order) or [""]
    styles, alone = _styles(table), ours(table).empty
    ps = sorted(table["p"].unique())
    shape = (len(rows), len(ps)) if against == "epoch" else (1, len(rows))
    figure, grid = panels(*shape, height=1.75 if against == "epoch" else 2.2)
    for index, name in enumerate(rows):
        of_row = table[table[ROW].isin([name, ""])]
        if against == "p":
            _draw_against_p(grid[0][index], of_row, table, styles)
            grid[0][index].set_title(_panel_title(name))
            draw_chance(grid[0][index], chance)
            continue
        for p, axes in zip(ps, grid[index], strict=True):
            draw_curves(axes, of_row[of_row["p"] == p], styles)
            _draw_ranges(axes, of_row[of_row["p"] == p], styles)
            draw_chance(axes, chance)
            epoch_axes(axes, table["epoch"].max(), width=5.5 / len(ps))
            if index == 0:
                axes.set_title(f"p = {p:g}")
        label = "" if name in _UNNAMED else name
        grid[index][0].set_ylabel("angle (°)" if name == "angle" else f"{label}\naccuracy (%)".strip())
    for axes in (axes for row in grid for axes in row):
        if table["probe"].eq("angle").any():
            axes.yaxis.set_major_locator(MultipleLocator(10))
        else:
            accuracy_axis(axes)
    if against == "p":
        grid[0][0].set_ylabel("test accuracy (%)")
    x_label = "epoch, on a scale of log(1 + epoch); 0: untrained" if against == "epoch" else P_LABEL
    figure.supxlabel(x_label, fontsize="medium")
    interval = ("bands" if against == "epoch" else "bars") if ours(table)["low"].notna().any() else None
    entries = {style.label: style for style in styles.values()}
    if alone:
        dashed = {"line": PUBLISHED_LINE["linestyle"], "marker": "none"}
        entries = {label: replace(style, **dashed) for label, style in entries.items()}
    shown = table.assign(source="theirs") if alone else table
    legend(figure, shown, entries.values(), chance, interval)
    return figure


def _order(table: pd.DataFrame) -> "pd.Series[str]":
    """Return a key that sorts rows by layer, in the order of the networks; colours follow that order."""
    first = {"readout": "0", "input": "1", "flatten": "2"}
    return table["layer"].map(lambda name: first.get(name, f"3{name}"))


def _row_order(name: str) -> tuple[int, str]:
    known = (*SUBSPACES, "VeLPIC", *BASELINES)
    return (known.index(name) if name in known else len(known), name)


def _panel_title(name: str) -> str:
    titles = {
        "MASC-1pc": "MASC, 1 component",
        "MASC": "MASC, 0.99 of variance",
        "nearest_mean": "nearest mean",
    }
    titles |= {"decoding": "“Decoding …”", "dynamics": "“On the dynamics …”"}
    return titles.get(name) or name.replace("MASC-", "MASC, ")


def _styles(table: pd.DataFrame) -> dict[Key, Style]:
    keys = set(table[["probe", "layer", "split"]].itertuples(index=False, name=None))
    extra = {key: style for key, style in _EXTRA.items() if key in keys}
    known = table[[tuple(key) not in extra for key in table[["probe", "layer", "split"]].to_numpy()]]
    return (curve_styles(known) if len(known) else {}) | extra


def _draw_ranges(axes: Axes, table: pd.DataFrame, styles: dict[Key, Style]) -> None:
    """Draw the range of the papers' runs, if there are several."""
    theirs = table[table["source"].isin(PUBLISHED) & (table["seeds"] > 1)]
    for _, curve in theirs.groupby(["probe", "layer", "split"], sort=False):
        color = styles[style_key(curve)].color
        axes.fill_between(curve["epoch"], curve["low"], curve["high"], color=color, alpha=0.1, linewidth=0)


def _draw_against_p(axes: Axes, points: pd.DataFrame, table: pd.DataFrame, styles: dict[Key, Style]) -> None:
    by = ["probe", "layer", "split"]
    own = [(styles[style_key(curve)], curve) for _, curve in ours(points).groupby(by, sort=False)]
    if own:
        draw_bars_against(axes, own, "p", table["p"].unique())
    for _, curve in points[points["source"].isin(PUBLISHED)].groupby(by, sort=False):
        curve, style = curve.sort_values("p"), styles[style_key(curve)]
        axes.plot(curve["p"], curve["mean"], color=style.color, marker=".", markersize=3, **PUBLISHED_LINE)
    p_axis(axes, table)
