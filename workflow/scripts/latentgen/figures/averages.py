"""Means over seeds of counts, with intervals, at each epoch and at the end, as figures show them.

Seeds of one p may stop at different epochs. A curve shows the mean over all its seeds, at the epochs that
every seed reached. Its last, marked point is the mean of the seeds' final checkpoints, at the mean of their
epochs. So every point is a mean over all seeds.

The study's own rows have the ``source`` ``ours``; a table may also have the papers' (`PUBLISHED`), or those
of another study (its name).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from latentgen.figures.panels import PUBLISHED, ours
from latentgen.figures.styles import probe_styles
from latentgen.tables.facts import usual_probes
from latentgen.tables.published_settings import PROTOCOL
from latentgen.tables.selection import last_checkpoint, on_test
from latentgen.tables.statistics import mean_over_seeds

CURVE = ["p", "probe", "layer", "fit_labels", "split", "eval_labels"]
"""The columns that identify a curve; `p` also identifies its panel."""

PLOTTED = [*CURVE, "source", "epoch", "seeds", "mean", "low", "high", "final"]
"""Columns of a plotted table."""

Average = Callable[..., pd.DataFrame]
"""`mean_over_seeds` or `mean_difference_over_seeds`."""


def probes_at_every_checkpoint(accuracy: pd.DataFrame) -> list[str]:
    """Return the probes in a pair's accuracies that were fitted at every checkpoint."""
    rows = accuracy[on_test(accuracy)]
    checkpoints = rows.loc[rows["probe"] == "model", ["run", "epoch"]].drop_duplicates()
    fitted = rows[["probe", "run", "epoch"]].drop_duplicates().groupby("probe").size()
    return [probe for probe in probe_styles(usual_probes(rows)) if fitted[probe] == len(checkpoints)]


def curves_of(counts: pd.DataFrame, mean: Average = mean_over_seeds) -> pd.DataFrame:
    """Average over seeds at the epochs that all seeds of a curve reached, and at their last checkpoints."""
    all_seeds = counts.groupby(CURVE)["seed"].transform("nunique")
    seeds_here = counts.groupby([*CURVE, "epoch"])["seed"].transform("nunique")
    common = mean(counts[seeds_here == all_seeds], [*CURVE, "epoch"]).assign(final=False, source="ours")
    table = pd.concat([common, at_the_end(counts, mean)])
    return table[PLOTTED].sort_values("p", kind="stable", ignore_index=True)


def at_the_end(counts: pd.DataFrame, mean: Average = mean_over_seeds) -> pd.DataFrame:
    """Average over the seeds' last checkpoints; their epoch is averaged too."""
    last = last_checkpoint(counts, [*CURVE, "seed"])
    epoch = last.groupby(CURVE, sort=False)["epoch"].mean().reset_index()
    table = mean(last, CURVE).merge(epoch, on=CURVE).assign(final=True, source="ours")
    return table[PLOTTED]


def permuted_labels_range(counts: pd.DataFrame, average: Average = curves_of) -> pd.DataFrame:
    """Return the control, probes fitted with permuted labels: the range of each probe over the layers.

    ``mean`` is over layers and seeds; ``low`` and ``high`` are the means of the lowest and highest layer.
    """
    table = average(counts[on_test(counts, fit_labels="permuted")])
    over_layers = table.groupby([name for name in PLOTTED if name not in ("layer", "mean", "low", "high")])
    ranges = over_layers["mean"].agg(mean="mean", low="min", high="max").reset_index()
    return ranges.assign(layer="all")[PLOTTED]


def with_published(table: pd.DataFrame, published: pd.DataFrame | None, final: bool) -> pd.DataFrame:
    """Append the papers' numbers for the p, probes, layers, examples and labels in a table.

    Parameters
    ----------
    table : DataFrame
        The study's own plotted numbers.
    published : DataFrame, optional
        The papers' numbers that can be drawn beside ours.
    final : bool
        Whether to append those at the end of training, or those during training.
    """
    if published is None:
        return table.reset_index(drop=True)
    rows = published[published["final"] == final]
    if rows.empty:
        return table.reset_index(drop=True)
    rows = rows.assign(epoch=rows["their_epoch"], seeds=rows["their_runs"], mean=rows["theirs"])
    same, other = PUBLISHED
    source = np.where(rows["why_not"].fillna("").str.contains(PROTOCOL, regex=False), other, same)
    rows = rows.assign(low=np.nan, high=np.nan, source=source)[PLOTTED]
    shown = ours(table)[CURVE].drop_duplicates()
    return pd.concat([table, rows.merge(shown)[list(table)]], ignore_index=True)
