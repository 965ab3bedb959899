"""Weights of a run at its checkpoints: one safetensors file each, in one folder."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from latentgen.errors import LatentgenError
from latentgen.files import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

_FILE_NAME = re.compile(r"epoch-(\d+)\.safetensors")


def checkpoint_name(epoch: int, edit: str = "") -> str:
    """Name of a checkpoint's file, as in ``epoch-0040.safetensors`` or ``epoch-0040-zero.safetensors``."""
    return f"epoch-{epoch:04d}{'-' if edit else ''}{edit}.safetensors"


@contextmanager
def checkpoint_folder(folder: str | Path, run: str) -> Iterator["CheckpointWriter"]:
    """Yield what saves a run's checkpoints; their folder appears, whole, only if the block succeeds."""
    with atomic_path(folder) as partial:
        partial.mkdir()
        yield CheckpointWriter(partial, run)


class CheckpointWriter:
    """Saves a network's weights under its epoch."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.run = folder, run

    def __call__(self, epoch: int, network: "nn.Module") -> None:
        """Save the weights of an epoch."""
        from safetensors.torch import save_file

        state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        save_file(state, self.folder / checkpoint_name(epoch), {"run": self.run, "epoch": str(epoch)})


def checkpoint_paths(folder: str | Path, epochs: range | None = None) -> dict[int, Path]:
    """Return the files of a folder's checkpoints by epoch, rising; only those of some epochs if given."""
    found = {
        int(match[1]): path for path in Path(folder).iterdir() if (match := _FILE_NAME.fullmatch(path.name))
    }
    return {epoch: found[epoch] for epoch in sorted(found) if epochs is None or epoch in epochs}


def checkpoint_at(folder: str | Path, epoch: int) -> tuple[int, Path]:
    """Return epoch and file of a checkpoint, or of the last before it if training ended earlier.

    Raises
    ------
    LatentgenError
        If training went on beyond the epoch, yet there is no checkpoint of it.
    """
    paths = checkpoint_paths(folder)
    last = max(paths)
    if epoch not in paths and epoch < last:
        raise LatentgenError(f"{folder} has no checkpoint of epoch {epoch}.")
    found = min(epoch, last)
    return found, paths[found]


def load_network(network: "nn.Module", path: str | Path) -> None:
    """Put a checkpoint's weights into a network.

    Raises
    ------
    LatentgenError
        If the file is cut short, or its weights do not fit the network.
    """
    import torch

    state = {name: torch.from_numpy(array) for name, array in load_weights(path).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LatentgenError(f"The weights in {path} do not fit the network: {error}") from error


def load_weights(path: str | Path) -> dict[str, "np.ndarray"]:
    """Return a checkpoint's weights as arrays by name; needs no torch."""
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def save_weights(
    path: str | Path, weights: Mapping[str, "np.ndarray"], metadata: Mapping[str, str] | None = None
) -> None:
    """Write weights as a checkpoint that loads like any other; needs no torch."""
    from safetensors.numpy import save_file

    with atomic_path(path) as partial:
        # Never without metadata: safetensors cannot read back a file with neither tensors nor metadata.
        save_file(dict(weights), partial, {"writer": "latentgen", **(metadata or {})})


def checkpoint_metadata(path: str | Path) -> dict[str, str]:
    """Return what a checkpoint says of itself: its run and epoch, and how it was edited."""
    try:
        with safe_open(path, "np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> LatentgenError:
    return LatentgenError(f"{path} cannot be read as safetensors ({error}). Delete it and run again.")
