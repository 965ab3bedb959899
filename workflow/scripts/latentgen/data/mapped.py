"""Arrays that are mapped from a file, and what of them counts as memory of a job."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 4 << 20
"""Bytes that are read at a time."""

ANNOUNCED_BYTES = 2048
"""Bytes of a row below which it costs more to announce it than it saves."""


def blocks_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array, mapped or not, in blocks that are let go of afterwards."""
    step = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield array[start : start + step]
        forget(array)


def announce(array: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Let the system fetch some rows of a mapped array from the disk, all at once, before they are read.

    One after the other, as they are missed, took twenty times as long.
    """
    mapped, size = getattr(array, "_mmap", None), array[:1].nbytes
    if mapped is None or size < ANNOUNCED_BYTES:
        return
    first = array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    for row in rows.tolist():
        start = first + row * size
        page = start - start % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, start + size - page)


def forget(array: NDArray[Any]) -> None:
    """Let go of the memory that what was read of a mapped array takes; the system's cache still has it.

    Without this, a job would count as using all that it ever read, wherever such use is limited.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)
