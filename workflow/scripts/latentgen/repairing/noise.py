"""Estimate the number of wrong labels and the confusion of classes from held-out labels, with intervals.

The examples of a predicted class about which the head is most certain (the quarter with the largest
margins) are taken for true members of that class. The fraction of *their* held-out labels that are other
classes is the noise. Held-out labels are used because no head has seen them. The estimate is too small if
certain examples are mislabelled less often than others, and too large if the head is wrong about some of
them.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from latentgen.randomness import Purpose, random_generator
from latentgen.repairing.statistics import Interval, proportion

CERTAIN = 4
"""One in this many examples of each predicted class counts as certain."""

DRAWS = 1000
"""Number of draws for the interval of the rate."""


@dataclass(frozen=True)
class Noise:
    """Estimated label noise.

    Attributes
    ----------
    rate : Interval
        Fraction of labels that are wrong.
    matrix : DataFrame
        One row for each pair of classes: `true`, `given`, `probability` that a label of the first is the
        second, `low` and `high`; and `examples`, the number of certain examples behind it.
    """

    rate: Interval
    matrix: pd.DataFrame


def estimate_noise(scores: Tensor, labels: Tensor, classes: tuple[object, ...], seed: int) -> Noise:
    """Estimate the noise of held-out labels (m) from scores (m × C) fitted without them."""
    best = scores.topk(2, dim=1)
    predicted, margins = best.indices[:, 0], best.values[:, 0] - best.values[:, 1]
    counts = torch.zeros((len(classes), len(classes)), dtype=torch.int64)
    for c in range(len(classes)):
        members = (predicted == c).nonzero()[:, 0]
        certain = members[margins[members].argsort(descending=True)[: math.ceil(len(members) / CERTAIN)]]
        counts[c] = labels[certain].bincount(minlength=len(classes))
    frequencies = predicted.bincount(minlength=len(classes)).to(torch.float64) / len(predicted)
    return Noise(_rate(counts.numpy(), frequencies.numpy(), seed), _matrix(counts, classes))


def _rate(counts: np.ndarray, frequencies: np.ndarray, seed: int) -> Interval:
    """Wrong labels by class, weighted by class frequency; the interval is from Jeffreys draws."""
    totals, wrong = counts.sum(1), counts.sum(1) - counts.diagonal()
    seen = totals > 0
    rates = np.divide(wrong, totals, out=np.zeros(len(totals)), where=seen)
    rng = random_generator(seed, Purpose.HELD_OUT, 1)
    # A class without observed wrong labels may still have some: half a label is added to either side.
    draws = rng.beta(wrong + 0.5, totals - wrong + 0.5, size=(DRAWS, len(totals)))
    weights = frequencies * seen
    low, high = np.quantile(draws @ weights / weights.sum(), [0.025, 0.975])
    value = float(rates @ weights / weights.sum())
    return Interval(value, min(float(low), value), max(float(high), value))


def _matrix(counts: Tensor, classes: tuple[object, ...]) -> pd.DataFrame:
    rows = []
    for true, row in zip(classes, counts.tolist(), strict=True):
        for given, count in zip(classes, row, strict=True):
            interval = proportion(count, sum(row))
            rows.append((true, given, *interval, sum(row)))
    return pd.DataFrame(rows, columns=["true", "given", "probability", "low", "high", "examples"])
