"""The labels of a training set, true and corrupted, and their file.

`latentgen.data.noise` corrupts labels.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.datasets import IntArray
from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, random_generator
from latentgen.runtime.files import put, read_h5, write_h5

logger = logging.getLogger(__name__)

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The labels of a training set of N examples.

    Attributes
    ----------
    true : int64 array (N,), or None
        None if they are not known.
    corrupted : int64 array (N,)
        The labels that a network is trained on.
    redrawn : bool array (N,), or None
        Which labels were redrawn; with ``symmetric`` noise some of these are still true. None if unknown.
    held_out : int64 array (M,), or None
        Corrupted labels of the held-out examples, if there are any.
    """

    true: IntArray | None
    corrupted: IntArray
    redrawn: BoolArray | None
    held_out: IntArray | None = None

    @property
    def fraction_true(self) -> float:
        """Fraction of the corrupted labels that are true; NaN if that is not known."""
        return float("nan") if self.true is None else float(np.mean(self.corrupted == self.true))


def set_apart(labels: Labels, apart: BoolArray) -> Labels:
    """Return labels in which those of the marked examples are held out."""
    return Labels(
        None if labels.true is None else labels.true[~apart],
        labels.corrupted[~apart],
        None if labels.redrawn is None else labels.redrawn[~apart],
        labels.corrupted[apart] if apart.any() else None,
    )


def write_labels(path: str | Path, labels: Labels, origin: Mapping[str, Any] | None = None) -> None:
    """Write ``labels/{dataset}/{noise}/{label_seed}.h5``.

    Parameters
    ----------
    path : str or Path
    labels : Labels
    origin : mapping, optional
        Origin of the labels (dataset, kind, p, generator, seed), stored as attributes.
    """
    with write_h5(path) as file:
        for name in ("true", "corrupted", "redrawn", "held_out"):
            if (array := getattr(labels, name)) is not None:
                put(file, name, array)
        file.attrs["truth_known"] = labels.true is not None
        file.attrs.update(origin or {})


def read_labels(path: str | Path) -> Labels:
    """Read a file of `write_labels`.

    Raises
    ------
    LatentgenError
        If the file is missing, unfinished or not a labels file.
    """
    with read_h5(path) as file:
        known = ("true", "corrupted", "redrawn") if file.attrs.get("truth_known", True) else ("corrupted",)
        if not set(known) <= set(file):
            raise LatentgenError(f"{path} holds no labels. Delete it and run again.")
        arrays = {name: file[name][...] for name in known}
        held_out = file["held_out"][...] if "held_out" in file else None
        labels = Labels(arrays.get("true"), arrays["corrupted"], arrays.get("redrawn"), held_out)
    if len({array.shape for array in arrays.values()}) > 1:
        raise LatentgenError(f"{path} holds labels of unequal length. Delete it and run again.")
    return labels


def fitting_labels(labels: Labels, names: Sequence[str], seed: int) -> dict[str, IntArray]:
    """Return the training labels that probes are fitted with, by name.

    Parameters
    ----------
    labels : Labels
    names : sequence of {"corrupted", "true", "permuted"}
        ``permuted`` are the corrupted labels in random order. ``true`` is left out, with a warning in the
        log, if true labels are not known.
    seed : int
        The run's seed.
    """
    permuted = random_generator(seed, Purpose.PERMUTED_LABELS).permutation(labels.corrupted)
    known = {"corrupted": labels.corrupted, "permuted": permuted}
    if labels.true is not None:
        known["true"] = labels.true
    elif "true" in names:
        logger.warning("true training labels are not known, so no probe is fitted with them")
    return {name: known[name] for name in names if name in known}


PARTS = {"train_redrawn": "train", "train_untouched": "train"}
"""Splits that are a part of another one: training examples whose label was redrawn, and the others."""


def evaluation_labels(labels: Labels, test_labels: IntArray) -> dict[str, dict[str, IntArray]]:
    """Return all labels that accuracy is measured against, by split and name.

    Test labels are never corrupted. True training labels are left out if they are not known. Held-out
    examples, if there are any, only have their corrupted labels. Of the splits in `PARTS`, which exist if
    labels are noisy, the vectors are as long as that of the whole split: -1 for examples that are not in it.
    """
    train = {"corrupted": labels.corrupted} | ({} if labels.true is None else {"true": labels.true})
    labels_by_split = {"test": {"true": test_labels}, "train": train}
    if labels.true is not None and labels.redrawn is not None and labels.redrawn.any():
        redrawn = {name: np.where(labels.redrawn, vector, -1) for name, vector in train.items()}
        labels_by_split["train_redrawn"] = redrawn
        if not labels.redrawn.all():
            labels_by_split["train_untouched"] = {"true": np.where(labels.redrawn, -1, labels.true)}
    return (
        labels_by_split
        if labels.held_out is None
        else labels_by_split | {"held_out": {"corrupted": labels.held_out}}
    )


def whole_splits(labels: Mapping[str, Any]) -> list[str]:
    """Return the splits among evaluation labels that are no part of another one."""
    return [split for split in labels if split not in PARTS]


def labels_of(
    labels: Mapping[str, Mapping[str, IntArray]], splits: Sequence[str]
) -> dict[str, Mapping[str, IntArray]]:
    """Return the evaluation labels of some whole splits and of their parts."""
    return {split: by_name for split, by_name in labels.items() if PARTS.get(split, split) in splits}
