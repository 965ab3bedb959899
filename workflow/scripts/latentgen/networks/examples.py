"""Examples as a network takes them: a tensor in memory, or read from their file and converted as needed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from latentgen.data.inputs import Inputs
from latentgen.data.mapped import announce, forget

READ_BYTES = 4 << 20
"""Bytes that are read at a time, in the background, while what was read before is used."""


class StoredExamples:
    """Examples in the type of their file; those asked for are moved to a device and converted there.

    Parameters
    ----------
    stored : array, N × …
        Usually mapped from a file.
    seen : function
        Returns what a network sees of such examples, on the device.
    device : torch.device
    places : Tensor, int64, optional
        Which of the stored examples these are, in their order; all if None.
    """

    def __init__(
        self,
        stored: Inputs,
        seen: Callable[[Tensor], Tensor],
        device: torch.device,
        places: Tensor | None = None,
    ) -> None:
        self._stored, self.seen, self.device, self._places = stored, seen, device, places
        # As bytes: numbers may lie in the file where none lies in memory, and NumPy would copy all of them.
        self._bytes = stored.reshape(len(stored), -1).view(np.uint8)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self._stored) if self._places is None else len(self._places)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Return some examples as the network sees them, on the device."""
        return self.seen(self.read(rows))

    @property
    def row_bytes(self) -> int:
        """Bytes of one example in the file."""
        return int(self._bytes.shape[1])

    def part(self, rows: Tensor) -> "StoredExamples":
        """Return some of the examples, which are not read yet."""
        rows = rows.cpu()
        places = rows if self._places is None else self._places[rows]
        return StoredExamples(self._stored, self.seen, self.device, places)

    def read(self, rows: slice | Tensor) -> Tensor:
        """Return some examples in the type of the file, in memory from where they are moved fastest."""
        if self._places is not None:
            rows = self._places[rows]
        if isinstance(rows, slice):
            taken = np.array(self._bytes[rows])
        else:
            announce(self._stored, rows.numpy())
            taken = self._bytes.take(rows.numpy(), axis=0)
        inputs = torch.from_numpy(taken.view(self._stored.dtype).reshape(-1, *self._stored.shape[1:]))
        forget(self._stored)
        return inputs.pin_memory() if self.device.type == "cuda" else inputs


Examples: TypeAlias = Tensor | StoredExamples
"""Examples by rows, which are tensors on `device` whenever some are asked for."""


def part_of(examples: Examples, rows: Tensor) -> Examples:
    """Return some examples; those in a file stay there."""
    return examples[rows] if isinstance(examples, Tensor) else examples.part(rows)


def spans(n: int, size: int, start: int = 0) -> list[slice]:
    """Return what is left of n examples from `start` on, in parts of a size."""
    return [slice(first, min(first + size, n)) for first in range(start, n, size)]


def taken(examples: Examples, parts: Sequence[slice], order: Tensor | None = None) -> Iterator[Tensor]:
    """Yield parts of examples, one after the other; those in a file are read ahead, in the background.

    Parameters
    ----------
    examples : Tensor or StoredExamples
    parts : sequence of slice
        Neighbouring parts, rising.
    order : Tensor, int64 N, optional
        Places that the parts are parts of; those of the examples themselves if None.
    """
    if isinstance(examples, Tensor):
        places = None if order is None else order.to(examples.device)
        for part in parts:
            yield examples[part if places is None else places[part]]
        return
    order = None if order is None else order.cpu()
    ahead: deque[tuple[list[slice], Future[Tensor]]] = deque()
    with ThreadPoolExecutor(1, "reader") as reader:
        for group in _grouped(parts, READ_BYTES // examples.row_bytes):
            rows = slice(group[0].start, group[-1].stop)
            ahead.append((group, reader.submit(examples.read, rows if order is None else order[rows])))
            if len(ahead) > 1:
                yield from _parts(examples, *ahead.popleft())
        for group, read in ahead:
            yield from _parts(examples, group, read)


def _grouped(parts: Iterable[slice], at_most: int) -> Iterator[list[slice]]:
    """Yield neighbouring parts that have at most so many rows together, or one part that has more."""
    group: list[slice] = []
    for part in parts:
        if group and part.stop - group[0].start > at_most:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _parts(examples: StoredExamples, group: Sequence[slice], read: Future[Tensor]) -> Iterator[Tensor]:
    rows, first = read.result(), group[0].start
    for part in group:
        yield examples.seen(rows[part.start - first : part.stop - first])
