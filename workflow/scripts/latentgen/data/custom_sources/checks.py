"""Checks that custom data of every source passes through: arrays become a data set, or are refused."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.images import as_images
from latentgen.data.custom_sources.labels import class_numbers
from latentgen.data.custom_sources.raw import ARRAYS, TRUE_LABELS, UNDIVIDED, RawData, listed
from latentgen.data.datasets import Dataset, Images, IntArray
from latentgen.errors import LatentgenError

HELD_OUT = 5
"""One of so many examples of a class is for testing, where the data set is divided here."""
DARK = 64
"""Images whose largest value is smaller are pointed out: white is 255."""

_SPLITS = ("train", "test")


def checked_dataset(name: str, raw: RawData, source: str, truth_known: bool) -> Dataset:
    """Return arrays as a data set, after all checks; what a user should know is added to their notes.

    Parameters
    ----------
    name : str
    raw : RawData
    source : str
        Where they are from, for messages and tables.
    truth_known : bool
        Whether train_labels are taken as true if there are no other ones.

    Raises
    ------
    LatentgenError
        If an array is missing or not as it must be.
    """
    _check_parts(raw, source)
    labels, names = class_numbers(raw, source)
    if set(UNDIVIDED) <= set(raw.arrays):
        images, labels, given_names = _divided(raw, labels["labels"], names, source, truth_known)
    else:
        images = {split: raw.arrays[f"{split}_images"] for split in _SPLITS}
        given_names = {split: f"{split}_images in {source}" for split in _SPLITS}
    checked = {
        split: as_images(images[split], given_names[split], len(labels[f"{split}_labels"]))
        for split in _SPLITS
    }
    if checked["train"].shape[1:] != checked["test"].shape[1:]:
        shapes = " and ".join(str(split.shape[1:]) for split in checked.values())
        raise LatentgenError(f"Training and test images in {source} have different shapes: {shapes}.")
    true, given = labels["train_labels"], None
    if TRUE_LABELS in labels:
        true, given, truth_known = labels[TRUE_LABELS], true, True
        if len(true) != len(given):
            raise LatentgenError(f"{source} has {len(true)} {TRUE_LABELS}, and {len(given)} train_labels.")
    elif not truth_known:
        given = true
    _check_classes(true, names, source)
    _add_notes(raw.notes, checked, labels["test_labels"], names)
    arrays = {"train_images": images["train"], "test_images": images["test"], **labels}
    return Dataset(
        name,
        checked["train"],
        true,
        checked["test"],
        labels["test_labels"],
        np.arange(len(true)),
        np.arange(len(labels["test_labels"])),
        class_names=names,
        max_value=255,
        source=source,
        checksums={part: _md5(arrays[part]) for part in (*ARRAYS, TRUE_LABELS) if part in arrays},
        given_labels=given,
        truth_known=truth_known,
    )


def _check_parts(raw: RawData, source: str) -> None:
    """Refuse arrays that are missing, or of which it is not clear which ones are meant."""
    divided = [part for part in (*ARRAYS, TRUE_LABELS) if part in raw.arrays]
    undivided = [part for part in UNDIVIDED if part in raw.arrays]
    if divided == [TRUE_LABELS] and undivided:
        raise LatentgenError(
            f"{source} has {listed(undivided)} and {TRUE_LABELS}. True labels belong to train_labels: divide "
            f"the data yourself into {', '.join(ARRAYS)}, with true labels for testing, and {TRUE_LABELS}."
        )
    if divided and undivided:
        raise LatentgenError(
            f"{source} has {listed(divided)} and, besides, {listed(undivided)}: it is not clear which are "
            f"meant. Keep either {', '.join(ARRAYS)}, or {' and '.join(UNDIVIDED)}."
        )
    missing = [part for part in (UNDIVIDED if undivided else ARRAYS) if part not in raw.arrays]
    if missing:
        raise LatentgenError(
            f"{source} lacks {', '.join(missing)}. It must have {', '.join(ARRAYS)}; or "
            f"{' and '.join(UNDIVIDED)}, of which a fifth is then held out for testing."
        )


def _divided(
    raw: RawData, labels: IntArray, names: tuple[str, ...], source: str, truth_known: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, IntArray], dict[str, str]]:
    """Hold out a fifth of each class for testing: drawn at random, but always the same."""
    images = raw.arrays["images"]
    if images.ndim == 0 or len(images) != len(labels):
        as_images(images, f"images in {source}", len(labels))
        raise LatentgenError(
            f"There are {len(np.atleast_1d(images))} images in {source}, and {len(labels)} labels."
        )
    rng = np.random.default_rng(0)
    classes = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    test = np.sort(np.concatenate([one[: len(one) // HELD_OUT] for one in classes] or [np.empty(0, int)]))
    if not len(test):
        raise LatentgenError(
            f"{source} has fewer than {HELD_OUT} examples of every class: none can be held out for testing. "
            f"Divide them yourself: {', '.join(ARRAYS)}, or folders train/CLASS/ and test/CLASS/."
        )
    raw.notes.append(
        f"The data is not divided: {len(test)} examples, a fifth of each class, are held out for testing."
    )
    if not truth_known:
        raw.notes.append(
            "Test labels are held out of the given ones: those that are wrong count as true there."
        )
    parts = {"train": np.setdiff1d(np.arange(len(labels)), test), "test": test}
    return (
        {split: images[part] for split, part in parts.items()},
        {f"{split}_labels": labels[part] for split, part in parts.items()},
        dict.fromkeys(_SPLITS, f"images in {source}"),
    )


def _check_classes(true: IntArray, names: tuple[str, ...], source: str) -> None:
    """Refuse less than two classes, and classes without training examples."""
    if len(names) < 2:
        raise LatentgenError(f"{source} has one class; a network needs two or more to tell apart.")
    absent = [names[label] for label in np.setdiff1d(np.arange(len(names)), true)]
    if absent:
        raise LatentgenError(
            f"{source} has no training example of class {listed(absent, 10)}: every class needs some."
        )


def _add_notes(
    notes: list[str], images: dict[str, Images], test_labels: IntArray, names: tuple[str, ...]
) -> None:
    untested = [names[label] for label in np.setdiff1d(np.arange(len(names)), test_labels)]
    if untested:
        notes.append(f"No test images of class {listed(untested)}: test accuracy does not cover it.")
    train = {_digest(image) for image in images["train"]}
    copies = sum(_digest(image) in train for image in images["test"])
    if copies:
        notes.append(
            f"{copies} of {len(images['test'])} test images are copies of a training image: test accuracy "
            "may be too high."
        )
    largest = max(int(images[split].max()) for split in _SPLITS)
    if largest < DARK:
        notes.append(f"The largest pixel value is {largest}, and white is 255: the images are nearly black.")


def _digest(image: Images) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _md5(array: NDArray[Any]) -> str:
    return hashlib.md5(np.ascontiguousarray(array).tobytes(), usedforsecurity=False).hexdigest()
