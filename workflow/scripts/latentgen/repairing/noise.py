"""How many labels are wrong, and which class is taken for which: from held-out labels, with intervals.

The examples of a predicted class about which the head is most certain (the quarter with the largest
margins) are taken for true members of that class. How often *their* held-out labels are other classes is the
noise. Held-out labels are used because no head has seen them. The count is too small where certain examples
are mislabelled less often than others, and too large where the head is wrong about certain ones.
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
"""One in so many examples of each predicted class is taken for certain."""

DRAWS = 1000
"""Draws behind the interval of the rate."""


@dataclass(frozen=True)
class Noise:
    """Estimated label noise.

    Attributes
    ----------
    rate : Interval
        Fraction of labels that are wrong.
    matrix : DataFrame
        One row for each pair of classes: `true`, `given`, `probability` that a label of the first is the
        second, `low` and `high`; and `examples`, how many certain examples it comes from.
    """

    rate: Interval
    matrix: pd.DataFrame


def estimate_noise(scores: Tensor, labels: Tensor, classes: tuple[object, ...], seed: int) -> Noise:
    """Estimate the noise of held-out labels (m) from scores (m × C) that know nothing of them."""
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
    """Wrong labels by class, weighted by how frequent the classes are; the interval from Jeffreys draws."""
    totals, wrong = counts.sum(1), counts.sum(1) - counts.diagonal()
    seen = totals > 0
    rates = np.divide(wrong, totals, out=np.zeros(len(totals)), where=seen)
    rng = random_generator(seed, Purpose.HELD_OUT, 1)
    # A class with no wrong label may still have some: half a label is added to either side.
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
