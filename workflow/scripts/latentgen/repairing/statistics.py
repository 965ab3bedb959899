"""Accuracies with intervals, paired differences, and calibration."""

import math
from typing import NamedTuple

import torch
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from torch import Tensor
from torch.nn.functional import cross_entropy

CONFIDENCE = 0.95
BINS = 15
"""Bins of confidence for the expected calibration error."""


class Interval(NamedTuple):
    """An estimate with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} … {self.high:.3g})"


def proportion(successes: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Return a proportion with its Wilson interval; NaN for a total of 0."""
    if not total:
        return Interval(math.nan, 0.0, 1.0)
    z = _quantile(confidence)
    p, spread = successes / total, z * z / total
    middle = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(p * (1 - p) / total + spread / (4 * total))
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def paired_difference(
    better: Tensor, worse: Tensor, comparisons: int = 1, confidence: float = CONFIDENCE
) -> Interval:
    """Return the difference of two accuracies on the same examples, with Agresti and Min's interval.

    Parameters
    ----------
    better, worse : bool Tensor, m
        Whether each example is classified correctly.
    comparisons : int
        Number of differences that the largest was chosen from; the interval is widened accordingly
        (Bonferroni).
    """
    m = len(better)
    gained, lost = int((better & ~worse).sum()), int((worse & ~better).sum())
    z = _quantile(1 - (1 - confidence) / max(comparisons, 1))
    p_gained, p_lost = (gained + 0.5) / (m + 2), (lost + 0.5) / (m + 2)
    middle = p_gained - p_lost
    half = z * math.sqrt(max(p_gained + p_lost - middle**2, 0.0) / (m + 2))
    return Interval((gained - lost) / max(m, 1), middle - half, middle + half)


def _quantile(confidence: float) -> float:
    return float(norm.ppf(0.5 + confidence / 2))


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> float:
    """Return the mean negative log likelihood of labels, in nats."""
    return float(cross_entropy(logits.to(torch.float64), labels))


def expected_calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Return the mean gap between confidence and accuracy, over `BINS` equal bins of confidence."""
    confidence, predicted = logits.to(torch.float64).softmax(1).max(1)
    bins = (confidence * BINS).long().clamp_max(BINS - 1)
    gaps = confidence.new_zeros(BINS).index_add_(0, bins, confidence - (predicted == labels).to(confidence))
    return float(gaps.abs().sum() / max(len(labels), 1))


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature T that minimizes the negative log likelihood of ``softmax(scores / T)``."""
    scores = scores.to(torch.float64)
    scale = float(scores[scores.isfinite()].std()) or 1.0

    def loss(log_ratio: float) -> float:
        nll = negative_log_likelihood(scores / (scale * math.exp(log_ratio)), labels)
        return nll if math.isfinite(nll) else 1e300  # a label whose class was never fitted

    minimum = minimize_scalar(loss, bounds=(-12, 6), method="bounded", options={"xatol": 1e-3})
    return scale * math.exp(float(minimum.x))


class Calibration(NamedTuple):
    """Negative log likelihood (nats) and expected calibration error of held-out labels."""

    nll: float
    ece: float


def calibration(logits: Tensor, labels: Tensor) -> Calibration:
    """Return how well logits are calibrated for labels."""
    return Calibration(negative_log_likelihood(logits, labels), expected_calibration_error(logits, labels))


def calibration_with_temperature(scores: Tensor, labels: Tensor) -> Calibration:
    """Return the calibration after `fit_temperature`; each half of the examples uses the other's fit."""
    halves = [torch.arange(len(labels)) % 2 == half for half in (0, 1)]
    scores = scores.to(torch.float64)
    rescaled = scores.clone()
    for this, other in (halves, halves[::-1]):
        if bool(this.any()) and bool(other.any()):
            rescaled[this] = scores[this] / fit_temperature(scores[other], labels[other])
    return calibration(rescaled, labels)
