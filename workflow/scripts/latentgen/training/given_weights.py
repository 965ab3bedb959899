"""Given weights, trained elsewhere, as the checkpoints of a run.

They are read as tensors only: safetensors, or PyTorch's files with ``weights_only=True``, which runs no code.
Weights that do not fit the network are refused by name and shape before anything is written.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.errors import DamagedFileError, LatentgenError, UnreadableFileError
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.checkpoints import save_checkpoint
from latentgen.runtime.files import atomic_path, reading
from latentgen.runtime.logs import Progress
from latentgen.training.data import TrainingData
from latentgen.training.measuring import counting, counts_on_held_out, counts_on_test, counts_on_train
from latentgen.training.records import EpochRecord, TrainingResult

WRAPPINGS = ("state_dict", "model_state_dict", "model", "network", "net")
"""Keys under which training scripts often save the weights, beside other data."""

LONGEST = 300
"""Characters of names in a message."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a network by name.

    Raises
    ------
    LatentgenError
        If the file is missing, corrupt or cannot be read now, or contains anything but tensors.
    """
    try:
        with reading(path):
            weights = _load(Path(path))
    except DamagedFileError as error:
        raise LatentgenError(f"{path} does not exist.") from error
    except UnreadableFileError:
        raise
    except Exception as error:  # a corrupt file can raise anything
        raise LatentgenError(
            f"{path} cannot be read as weights: it is damaged, or holds more than tensors, which is never "
            "read. Save the state_dict alone: safetensors.torch.save_file(network.state_dict(), …)."
        ) from error
    if isinstance(weights, dict):
        weights = next((weights[key] for key in WRAPPINGS if isinstance(weights.get(key), dict)), weights)
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        held = ", ".join(map(str, weights)) if isinstance(weights, dict) else type(weights).__name__
        raise LatentgenError(
            f"{path} is not a state_dict: it holds {shorten(held, LONGEST, placeholder=' …')}. It must hold "
            f"tensors by name, and nothing else; or have them under {', '.join(WRAPPINGS)}."
        )
    return dict(weights)


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights into a network.

    Raises
    ------
    LatentgenError
        If their names and shapes are not those of the network, or if some are NaN or infinite.
    """
    expected = network.state_dict()
    weights = _unwrapped(weights, expected)
    problems = [f"lacks {name}, {_shape(expected[name])}" for name in expected if name not in weights]
    problems += [
        f"has {name}, {_shape(weights[name])}, which the network does not have"
        for name in weights
        if name not in expected
    ]
    problems += [
        f"{name} is {_shape(weights[name])} and must be {_shape(expected[name])}"
        for name in expected
        if name in weights and weights[name].shape != expected[name].shape
    ]
    if problems:
        more = f"\n  … and {len(problems) - 10} more" if len(problems) > 10 else ""
        listed = "".join(f"\n  {problem}" for problem in problems[:10])
        raise LatentgenError(f"The weights in {path} do not fit the network:{listed}{more}")
    for name, tensor in weights.items():
        wrong = int((~tensor.isfinite()).sum())
        if wrong:
            raise LatentgenError(
                f"The weights in {path} are unusable: {wrong} of {tensor.numel()} numbers in {name} are NaN "
                "or infinite. Take a file from before training diverged."
            )
    network.load_state_dict(dict(weights))


def _unwrapped(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Drop what DataParallel, torch.compile and Lightning put before the names of all weights."""
    named = weights
    while not named.keys() & expected.keys():
        if len({name.partition(".")[0] for name in named}) != 1 or not all("." in name for name in named):
            return weights
        named = {name.partition(".")[2]: tensor for name, tensor in named.items()}
    return named


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"


def take_weights(
    network: nn.Module, files: Mapping[int, str | Path], data: TrainingData, run: str, checkpoints: str | Path
) -> TrainingResult:
    """Write given weights as a run's checkpoints, and count the correct predictions of each.

    Parameters
    ----------
    network : nn.Module
        The network of these weights, on the device of the data.
    files : mapping of int to path
        Files of weights by epoch.
    data : TrainingData
        The data to evaluate on.
    run : str
        Name of the run.
    checkpoints : path
        Folder to write.

    Raises
    ------
    LatentgenError
        As in `read_weights` and `put_weights`.
    """
    started = time.monotonic()
    if depends_on_batch(network):
        raise LatentgenError(
            "With renorm, the output of a network depends on the batch, and the batch size of this training "
            "is unknown. Use another normalization, or train the network here."
        )
    count = counting(network)
    history: list[EpochRecord] = []
    progress = Progress(len(files), "checkpoint")
    with atomic_path(checkpoints) as partial:
        partial.mkdir()
        for epoch, path in files.items():
            put_weights(network, read_weights(path), path)
            save_checkpoint(partial, run, epoch, network)
            measured: dict[str, Any] = counts_on_train(count, data) | counts_on_test(count, data)
            measured |= counts_on_held_out(count, data)
            history.append(EpochRecord(epoch=epoch, **measured))
            accuracy = measured["test_correct"] / measured["test_total"]
            progress.step(len(history), f"epoch {epoch}, test {accuracy:.4f}")
    ended = f"trained elsewhere: weights of {len(files)} epochs were given"
    return TrainingResult.untrained(history, ended, time.monotonic() - started, data.device)
