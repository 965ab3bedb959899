"""Weights of a run at its checkpoints: one safetensors file each, in one folder.

Each file has a checksum of its content, which is verified on reading. Equal weights and metadata give equal
bytes.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.runtime.files import atomic_path, reading

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

_METADATA = "latentgen"
"""The one key of a file's metadata: safetensors writes several in random order, and a file with none and no
tensors cannot be read back."""

_FILE_NAME = re.compile(r"epoch-(\d+)\.safetensors")


def checkpoint_name(epoch: int, edit: str = "") -> str:
    """Name of a checkpoint's file, such as ``epoch-0040.safetensors`` or ``epoch-0040-zero.safetensors``."""
    return f"epoch-{epoch:04d}{'-' if edit else ''}{edit}.safetensors"


def save_checkpoint(folder: Path, run: str, epoch: int, network: "nn.Module") -> None:
    """Save the weights of an epoch in the folder of a run's checkpoints."""
    weights = {
        name: tensor.detach().cpu().contiguous().numpy() for name, tensor in network.state_dict().items()
    }
    save_weights(folder / checkpoint_name(epoch), weights, {"run": run, "epoch": str(epoch)})


def checkpoint_paths(folder: str | Path, epochs: range | None = None) -> dict[int, Path]:
    """Return the files of a folder's checkpoints by increasing epoch; only those of some epochs if given."""
    by_epoch = {
        int(match[1]): path for path in Path(folder).iterdir() if (match := _FILE_NAME.fullmatch(path.name))
    }
    return {epoch: by_epoch[epoch] for epoch in sorted(by_epoch) if epochs is None or epoch in epochs}


def checkpoint_at(folder: str | Path, epoch: int) -> tuple[int, Path]:
    """Return epoch and file of a checkpoint, or of the last one if training ended earlier.

    Raises
    ------
    LatentgenError
        If training continued beyond the epoch, but there is no checkpoint at it.
    """
    paths = checkpoint_paths(folder)
    last = max(paths)
    if epoch not in paths and epoch < last:
        raise LatentgenError(f"{folder} has no checkpoint at epoch {epoch}. Choose another epoch.")
    latest = min(epoch, last)
    return latest, paths[latest]


def load_network(network: "nn.Module", path: str | Path, expected: tuple[str, int] | None = None) -> None:
    """Put a checkpoint's weights into a network.

    Parameters
    ----------
    network : nn.Module
    path : str or Path
    expected : (str, int), optional
        The run and the epoch that the checkpoint must belong to.

    Raises
    ------
    LatentgenError
        If the file is truncated or belongs to another run or epoch, or its weights do not fit the network.
    """
    import torch

    weights, metadata = read_tensors(path)
    stored = metadata.get("run"), metadata.get("epoch")
    if expected and stored != (expected[0], str(expected[1])):
        raise DamagedFileError(
            path,
            f"holds run {stored[0]} at epoch {stored[1]}, "
            f"where run {expected[0]} at epoch {expected[1]} belongs",
        )
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LatentgenError(f"The weights in {path} do not fit the network: {error}") from error


def load_weights(path: str | Path) -> dict[str, "np.ndarray"]:
    """Return a checkpoint's weights as arrays by name, without importing torch.

    Raises
    ------
    DamagedFileError
        If the file is missing, truncated or corrupt.
    UnreadableFileError
        If it cannot be read now.
    """
    return read_tensors(path)[0]


def save_weights(
    path: str | Path, weights: Mapping[str, "np.ndarray"], metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights as a checkpoint that loads like any other, without importing torch."""
    from safetensors.numpy import save_file

    described = {**(metadata or {}), "sha256": _digest(weights, metadata or {})}
    with atomic_path(path) as partial:
        save_file(dict(weights), partial, {_METADATA: json.dumps(described, sort_keys=True)})


def checkpoint_metadata(path: str | Path) -> dict[str, str]:
    """Return the metadata of a checkpoint: its run and epoch, and how it was edited."""
    return read_tensors(path)[1]


def read_tensors(path: str | Path) -> tuple[dict[str, "np.ndarray"], dict[str, str]]:
    """Return weights and metadata written by `save_weights`, after verifying their checksum.

    Raises
    ------
    DamagedFileError
        As in `load_weights`.
    """
    try:
        with reading(path), safe_open(path, "np") as file:
            metadata: dict[str, str] = json.loads((file.metadata() or {})[_METADATA])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            expected = metadata.pop("sha256")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(
            path, f"cannot be read as a safetensors file of latentgen ({error})"
        ) from error
    if _digest(weights, metadata) != expected:
        raise DamagedFileError(path, "does not hold what was written: its checksum differs")
    return weights, metadata


def read_tensor(path: str | Path, name: str) -> "np.ndarray | None":
    """Return one tensor of a file written by `save_weights`, or None if it has none of that name.

    The rest of the file is not read, so the checksum is not verified.

    Raises
    ------
    DamagedFileError
        If it cannot be read.
    """
    try:
        with reading(path), safe_open(path, "np") as file:
            return file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(
            path, f"cannot be read as a safetensors file of latentgen ({error})"
        ) from error


def _digest(weights: Mapping[str, "np.ndarray"], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, array in sorted(weights.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
