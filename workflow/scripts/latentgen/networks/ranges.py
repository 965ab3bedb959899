"""Ranges of a checkpoint's examples and classes, each a job of its own."""

from math import ceil
from typing import NamedTuple

CHUNK_ITEMS = 1024
"""Examples in the largest chunk of an activations file, the unit of writing. Smaller chunks are halves,
quarters, … of it, so that only whole chunks are written: writing part of a chunk would decompress and
compress it again."""


class Range(NamedTuple):
    """One of several equal ranges: of the examples of each split, and of the classes."""

    position: int
    n_ranges: int

    def examples(self, n: int) -> slice:
        """Return its part of n examples.

        It begins at a multiple of `CHUNK_ITEMS`, so that examples pass through the network in the same blocks
        as if they were not divided.
        """
        chunks = self._part(ceil(n / CHUNK_ITEMS))
        return slice(min(n, chunks.start * CHUNK_ITEMS), min(n, chunks.stop * CHUNK_ITEMS))

    def classes(self, n_classes: int) -> slice:
        """Return its part of the classes."""
        return self._part(n_classes)

    def _part(self, n: int) -> slice:
        return equal_part(n, self.position, self.n_ranges)


WHOLE = Range(0, 1)
"""All examples and all classes."""


def equal_part(n: int, position: int, n_parts: int) -> slice:
    """Return one of several consecutive parts of n, whose sizes differ by at most 1."""
    return slice(n * position // n_parts, n * (position + 1) // n_parts)


def most_ranges(n_examples: int, n_classes: int) -> int:
    """Return the largest number of ranges of which none is empty."""
    return min(ceil(n_examples / CHUNK_ITEMS), n_classes)
