"""Room for arrays while a data set is read: in memory if they are small, else in a file without a name."""

import os
from math import prod
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

HELD_BYTES = 256 << 20
"""Larger arrays are in files, in the system's folder for temporary ones (TMPDIR)."""
SEGMENT_BYTES = 64 << 20
"""Size of the files in which a `Spool` keeps small arrays."""


def room_for(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be filled; what a file holds of it takes memory only as long as there is some.

    Raises
    ------
    OSError
        If the disk is full.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    return np.empty(shape, dtype) if size <= HELD_BYTES else _in_file(shape, dtype, size)


def rows_of(array: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows of an array, rising: the array itself if they are all."""
    if len(rows) == len(array):
        return array
    chosen = room_for((len(rows), *array.shape[1:]), array.dtype)
    step = max(1, SEGMENT_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(rows), step):
        chosen[start : start + step] = array[rows[start : start + step]]
    return chosen


class Spool:
    """Keeps many small arrays that together may be larger than memory."""

    def __init__(self) -> None:
        self._segment: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._used = 0

    def keep(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of an array whose memory the system can take back."""
        if self._used + array.nbytes > len(self._segment):
            size = max(SEGMENT_BYTES, array.nbytes)
            self._segment, self._used = _in_file((size,), np.uint8, size), 0
        place = self._segment[self._used : self._used + array.nbytes]
        self._used += -(-array.nbytes // 64) * 64
        kept = place.view(np.ndarray).view(array.dtype).reshape(array.shape)
        kept[...] = array
        return kept


def _in_file(shape: tuple[int, ...], dtype: DTypeLike, size: int) -> NDArray[Any]:
    with TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is then an error, and not the end of the process
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape)
