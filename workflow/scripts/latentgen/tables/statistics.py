"""Intervals over seeds, and tests of paired differences: vectorized over groups and deterministic.

With two or more seeds, the seeds are the replicates: Student's t on the accuracies. One seed does not show
the spread over seeds; its interval is that of the finite test set (Wilson), usually much narrower.

Holm's correction and Wilson's interval are a few lines each here: importing statsmodels takes longer than all
other imports of a job on tables, and its Holm counts undefined tests (NaN) as members of the family.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

Floats = NDArray[np.float64]

CONFIDENCE = 0.95


def student_interval(
    mean: ArrayLike, deviation: ArrayLike, n: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Return the two ends of Student's t interval of a mean.

    Parameters
    ----------
    mean, deviation : array_like
        Mean and standard deviation (``ddof=1``) of each sample.
    n : array_like
        Size of each sample, at least 2.
    confidence : float
        Probability that the interval covers the true mean.
    """
    mean, n = np.asarray(mean, float), np.asarray(n, float)
    half = stdtrit(n - 1, (1 + confidence) / 2) * np.asarray(deviation, float) / np.sqrt(n)
    return mean - half, mean + half


def wilson_interval(
    correct: ArrayLike, total: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Return the two ends of Wilson's score interval of a proportion, within [0, 1]."""
    correct, total = np.asarray(correct, float), np.asarray(total, float)
    z = ndtri((1 + confidence) / 2)
    share = correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At 0 and 1 the end is exact; rounding must not move it.
    return np.where(correct == 0, 0.0, centre - half), np.where(correct == total, 1.0, centre + half)


def newcombe_interval(
    correct: ArrayLike,
    total: ArrayLike,
    reference_correct: ArrayLike,
    reference_total: ArrayLike,
    confidence: float = CONFIDENCE,
) -> tuple[Floats, Floats]:
    """Return the two ends of Newcombe's hybrid score interval of the difference of two proportions.

    It assumes that the two are independent. Two classifiers on the same test examples mostly agree, so for
    them it is wider than necessary.
    """
    low, high = wilson_interval(correct, total, confidence)
    reference_low, reference_high = wilson_interval(reference_correct, reference_total, confidence)
    share = np.asarray(correct, float) / np.asarray(total, float)
    reference = np.asarray(reference_correct, float) / np.asarray(reference_total, float)
    difference = share - reference
    return (
        difference - np.hypot(share - low, reference_high - reference),
        difference + np.hypot(high - share, reference - reference_low),
    )


def without_copies(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of runs that are not copies: ``replicate`` is their own seed, or missing."""
    return table[(table["replicate"].isna() | (table["replicate"] == table["seed"])).astype(bool)]


def copied_runs(table: pd.DataFrame) -> list[str]:
    """Return the names of runs in a table of accuracies that are copies of another seed's run."""
    copied = table["replicate"].notna() & (table["replicate"] != table["seed"])
    return list(table.loc[copied.astype(bool), "run"].unique())


def mean_over_seeds(table: pd.DataFrame, by: Sequence[str], confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Return the mean accuracy over seeds with its interval, one row per group, in order of appearance.

    Parameters
    ----------
    table : DataFrame
        Columns `by`, ``seed``, ``correct``, ``total``; a seed at most once per group. With a column
        ``replicate``, copies of a run count once.
    by : sequence of str
        Columns that define a group.
    confidence : float
        Confidence of the interval: Student's t over seeds, Wilson's if a group has one seed.

    Returns
    -------
    DataFrame
        Columns `by`, ``seeds`` (their number), ``mean``, ``deviation`` (standard, over seeds; NaN for one),
        ``low``, ``high``, as fractions. Student's ends may be outside [0, 1]; they are not clipped.
    """
    low, high = wilson_interval(table["correct"], table["total"], confidence)
    values = table.assign(value=table["correct"] / table["total"], low=low, high=high)
    return _over_seeds(values, by, confidence)


def mean_difference_over_seeds(
    table: pd.DataFrame, by: Sequence[str], confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Return the mean over seeds of a paired difference of accuracies, with its interval.

    Parameters
    ----------
    table : DataFrame
        As in `mean_over_seeds`, and ``reference_correct``, ``reference_total``: the counts to subtract, for
        the same seed.
    by : sequence of str
        Columns that define a group.
    confidence : float
        Confidence of the interval: Student's t over the seeds' differences, Newcombe's if a group has one
        seed.

    Returns
    -------
    DataFrame
        As in `mean_over_seeds`, for differences of fractions.
    """
    low, high = newcombe_interval(
        table["correct"], table["total"], table["reference_correct"], table["reference_total"], confidence
    )
    difference = table["correct"] / table["total"] - table["reference_correct"] / table["reference_total"]
    return _over_seeds(table.assign(value=difference, low=low, high=high), by, confidence)


def mean_value_over_seeds(
    table: pd.DataFrame, by: Sequence[str], confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Return the mean over seeds of column ``value``, which is not a count, like `mean_over_seeds`.

    If a group has one seed, the ends are missing.
    """
    return _over_seeds(table.assign(low=np.nan, high=np.nan), by, confidence)


def paired_p_value(mean: ArrayLike, deviation: ArrayLike, n: ArrayLike) -> Floats:
    """Return the two-sided p-value of the paired t test, from the differences' mean and standard deviation.

    It is NaN where the test is not defined: one seed, or the same difference for every seed.
    """
    mean, deviation, n = np.asarray(mean, float), np.asarray(deviation, float), np.asarray(n, float)
    # Equal differences of fractions may differ in their last bits; accuracies cannot differ by so little.
    defined = (n > 1) & (deviation > 1e-12)
    t = np.divide(mean * np.sqrt(n), deviation, out=np.full(mean.shape, np.nan), where=defined)
    return np.asarray(2 * stdtr(n - 1, -np.abs(t)), float)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values of one family of tests, corrected by Holm's step-down method.

    NaN values stay NaN and do not count in the family.
    """
    p = np.asarray(p_values, float)
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _over_seeds(values: pd.DataFrame, by: Sequence[str], confidence: float) -> pd.DataFrame:
    """Average ``value`` over the seeds of each group; ``low`` and ``high`` apply to groups with one seed."""
    by = list(by)
    if "replicate" in values:
        values = without_copies(values)
    if values.duplicated([*by, "seed"]).any():
        raise ValueError(f"a seed occurs twice in a group of {', '.join(by)}")
    groups = values.groupby(by, sort=False, dropna=False)
    table = groups.agg(
        seeds=("value", "size"),
        mean=("value", "mean"),
        deviation=("value", "std"),
        low=("low", "first"),
        high=("high", "first"),
    ).reset_index()
    several = table["seeds"] > 1
    low, high = student_interval(table["mean"], table["deviation"], table["seeds"].clip(lower=2), confidence)
    table["low"] = np.where(several, low, table["low"])
    table["high"] = np.where(several, high, table["high"])
    return table
