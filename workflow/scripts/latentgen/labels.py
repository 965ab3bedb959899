"""Noisy labels: which training labels are redrawn, and to what.

The corruption `p` is the probability that a label is redrawn. What it becomes depends on the kind of noise.
With ``symmetric`` noise, that of the papers, it becomes any class with equal probability, the true one
included, so that a share 1 − p + p/C of the labels stays true among C classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentgen.errors import LatentgenError
from latentgen.files import read_h5, write_h5
from latentgen.randomness import Purpose, random_generator

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The labels of a training set of N items.

    Attributes
    ----------
    true : int64 array (N,)
    corrupted : int64 array (N,)
        What a network is trained on.
    redrawn : bool array (N,)
        Which labels were redrawn; with ``symmetric`` noise some of these are still true.
    """

    true: IntArray
    corrupted: IntArray
    redrawn: BoolArray

    @property
    def share_true(self) -> float:
        """Share of the corrupted labels that are true."""
        return float(np.mean(self.corrupted == self.true))


def corrupt(
    true_labels: ArrayLike, n_classes: int, kind: str, p: float, generator: str = "study", seed: int = 0
) -> Labels:
    """Corrupt the labels of a training set.

    Parameters
    ----------
    true_labels : integers (N,), each from 0 to `n_classes` − 1
    n_classes : int
    kind : str
        Kind of noise, as in ``"symmetric"``.
    p : float
        Probability, in [0, 1], that a label is redrawn.
    generator : {"study", "published"}
        ``"study"`` draws from the seed's own stream for labels, in such a way that what is redrawn at a small
        p is redrawn, and to the same class, at a larger one. ``"published"`` is NumPy's legacy generator,
        drawn from as in the papers' code.
    seed : int
        The papers' labels are those of generator ``"published"`` and seed 42.

    Raises
    ------
    LatentgenError
        If labels, p, seed, kind or generator are not as described.
    """
    true = _checked_labels(true_labels, n_classes)
    if not 0 <= p <= 1:  # false for NaN as well
        raise LatentgenError(f"The corruption p is a probability, between 0 and 1; it was given as {p}.")
    if (kind, generator) not in NOISES:
        known = ", ".join(f"{kind} ({generator})" for kind, generator in NOISES)
        raise LatentgenError(
            f"There is no {kind!r} noise from the {generator!r} generator. Known kinds (generators): {known}."
        )
    corrupted, redrawn = NOISES[kind, generator](true, n_classes, p, seed)
    return Labels(true, corrupted, redrawn)


def _checked_labels(labels: ArrayLike, n_classes: int) -> IntArray:
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise LatentgenError(f"Labels must be a list of at least one item; their shape is {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise LatentgenError(f"Labels must be integers, class indices from 0 up; they are {array.dtype}.")
    wrong = np.flatnonzero((array < 0) | (array >= n_classes))
    if len(wrong):
        raise LatentgenError(
            f"Labels of {n_classes} classes must be from 0 to {n_classes - 1}; {len(wrong)} are not, first "
            f"that of item {wrong[0]}, which is {array[wrong[0]]}."
        )
    return array.astype(np.int64)


# --- Kinds of noise -------------------------------------------------------------------------------


def _symmetric(true: IntArray, n_classes: int, p: float, seed: int) -> tuple[IntArray, BoolArray]:
    rng = random_generator(seed, Purpose.LABELS)
    redrawn = rng.random(len(true)) < p
    # A class is drawn for every item, used or not: so the noise of a small p is part of that of a larger one.
    return np.where(redrawn, rng.integers(n_classes, size=len(true)), true), redrawn


def _symmetric_published(true: IntArray, n_classes: int, p: float, seed: int) -> tuple[IntArray, BoolArray]:
    """Equal, bit for bit, to ``np.random.seed(seed)`` and the papers' calls of global functions."""
    if not 0 <= seed < 2**32:
        raise LatentgenError(f"A seed of NumPy's legacy generator must be in 0 … 2³² − 1, not {seed}.")
    rng = np.random.RandomState(seed)
    redrawn = rng.rand(len(true)) <= p
    corrupted = true.copy()
    corrupted[redrawn] = rng.choice(n_classes, redrawn.sum())
    return corrupted, redrawn


Noise = Callable[[IntArray, int, float, int], tuple[IntArray, BoolArray]]

NOISES: dict[tuple[str, str], Noise] = {
    ("symmetric", "study"): _symmetric,
    ("symmetric", "published"): _symmetric_published,
}
"""Every kind of noise with every generator there is for it."""


# --- Files ----------------------------------------------------------------------------------------


def write_labels(path: str | Path, labels: Labels, origin: Mapping[str, Any] | None = None) -> None:
    """Write ``labels/{dataset}/{noise}/{label_seed}.h5``.

    Parameters
    ----------
    path : str or Path
    labels : Labels
    origin : mapping, optional
        How the labels came to be (dataset, kind, p, generator, seed), kept as attributes.
    """
    with write_h5(path) as file:
        file["true"] = labels.true
        file["corrupted"] = labels.corrupted
        file["redrawn"] = labels.redrawn
        file.attrs.update(origin or {})


def read_labels(path: str | Path) -> Labels:
    """Read what `write_labels` wrote.

    Raises
    ------
    LatentgenError
        If the file is missing, unfinished or no labels file.
    """
    with read_h5(path) as file:
        if not {"true", "corrupted", "redrawn"} <= set(file):
            raise LatentgenError(f"{path} holds no labels. Delete it and run again.")
        labels = Labels(file["true"][...], file["corrupted"][...], file["redrawn"][...])
    if not labels.true.shape == labels.corrupted.shape == labels.redrawn.shape:
        raise LatentgenError(f"{path} holds labels of unequal length. Delete it and run again.")
    return labels


def evaluation_labels(labels: Labels, test_labels: IntArray) -> dict[str, dict[str, IntArray]]:
    """Return every label vector that accuracy is measured against, by split and name.

    Test labels are never corrupted: the test set measures what is true.
    """
    return {"test": {"true": test_labels}, "train": {"corrupted": labels.corrupted, "true": labels.true}}
