"""Weights that were trained elsewhere, taken as the checkpoints of a run.

They are read as tensors only: safetensors, or PyTorch's files with ``weights_only=True``, which runs no code.
Whatever does not fit the network is refused by name and shape before anything is written.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.checkpoints import save_checkpoint
from latentgen.runtime.files import atomic_path
from latentgen.runtime.logs import Progress, peak_megabytes
from latentgen.training.loop import (
    EpochRecord,
    TrainingData,
    TrainingResult,
    count_correct,
    labels_to_measure,
)

WRAPPINGS = ("state_dict", "model_state_dict")
"""Keys under which training scripts often put the weights, beside other things."""


def read_own_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a network by name.

    Raises
    ------
    LatentgenError
        If the file is missing or damaged, or holds other things than tensors.
    """
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise LatentgenError(f"{path} does not exist.") from error
    except Exception as error:  # a damaged file can raise anything
        raise LatentgenError(
            f"{path} cannot be read as weights: it is damaged, or holds more than tensors, which is never "
            "read. Save the state_dict alone: safetensors.torch.save_file(network.state_dict(), …)."
        ) from error
    if isinstance(found, dict):
        found = next((found[key] for key in WRAPPINGS if key in found), found)
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise LatentgenError(f"{path} is no state_dict: it must hold tensors by name, and nothing else.")
    return dict(found)


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights into a network.

    Raises
    ------
    LatentgenError
        If they are not, by name and shape, those of the network, or if some are NaN or infinite.
    """
    own = network.state_dict()
    mistakes = [f"lacks {name}, {_shape(own[name])}" for name in own if name not in weights]
    mistakes += [
        f"has {name}, {_shape(weights[name])}, which it has not" for name in weights if name not in own
    ]
    mistakes += [
        f"{name} is {_shape(weights[name])} and must be {_shape(own[name])}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if mistakes:
        more = f"\n  … and {len(mistakes) - 10} more" if len(mistakes) > 10 else ""
        listed = "".join(f"\n  {mistake}" for mistake in mistakes[:10])
        raise LatentgenError(f"The weights in {path} do not fit the network:{listed}{more}")
    for name, tensor in weights.items():
        wrong = int((~tensor.isfinite()).sum())
        if wrong:
            raise LatentgenError(
                f"The weights in {path} are unusable: {wrong} of {tensor.numel()} numbers in {name} are NaN "
                "or infinite. Take a file from before training diverged."
            )
    network.load_state_dict(dict(weights))


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"


def take_weights(
    network: nn.Module, files: Mapping[int, str | Path], data: TrainingData, run: str, checkpoints: str | Path
) -> TrainingResult:
    """Write trained weights as a run's checkpoints, and count what each classifies correctly.

    Parameters
    ----------
    network : nn.Module
        Which network they are of, on the device of the data.
    files : mapping of int to path
        Files of weights by epoch.
    data : TrainingData
        What to measure on.
    run : str
        Name of the run.
    checkpoints : path
        Folder to write.

    Raises
    ------
    LatentgenError
        As `read_own_weights` and `put_weights`.
    """
    started = time.monotonic()
    if depends_on_batch(network):
        raise LatentgenError(
            "With renorm, what a network answers depends on the batch, and the size in training is not known."
        )
    measured = labels_to_measure(data)
    history: list[EpochRecord] = []
    progress = Progress(len(files), "checkpoint")
    with atomic_path(checkpoints) as partial:
        partial.mkdir()
        for epoch, path in files.items():
            put_weights(network, read_own_weights(path), path)
            save_checkpoint(partial, run, epoch, network)
            counts = count_correct(network, data.train_inputs, *measured)
            corrupted, true, redrawn_corrupted, redrawn_true = [*counts, None, None, None][:4]
            (test,) = count_correct(network, data.test_inputs, data.test_labels)
            history.append(
                EpochRecord(
                    epoch=epoch,
                    loss=None,
                    online_correct=None,
                    online_total=None,
                    test_correct=test,
                    test_total=len(data.test_labels),
                    train_corrupted_correct=corrupted,
                    train_true_correct=true,
                    train_total=len(data.corrupted_labels),
                    redrawn_corrupted_correct=redrawn_corrupted,
                    redrawn_true_correct=redrawn_true,
                    redrawn_total=None if data.redrawn is None else int(data.redrawn.sum()),
                    seconds=0.0,
                )
            )
            progress.step(len(history), f"epoch {epoch}, test {test / len(data.test_labels):.4f}")
    return TrainingResult(
        history=history,
        ended=f"trained elsewhere: weights of {len(files)} epochs were taken",
        items_per_second=0.0,
        seconds=time.monotonic() - started,
        times_resumed=0,
        identity="",
        peak_memory_mb=peak_megabytes(),
        device=str(data.train_inputs.device),
        threads=torch.get_num_threads(),
        torch_version=str(torch.__version__),
    )
