"""Audit and repair of the runs of a study: their arguments, and test accuracies after repair."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from latentgen.data.datasets import Dataset, read_dataset
from latentgen.data.labels import Labels, read_labels
from latentgen.errors import LatentgenError
from latentgen.networks.adapted import Adapted
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, load_network
from latentgen.networks.forward import Normalization, dataset_inputs
from latentgen.networks.layer_choice import probed
from latentgen.repairing.repair import Repair
from latentgen.training.measuring import count_correct

CPU = torch.device("cpu")


class RunToAudit(NamedTuple):
    """A run of a study, to be audited or repaired."""

    network: nn.Module
    """That of the last checkpoint."""
    dataset: Dataset
    arguments: dict[str, Any]
    """Keyword arguments of `latentgen.audit` and `latentgen.repair`."""


def read_run(
    dataset: str | Path,
    labels: str | Path,
    checkpoints: str | Path,
    model: Mapping[str, Any],
    device: torch.device,
    **settings: Any,
) -> RunToAudit:
    """Read a run from its files.

    Parameters
    ----------
    dataset, labels : str or Path
        Files of its data set and its labels.
    checkpoints : str or Path
        Folder of its weights.
    model : mapping
        The network, as in the study file.
    device : torch.device
        The device of the network.
    **settings
        `input_range`, `layers`, `seed` and `normalize`, as in `arguments_of_run`.
    """
    data = read_dataset(dataset)
    if data.next_token:
        raise LatentgenError("Audit and repair are not for next tokens.")
    network = make_network(model, data.input_shape, data.n_classes).to(device)
    paths = checkpoint_paths(checkpoints)
    arguments = arguments_of_run(network, data, read_labels(labels), checkpoints=paths, **settings)
    return RunToAudit(network, data, arguments)


def arguments_of_run(
    network: nn.Module,
    dataset: Dataset,
    labels: Labels,
    input_range: Sequence[float],
    checkpoints: Mapping[int, Path],
    layers: Sequence[str],
    seed: int,
    normalize: Normalization = None,
) -> dict[str, Any]:
    """Return the keyword arguments of `latentgen.audit` and `latentgen.repair` for one run.

    The network is that of the last checkpoint. With held-out examples to choose by, earlier checkpoints are
    given too, except the untrained network.

    Parameters
    ----------
    network : nn.Module
        On its device; it gets the weights of the last checkpoint.
    dataset : Dataset
    labels : Labels
        The labels it was trained on.
    input_range : (float, float)
        Range that pixels are scaled to.
    checkpoints : mapping of int to Path
        Files of weights, by epoch.
    layers : sequence of str
        The layers that the study probes; those that are modules of the network are used, without their pool.
        If there are none, those that `latentgen.repairing.features.examine` finds.
    seed : int
        The run's seed.
    normalize : str or mapping, optional
        How inputs are normalized (`latentgen.networks.forward.dataset_inputs`).
    """
    last = max(checkpoints)
    load_network(network, checkpoints[last])
    network = network.body if isinstance(network, Adapted) else network
    modules = dict(network.named_modules())
    known = [name for name in dict.fromkeys(probed(layer).layer for layer in layers) if name in modules]
    given: dict[str, Any] = {
        "network": network,
        "inputs": dataset_inputs(dataset, "train", input_range, CPU, normalize),
        "labels": _named(labels.corrupted, dataset),
        "layers": known or None,
        "seed": seed,
    }
    if dataset.held_out is not None and labels.held_out is not None:
        inputs = dataset_inputs(dataset, "held_out", input_range, CPU, normalize)
        given["held_out"] = inputs, _named(labels.held_out, dataset)
        earlier = sorted(epoch for epoch in checkpoints if 0 < epoch < last)
        given["checkpoints"] = {epoch: checkpoints[epoch] for epoch in earlier} or None
    return given


def _named(labels: NDArray[Any], dataset: Dataset) -> Any:
    return pd.Categorical.from_codes(labels, pd.Index(dataset.class_names))


def counts_on_test(
    fixed: Repair,
    network: nn.Module,
    dataset: Dataset,
    input_range: Sequence[float],
    normalize: Normalization = None,
) -> dict[str, int]:
    """Return the number of test images classified correctly, against their true labels.

    For the given network, the repaired one, and a linear head on the raw input; and the number of test
    images.
    """
    device = next(network.parameters()).device
    inputs = dataset_inputs(dataset, "test", input_range, device, normalize)
    labels = torch.from_numpy(dataset.test_labels).to(device)
    networks = {"network": network, "repaired": fixed.network, "raw_input": fixed.raw_input}
    with_logits = {
        name: Adapted(one.to(device), readout=None, channels_last=True) for name, one in networks.items()
    }
    counts = {name: count_correct(one, inputs, labels)[0] for name, one in with_logits.items()}
    return counts | {"total": len(labels)}
