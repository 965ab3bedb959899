"""Compare classifiers example by example: tests and intervals over test examples as well as seeds."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr

from latentgen.probes.correctness import unpacked
from latentgen.tables.statistics import CONFIDENCE

RESAMPLES = 2000
BOOTSTRAP_SEED = 0

Differences = NDArray[np.int8]
"""Seeds × examples: 1 where only the first classifier is correct, -1 where only the second is, else 0."""


class ByExample(NamedTuple):
    """A difference between two classifiers, example by example.

    Attributes
    ----------
    what_only, reference_only : int
        Examples that only the first, or only the second, classifies correctly; added up over seeds.
    examples_low, examples_high : float
        Ends of the interval of the difference of accuracies (`bootstrap_interval`).
    examples_p_value : float
        From `mcnemar_p_value`.
    """

    what_only: int | None
    reference_only: int | None
    examples_low: float
    examples_high: float
    examples_p_value: float


UNKNOWN = ByExample(None, None, float("nan"), float("nan"), float("nan"))
"""The result if it is not stored which examples are classified correctly."""


def by_example(pairs: pd.DataFrame) -> ByExample | None:
    """Compare two classifiers on the same test examples; None if it is not known which they get right.

    Parameters
    ----------
    pairs : DataFrame
        A row for each seed: ``correct_examples``, ``reference_correct_examples``, ``total``.
    """
    columns = ["correct_examples", "reference_correct_examples"]
    if not set(columns) <= set(pairs) or pairs[columns].isna().any(axis=None) or len(set(pairs["total"])) > 1:
        return None
    first, second = (
        np.stack([unpacked(text, total) for text, total in zip(pairs[name], pairs["total"], strict=True)])
        for name in columns
    )
    differences = first.astype(np.int8) - second.astype(np.int8)
    low, high = bootstrap_interval(differences)
    return ByExample(
        int((differences == 1).sum()),
        int((differences == -1).sum()),
        low,
        high,
        mcnemar_p_value(differences),
    )


def mcnemar_p_value(differences: Differences) -> float:
    """Return the two-sided p-value of McNemar's test: over test examples, for these particular networks.

    For one seed it is exact. For several, each example is a cluster of predictions, one per seed (Durkalski
    et al., 2003, doi 10.1002/sim.1438), so that it counts once. It is NaN if the classifiers are correct on
    the same examples.
    """
    if len(differences) == 1:
        more, fewer = int((differences == 1).sum()), int((differences == -1).sum())
        if more + fewer == 0:
            return float("nan")
        return float(min(1.0, 2 * bdtr(min(more, fewer), more + fewer, 0.5)))
    of_examples = differences.sum(axis=0, dtype=np.int64)
    squares = int((of_examples**2).sum())
    if squares == 0:
        return float("nan")
    return float(2 * ndtr(-abs(of_examples.sum()) / np.sqrt(squares)))


def bootstrap_interval(differences: Differences, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the ends of a percentile interval of the mean difference, over seeds and test examples.

    Both are resampled independently (the pigeonhole bootstrap of Owen, 2007, doi 10.1214/07-AOAS122), which
    errs on the wide side; with one seed, only the examples. With few seeds, the interval still reflects
    little of how much seeds differ.
    """
    random = np.random.default_rng(BOOTSTRAP_SEED)
    n_seeds, n_examples = differences.shape
    # Examples with the same results for all seeds are drawn together: their number is multinomial.
    patterns, counts = np.unique(differences, axis=1, return_counts=True)
    drawn = random.multinomial(n_examples, counts / n_examples, size=RESAMPLES)
    weights = random.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=RESAMPLES)
    means = ((weights @ patterns) * drawn).sum(axis=1) / (n_seeds * n_examples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
