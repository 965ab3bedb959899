"""Noise that depends on the example (Xia et al. 2020): some are mislabelled more often than others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.inputs import Inputs, kind_of
from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings, TrueLabels
from latentgen.errors import LatentgenError

FLIP_RATE_SPREAD = 0.1
"""Standard deviation, over examples, of the probability of a wrong label (Xia et al. 2020)."""


def instance(labels: TrueLabels, inputs: Inputs | None = None) -> Labels:
    """Redraw labels as in Algorithm 2 of Xia et al. 2020 ("Part-dependent label noise").

    An example x of class y gets a wrong label with a probability q that is drawn from a normal distribution
    around p, truncated to [0, 1]; and it gets label c ≠ y with probability q · softmax(x W_y)_c, the weights
    W_y being standard normal, with all pixels or numbers standardized over the data set. Within 0.2 of 0 or
    1, truncation moves the mean of q away from there: at p = 0.1 it is 0.13.

    Parameters
    ----------
    labels : TrueLabels
        Labels of N examples.
    inputs : array (N, …)
        Images, uint8, or vectors.
    """
    from scipy.special import ndtr, ndtri, softmax

    if inputs is None or len(inputs) != len(labels.true):
        raise LatentgenError("Instance noise needs inputs: one example for each label.")
    rng = labels.stream()
    low, high = ndtr((np.array([0, 1]) - labels.p) / FLIP_RATE_SPREAD)
    rates = labels.p + FLIP_RATE_SPREAD * ndtri(low + (high - low) * rng.random(len(labels.true)))
    if labels.p in (0, 1):  # deterministic
        rates = np.full(len(labels.true), labels.p)
    redrawn = rng.random(len(labels.true)) < rates
    positions = rng.random(len(labels.true))

    numbers = inputs.reshape(len(inputs), -1)
    mean, spread = _moments(numbers)
    drawn = labels.true.copy()
    for label in range(labels.n_classes):
        weights = rng.standard_normal((numbers.shape[1], labels.n_classes))
        members = np.flatnonzero(labels.true == label)
        scores = (numbers[members] - mean) / spread @ weights
        scores[:, label] = -np.inf
        cumulative = softmax(scores, axis=1).cumsum(axis=1)
        cumulative /= cumulative[:, -1:]
        drawn[members] = (cumulative <= positions[members, None]).sum(axis=1)
    return labels.with_redrawn(drawn, redrawn)


def _moments(numbers: Inputs) -> tuple[float, float]:
    """Return mean and standard deviation of all numbers; for pixels, without a floating-point copy."""
    if numbers.dtype != np.uint8:
        return float(numbers.mean(dtype=np.float64)), max(float(numbers.std(dtype=np.float64)), 1e-9)
    counts = sum(np.bincount(block.ravel(), minlength=256) for block in np.array_split(numbers, 100))
    mean = float(np.average(np.arange(256), weights=counts))
    variance = float(np.average((np.arange(256) - mean) ** 2, weights=counts))
    return mean, max(variance, 1e-9) ** 0.5


class Instance(NoiseSettings):
    """Wrong labels depend on the example (Xia et al. 2020)."""

    kind: Literal["instance"]
    """Depends on the example: an image, or a vector."""

    functions: ClassVar[Mapping[str, Callable[..., Labels]]] = {"study": instance}

    @classmethod
    def options(cls, dataset: Dataset, files: Sequence[Path], **settings: Any) -> dict[str, Any]:
        """Return the training examples."""
        return {"inputs": dataset.train_inputs}

    def check_dataset(self, info: DatasetInfo, labels: str) -> None:
        """Refuse token ids, which have no numerical meaning, and unknown labels."""
        super().check_dataset(info, labels)
        if kind_of(info.shape) == "tokens":
            raise ValueError(f"instance noise needs images or vectors; {info.name} has tokens")
