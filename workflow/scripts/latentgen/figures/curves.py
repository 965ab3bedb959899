"""Figures over training: curves against epoch, from counts to lines.

Seeds of one p may stop at different epochs. A curve shows the mean over all its seeds, at the epochs that
every seed reached; its last, marked point is the mean of the seeds' final checkpoints, at the mean of their
epochs. So no point is ever the mean of some of the seeds.

Beside the study's own rows (``source`` is ``ours``) a table may hold the papers' (``published``), or those of
another study (its name).
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.panels import (
    by_p,
    draw_chance,
    draw_control,
    epoch_axes,
    legend,
    ours,
    panels,
    panels_of_p,
    percent,
    title_of_p,
)
from latentgen.figures.styles import BLACK, PUBLISHED_LINE, Key, Look, key_of, layers, looks_of, probe_looks
from latentgen.tables.statistics import mean_difference_over_seeds, mean_over_seeds

DIFFERENCES = (("VeLPIC", "MASC"), ("MASC", "logistic"), ("VeLPIC", "logistic"))
"""What is subtracted from what."""

CURVE = ["p", "probe", "layer", "fit_labels", "split", "eval_labels"]
"""What names a curve; `p` is also what names its panel."""

PLOTTED = [*CURVE, "source", "epoch", "seeds", "mean", "low", "high", "final"]
"""Columns of what is plotted."""


def on_test(table: pd.DataFrame, fit_labels: str = "corrupted") -> "pd.Series[bool]":
    """Tell which rows are of test items, held against true labels."""
    return (table["split"] == "test") & (table["eval_labels"] == "true") & (table["fit_labels"] == fit_labels)


def over_training(accuracy: pd.DataFrame) -> list[str]:
    """Return the probes of a pair's accuracies that were fitted at every checkpoint."""
    rows = accuracy[on_test(accuracy)]
    checkpoints = rows.loc[rows["probe"] == "model", ["run", "epoch"]].drop_duplicates()
    fitted = rows[["probe", "run", "epoch"]].drop_duplicates().groupby("probe").size()
    return [probe for probe in probe_looks(fitted.index) if fitted[probe] == len(checkpoints)]


def dynamics_table(accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the curves of `draw_dynamics`: model on test and on its training labels, probes on test."""
    probes = over_training(accuracy)
    rows = accuracy[accuracy["probe"].isin(["model", *probes])]
    training = (rows["probe"] == "model") & (rows["split"] == "train") & (rows["eval_labels"] == "corrupted")
    parts = [curves_of(rows[training | on_test(rows)]), control_of(rows)]
    return _with_published(pd.concat(parts), published)


def draw_dynamics(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw accuracy against epoch: column per p, row per probe, line per layer, the model in all rows."""
    rows = list(probe_looks(table["probe"]))
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.75 if len(rows) < 4 else 1.3)
    looks = looks_of(ours(table))
    for probe, row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            panel = table[(table["p"] == p) & table["probe"].isin(["model", probe])]
            draw_curves(axes, panel, looks)
            draw_control(axes, panel, "epoch")
            draw_chance(axes, chance)
        row[0].set_ylabel(f"{probe}\naccuracy (%)")
    _finish(figure, grid, table, looks, chance)
    return figure


def difference_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of `draw_difference`: probe less probe on test, paired by seed, as fractions.

    ``reference`` is what is subtracted.
    """
    probes = over_training(accuracy)
    test = accuracy[on_test(accuracy)]
    pair = ["p", "seed", "layer", "epoch"]
    parts = []
    for what, reference in DIFFERENCES:
        if what in probes and reference in probes:
            less = test.loc[test["probe"] == reference, [*pair, "correct", "total"]]
            paired = test[test["probe"] == what].merge(
                less.rename(columns={"correct": "reference_correct", "total": "reference_total"}),
                on=pair,
                validate="one_to_one",
            )
            parts.append(curves_of(paired, mean_difference_over_seeds).assign(reference=reference))
    return pd.concat(parts) if parts else pd.DataFrame(columns=[*PLOTTED, "reference"])


def draw_difference(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw differences of probes against epoch: row per two probes, column per p, line per layer."""
    rows = list(table[["probe", "reference"]].drop_duplicates().itertuples(index=False, name=None))
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.75 if len(rows) == 1 else 1.4)
    looks = looks_of(table)
    for (probe, reference), row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
            shown = (table["p"] == p) & (table["probe"] == probe) & (table["reference"] == reference)
            draw_curves(axes, table[shown], looks)
        row[0].set_ylabel(f"{probe} − {reference}\ntest (points)")
    _finish(figure, grid, table, looks, None, limits=None)
    return figure


def transfer_table(accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the curves of `draw_transfer`: model, transfers and the last layer's VeLPIC, on test."""
    test = accuracy[on_test(accuracy)]
    last = layers(test)[-1:]
    edited = ["transfer-zero", "transfer-kept"]
    shown = test["probe"].isin(["model", *edited])
    table = curves_of(test[shown | (test["probe"].eq("VeLPIC") & test["layer"].isin(last))])
    if published is not None:  # their VeLPIC of the last layer is their transfer with bias zero
        published = published[published["probe"] != "VeLPIC"]
    return _with_published(table, published)


def draw_transfer(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw the model before and after transfer against epoch, a panel per p.

    Transfer with bias zero is the last layer's VeLPIC probe by construction: that is drawn as a broad
    pale line, on which the transfer's dashes must lie.
    """
    figure, grid = panels_of_p(table)
    looks = looks_of(ours(table))
    for key, look in looks.items():
        if key[0] == "VeLPIC":
            pale = to_rgba(look.color, 0.45)
            looks[key] = Look(f"VeLPIC probe of {key[1]}", pale, "none", width=3.5, order=2)
    for p, axes in by_p(table, grid):
        draw_curves(axes, table[table["p"] == p], looks)
        draw_chance(axes, chance)
    for row in grid:
        row[0].set_ylabel("test accuracy (%)")
    _finish(figure, grid, table, looks, chance)
    return figure


def protocols_table(accuracy: pd.DataFrame, other: pd.DataFrame | None) -> pd.DataFrame:
    """Return the curves of `draw_protocols`: model, and probes of the last layer, of two studies.

    Only what both have is in it; the ``source`` of the other's rows is its name.

    Parameters
    ----------
    accuracy, other : DataFrame
        The pair's accuracies in this study and in the other, with its name in ``study``.
    """
    if other is None:
        return pd.DataFrame(columns=PLOTTED)
    tables = []
    for counts, source in ((accuracy, "ours"), (other, other["study"].iloc[0])):
        probes = over_training(counts)
        test = counts[on_test(counts)]
        last = test["probe"].isin(probes) & test["layer"].isin(layers(test)[-1:])
        tables.append(curves_of(test[test["probe"].eq("model") | last]).assign(source=source))
    shared = tables[0][CURVE].drop_duplicates().merge(tables[1][CURVE].drop_duplicates())
    return pd.concat([table.merge(shared) for table in tables])


def draw_protocols(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw what two studies found of the same pair: row per probe, column per p, the other study dashed."""
    rows = ["model", *probe_looks(table["probe"])]
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.4)
    looks = looks_of(table)
    for probe, row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            panel = table[(table["p"] == p) & (table["probe"] == probe)]
            for place, (source, rows_of) in enumerate(panel.groupby("source", sort=False)):
                own = source == "ours"
                look = looks[key_of(rows_of)]
                shown = look if own else Look(look.label, look.color, "none", (0, (4, 2)), order=look.order)
                draw_curve(axes, rows_of, shown, place, alpha=0.15 if own else 0.08)
            draw_chance(axes, chance)
        row[0].set_ylabel(f"{probe}\ntest accuracy (%)")
    named = [
        Line2D([], [], color="0.3", linestyle=(0, (4, 2)), label=source)
        if source != "ours"
        else Line2D([], [], color="0.3", label="this study")
        for source in table["source"].unique()
    ]
    _finish(figure, grid, table, looks, chance, more=named)
    return figure


def draw_curves(axes: Axes, table: pd.DataFrame, looks: dict[Key, Look]) -> None:
    """Draw the curves of one panel: mean, band, and a marker on the last point and on a few before."""
    own = list(ours(table).groupby(CURVE, sort=False))
    for place, (_, curve) in enumerate(own):
        draw_curve(axes, curve, looks[key_of(curve)], place, alpha=min(0.15, 0.7 / len(own)))
    for _, curve in table[table["source"] == "published"].groupby(CURVE, sort=False):
        sparse = "." if len(curve) <= 12 else "none"
        axes.plot(
            curve["epoch"],
            curve["mean"],
            color=looks[key_of(curve)].color,
            marker=sparse,
            markersize=2,
            **PUBLISHED_LINE,
        )


def draw_curve(axes: Axes, curve: pd.DataFrame, look: Look, place: int, alpha: float) -> None:
    """Draw one curve: mean, band, and markers; `place` is that among others, whose markers are elsewhere."""
    axes.fill_between(
        curve["epoch"],
        curve["low"],
        curve["high"],
        color=look.color,
        alpha=alpha,
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


def curves_of(counts: pd.DataFrame, mean: Callable[..., pd.DataFrame] = mean_over_seeds) -> pd.DataFrame:
    """Average over seeds at the epochs that all seeds of a curve reached, and at their last checkpoints."""
    all_seeds = counts.groupby(CURVE)["seed"].transform("nunique")
    these_seeds = counts.groupby([*CURVE, "epoch"])["seed"].transform("nunique")
    common = mean(counts[these_seeds == all_seeds], [*CURVE, "epoch"]).assign(final=False, source="ours")
    table = pd.concat([common, at_the_end(counts, mean)])
    return table[PLOTTED].sort_values("p", kind="stable", ignore_index=True)


def at_the_end(counts: pd.DataFrame, mean: Callable[..., pd.DataFrame] = mean_over_seeds) -> pd.DataFrame:
    """Average over the seeds' last checkpoints; their epoch is averaged too."""
    last = counts[counts["epoch"] == counts.groupby([*CURVE, "seed"])["epoch"].transform("max")]
    epoch = last.groupby(CURVE, sort=False)["epoch"].mean().reset_index()
    table = mean(last, CURVE).merge(epoch, on=CURVE).assign(final=True, source="ours")
    return table[PLOTTED]


def control_of(
    counts: pd.DataFrame, average: Callable[[pd.DataFrame], pd.DataFrame] = curves_of
) -> pd.DataFrame:
    """Return the control, probes fitted with permuted labels: for each probe its range over the layers.

    ``mean`` is that over layers and seeds; ``low`` and ``high`` are the lowest and the highest layer's mean.
    """
    table = average(counts[on_test(counts, fit_labels="permuted")])
    over_layers = table.groupby([name for name in PLOTTED if name not in ("layer", "mean", "low", "high")])
    ranges = over_layers["mean"].agg(mean="mean", low="min", high="max").reset_index()
    return ranges.assign(layer="all")[PLOTTED]


def published_rows(published: pd.DataFrame, final: bool) -> pd.DataFrame:
    """Return the papers' test accuracies in the columns `PLOTTED`.

    Parameters
    ----------
    published : DataFrame
        Rows of the fidelity table that are of the pair and can stand beside ours.
    final : bool
        Whether those at the end of training are wanted, or those along the way.
    """
    rows = published[(published["final"] == final) & on_test(published)]
    rows = rows.assign(epoch=rows["their_epoch"], seeds=rows["their_runs"], mean=rows["theirs"])
    return rows.assign(low=np.nan, high=np.nan, source="published")[PLOTTED]


def with_rows_beside(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Append the papers' rows of what a table shows: the same p, probe and layer."""
    if rows.empty:
        return table.reset_index(drop=True)
    shown = ours(table)[CURVE].drop_duplicates()
    return pd.concat([table, rows.merge(shown)[list(table)]], ignore_index=True)


def _with_published(table: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    if published is None:
        return table.reset_index(drop=True)
    return with_rows_beside(table, published_rows(published, final=False))


def _finish(
    figure: Figure,
    grid: Sequence[Sequence[Axes]],
    table: pd.DataFrame,
    looks: dict[Key, Look],
    chance: float | None,
    limits: tuple[float, float] | None = (0, 1),
    more: Sequence[Line2D] = (),
) -> None:
    """Give panels of curves their axes, titles and legend."""
    for p, axes in by_p(table, grid):
        axes.set_title(title_of_p(p, table))
    for axes in (axes for row in grid for axes in row):
        epoch_axes(axes, table["epoch"].max(), width=5.5 / len(grid[0]))
        percent(axes, limits)
    figure.supxlabel("epoch, on a scale of log(1 + epoch); 0: untrained", fontsize="medium")
    things: list[Look | Artist] = [*looks.values(), *more]
    legend(figure, table, things, chance, "bands")


def _marked(epochs: np.ndarray, place: int) -> list[int]:
    """Return which points of a curve carry a marker: the last, and others, shifted from curve to curve."""
    last = len(epochs) - 1
    wanted = np.log1p(epochs[-1]) * (np.arange(3) + (place * 0.37) % 1) / 3
    near = np.abs(np.log1p(epochs)[:, None] - wanted[None]).argmin(axis=0)
    return sorted({*near.tolist(), last})
