"""Inputs of the benchmarks of repair and audit: data with noisy labels, and networks that memorized them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from benchmarks import sentences
from latentgen.data.inputs import Tokens
from latentgen.data.noise.registry import corrupt
from latentgen.data.registry import load_dataset
from latentgen.networks.transformer import Transformer

NOISES = {
    "s.2": ("symmetric", 0.2),
    "s.4": ("symmetric", 0.4),
    "s.6": ("symmetric", 0.6),
    "a.3": ("asymmetric", 0.3),
    "i.3": ("instance", 0.3),
    "p=0": ("symmetric", 0.0),
}
N_HELD_OUT = 1_000
CHECKPOINTS = (1, 2, 3, 4, 6, 8, 12, 20, 40)
WEIGHTS = Path("results/benchmarks/repair")
"""Folder of the trained networks."""
PREDICTED = "predicted.npy"
"""File of the classes that a network predicted in each epoch; written last."""

CLOTHES = {0: 6, 6: 0, 2: 4, 4: 2, 7: 9, 9: 7, 5: 7, 1: 3, 3: 1, 8: 5}
PACKAGES = {0: 1, 1: 0, 2: 3, 3: 2}
DIGITS = {7: 1, 1: 7, 2: 7, 3: 8, 8: 3, 5: 6, 6: 5, 4: 9, 9: 4, 0: 6}
"""The class that each class becomes under asymmetric noise: shirt to T-shirt, 4 to 9, scipy to sklearn."""

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
    predicted: np.ndarray
    """Classes that it predicted while it was trained: epochs × N."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return SETS[self.data].n_classes

    def new_network(self) -> nn.Module:
        """Return an untrained network of the same kind."""
        return SETS[self.data].network()


def mlp(n_inputs: int = 784, n_classes: int = 10) -> nn.Sequential:
    """Return an MLP with 128, 256 and 512 hidden units."""
    widths = (n_inputs, 128, 256, 512)
    hidden = [part for i in range(3) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(widths[-1], n_classes))


def cnn(side: int) -> nn.Sequential:
    """Return a CNN with three small convolutional layers and a hidden layer of 128 units."""
    widths = (16, 32, 64)
    maps = [nn.Conv2d(1, widths[0], 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    maps += [nn.Conv2d(widths[0], widths[1], 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    maps += [nn.Conv2d(widths[1], widths[2], 3, padding=1), nn.ReLU()]
    readout = nn.Linear(128, 10)
    return nn.Sequential(*maps, nn.Flatten(), nn.Linear(64 * (side // 8) ** 2, 128), nn.ReLU(), readout)


def resnet18() -> nn.Module:
    """Return a ResNet-18 with a quarter of the channels, of timm."""
    import timm

    return timm.create_model("resnet18", channels=[16, 32, 64, 128], in_chans=1, num_classes=10)


def transformer() -> nn.Module:
    """Return the built-in transformer of text with two blocks of width 48."""
    shape = Tokens(sentences.LENGTH, sentences.VOCABULARY, 0)
    return Transformer(architecture="Transformer", dim=48).make_body(shape, len(sentences.PACKAGES))


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


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Inputs and true labels of training and held-out examples, in random order, and of test examples."""


def images_of(
    dataset: str, change: Callable[[np.ndarray, int], np.ndarray] = lambda images, _seed: images
) -> Callable[[int, int], Drawn]:
    """Return a function that draws a number of images (bytes) of a data set by seed, and changes them."""

    def draw(seed: int, n: int) -> Drawn:
        source = load_dataset(dataset)
        drawn = np.random.default_rng(seed).permutation(len(source.train_labels))[:n]
        images = change(source.train_inputs[drawn], seed)
        return images, source.train_labels[drawn], change(source.test_inputs.copy(), 0), source.test_labels

    return draw


def texts(form: Callable[[np.ndarray], np.ndarray]) -> Callable[[int, int], Drawn]:
    """Return a function that draws a number of sentences by seed, in the form that a network takes."""

    def draw(seed: int, n: int) -> Drawn:
        ids, packages = sentences.token_ids()
        order = np.random.default_rng(seed).permutation(len(ids))
        drawn, test = order[:n], order[n:]
        return form(ids[drawn]), packages[drawn], form(ids[test]), packages[test]

    return draw


@dataclass(frozen=True)
class Setting:
    """A data set, its similar classes, and the network trained on it."""

    draw: Callable[[int, int], Drawn]
    pairs: dict[int, int]
    network: Callable[[], nn.Module]
    epochs: int = 100
    n_classes: int = 10
    n_train: int = 10_000


SETS = {
    "Fashion-MNIST": Setting(images_of("fashion_mnist"), CLOTHES, mlp),
    "Fashion-MNIST, CNN": Setting(images_of("fashion_mnist"), CLOTHES, partial(cnn, 28), 60),
    "Fashion-MNIST, ResNet-18": Setting(images_of("fashion_mnist"), CLOTHES, resnet18, 60),
    "Fashion-MNIST, whole": Setting(images_of("fashion_mnist"), CLOTHES, mlp, n_train=59_000),
    "MNIST": Setting(images_of("mnist"), DIGITS, mlp),
    "cluttered": Setting(images_of("mnist", cluttered), DIGITS, partial(cnn, CANVAS), 60),
    "text": Setting(
        texts(sentences.bags), PACKAGES, partial(mlp, sentences.VOCABULARY, len(PACKAGES)), 60, len(PACKAGES)
    ),
    "text, transformer": Setting(texts(np.asarray), PACKAGES, transformer, 60, len(PACKAGES)),
}
"""Images with an MLP, a CNN and a narrow ResNet-18; MNIST's digits on cluttered canvases, on which raw pixels
fail, with a CNN; bags of words with an MLP, and sentences with a transformer."""


def train_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor
) -> Tensor:
    """Train on all examples once, in random order, in batches of 128; return their logits meanwhile."""
    network.train()
    seen = []
    order = torch.randperm(len(inputs))
    for batch in order.split(128):
        optimizer.zero_grad()
        logits = network(inputs[batch])
        cross_entropy(logits, labels[batch]).backward()
        optimizer.step()
        seen.append(logits.detach())
    network.eval()
    return torch.cat(seen)[order.argsort()]


def data(name: str, noise: str, seed: int) -> tuple[Examples, Examples, Examples]:
    """Return training, held-out and test examples; the first two have equally noisy labels."""
    setting = SETS[name]
    kind, p = NOISES[noise]
    drawn, true, test, test_true = setting.draw(seed, setting.n_train + N_HELD_OUT)
    options: dict[str, object] = {"asymmetric": {"pairs": setting.pairs}, "instance": {"inputs": drawn}}.get(
        kind, {}
    )
    given = corrupt(true, setting.n_classes, kind, p, seed=seed, **options).corrupted
    inputs = _as_inputs(drawn)
    train, held_out = (
        Examples(inputs[part], given[part], true[part])
        for part in (slice(setting.n_train), slice(setting.n_train, None))
    )
    return train, held_out, Examples(_as_inputs(test), test_true, test_true)


def _as_inputs(examples: np.ndarray) -> Tensor:
    inputs = torch.from_numpy(examples)
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs


def case(name: str, noise: str, seed: int) -> Case:
    """Return a memorized network with its data; it is trained if it does not exist yet (minutes)."""
    setting = SETS[name]
    train, held_out, test = data(name, noise, seed)
    folder = WEIGHTS / f"{name}-{noise}-seed{seed}"
    if not (folder / PREDICTED).exists():
        _train(folder, setting, train, seed)
    network = setting.network()
    epochs = (*CHECKPOINTS, setting.epochs)
    states = {epoch: load_file(folder / f"epoch-{epoch}.safetensors") for epoch in epochs}
    network.load_state_dict(states.pop(setting.epochs))
    predicted = np.load(folder / PREDICTED)
    return Case(name, noise, seed, train, held_out, test, network.eval(), states, predicted)


def _train(folder: Path, setting: Setting, train: Examples, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network, labels = setting.network(), torch.from_numpy(train.given)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, setting.epochs)
    predicted = []
    for epoch in range(1, setting.epochs + 1):
        predicted.append(train_epoch(network, optimizer, train.inputs, labels).argmax(1).to(torch.uint8))
        schedule.step()
        if epoch in (*CHECKPOINTS, setting.epochs):
            save_file(network.state_dict(), folder / f"epoch-{epoch}.safetensors")
    np.save(folder / PREDICTED, torch.stack(predicted).numpy())
