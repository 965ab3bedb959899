"""Checks of custom data from any source: arrays become a data set, or are refused."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.images import as_images
from latentgen.data.custom_sources.labels import class_numbers
from latentgen.data.custom_sources.numbers import as_tokens, as_vectors, vocabulary_of
from latentgen.data.custom_sources.raw import (
    OTHER_KINDS,
    PADDING,
    TRUE_LABELS,
    VOCABULARY,
    RawData,
    arrays_of,
    listed,
    undivided_of,
)
from latentgen.data.datasets import Dataset, IntArray
from latentgen.data.inputs import InputKind, Inputs
from latentgen.data.mapped import blocks_of
from latentgen.data.next_tokens import next_tokens
from latentgen.data.spool import rows_of
from latentgen.errors import LatentgenError

HELD_OUT = 5
"""One in this many examples of each class is used for testing, if the data set is divided here."""
DARK = 64
"""Images whose largest value is smaller than this are reported: white is 255."""

_SPLITS = ("train", "test")
UNLABELLED = {"train_tokens", "test_tokens", VOCABULARY, PADDING}
"""Arrays of a data set whose classes are the next tokens."""
_AS: dict[InputKind, Callable[[NDArray[Any], str, int], Inputs]] = {
    "images": as_images,
    "vectors": as_vectors,
    "tokens": as_tokens,
}
"""The function that checks the arrays of each kind."""


def checked_dataset(name: str, raw: RawData, source: str, truth_known: bool) -> Dataset:
    """Return arrays as a data set, after all checks; remarks for the user are added to their notes.

    Parameters
    ----------
    name : str
    raw : RawData
    source : str
        Their origin, for messages and tables.
    truth_known : bool
        Whether train_labels are taken as true if there are no others.

    Raises
    ------
    LatentgenError
        If an array is missing or unsuitable.
    """
    kind = raw.kind(source)
    if kind == "tokens" and set(raw.arrays) <= UNLABELLED:
        return _next_tokens(name, raw, source)
    _check_parts(raw, kind, source)
    labels, names = class_numbers(raw, source)
    if set(undivided_of(kind)) <= set(raw.arrays):
        inputs, labels, given_names = _divided(raw, kind, labels["labels"], names, source, truth_known)
    else:
        inputs = {split: raw.arrays[f"{split}_{kind}"] for split in _SPLITS}
        given_names = {split: f"{split}_{kind} in {source}" for split in _SPLITS}
    checked = {
        split: _AS[kind](inputs[split], given_names[split], len(labels[f"{split}_labels"]))
        for split in _SPLITS
    }
    if checked["train"].shape[1:] != checked["test"].shape[1:]:
        shapes = " and ".join(str(split.shape[1:]) for split in checked.values())
        raise LatentgenError(f"Training and test {kind} in {source} have different shapes: {shapes}.")
    true, given = labels["train_labels"], None
    if TRUE_LABELS in labels:
        true, given, truth_known = labels[TRUE_LABELS], true, True
        if len(true) != len(given):
            raise LatentgenError(f"{source} has {len(true)} {TRUE_LABELS}, and {len(given)} train_labels.")
    elif not truth_known:
        given = true
    _check_classes(true, names, source)
    largest = max(int(checked[split].max()) for split in _SPLITS)
    size, padding = vocabulary_of(raw, largest, source) if kind == "tokens" else (0, None)
    _add_notes(raw.notes, kind, checked, labels["test_labels"], names)
    arrays = {f"train_{kind}": inputs["train"], f"test_{kind}": inputs["test"], **labels}
    return Dataset(
        name,
        checked["train"],
        true,
        checked["test"],
        labels["test_labels"],
        np.arange(len(true)),
        np.arange(len(labels["test_labels"])),
        class_names=names,
        max_value=255 if kind == "images" else 0,
        source=source,
        checksums={part: _md5(arrays[part]) for part in (*arrays_of(kind), TRUE_LABELS) if part in arrays},
        given_labels=given,
        truth_known=truth_known,
        vocabulary=size,
        padding=padding,
    )


def _next_tokens(name: str, raw: RawData, source: str) -> Dataset:
    """Return token ids without labels as a data set whose classes are the next tokens."""
    parts = [f"{split}_tokens" for split in _SPLITS]
    missing = [part for part in parts if part not in raw.arrays]
    if missing:
        raise LatentgenError(f"{source} lacks {listed(missing)}. Next tokens need {' and '.join(parts)}.")
    train, test = (as_tokens(raw.arrays[part], f"{part} in {source}", None) for part in parts)
    if train.shape[1] != test.shape[1]:
        raise LatentgenError(f"{source} has training and test sequences of different lengths.")
    size, padding = vocabulary_of(raw, int(max(train.max(), test.max())), source)
    unlabelled = Dataset(
        name, train, np.zeros(len(train), np.int64), test, np.zeros(len(test), np.int64),
        np.arange(len(train)), np.arange(len(test)), class_names=(), max_value=0, source=source,
        checksums={part: _md5(raw.arrays[part]) for part in parts}, vocabulary=size, padding=padding,
    )  # fmt: skip
    return next_tokens(unlabelled)


def _check_parts(raw: RawData, kind: InputKind, source: str) -> None:
    """Refuse missing arrays, and names that leave unclear which arrays are meant."""
    ours, pair = arrays_of(kind), undivided_of(kind)
    divided = [part for part in (*ours, TRUE_LABELS) if part in raw.arrays]
    undivided = [part for part in pair if part in raw.arrays]
    if divided == [TRUE_LABELS] and undivided:
        raise LatentgenError(
            f"{source} has {listed(undivided)} and {TRUE_LABELS}. True labels belong to train_labels: divide "
            f"the data yourself into {', '.join(ours)}, with true labels for testing, and {TRUE_LABELS}."
        )
    if divided and undivided:
        raise LatentgenError(
            f"{source} has {listed(divided)} and also {listed(undivided)}, so it is not clear which to use. "
            f"Keep either {', '.join(ours)}, or {' and '.join(pair)}."
        )
    missing = [part for part in (pair if undivided else ours) if part not in raw.arrays]
    if missing:
        raise LatentgenError(
            f"{source} lacks {', '.join(missing)}. It must have {', '.join(ours)}; or "
            f"{' and '.join(pair)}, of which a fifth is then held out for testing. {OTHER_KINDS}."
        )


def _divided(
    raw: RawData, kind: InputKind, labels: IntArray, names: tuple[str, ...], source: str, truth_known: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, IntArray], dict[str, str]]:
    """Hold out a fifth of each class for testing: drawn at random, but always the same."""
    inputs = raw.arrays[kind]
    if inputs.ndim == 0 or len(inputs) != len(labels):
        _AS[kind](inputs, f"{kind} in {source}", len(labels))
        raise LatentgenError(
            f"There are {len(np.atleast_1d(inputs))} {kind} in {source}, and {len(labels)} labels."
        )
    rng = np.random.default_rng(0)
    classes = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    test = np.sort(np.concatenate([one[: len(one) // HELD_OUT] for one in classes] or [np.empty(0, int)]))
    if not len(test):
        raise LatentgenError(
            f"{source} has fewer than {HELD_OUT} examples of every class: none can be held out for testing. "
            f"Divide them yourself: {', '.join(arrays_of(kind))}, or folders train/CLASS/ and test/CLASS/."
        )
    raw.notes.append(
        f"The data is not divided: {len(test)} examples, a fifth of each class, are held out for testing."
    )
    if not truth_known:
        raw.notes.append("Test labels are taken from the given ones: wrong ones among them count as true.")
    parts = {"train": np.setdiff1d(np.arange(len(labels)), test), "test": test}
    return (
        {split: rows_of(inputs, part) for split, part in parts.items()},
        {f"{split}_labels": labels[part] for split, part in parts.items()},
        dict.fromkeys(_SPLITS, f"{kind} in {source}"),
    )


def _check_classes(true: IntArray, names: tuple[str, ...], source: str) -> None:
    """Refuse less than two classes, and classes without training examples."""
    if len(names) < 2:
        raise LatentgenError(f"{source} has only one class; a network needs at least two.")
    absent = [names[label] for label in np.setdiff1d(np.arange(len(names)), true)]
    if absent:
        raise LatentgenError(
            f"{source} has no training example of class {listed(absent, 10)}: every class needs some."
        )


def _add_notes(
    notes: list[str],
    kind: InputKind,
    inputs: dict[str, Inputs],
    test_labels: IntArray,
    names: tuple[str, ...],
) -> None:
    untested = [names[label] for label in np.setdiff1d(np.arange(len(names)), test_labels)]
    if untested:
        notes.append(f"No test {kind} of class {listed(untested)}: test accuracy does not cover it.")
    train = {_digest(example) for example in inputs["train"]}
    copies = sum(_digest(example) in train for example in inputs["test"])
    if copies:
        one, many = {"images": ("image", "images"), "vectors": ("vector", "vectors")}.get(
            kind, ("sequence", "sequences")
        )
        notes.append(
            f"{copies} of {len(inputs['test'])} test {many} are copies of a training {one}: test accuracy "
            "may be too high."
        )
    largest = max(int(inputs[split].max()) for split in _SPLITS)
    if kind == "images" and largest < DARK:
        notes.append(f"The largest pixel value is {largest} of 255: the images are nearly black.")


def _digest(example: Inputs) -> bytes:
    return hashlib.blake2b(example.tobytes(), digest_size=16).digest()


def _md5(array: NDArray[Any]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for block in blocks_of(array):
        digest.update(block.tobytes())
    return digest.hexdigest()
