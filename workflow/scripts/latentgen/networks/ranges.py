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
    of: int
    """Number of ranges."""

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
        return slice(n * self.position // self.of, n * (self.position + 1) // self.of)


WHOLE = Range(0, 1)
"""All examples and all classes."""


def most_ranges(n_examples: int, n_classes: int) -> int:
    """Return the largest number of ranges of which none is empty."""
    return min(ceil(n_examples / CHUNK_ITEMS), n_classes)
