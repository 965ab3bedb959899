"""What repair and audit are measured on: Fashion-MNIST with noisy labels, and networks that memorized it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from latentgen.data.noise.registry import corrupt
from latentgen.data.registry import load_dataset

LOOK_ALIKES = {0: 6, 6: 0, 2: 4, 4: 2, 7: 9, 9: 7, 5: 7, 1: 3, 3: 1, 8: 5}
"""What each class of Fashion-MNIST is mistaken for under asymmetric noise: shirt for T-shirt, and so on."""

NOISES = {
    "s.4": ("symmetric", 0.4),
    "a.3": ("asymmetric", 0.3),
    "i.3": ("instance", 0.3),
    "p=0": ("symmetric", 0.0),
}
N_TRAIN, N_HELD_OUT, N_CLASSES = 10_000, 1_000, 10
CHECKPOINTS = (1, 2, 3, 4, 6, 8, 12, 20, 40)
EPOCHS = 100
WEIGHTS = Path("results/benchmarks/repair")
"""Where the trained networks are kept."""


@dataclass(frozen=True)
class Examples:
    """Images with the labels that are given, and with the true ones."""

    inputs: Tensor
    given: np.ndarray
    true: np.ndarray


@dataclass(frozen=True)
class Case:
    """One network that was trained on noisy labels, its checkpoints by epoch, and the data."""

    noise: str
    seed: int
    train: Examples
    held_out: Examples
    test: Examples
    network: nn.Module
    checkpoints: dict[int, dict[str, Tensor]]


def mlp() -> nn.Sequential:
    """Return an MLP with 128, 256 and 512 hidden units."""
    widths = (784, 128, 256, 512)
    hidden = [part for i in range(3) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], N_CLASSES))


def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    """Go through all examples once, in random order, in batches of 128."""
    network.train()
    for batch in torch.randperm(len(inputs)).split(128):
        optimizer.zero_grad()
        cross_entropy(network(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    network.eval()


def data(noise: str, seed: int) -> tuple[Examples, Examples, Examples]:
    """Return training, held-out and test examples; the first two have labels that are noisy alike."""
    fashion = load_dataset("fashion_mnist")
    kind, p = NOISES[noise]
    drawn = np.random.default_rng(seed).permutation(len(fashion.train_labels))[: N_TRAIN + N_HELD_OUT]
    images, true = fashion.train_inputs[drawn], fashion.train_labels[drawn]
    given = corrupt(true, N_CLASSES, kind, p, seed=seed, inputs=images, pairs=LOOK_ALIKES).corrupted
    inputs = torch.from_numpy(images).float() / 255
    parts = [
        Examples(inputs[part], given[part], true[part]) for part in (slice(N_TRAIN), slice(N_TRAIN, None))
    ]
    test = torch.from_numpy(fashion.test_inputs.copy()).float() / 255
    return parts[0], parts[1], Examples(test, fashion.test_labels, fashion.test_labels)


def case(noise: str, seed: int) -> Case:
    """Return a memorized network with its data; it is trained if it is not there yet (a minute)."""
    train, held_out, test = data(noise, seed)
    folder = WEIGHTS / f"{noise}-seed{seed}"
    if not (folder / f"epoch-{EPOCHS}.safetensors").exists():
        _train(folder, train, seed)
    network = mlp()
    states = {epoch: load_file(folder / f"epoch-{epoch}.safetensors") for epoch in (*CHECKPOINTS, EPOCHS)}
    network.load_state_dict(states.pop(EPOCHS))
    return Case(noise, seed, train, held_out, test, network.eval(), states)


def _train(folder: Path, train: Examples, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network, labels = mlp(), torch.from_numpy(train.given)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        train_epoch(network, optimizer, train.inputs, labels)
        schedule.step()
        if epoch in (*CHECKPOINTS, EPOCHS):
            save_file(network.state_dict(), folder / f"epoch-{epoch}.safetensors")
