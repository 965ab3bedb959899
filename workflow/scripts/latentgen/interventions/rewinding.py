"""Rewinding: the last layers of a trained network are taken from an earlier checkpoint; nothing is trained.

If memorization is confined to the last layers, replacing them by those from before memorization restores test
accuracy (Maini et al., ICML 2023, "Can neural network memorization be localized?").
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.checkpoints import load_weights
from latentgen.runtime.logs import Progress
from latentgen.training.data import TrainingData
from latentgen.training.measuring import counting, counts_on_held_out, counts_on_test, counts_on_train
from latentgen.training.records import EpochRecord, TrainingResult


def rewound_names(network: nn.Module, layers_from: str) -> list[str]:
    """Return the names of the weights of a layer and of all later ones, running statistics included.

    The order is that in which the network registers its modules.

    Raises
    ------
    LatentgenError
        If the network has no layer of that name.
    """
    places = {module: place for place, module in enumerate(network.modules())}
    try:
        first = places[network.get_submodule(layers_from)]
    except AttributeError:
        raise LatentgenError(f"The network has no layer {layers_from!r} to rewind from.") from None
    owners = {name: network.get_submodule(name.rpartition(".")[0]) for name in network.state_dict()}
    return [name for name, owner in owners.items() if places[owner] >= first]


def rewind(
    network: nn.Module,
    checkpoints: Mapping[int, Path],
    to_epochs: Sequence[int],
    layers_from: str,
    data: TrainingData,
) -> TrainingResult:
    """Count the correct predictions of the final network with its last layers taken from earlier epochs.

    Parameters
    ----------
    network : nn.Module
        On the device of the data; its weights are replaced.
    checkpoints : mapping of int to path
        Files of all weights of a run by epoch; the last is the network that is rewound.
    to_epochs : sequence of int
        Epochs that layers are taken from; those that training did not reach are left out. The last epoch,
        which changes nothing, is always added.
    layers_from : str
        The first layer that is taken.
    data : TrainingData
        The data to evaluate on.

    Returns
    -------
    TrainingResult
        Its history has a record for each epoch that layers were taken from.

    Raises
    ------
    LatentgenError
        As in `rewound_names`.
    """
    started = time.monotonic()
    last = max(checkpoints)
    final = _tensors(checkpoints[last])
    names = rewound_names(network, layers_from)
    epochs = sorted({epoch for epoch in to_epochs if epoch in checkpoints} | {last})
    count, history = counting(network), []
    progress = Progress(len(epochs), "checkpoint")
    for epoch in epochs:
        earlier = _tensors(checkpoints[epoch])
        network.load_state_dict(final | {name: earlier[name] for name in names})
        measured: dict[str, Any] = counts_on_train(count, data) | counts_on_test(count, data)
        measured |= counts_on_held_out(count, data)
        history.append(EpochRecord(epoch=epoch, **measured))
        progress.step(len(history), f"epoch {epoch}")
    ended = f"nothing was trained: layers from {layers_from} on were taken from {len(epochs)} epochs"
    return TrainingResult.untrained(history, ended, time.monotonic() - started, data.device)


def _tensors(path: Path) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in load_weights(path).items()}
