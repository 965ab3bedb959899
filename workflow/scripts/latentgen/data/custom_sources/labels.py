"""Labels and class names of custom data, in any common form."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.raw import RawData, in_order, listed
from latentgen.data.datasets import IntArray
from latentgen.errors import LatentgenError

LABELS = ("train_labels", "test_labels", "train_true_labels", "labels")


def class_numbers(raw: RawData, path: str) -> tuple[dict[str, IntArray], tuple[str, ...]]:
    """Return all labels as class numbers from 0 up, by name of their array, and the names of the classes.

    Text becomes numbers; columns (N, 1), booleans, and whole floating-point numbers are converted.

    Raises
    ------
    LatentgenError
        If they are not labels from 0 up; the message describes them and how to convert them.
    """
    names = checked_class_names(raw.class_names, path)
    columns = {
        part: _column(array, f"{part} in {path}", raw.notes)
        for part, array in raw.arrays.items()
        if part in LABELS
    }
    text = {part for part, array in columns.items() if array.dtype.kind == "U"}
    if text and text != set(columns):
        others = sorted(set(columns) - text)
        raise LatentgenError(f"{path}: {listed(sorted(text))} are text, and {listed(others)} are numbers.")
    if text:
        return _numbered(columns, names, path)
    labels = {part: _whole(array, f"{part} in {path}", raw.notes) for part, array in columns.items()}
    _check_numbers(labels, len(names), path)
    largest = max((int(array.max()) for array in labels.values() if array.size), default=-1)
    if names and largest >= len(names):
        raise LatentgenError(
            f"Labels in {path} must be from 0 to {len(names) - 1}, as there are {len(names)} class_names; "
            f"the largest label is {largest}."
        )
    return labels, names or tuple(map(str, range(largest + 1)))


def checked_class_names(given: Any, path: str) -> tuple[str, ...]:
    """Return class names as text, in one Unicode form; none if none are given.

    Raises
    ------
    LatentgenError
        If they are not a list of different names.
    """
    if given is None:
        return ()
    array = np.asarray(given)
    if array.ndim != 1:
        what = (
            f"one value, {array.item()!r}"
            if array.ndim == 0 and array.size == 1
            else f"of shape {array.shape}"
        )
        raise LatentgenError(
            f"class_names in {path} must be a list of names, one for each class; it is {what}."
        )
    names = _texts(array, f"class_names in {path}")
    if any(not name.strip() for name in names):
        raise LatentgenError(f"class_names in {path}: the name of class {names.index(min(names))} is empty.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise LatentgenError(
            f"class_names in {path}: each name may be given once; given more than once: {listed(twice)}."
        )
    return tuple(names)


def _texts(array: NDArray[Any], what: str) -> list[str]:
    """Return text, or bytes in UTF-8, in one Unicode form, so that equal letters compare equal."""
    try:
        texts = [one.decode("utf-8") if isinstance(one, bytes) else str(one) for one in array]
        for text in texts:
            text.encode("utf-8")
    except (UnicodeError, ValueError, SystemError) as error:  # NumPy's text may contain invalid characters
        raise LatentgenError(f"{what} are not all text in UTF-8 ({error}).") from error
    return [unicodedata.normalize("NFC", text) for text in texts]


def _column(array: NDArray[Any], what: str, notes: list[str]) -> NDArray[Any]:
    """Return labels as one axis of numbers or text."""
    if array.ndim == 2 and array.shape[1] == 1:
        notes.append(f"{what} have shape {array.shape}; they are taken as {len(array)} labels.")
        array = array[:, 0]
    if array.ndim != 1:
        one_hot = (
            array.ndim == 2
            and array.dtype.kind in "biuf"
            and array.size > 0
            and bool((((array == 0) | (array == 1)).all(axis=1) & ((array == 1).sum(axis=1) == 1)).all())
        )
        raise LatentgenError(
            f"{what} have shape {array.shape}; labels must be a list with one number, or one name, for each "
            f"example.{' They are one-hot: convert them with labels.argmax(axis=1).' if one_hot else ''}"
        )
    if array.dtype.kind in "SU" or (
        array.dtype.kind in "OT" and all(isinstance(value, str | bytes) for value in array)
    ):
        return np.array(_texts(array, what), dtype=str)
    if array.dtype.kind not in "biuf":
        raise LatentgenError(f"{what} are {array.dtype}; labels must be whole numbers from 0 up, or names.")
    return array


def _whole(array: NDArray[Any], what: str, notes: list[str]) -> IntArray:
    """Return numbers as int64."""
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise LatentgenError(
            f"{what} are {array.dtype} and not all whole numbers; labels must be whole numbers from 0 up, or "
            "names."
        )
    if array.size and (float(array.max()) > 2**53 or float(array.min()) < -(2**53)):
        raise LatentgenError(
            f"{what} are from {array.min()} to {array.max()}, so they are not class numbers. Number the "
            "classes from 0."
        )
    if array.dtype.kind in "bf":
        notes.append(f"{what} are {array.dtype}; they are taken as whole numbers.")
    return array.astype(np.int64)


def _numbered(
    columns: Mapping[str, NDArray[Any]], names: tuple[str, ...], path: str
) -> tuple[dict[str, IntArray], tuple[str, ...]]:
    """Return text labels as numbers: by the class names, or sorted if there are none."""
    where = "class_names" if names else "the training labels"
    if not names:
        train = (array for part, array in columns.items() if part != "test_labels")
        names = tuple(in_order({str(one) for array in train for one in array}))
    numbers = {name: number for number, name in enumerate(names)}
    for part, array in columns.items():
        unknown = sorted(set(array) - set(numbers))
        if unknown:
            raise LatentgenError(f"{part} in {path} have names that are not in {where}: {listed(unknown)}.")
    return {
        part: np.array([numbers[one] for one in array], np.int64) for part, array in columns.items()
    }, names


def _check_numbers(labels: Mapping[str, IntArray], n_names: int, path: str) -> None:
    """Refuse numbers that are not 0 … C - 1, with the conversion that fits them.

    Raises
    ------
    LatentgenError
        If some are negative, if they begin at 1, or if some numbers are skipped.
    """
    values = np.unique(np.concatenate([*labels.values(), np.empty(0, np.int64)]))
    if not len(values) or np.array_equal(values, np.arange(len(values))):
        return
    shown = listed([str(value) for value in values], 8)
    if values.tolist() == [-1, 1]:
        way_out = "Convert them with (labels + 1) // 2."
    elif values[0] < 0:
        negative = {part: int((array < 0).sum()) for part, array in labels.items() if (array < 0).any()}
        counts = ", ".join(f"{count} in {part}" for part, count in negative.items())
        way_out = (
            f"Negative: {counts}. If these examples have no label, remove them, with their images; otherwise "
            "number the classes from 0."
        )
    elif values[0] == 1 and np.array_equal(values, np.arange(1, len(values) + 1)):
        way_out = "They begin at 1: subtract 1 from all of them (labels - 1)."
    elif n_names and values[-1] < n_names:
        return  # classes without examples are refused by name later
    else:
        way_out = (
            "Numbers in between are missing. Renumber the classes: values = numpy.unique(train_labels); "
            "labels = numpy.searchsorted(values, labels), the same for training and test labels; "
            "class_names = values.astype(str) keeps the old numbers as names."
        ).replace("train_labels", "train_labels" if "train_labels" in labels else "labels")
    raise LatentgenError(
        f"Labels in {path} must be numbered 0, 1, 2, … without gaps; they are {shown}. {way_out}"
    )
