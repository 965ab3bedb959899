"""The figures of a study, each drawn from the accuracy table alone.

Every figure is a pair: a function that aggregates counts in pandas, and one that draws the result and
computes nothing. What is plotted is therefore a table too, and `save_figure` keeps it beside the picture.

Seeds of one p may stop at different epochs. A curve shows the mean over all its seeds, at the epochs that
every seed reached; its last, marked point is the mean of the seeds' final checkpoints, at the mean of their
epochs. So no point is ever the mean of some of the seeds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MultipleLocator, NullFormatter, PercentFormatter
from matplotlib.typing import ColorType, LineStyleType

from latentgen.errors import LatentgenError
from latentgen.files import atomic_path
from latentgen.statistics import mean_difference_over_seeds, mean_over_seeds

STYLE = Path(__file__).with_name("latentgen.mplstyle")
"""How every figure looks: sizes, fonts, lines."""

PAGE_WIDTH = 7.0
"""Width of every figure, in inches."""

PROBES = ("MASC", "VeLPIC")
CURVE = ["p", "probe", "layer", "split", "eval_labels"]
"""What names a curve; `p` is also what names its panel."""

_PLOTTED = [*CURVE, "epoch", "seeds", "mean", "low", "high", "final"]

_BLACK, _GREY = "0.0", "0.55"
_CHANCE_LINE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": (0, (1, 2))}
_MARKERS = "sD^v<>ph*"


@dataclass(frozen=True)
class Look:
    """How one thing is drawn, in every figure in which it occurs."""

    label: str
    color: ColorType
    marker: str
    line: LineStyleType = "-"
    width: float = 1.1
    order: float = 3.0


Key = tuple[str, str, str]
"""Probe, layer and split: what a thing's look depends on."""

_MODEL_LOOKS: dict[Key, Look] = {
    ("model", "readout", "test"): Look("model, test", _BLACK, "o", width=1.3, order=4),
    ("model", "readout", "train"): Look(
        "model, train (corrupted labels)", _GREY, "o", (0, (4, 1.5)), order=2
    ),
}
_TRANSFER_LOOKS: dict[Key, Look] = {
    ("transfer-zero", "readout", "test"): Look("transfer, bias zero", "#d55e00", "P", (0, (3, 1)), order=5),
    ("transfer-kept", "readout", "test"): Look("transfer, bias kept", "#cc79a7", "X", (0, (1, 1)), order=5),
}


def select(accuracy: pd.DataFrame, dataset: str, model: str, noise: str = "symmetric") -> pd.DataFrame:
    """Return what the figures of a pair show: runs without intervention, probes fitted on corrupted labels.

    Raises
    ------
    LatentgenError
        If the table has no such run.
    """
    known = accuracy[["dataset", "model", "noise"]].drop_duplicates()
    rows = accuracy[
        (accuracy["dataset"] == dataset)
        & (accuracy["model"] == model)
        & (accuracy["noise"] == noise)
        & (accuracy["intervention"] == "none")
        & (accuracy["fit_labels"] == "corrupted")
    ]
    if rows.empty:
        pairs = "; ".join(" ".join(row) for row in known.itertuples(index=False, name=None)) or "nothing"
        raise LatentgenError(f"The accuracy table has no run of {dataset} {model} {noise}; it has {pairs}.")
    return rows


def layers(table: pd.DataFrame) -> list[str]:
    """Return the probed layers of a table, in the order of the network."""
    return list(table.loc[table["layer"] != "readout", "layer"].unique())


def dynamics_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of `draw_dynamics`: model on test and on its training labels, probes on test."""
    rows = accuracy[accuracy["probe"].isin(["model", *PROBES])]
    training = (rows["probe"] == "model") & (rows["split"] == "train") & (rows["eval_labels"] == "corrupted")
    return _curves(rows[training | _on_test(rows)])


def draw_dynamics(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw accuracy against epoch: column per p, row per probe, line per layer, the model in both rows."""
    rows = [probe for probe in PROBES if (table["probe"] == probe).any()]
    ps = sorted(table["p"].unique())
    figure, grid = _panels(len(rows), len(ps), height=1.75)
    looks = _looks(table)
    for probe, row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            draw_curves(axes, table[(table["p"] == p) & table["probe"].isin(["model", probe])], looks)
            _chance(axes, chance)
        row[0].set_ylabel(f"{probe}\naccuracy (%)")
    _finish_curves(figure, grid, table, looks, chance)
    return figure


def difference_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of `draw_difference`: VeLPIC less MASC on test, paired by seed, as fractions."""
    test = accuracy[_on_test(accuracy)]
    pair = ["p", "seed", "layer", "epoch"]
    reference = test.loc[test["probe"] == "MASC", [*pair, "correct", "total"]]
    paired = test[test["probe"] == "VeLPIC"].merge(
        reference.rename(columns={"correct": "reference_correct", "total": "reference_total"}),
        on=pair,
        validate="one_to_one",
    )
    return _curves(paired, mean_difference_over_seeds)


def draw_difference(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw VeLPIC less MASC against epoch, in percentage points: a panel per p, a line per layer."""
    figure, grid = _panels_of_p(table)
    looks = _looks(table)
    for p, axes in _by_p(table, grid):
        axes.axhline(0, color=_BLACK, linewidth=0.6, zorder=1)
        draw_curves(axes, table[table["p"] == p], looks)
    for row in grid:
        row[0].set_ylabel("VeLPIC − MASC, test\n(percentage points)")
    _finish_curves(figure, grid, table, looks, None, limits=None)
    return figure


def transfer_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of `draw_transfer`: model, transfers and the last layer's VeLPIC, on test."""
    test = accuracy[_on_test(accuracy)]
    last = layers(test)[-1:]
    shown = test["probe"].isin(["model", "transfer-zero", "transfer-kept"])
    return _curves(test[shown | (test["probe"].eq("VeLPIC") & test["layer"].isin(last))])


def draw_transfer(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw the model before and after transfer against epoch, a panel per p.

    Transfer with bias zero is the last layer's VeLPIC probe by construction: that is drawn as a broad
    pale line, on which the transfer's dashes must lie.
    """
    figure, grid = _panels_of_p(table)
    looks = _looks(table)
    for key, look in looks.items():
        if key[0] == "VeLPIC":
            pale = to_rgba(look.color, 0.45)
            looks[key] = Look(f"VeLPIC probe of {key[1]}", pale, "none", width=3.5, order=2)
    for p, axes in _by_p(table, grid):
        draw_curves(axes, table[table["p"] == p], looks)
        _chance(axes, chance)
    for row in grid:
        row[0].set_ylabel("test accuracy (%)")
    _finish_curves(figure, grid, table, looks, chance)
    return figure


def final_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the points of `draw_final`: test accuracy at the seeds' final checkpoints."""
    test = accuracy[_on_test(accuracy)]
    shown = ["model", *PROBES, "transfer-zero", "transfer-kept"]
    return _at_the_end(test[test["probe"].isin(shown)], mean_over_seeds)


def draw_final(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against p, with the model in every panel: MASC, VeLPIC, transfer."""
    panels = {probe: [probe] for probe in PROBES} | {"transfer": ["transfer-zero", "transfer-kept"]}
    panels = {title: probes for title, probes in panels.items() if table["probe"].isin(probes).any()}
    figure, grid = _panels(1, len(panels), height=2.1)
    looks = _looks(table)
    ps = np.sort(table["p"].unique())
    span = np.ptp(ps) or 1.0
    for (title, probes), axes in zip(panels.items(), grid[0], strict=True):
        points = table[table["probe"].isin(["model", *probes])]
        curves = list(points.groupby(CURVE[1:], sort=False))
        # Points of one p stand side by side, so that their error bars can be told apart.
        step = min(0.012 * span, 0.6 * np.diff(ps).min(initial=span) / len(curves))
        for place, (_, curve) in enumerate(curves):
            curve = curve.sort_values("p")
            look = looks[_key(curve)]
            shift = (place - (len(curves) - 1) / 2) * step
            axes.errorbar(
                curve["p"] + shift,
                curve["mean"],
                yerr=[curve["mean"] - curve["low"], curve["high"] - curve["mean"]],
                color=look.color,
                marker=look.marker,
                linestyle=look.line,
                linewidth=look.width,
                elinewidth=0.7,
                zorder=look.order,
            )
        axes.set_title(title)
        axes.set_xticks(ps, [f"{p:g}" for p in ps])
        axes.set_xlim(ps[0] - 0.08 * span, ps[-1] + 0.08 * span)
        _chance(axes, chance)
        _percent(axes, (0, 1))
    grid[0][0].set_ylabel("final test accuracy (%)")
    figure.supxlabel("p, the probability that a label was redrawn", fontsize="medium")
    _legend(figure, table, looks, chance, "bars")
    return figure


class FigureKind(NamedTuple):
    """A figure: what makes its table of a pair's accuracies, and what draws that table."""

    aggregate: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[pd.DataFrame, float | None], Figure]


FIGURES = {
    "dynamics": FigureKind(dynamics_table, draw_dynamics),
    "difference": FigureKind(difference_table, draw_difference),
    "transfer": FigureKind(transfer_table, draw_transfer),
    "final": FigureKind(final_table, draw_final),
}


def make_figure(
    name: str,
    accuracy: pd.DataFrame,
    stem: str | Path,
    *,
    dataset: str,
    model: str,
    noise: str = "symmetric",
    n_classes: int | None = None,
    style: str | Path = STYLE,
) -> None:
    """Aggregate, draw and save one figure of one pair.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    accuracy : DataFrame
        The accuracy table of a study.
    stem : str or Path
        Where to: path without suffix, to which ``.pdf``, ``.png`` and ``.csv`` are added.
    dataset, model, noise : str
        Whose runs are shown.
    n_classes : int, optional
        Number of classes; the level of chance is drawn if it is given.
    style : str or Path
        Matplotlib style file; nothing else sets the look, no settings of the user's.

    Raises
    ------
    LatentgenError
        If the table has no run of the pair, or none of the probes that the figure shows.
    """
    kind = FIGURES[name]
    table = kind.aggregate(select(accuracy, dataset, model, noise))
    if table["probe"].eq("model").all():
        raise LatentgenError(
            f"The accuracy table has no probe of {dataset} {model} {noise} that the figure {name} shows. "
            "Leave the figure out of the study, or put its probes in."
        )
    with matplotlib.rc_context(fname=str(style)):
        figure = kind.draw(table, 1 / n_classes if n_classes else None)
        save_figure(figure, table, stem)


def save_figure(figure: Figure, table: pd.DataFrame, stem: str | Path) -> None:
    """Write a figure as PDF and PNG and its table as CSV; the same figure gives the same bytes."""
    stem = Path(stem)
    dateless = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    for kind, metadata in dateless.items():
        with atomic_path(stem.with_name(f"{stem.name}.{kind}")) as partial:
            figure.savefig(partial, format=kind, metadata=metadata)
    with atomic_path(stem.with_name(f"{stem.name}.csv")) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def draw_curves(axes: Axes, table: pd.DataFrame, looks: dict[Key, Look]) -> None:
    """Draw the curves of one panel: mean, band, and a marker on the last point and on a few before."""
    curves = list(table.groupby(CURVE, sort=False))
    for place, (_, curve) in enumerate(curves):
        look = looks[_key(curve)]
        axes.fill_between(
            curve["epoch"],
            curve["low"],
            curve["high"],
            color=look.color,
            alpha=min(0.15, 0.7 / len(curves)),
            linewidth=0,
            zorder=look.order - 1,
        )
        axes.plot(
            curve["epoch"],
            curve["mean"],
            color=look.color,
            linestyle=look.line,
            linewidth=look.width,
            marker=look.marker,
            markevery=_marked(curve["epoch"].to_numpy(float), place),
            zorder=look.order,
        )


def _curves(counts: pd.DataFrame, mean: Callable[..., pd.DataFrame] = mean_over_seeds) -> pd.DataFrame:
    """Average over seeds at the epochs that all seeds of a curve reached, and at their last checkpoints."""
    all_seeds = counts.groupby(CURVE)["seed"].transform("nunique")
    these_seeds = counts.groupby([*CURVE, "epoch"])["seed"].transform("nunique")
    common = mean(counts[these_seeds == all_seeds], [*CURVE, "epoch"]).assign(final=False)
    table = pd.concat([common, _at_the_end(counts, mean)])
    return table[_PLOTTED].sort_values("p", kind="stable", ignore_index=True)


def _at_the_end(counts: pd.DataFrame, mean: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Average over the seeds' last checkpoints; their epoch is averaged too."""
    last = counts[counts["epoch"] == counts.groupby([*CURVE, "seed"])["epoch"].transform("max")]
    epoch = last.groupby(CURVE, sort=False)["epoch"].mean().reset_index()
    table = mean(last, CURVE).merge(epoch, on=CURVE).assign(final=True)
    return table[_PLOTTED]


def _on_test(table: pd.DataFrame) -> "pd.Series[bool]":
    return (table["split"] == "test") & (table["eval_labels"] == "true")


def _key(curve: pd.DataFrame) -> Key:
    probe, layer, split = curve[["probe", "layer", "split"]].iloc[0]
    return probe, layer, split


def _looks(table: pd.DataFrame) -> dict[Key, Look]:
    """Give every curve of a table its look, in the order of the legend.

    Layers go from light to dark from the last to the first. Counting from the last gives it one look, whether
    or not a figure shows the others.
    """
    names = layers(table)[::-1]
    colors = matplotlib.colormaps["viridis"](np.linspace(0.8, 0.05, len(names)))
    of_layers = {
        (probe, name, "test"): Look(name, tuple(color), marker)
        for name, color, marker in reversed(list(zip(names, colors, cycle(_MARKERS), strict=False)))
        for probe in PROBES
    }
    here = set(table[["probe", "layer", "split"]].itertuples(index=False, name=None))
    return {key: look for key, look in (_MODEL_LOOKS | of_layers | _TRANSFER_LOOKS).items() if key in here}


def _panels(rows: int, columns: int, height: float) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure(figsize=(PAGE_WIDTH, height * rows + 0.65), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return figure, [list(row) for row in grid]


def _panels_of_p(table: pd.DataFrame) -> tuple[Figure, list[list[Axes]]]:
    return _panels(1, table["p"].nunique(), height=1.75)


def _by_p(table: pd.DataFrame, grid: Sequence[Sequence[Axes]]) -> Iterable[tuple[float, Axes]]:
    return zip(sorted(table["p"].unique()), (axes for row in grid for axes in row), strict=False)


def _finish_curves(
    figure: Figure,
    grid: Sequence[Sequence[Axes]],
    table: pd.DataFrame,
    looks: dict[Key, Look],
    chance: float | None,
    limits: tuple[float, float] | None = (0, 1),
) -> None:
    """Give panels of curves their axes, titles and legend."""
    last = table["epoch"].max()
    labelled, minor = _epoch_ticks(last, width=5.5 / len(grid[0]))
    seeds = table.groupby("p")["seeds"].max()
    for p, axes in _by_p(table, grid):
        count = f", {_counted(seeds[p])}" if seeds.min() < seeds.max() else ""
        axes.set_title(f"p = {p:g}{count}")
    for axes in (axes for row in grid for axes in row):
        axes.set_xscale("function", functions=(np.log1p, np.expm1))
        axes.set_xlim(*np.expm1(np.log1p(last) * np.array([-0.03, 1.03])))
        axes.xaxis.set_major_locator(FixedLocator(labelled))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(FixedLocator(minor))
        axes.xaxis.set_minor_formatter(NullFormatter())
        _percent(axes, limits)
    figure.supxlabel("epoch, on a scale of log(1 + epoch); 0: untrained", fontsize="medium")
    _legend(figure, table, looks, chance, "bands")


def _epoch_ticks(last: float, width: float) -> tuple[list[float], list[float]]:
    """Return the ticks 0, 1, 2, 5, 10, … up to `last`: those that have room for a label, and the others."""
    ticks = [0.0, *(m * 10.0**e for e in range(7) for m in (1, 2, 5) if m * 10.0**e <= last)]
    place = {tick: np.log1p(tick) / np.log1p(max(last, 1)) * width for tick in ticks}
    labelled: list[float] = []
    for tick in sorted(ticks, key=lambda tick: (tick != 0, np.log10(tick or 1) % 1 != 0, -tick)):
        if all(
            abs(place[tick] - place[other]) > 0.045 * (len(f"{max(tick, other):g}") + 2) for other in labelled
        ):
            labelled.append(tick)
    return sorted(labelled), [tick for tick in ticks if tick not in labelled]


def _marked(epochs: np.ndarray, place: int) -> list[int]:
    """Return which points of a curve carry a marker: the last, and others, shifted from curve to curve."""
    last = len(epochs) - 1
    wanted = np.log1p(epochs[-1]) * (np.arange(3) + (place * 0.37) % 1) / 3
    near = np.abs(np.log1p(epochs)[:, None] - wanted[None]).argmin(axis=0)
    return sorted({*near.tolist(), last})


def _percent(axes: Axes, limits: tuple[float, float] | None) -> None:
    if limits is not None:
        axes.set_ylim(limits[0] - 0.02, limits[1] + 0.02)
        axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))


def _chance(axes: Axes, chance: float | None) -> None:
    if chance is not None:
        axes.axhline(chance, **_CHANCE_LINE, zorder=1)


def _counted(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def _seeds(counts: "pd.Series[int]") -> str:
    low, high = counts.min(), counts.max()
    return f"Mean of {f'{low} to ' if low < high else ''}{_counted(high)}" if high > 1 else "1 seed"


def _interval(counts: "pd.Series[int]") -> str:
    kinds = {"Student t": counts.max() > 1, "binomial": counts.min() == 1}
    return " or, of one seed, ".join(kind for kind, occurs in kinds.items() if occurs)


def _legend(
    figure: Figure, table: pd.DataFrame, looks: dict[Key, Look], chance: float | None, interval: str
) -> None:
    """Put the one legend above the panels, and in its title what the points and intervals are."""
    handles = [
        Line2D([], [], color=a.color, linestyle=a.line, linewidth=a.width, marker=a.marker, label=a.label)
        for a in dict.fromkeys(looks.values())
    ]
    if chance is not None:
        handles.append(Line2D([], [], **_CHANCE_LINE, label=f"chance ({100 * chance:.3g} %)"))
    columns = ceil(len(handles) / ceil(len(handles) / 6))
    title = f"{_seeds(table['seeds'])}, {interval}: 95 % interval ({_interval(table['seeds'])})"
    if not table["final"].all():
        title += "; last marker: final checkpoint" + ("s" if table["seeds"].max() > 1 else "")
    figure.legend(
        # Matplotlib fills a legend column by column; it reads better row by row.
        handles=[handle for column in range(columns) for handle in handles[column::columns]],
        loc="outside upper center",
        ncols=columns,
        title=title,
    )
