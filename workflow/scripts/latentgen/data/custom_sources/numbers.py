"""Check vectors and token ids in custom data; other arrays are refused with fitting advice."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.raw import PADDING, VOCABULARY, RawData
from latentgen.data.mapped import blocks_of
from latentgen.errors import LatentgenError

EXACT = 2**24
"""Whole numbers up to this are exact in float32."""
LARGEST_VOCABULARY = 10**7
"""Larger ids cannot be token ids: their embedding would not fit into memory."""


def as_vectors(array: NDArray[Any], what: str, n_labels: int) -> NDArray[Any]:
    """Return floating-point vectors, examples × numbers, unchanged; whole numbers as float32.

    Parameters
    ----------
    array : array
    what : str
        Their name in messages.
    n_labels : int
        Number of labels.

    Raises
    ------
    LatentgenError
        If it is any other array.
    """
    _check_rows(array, what, n_labels, "numbers")
    if array.dtype.kind in "biu" and max(abs(int(array.max())), abs(int(array.min()))) <= EXACT:
        return array.astype(np.float32)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise LatentgenError(
            f"{what} are {array.dtype}; vectors must be floating-point. Convert them with .astype('float32')."
        )
    largest = np.concatenate([np.abs(block).max(axis=1) for block in blocks_of(array)])
    wrong = np.flatnonzero(~np.isfinite(largest))
    if len(wrong):
        raise LatentgenError(
            f"{len(wrong)} of {what} have numbers that are NaN or infinite, first at index {wrong[0]}. "
            "Replace or remove these first."
        )
    if largest.max() > np.finfo(np.float32).max:
        raise LatentgenError(
            f"{what} have numbers too large for float32, which networks use. Scale them first."
        )
    return np.ascontiguousarray(array)


def as_tokens(array: NDArray[Any], what: str, n_labels: int | None) -> NDArray[np.int32]:
    """Return token ids, examples × length, as int32.

    Raises
    ------
    LatentgenError
        If it is not an array of whole numbers from 0 up, with one row for each label, if there are labels.
    """
    _check_rows(array, what, n_labels, "token ids")
    if array.dtype.kind not in "iu":
        raise LatentgenError(
            f"{what} are {array.dtype}; token ids must be integers from 0 up. Pad short sequences with one "
            "id that no token has, and save it as the array padding."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise LatentgenError(
            f"{what} have ids from {low} up, but ids begin at 0. If {low} pads short sequences, add 1 to all "
            "ids, and save 0 as the array padding."
        )
    if high >= LARGEST_VOCABULARY:
        raise LatentgenError(
            f"{what} have ids up to {high}; a vocabulary may have {LARGEST_VOCABULARY:,} ids. Number the "
            "tokens that occur from 0."
        )
    return np.ascontiguousarray(array.astype(np.int32, copy=False))


def vocabulary_of(raw: RawData, largest: int, source: str) -> tuple[int, int | None]:
    """Return the size of the vocabulary, and the id of the padding, if there is one.

    Parameters
    ----------
    raw : RawData
        Its arrays `vocabulary` and `padding` are used, if present.
    largest : int
        Largest id that occurs.
    source : str

    Raises
    ------
    LatentgenError
        If an id is not in the vocabulary.
    """
    size = len(np.atleast_1d(raw.arrays[VOCABULARY])) if VOCABULARY in raw.arrays else largest + 1
    if largest >= size:
        raise LatentgenError(f"{source} has a vocabulary of {size} words, but token ids up to {largest}.")
    if PADDING not in raw.arrays:
        return size, None
    padding = raw.arrays[PADDING]
    if padding.size != 1 or padding.dtype.kind not in "iu" or not 0 <= padding.item() < size:
        raise LatentgenError(f"padding in {source} must be one id from 0 to {size - 1}; it is {padding}.")
    return size, int(padding.item())


def _check_rows(array: NDArray[Any], what: str, n_labels: int | None, kind: str) -> None:
    if array.ndim != 2 or 0 in array.shape:
        raise LatentgenError(
            f"{what} have shape {array.shape}; it must be examples × {kind}, all of the same length."
        )
    if n_labels is not None and len(array) != n_labels:
        way_out = " The examples come last: give the transpose." if array.shape[1] == n_labels else ""
        raise LatentgenError(f"There are {len(array)} {what}, and {n_labels} labels.{way_out}")
