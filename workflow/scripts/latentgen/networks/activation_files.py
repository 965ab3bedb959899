"""The layout of activations files: ``/{epoch}/{layer}/{split}``, examples × units.

Beside the layers of an epoch, ``(predictions)/test`` has the classes that the network predicts.

This is separate from the code that writes them, so that reading them does not import torch.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # also lets h5py read Blosc2
import numpy as np

from latentgen.errors import DamagedFileError
from latentgen.networks.joined_files import JoinedGroup, Stored
from latentgen.networks.ranges import CHUNK_ITEMS
from latentgen.runtime.files import read_h5

CHUNK_BYTES = 1 << 20
"""Largest size of a chunk in bytes, but at least one row. Chunks are whole rows: with h5py's default, reading
rows was 40 times as slow."""

PREDICTIONS = "(predictions)"
"""Name, in place of a layer, for the classes that the network itself predicts for the test examples."""


def create(file: h5py.File, name: str, shape: tuple[int, int], dtype: str) -> h5py.Dataset:
    """Create the dataset of one layer and split (examples × units), compressed and chunked by examples."""
    rows = CHUNK_ITEMS
    while rows > 1 and rows * shape[1] * np.dtype(dtype).itemsize > CHUNK_BYTES:
        rows //= 2
    blosc = hdf5plugin.Blosc2(cname="zstd", clevel=1)
    chunks = (min(rows, shape[0]), shape[1])
    return file.create_dataset(name, shape, dtype, chunks=chunks, compression=blosc, fletcher32=True)


def check_run(file: h5py.File, run: str) -> None:
    """Check that a file belongs to a run.

    Raises
    ------
    DamagedFileError
        If it belongs to another run.
    """
    stored_run = file.attrs.get("run")
    if stored_run != run:
        raise DamagedFileError(
            file.filename, f"holds activations of run {stored_run}, where those of {run} belong"
        )


def layers_of(file: Stored) -> list[str]:
    """Return the layers in a file, from input to output (HDF5 lists groups in alphabetical order)."""
    return [str(layer) for layer in file.attrs["layers"]]


def epochs_of(file: Stored) -> list[int]:
    """Return the epochs whose activations are in a file, in increasing order."""
    return sorted(int(name) for name in file)


@contextmanager
def read_activations(paths: str | Path | Sequence[str | Path], run: str) -> Iterator[Stored]:
    """Yield a file of activations, or several with a range of the examples each as one (`Stored`).

    Parameters
    ----------
    paths : path or sequence of paths
        In the order of the ranges.
    run : str
        The run that they must belong to.

    Raises
    ------
    DamagedFileError, UnreadableFileError
        As in `read_h5` and `check_run`.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    with ExitStack() as opened:
        files = [opened.enter_context(read_h5(path)) for path in paths]
        for file in files:
            check_run(file, run)
        yield files[0] if len(files) == 1 else JoinedGroup(files)
