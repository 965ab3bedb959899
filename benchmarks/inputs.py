"""Inputs of the benchmarks: networks trained on Fashion-MNIST with 40 % of the labels redrawn, and probes."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgen.data.datasets import Dataset, subset
from latentgen.data.labels import Labels
from latentgen.data.noise.registry import corrupt
from latentgen.data.registry import load_dataset
from latentgen.linalg import Linear
from latentgen.networks.activations import captured
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import load_network, save_weights
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC, fit_together
from latentgen.training.data import TrainingData, training_data
from latentgen.training.optimizers import make_optimizer
from latentgen.training.parameter_groups import parameter_groups

INPUT_RANGE = (-1.0, 1.0)
LAYERS = ("fc1", "fc2", "fc3", "fc4")
CPU = torch.device("cpu")
WEIGHTS = Path("results/benchmarks")
"""Folder of networks that take minutes to train."""


@cache
def fashion(train_items: int | None = None) -> Dataset:
    """Fashion-MNIST, or some of its training examples."""
    return subset(load_dataset("fashion_mnist"), train_items)


def corrupted(dataset: Dataset) -> Labels:
    """Symmetric noise with p = 0.4."""
    return corrupt(dataset.train_labels, dataset.n_classes, "symmetric", 0.4, seed=1)


def network_for(dataset: Dataset, architecture: str = "MLP") -> nn.Module:
    """Return the papers' network with its initial weights."""
    return make_network({"architecture": architecture}, dataset.input_shape, dataset.n_classes, seed=1)


def plain(network: nn.Module) -> nn.Module:
    """Return the same network with torch's default linear layers and memory layout."""
    copy = deepcopy(network).to(memory_format=torch.contiguous_format)
    for module in copy.modules():
        if isinstance(module, Linear):
            module.__class__ = nn.Linear
    return copy


def data_of(dataset: Dataset) -> TrainingData:
    """Return its training data."""
    return training_data(dataset, corrupted(dataset), INPUT_RANGE, CPU)


@dataclass(frozen=True)
class Probed:
    """A trained network, and the outputs of its layers."""

    network: nn.Module
    train_inputs: Tensor
    test_inputs: Tensor
    labels: Labels
    train: dict[str, Tensor]
    test: dict[str, Tensor]
    train_accuracy: float

    @cached_property
    def fitted(self) -> dict[str, list[SubspaceProbe]]:
        """Both probes on every layer, fitted with the corrupted labels of all training examples."""
        return fit_layers(self.train, self.labels)


@cache
def probed(epochs: int, train_items: int | None = None, fast: bool = False) -> Probed:
    """Return an MLP trained for some epochs, with its activations.

    As in the papers (SGD, 0.001, momentum 0.9, batches of 32); `fast`: to memorization in a minute (Adam,
    0.001, batches of 256).
    """
    dataset = fashion(train_items)
    data = data_of(dataset)
    network = network_for(dataset)
    weights = WEIGHTS / f"mlp-{train_items or 60000}-{epochs}{'-fast' * fast}.safetensors"
    if weights.exists():
        load_network(network, weights)
    else:
        train_network(network, data, epochs, fast)
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_weights(weights, {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    network.eval()
    train, test = (activations(network, inputs) for inputs in (data.train_inputs, data.test_inputs))
    with torch.inference_mode():
        predicted = torch.cat([network(block).argmax(1) for block in data.train_inputs.split(2000)])
    accuracy = float((predicted == data.corrupted_labels).double().mean())
    return Probed(network, data.train_inputs, data.test_inputs, corrupted(dataset), train, test, accuracy)


def train_network(network: nn.Module, data: TrainingData, epochs: int, fast: bool) -> None:
    """Train a network on corrupted labels; `fast` as in `probed`."""
    parameters = list(network.parameters())
    if fast:
        optimizer = make_optimizer(parameter_groups(network, 1e-3), "Adam", betas=(0.9, 0.999))
    else:
        optimizer = make_optimizer(parameter_groups(network, 1e-3), "SGD", momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.corrupted_labels), generator=generator).split(
            256 if fast else 32
        ):
            loss = nn.functional.cross_entropy(
                network(data.train_inputs[batch]), data.corrupted_labels[batch]
            )
            optimizer.step(torch.autograd.grad(loss, parameters))


def forward(network: nn.Module, inputs: Tensor, block: int = 2000) -> None:
    """Pass every example through the network once; with the `plain` one, this is the yardstick."""
    with torch.inference_mode():
        for items in inputs.split(block):
            network(items)


def activations(network: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Activations of every layer, examples × units."""
    blocks: dict[str, list[Tensor]] = {layer: [] for layer in LAYERS}
    with captured(network, LAYERS) as outputs, torch.no_grad():
        for items in inputs.split(2000):
            network(items)
            for layer in LAYERS:
                blocks[layer].append(outputs[layer])
    return {layer: torch.cat(rows) for layer, rows in blocks.items()}


def fit_layers(train: Mapping[str, Tensor], labels: Labels) -> dict[str, list[SubspaceProbe]]:
    """Fit both probes with the corrupted labels, layer by layer."""
    return {layer: fit(items, torch.from_numpy(labels.corrupted)) for layer, items in train.items()}


def fit(X: Tensor, labels: Tensor, n_classes: int = 10) -> list[SubspaceProbe]:
    """Fit both probes like the workflow."""
    probes: list[SubspaceProbe] = [MASC(variance=0.99), VeLPIC()]
    fit_together(probes, X, labels, n_classes)
    return probes
