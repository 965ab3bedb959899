"""Decomposed classes in a file: fitted by one job, used by others.

A group has ``directions`` (float64, a row each: for every class the basis of its subspace, then that of the
complement, if there is one), in one piece, so that it can be mapped and need not fit into memory. ``sizes``
has the numbers of both for each class (-1: no complement); the other arrays are small.
"""

from collections.abc import Iterator, Sequence
from typing import get_args
from zlib import crc32

import h5py
import numpy as np
import torch
from torch import Tensor

from latentgen.data.mapped import forget
from latentgen.errors import DamagedFileError
from latentgen.probes.class_subspace import ClassSubspace, Decomposition, Route
from latentgen.probes.inputs import Array
from latentgen.runtime.files import h5_errors, put

ROUTES: tuple[Route, ...] = get_args(Route)


def write_classes(group: h5py.Group, decomposition: Decomposition) -> None:
    """Write decomposed classes, class by class, with a checksum each."""
    subspaces = decomposition.subspaces
    sizes = np.array(
        [(s.n_components, -1 if s.complement is None else s.complement.shape[1]) for s in subspaces]
    )
    shape = (np.maximum(sizes, 0).sum(), len(subspaces[0].basis))
    directions = group.create_dataset("directions", shape, "float64")
    checksums, start = [], 0
    for subspace in subspaces:
        parts = [part for part in (subspace.basis, subspace.complement) if part is not None]
        rows = np.ascontiguousarray(np.concatenate([part.T.cpu().numpy() for part in parts]))
        directions[start : start + len(rows)] = rows
        checksums.append(crc32(rows.data))
        start += len(rows)
    arrays = {
        "sizes": sizes,
        "checksums": np.array(checksums, np.uint32),
        "energies": np.array([s.energy for s in subspaces]),
        "routes": np.array([ROUTES.index(s.route) for s in subspaces]),
        "fell_back": np.array([s.fell_back for s in subspaces]),
        "eigenvalues": np.concatenate([s.eigenvalues.cpu().numpy() for s in subspaces]),
        "counts": decomposition.counts.cpu().numpy(),
    }
    if decomposition.means is not None:
        arrays["means"] = decomposition.means.cpu().numpy()
    for name, array in arrays.items():
        if array.size:
            put(group, name, array)


def read_classes(groups: Sequence[h5py.Group], device: torch.device) -> Decomposition:
    """Return the classes of several groups, one after the other; on the CPU, their bases stay in the files.

    Raises
    ------
    DamagedFileError
        If they are not what was written.
    """
    ranges = [_Classes(group, device) for group in groups]
    signed = all("means" in part.group for part in ranges)
    return Decomposition(
        [subspace for part in ranges for subspace in part.subspaces()],
        torch.cat([part.array("means") for part in ranges]) if signed else None,
        torch.cat([part.array("counts") for part in ranges]),
    )


class _Classes:
    """The classes of one group."""

    def __init__(self, group: h5py.Group, device: torch.device) -> None:
        self.group, self._device = group, device

    def array(self, name: str) -> Tensor:
        return torch.from_numpy(self._values(name)).to(self._device)

    def subspaces(self) -> Iterator[ClassSubspace]:
        sizes, n_items = self._values("sizes"), self._values("counts")
        eigenvalues = torch.split(self.array("eigenvalues"), sizes[:, 0].tolist())
        energies, routes, fell_back = map(self._values, ("energies", "routes", "fell_back"))
        rows = np.maximum(sizes, 0)
        bases = torch.split(self._directions(rows.sum(1)), rows.flatten().tolist())
        for c, (basis, complement) in enumerate(zip(bases[::2], bases[1::2], strict=True)):
            yield ClassSubspace(
                basis.T,
                eigenvalues[c],
                float(energies[c]),
                int(n_items[c]),
                ROUTES[routes[c]],
                fell_back=bool(fell_back[c]),
                complement=None if sizes[c, 1] < 0 else complement.T,
            )

    def _values(self, name: str) -> Array:
        with h5_errors(self.group.file.filename):
            # Without any direction there are no eigenvalues.
            return self.group[name][...] if name in self.group else np.empty(0)

    def _directions(self, of_class: Array) -> Tensor:
        path, checksums = self.group.file.filename, self._values("checksums")
        stored = self.group["directions"]
        if not len(stored):
            return torch.empty(stored.shape, dtype=torch.float64, device=self._device)
        # Private pages, which torch may take for writable.
        mapped = np.memmap(path, np.float64, "c", stored.id.get_offset(), stored.shape)
        stops = np.cumsum(of_class)
        for start, stop, checksum in zip(stops - of_class, stops, checksums, strict=True):
            if crc32(mapped[start:stop].data) != checksum:
                raise DamagedFileError(path, "is damaged: its directions are not what was written")
            forget(mapped)
        return torch.from_numpy(mapped).to(self._device)
