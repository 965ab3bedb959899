"""Files of activations with a range of the examples each, read as one."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from latentgen.runtime.files import h5_errors


class JoinedRows:
    """Rows that are in several files, range after range, like one HDF5 dataset."""

    def __init__(self, parts: Sequence[h5py.Dataset]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        self.shape: tuple[int, ...] = (self._starts[-1], *parts[0].shape[1:])
        self.dtype, self.chunks = parts[0].dtype, parts[0].chunks
        self.nbytes = sum(part.nbytes for part in parts)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Return some rows, a slice without steps; an ellipsis is all of them."""
        first, last, _ = slice(
            None if rows is ... else rows.start, None if rows is ... else rows.stop
        ).indices(len(self))
        pieces = []
        for part, start in zip(self._parts, self._starts, strict=False):
            here = slice(max(first - start, 0), min(last - start, len(part)))
            if here.start < here.stop:
                with h5_errors(part.file.filename):
                    pieces.append(part[here])
        return np.concatenate(pieces) if pieces else np.empty((0, *self.shape[1:]), self.dtype)


class JoinedGroup:
    """Groups of the same name in several files, like one HDF5 group; a range may lack what is empty there."""

    def __init__(self, groups: Sequence[h5py.Group]) -> None:
        self.groups = groups
        self.attrs, self.file = groups[0].attrs, groups[0].file

    def __iter__(self) -> Iterator[str]:
        """Return the names in any of the files."""
        return iter(dict.fromkeys(name for group in self.groups for name in group))

    def __contains__(self, name: str) -> bool:
        """Whether one of the files has it."""
        return any(name in group for group in self.groups)

    def __getitem__(self, name: str) -> Any:
        """Return the group or the rows of a name."""
        having = [group for group in self.groups if name in group] or list(self.groups[:1])
        with h5_errors(having[0].file.filename):
            pieces = [group[name] for group in having]
        return JoinedRows(pieces) if isinstance(pieces[0], h5py.Dataset) else JoinedGroup(pieces)


Stored: TypeAlias = h5py.Group | JoinedGroup
"""A group of a file, or of several with a range each."""
