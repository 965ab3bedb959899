"""The layout of activations files: ``/{epoch}/{layer}/{train,test}``, items × units.

Apart from what computes them, so that a step that reads them need not import torch.
"""

import h5py
import hdf5plugin  # also lets h5py read what Blosc2 compressed
import numpy as np

CHUNK_BYTES = 1 << 20
"""About the size of a chunk. Chunks are whole rows: with h5py's own guess, reading rows was 40 × slower."""


def create(file: h5py.File, name: str, shape: tuple[int, int], dtype: str) -> h5py.Dataset:
    """Create the dataset of one layer and split (items × units), compressed and chunked by items."""
    rows = max(1, min(shape[0], CHUNK_BYTES // (shape[1] * np.dtype(dtype).itemsize)))
    blosc = hdf5plugin.Blosc2(cname="zstd", clevel=1)
    return file.create_dataset(
        name, shape, dtype, chunks=(rows, shape[1]), compression=blosc, fletcher32=True
    )


def layers_of(file: h5py.File) -> list[str]:
    """Return the layers a file holds, input to output (groups of HDF5 come in the order of the alphabet)."""
    return [str(layer) for layer in file.attrs["layers"]]


def epochs_of(file: h5py.File) -> list[int]:
    """Return the epochs whose activations a file holds, in rising order."""
    return sorted(int(name) for name in file)
