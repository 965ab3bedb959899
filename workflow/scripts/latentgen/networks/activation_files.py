"""The layout of activations files: ``/{epoch}/{layer}/{split}``, items × units.

Beside the layers of an epoch, ``(predictions)/test`` holds the classes that the network predicts.

Apart from what computes them, so that a step that reads them need not import torch.
"""

import h5py
import hdf5plugin  # also lets h5py read what Blosc2 compressed
import numpy as np

from latentgen.errors import DamagedFileError

CHUNK_ITEMS = 1024
"""Items of the largest chunk, by which activations are written. Smaller ones are halves, quarters, … of it,
so that only whole chunks are written: a part of one would be read, decompressed and compressed again."""

CHUNK_BYTES = 1 << 20
"""Chunks of wide layers are no larger than this, or one row. Chunks are whole rows: with h5py's own guess,
reading rows was 40 × slower."""

PREDICTIONS = "(predictions)"
"""In place of a layer: the classes that the network itself predicts for the test examples."""


def create(file: h5py.File, name: str, shape: tuple[int, int], dtype: str) -> h5py.Dataset:
    """Create the dataset of one layer and split (items × units), compressed and chunked by items."""
    rows = CHUNK_ITEMS
    while rows > 1 and rows * shape[1] * np.dtype(dtype).itemsize > CHUNK_BYTES:
        rows //= 2
    blosc = hdf5plugin.Blosc2(cname="zstd", clevel=1)
    chunks = (min(rows, shape[0]), shape[1])
    return file.create_dataset(name, shape, dtype, chunks=chunks, compression=blosc, fletcher32=True)


def check_run(file: h5py.File, run: str) -> None:
    """Check that a file is of a run.

    Raises
    ------
    DamagedFileError
        If it is of another one.
    """
    found = file.attrs.get("run")
    if found != run:
        raise DamagedFileError(
            file.filename, f"holds activations of run {found}, where those of {run} belong"
        )


def layers_of(file: h5py.File) -> list[str]:
    """Return the layers a file holds, input to output (groups of HDF5 come in the order of the alphabet)."""
    return [str(layer) for layer in file.attrs["layers"]]


def epochs_of(file: h5py.File) -> list[int]:
    """Return the epochs whose activations a file holds, in rising order."""
    return sorted(int(name) for name in file)
