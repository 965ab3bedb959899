"""Inputs of the benchmarks of repair and audit: data with noisy labels, and networks that memorized them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from latentgen.data.noise.registry import corrupt
from latentgen.data.registry import load_dataset

NOISES = {
    "s.4": ("symmetric", 0.4),
    "a.3": ("asymmetric", 0.3),
    "i.3": ("instance", 0.3),
    "p=0": ("symmetric", 0.0),
}
N_TRAIN, N_HELD_OUT, N_CLASSES = 10_000, 1_000, 10
CHECKPOINTS = (1, 2, 3, 4, 6, 8, 12, 20, 40)
WEIGHTS = Path("results/benchmarks/repair")
"""Folder of the trained networks."""

CLOTHES = {0: 6, 6: 0, 2: 4, 4: 2, 7: 9, 9: 7, 5: 7, 1: 3, 3: 1, 8: 5}
DIGITS = {7: 1, 1: 7, 2: 7, 3: 8, 8: 3, 5: 6, 6: 5, 4: 9, 9: 4, 0: 6}
"""The class that each class becomes under asymmetric noise: shirt to T-shirt, 4 to 9, and so on."""

CANVAS, PATCH, PATCHES = 40, 8, 6
"""Side of a cluttered canvas in pixels, side of its clutter, and number of pieces."""


@dataclass(frozen=True)
class Examples:
    """Images with given and true labels."""

    inputs: Tensor
    given: np.ndarray
    true: np.ndarray


@dataclass(frozen=True)
class Case:
    """One network that was trained on noisy labels, its checkpoints by epoch, and the data."""

    data: str
    noise: str
    seed: int
    train: Examples
    held_out: Examples
    test: Examples
    network: nn.Module
    checkpoints: dict[int, dict[str, Tensor]]

    def new_network(self) -> nn.Module:
        """Return an untrained network of the same kind."""
        return SETS[self.data].network()


def mlp() -> nn.Sequential:
    """Return an MLP with 128, 256 and 512 hidden units."""
    widths = (784, 128, 256, 512)
    hidden = [part for i in range(3) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], N_CLASSES))


def cnn() -> nn.Sequential:
    """Return a CNN with three small convolutional layers and a hidden layer of 128 units."""
    widths = (1, 12, 24, 48)
    maps = [
        part
        for i in range(3)
        for part in (nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    readout = nn.Linear(128, N_CLASSES)
    return nn.Sequential(*maps, nn.Flatten(), nn.Linear(48 * 25, 128), nn.ReLU(), readout)


def cluttered(images: np.ndarray, seed: int) -> np.ndarray:
    """Put images (N × 1 × 28 × 28), scaled and shifted at random, on canvases with pieces of other images."""
    rng = np.random.default_rng(seed)
    canvases = np.zeros((len(images), 1, CANVAS, CANVAS), dtype=np.uint8)
    for canvas, image in zip(canvases[:, 0], images[:, 0], strict=True):
        for other in images[:, 0][rng.integers(len(images), size=PATCHES)]:
            i, j = rng.integers(28 - PATCH, size=2)
            y, x = rng.integers(CANVAS - PATCH, size=2)
            piece = canvas[y : y + PATCH, x : x + PATCH]
            np.maximum(piece, other[i : i + PATCH, j : j + PATCH], out=piece)
        side = int(rng.integers(18, 33))
        pixels = torch.from_numpy(image.astype(np.float32))[None, None]
        scaled = interpolate(pixels, (side, side), mode="bilinear", antialias=True)[0, 0].numpy()
        i, j = rng.integers(CANVAS - side + 1, size=2)
        place = canvas[i : i + side, j : j + side]
        np.maximum(place, scaled.round().astype(np.uint8), out=place)
    return canvases


@dataclass(frozen=True)
class Setting:
    """A data set, its similar classes, the changes to its images, and the network trained on them."""

    dataset: str
    pairs: dict[int, int]
    network: Callable[[], nn.Module]
    epochs: int = 100
    change: Callable[[np.ndarray, int], np.ndarray] = lambda images, _seed: images


SETS = {
    "Fashion-MNIST": Setting("fashion_mnist", CLOTHES, mlp),
    "MNIST": Setting("mnist", DIGITS, mlp),
    "cluttered": Setting("mnist", DIGITS, cnn, 60, cluttered),
}
"""Images with an MLP; MNIST's digits on cluttered canvases, on which raw pixels fail, with a CNN."""


def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    """Train on all examples once, in random order, in batches of 128."""
    network.train()
    for batch in torch.randperm(len(inputs)).split(128):
        optimizer.zero_grad()
        cross_entropy(network(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    network.eval()


def data(name: str, noise: str, seed: int) -> tuple[Examples, Examples, Examples]:
    """Return training, held-out and test examples; the first two have equally noisy labels."""
    setting = SETS[name]
    source = load_dataset(setting.dataset)
    kind, p = NOISES[noise]
    drawn = np.random.default_rng(seed).permutation(len(source.train_labels))[: N_TRAIN + N_HELD_OUT]
    true = source.train_labels[drawn]
    images = setting.change(source.train_inputs[drawn], seed)
    options: dict[str, object] = {"asymmetric": {"pairs": setting.pairs}, "instance": {"inputs": images}}.get(
        kind, {}
    )
    given = corrupt(true, N_CLASSES, kind, p, seed=seed, **options).corrupted
    inputs = torch.from_numpy(images).float() / 255
    parts = [
        Examples(inputs[part], given[part], true[part]) for part in (slice(N_TRAIN), slice(N_TRAIN, None))
    ]
    test = torch.from_numpy(setting.change(source.test_inputs.copy(), 0)).float() / 255
    return parts[0], parts[1], Examples(test, source.test_labels, source.test_labels)


def case(name: str, noise: str, seed: int) -> Case:
    """Return a memorized network with its data; it is trained if it does not exist yet (minutes)."""
    setting = SETS[name]
    train, held_out, test = data(name, noise, seed)
    folder = WEIGHTS / f"{name}-{noise}-seed{seed}"
    if not (folder / f"epoch-{setting.epochs}.safetensors").exists():
        _train(folder, setting, train, seed)
    network = setting.network()
    epochs = (*CHECKPOINTS, setting.epochs)
    states = {epoch: load_file(folder / f"epoch-{epoch}.safetensors") for epoch in epochs}
    network.load_state_dict(states.pop(setting.epochs))
    return Case(name, noise, seed, train, held_out, test, network.eval(), states)


def _train(folder: Path, setting: Setting, train: Examples, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network, labels = setting.network(), torch.from_numpy(train.given)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, setting.epochs)
    for epoch in range(1, setting.epochs + 1):
        train_epoch(network, optimizer, train.inputs, labels)
        schedule.step()
        if epoch in (*CHECKPOINTS, setting.epochs):
            save_file(network.state_dict(), folder / f"epoch-{epoch}.safetensors")
