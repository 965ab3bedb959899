"""The stored activations of one layer, read whole if they fit in memory, and otherwise in parts.

Fitting uses them class by class, so a part is a group of classes; for prediction, a part is a block of
examples. Results do not depend on the parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentgen.networks.class_moments import MOMENTS, Moments, read_moments
from latentgen.networks.joined_files import Stored
from latentgen.probes.class_subspace import ClassSubspace, Decomposition
from latentgen.probes.inputs import Array
from latentgen.probes.stored_ranges import RangeResults, Scores

READ_BYTES = 64 << 20
"""Bytes of a stored layer that are read at a time to select the examples of a part."""

NO_GROUP = -1
"""In place of a group, for examples of classes that are not wanted."""


class ClassGroup(NamedTuple):
    """Consecutive classes with all their examples."""

    classes: slice
    X: Tensor
    """Their activations, n × d, in stored order."""
    labels: Tensor
    """Their labels, n, counted from the first class of the group."""


class StoredLayer:
    """The activations of one layer at one checkpoint, by split.

    Parameters
    ----------
    stored : h5py.Group or JoinedGroup
        A dataset (n × d) for each split.
    device : torch.device
        Device of the activations.
    room : int, optional
        Bytes that may be read at a time; no limit if None. A class is never divided.
    ranges : RangeResults, optional
        Results of jobs on ranges of its classes and examples.
    """

    def __init__(
        self,
        stored: Stored,
        device: torch.device,
        room: int | None = None,
        ranges: RangeResults | None = None,
    ) -> None:
        self._stored = stored
        self._device = device
        self._room = room
        self._ranges = ranges
        self._whole: dict[str, Tensor] = {}

    @property
    def width(self) -> int:
        """Number of units, d."""
        return int(self._stored[self.splits[0]].shape[1])

    def within(self, room: int | None) -> "StoredLayer":
        """Return the same layer, of which so many bytes may be read at a time."""
        return StoredLayer(self._stored, self._device, room, self._ranges)

    @property
    def splits(self) -> list[str]:
        """The splits whose examples are stored."""
        return [name for name in self._stored if name != MOMENTS]

    def moments(self, fit: str) -> Moments | None:
        """Return the moments of the classes by the labels of that name; None if examples are stored."""
        if MOMENTS not in self._stored:
            return None
        return read_moments(self._stored[f"{MOMENTS}/{fit}"], self._device)

    def decomposition(self, fit: str) -> Decomposition | None:
        """Return the classes by the labels of that name, if other jobs decomposed them."""
        return self._ranges.decomposition(fit, self._device) if self._ranges else None

    def scores(self, fit: str) -> Scores | None:
        """Return the predictions of probes fitted with the labels of that name, if other jobs made them."""
        return self._ranges.scores(fit) if self._ranges else None

    @property
    def has_costs(self) -> bool:
        """Whether the cost of each probe can be measured here: it would read and decompose everything."""
        return not self.is_in_parts and not self._ranges and "train" in self.splits

    @property
    def is_in_parts(self) -> bool:
        """Whether all splits together exceed the limit."""
        return (
            self._room is not None and sum(self._stored[split].nbytes for split in self.splits) > self._room
        )

    def whole(self, split: str) -> Tensor:
        """Return all activations of a split, n × d; they stay in memory with this object."""
        if split not in self._whole:
            self._whole[split] = self._read(split, slice(None))
        return self._whole[split]

    def blocks(self, split: str, only: Array | None = None) -> Iterator[Tensor]:
        """Yield the activations of a split in blocks of examples, in their order.

        Parameters
        ----------
        split : str
        only : array of int, optional
            Positions of the examples to return, increasing; all if None.
        """
        if not self.is_in_parts:
            if only is None or len(only):
                yield self.whole(split) if only is None else self.whole(split)[torch.as_tensor(only)]
            return
        if only is None:
            yield from (self._read(split, rows) for rows in self._rows(split, self._room_for_one()))
            return
        at_most = self._room_for_one() // (self.width * self._stored[split].dtype.itemsize)
        yield from joined(self._chosen(split, only), at_most)

    def _chosen(self, split: str, only: Array) -> Iterator[Tensor]:
        for rows in self._rows(split, min(READ_BYTES, self._room_for_one())):
            if len(here := only[(only >= rows.start) & (only < rows.stop)]):
                yield self._read(split, rows)[torch.as_tensor(here - rows.start)]

    def class_groups(self, labels: Array, n_classes: int, only: slice | None = None) -> Iterator[ClassGroup]:
        """Yield the training examples by groups of classes.

        Parameters
        ----------
        labels : array, n, integer
            A label in 0 … n_classes - 1 for each training example.
        n_classes : int
        only : slice, optional
            The classes to yield; all if None.
        """
        if not self.is_in_parts and only is None:
            group_labels = torch.as_tensor(labels, dtype=torch.int64, device=self._device)
            yield ClassGroup(slice(0, n_classes), self.whole("train"), group_labels)
            return
        of_example = np.asarray(labels, dtype=np.int64)
        row_bytes = self.width * self._stored["train"].dtype.itemsize
        counts = np.bincount(of_example, minlength=n_classes)
        first, last, _ = (only or slice(None)).indices(n_classes)
        at_most = self._room_for_one() // row_bytes if self.is_in_parts else len(of_example)
        divided = [
            slice(first + group.start, first + group.stop)
            for group in groups(counts[first:last].tolist(), at_most)
        ]
        group_of_class = np.full(n_classes, NO_GROUP)
        for number, classes in enumerate(divided):
            group_of_class[classes] = number
        group = group_of_class[of_example]
        for number, X in enumerate(self._by_group(group, len(divided))):
            classes = divided[number]
            group_labels = torch.from_numpy(of_example[group == number] - classes.start).to(self._device)
            yield ClassGroup(classes, X, group_labels)

    def _by_group(self, group: Array, n_groups: int) -> Iterator[Tensor]:
        """Yield the training examples of each group, in stored order; of `NO_GROUP`, none.

        The stored layer is read once, however many groups there are: it is sorted into an unnamed file beside
        the activations, which takes as much disk as the layer in memory.
        """
        stored = self._stored["train"]
        row_bytes = self.width * stored.dtype.itemsize
        sizes = np.bincount(group[group != NO_GROUP], minlength=n_groups)
        starts = np.cumsum(sizes) - sizes
        with TemporaryFile(dir=Path(self._stored.file.filename).parent) as file:
            filled = starts.copy()
            for rows in self._rows("train", READ_BYTES):
                of_row = group[rows]
                order = np.argsort(of_row, kind="stable")
                block, bounds = stored[rows][order], np.searchsorted(of_row[order], np.arange(n_groups + 1))
                for number in np.unique(of_row[of_row != NO_GROUP]):
                    part = block[bounds[number] : bounds[number + 1]]
                    file.seek(filled[number] * row_bytes)
                    file.write(part.data)
                    filled[number] += len(part)
            for start, size in zip(starts, sizes, strict=True):
                file.seek(start * row_bytes)
                X = np.fromfile(file, stored.dtype, size * self.width).reshape(size, self.width)
                yield torch.from_numpy(X).to(self._device)

    def kept(self, subspaces: Sequence[ClassSubspace]) -> list[ClassSubspace]:
        """Return subspaces; if this layer is read in parts, their bases are moved to disk.

        They are in an unnamed file beside the activations, which vanishes after its last use.
        """
        if not self.is_in_parts or self._device.type != "cpu":
            return list(subspaces)
        parts = [part for s in subspaces for part in (s.basis, s.complement) if part is not None]
        size = sum(part.numel() for part in parts)
        if not size:
            return list(subspaces)
        with TemporaryFile(dir=Path(self._stored.file.filename).parent) as file:
            for part in parts:  # written, not mapped: a full disk then raises an error
                file.write(np.ascontiguousarray(part.T.numpy()).data)
            file.flush()
            numbers = torch.from_numpy(np.memmap(file, np.float64, "r+", shape=(size,)))
        on_disk = iter(torch.split(numbers, [part.numel() for part in parts]))

        def placed(part: Tensor | None) -> Tensor | None:
            return None if part is None else next(on_disk).view(part.shape[1], part.shape[0]).T

        placed_subspaces = []
        for subspace in subspaces:
            basis = placed(subspace.basis)
            assert basis is not None
            placed_subspaces.append(replace(subspace, basis=basis, complement=placed(subspace.complement)))
        return placed_subspaces

    def _room_for_one(self) -> int:
        """Bytes of one part, half of the limit: the rest is for copies of a class, or products with bases."""
        assert self._room is not None
        return self._room // 2

    def _rows(self, split: str, size: int) -> Iterator[slice]:
        """Yield blocks of rows of about this many bytes, in whole chunks of the file."""
        stored = self._stored[split]
        chunk = stored.chunks[0] if stored.chunks else 1
        row_bytes = stored.shape[1] * stored.dtype.itemsize
        step = max(1, size // (row_bytes * chunk)) * chunk
        for start in range(0, len(stored), step):
            yield slice(start, min(start + step, len(stored)))

    def _read(self, split: str, rows: slice) -> Tensor:
        return torch.from_numpy(self._stored[split][rows]).to(self._device)


def groups(sizes: Sequence[int], at_most: int) -> Iterator[slice]:
    """Yield consecutive groups of at most a total size; a larger element forms its own group."""
    start, total = 0, 0
    for position, size in enumerate(sizes):
        if total and total + size > at_most:
            yield slice(start, position)
            start, total = position, 0
        total += size
    yield slice(start, len(sizes))


def joined(parts: Iterable[Tensor], at_most: int) -> Iterator[Tensor]:
    """Yield tensors joined along their first axis, to at most so many rows; a larger one stays alone."""
    waiting: list[Tensor] = []
    for part in parts:
        if waiting and sum(map(len, waiting)) + len(part) > at_most:
            yield torch.cat(waiting)
            waiting = []
        waiting.append(part)
    if waiting:
        yield torch.cat(waiting)
