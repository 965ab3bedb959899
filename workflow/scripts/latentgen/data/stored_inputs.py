"""The inputs of a data set in its file: in their own type and in one piece, so that they can be mapped.

What a job would rather not hold is read from there as it is needed, and what was read once stays in the
system's cache as long as there is room. HDF5 has checksums for chunks only: those of blocks of examples lie
beside the inputs, and all of them are compared when a file is opened.
"""

from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from latentgen.data.inputs import Inputs, InputShape, is_in_memory
from latentgen.data.mapped import forget
from latentgen.errors import DamagedFileError
from latentgen.runtime.files import put

if TYPE_CHECKING:
    import h5py

CHECKED_BYTES = 4 << 20
"""Bytes of inputs that share a checksum, and are written at a time."""


def write_inputs(file: "h5py.File", name: str, inputs: Inputs) -> None:
    """Write the inputs of a split, block by block: inputs that are read as they are needed are never held."""
    # Not compressed: zstd would shrink MNIST and Fashion-MNIST from 47 MB to 10 and 27 MB, but photographs
    # hardly, and only what is not compressed can be mapped.
    stored = file.create_dataset(name, inputs.shape, inputs.dtype)
    rows = max(1, CHECKED_BYTES // inputs[0].nbytes)
    checksums = np.zeros(-(-len(inputs) // rows), np.uint32)
    for block in range(len(checksums)):
        taken = slice(block * rows, (block + 1) * rows)
        stored[taken] = of_block = np.ascontiguousarray(inputs[taken])
        checksums[block] = crc32(of_block.data)
        forget(inputs)
    put(file, f"{name}_checksums", checksums)
    file[f"{name}_checksums"].attrs["rows"] = rows


def read_inputs(file: "h5py.File", name: str, shape: InputShape) -> Inputs:
    """Return the inputs of a split: mapped, if they are better not held in memory (`is_in_memory`).

    Parameters
    ----------
    file : h5py.File
    name : str
    shape : tuple or Tokens
        Shape of an example.

    Raises
    ------
    DamagedFileError
        If they are not what was written.
    """
    stored = file[name]
    if stored.chunks:  # written by an earlier version, with HDF5's checksums
        inputs: Inputs = stored[...]
        return inputs
    mapped = np.memmap(file.filename, stored.dtype, "r", stored.id.get_offset(), stored.shape)
    checksums = file[f"{name}_checksums"]
    rows = int(checksums.attrs["rows"])
    inputs = np.array(mapped) if is_in_memory(len(mapped), shape) else mapped
    for block, checksum in enumerate(checksums[...]):
        forget(inputs)
        if crc32(np.ascontiguousarray(inputs[block * rows : (block + 1) * rows]).data) != checksum:
            raise DamagedFileError(file.filename, f"is damaged: {name} are not what was written")
    return inputs
