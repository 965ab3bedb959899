"""Ways to choose layer, head or checkpoint without held-out labels, compared on the benchmark's networks.

Each scores the training examples (each left out of the fit) and classifies the test examples. All but
`label_wave` and `checkpoints` see only the network, its training examples and their noisy labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.repair_data import Case
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, collect, examine
from latentgen.repairing.heads import Head, Ridge, UnitMeans

DEFAULT = "sum over layers, unit means (the default)"

SMOOTHED = 3
"""Epochs over which Label Wave averages."""

SHIFT, DROPPED = 2, 0.2
"""An augmented view: an image shifted by up to 2 pixels, a text without a fifth of its words."""


@dataclass(frozen=True)
class Scored:
    """Scores of training examples, each left out of the fit (n × C), of their views, and of test examples."""

    left_out: Tensor
    test: Tensor
    views: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class predicted for each training example."""
        return self.left_out.argmax(1)


@dataclass(frozen=True)
class Way:
    """One way to choose: the scores that it leads to, and what it chose."""

    name: str
    left_out: Tensor
    test: Tensor
    chosen: str


def ways(of: Case) -> Iterator[Way]:
    """Yield every way for one network."""
    views = augmented(of.train.inputs, of.seed)
    means = _scored(of, of.network, UnitMeans(), views)
    ridges = _scored(of, of.network, Ridge(), views)
    labels = torch.from_numpy(of.train.given)
    yield _sum(DEFAULT, means)
    yield _sum("sum over layers, ridge", ridges)
    hidden = {name: scored for name, scored in means.items() if name != READOUT_INPUT}
    yield _sum("sum over layers but the last, unit means", hidden)
    yield _one("agreement with the other layers", means, most_agreeing(list(means.values())))
    yield _one("before the training accuracy bends", means, before_the_bend(means, labels))
    yield _one("stable under augmentation", means, most_stable(list(means.values())))
    yield _one("labels of augmented views", means, best_on_views(list(means.values()), labels))
    yield _one("labels of augmented views, ridge", ridges, best_on_views(list(ridges.values()), labels))

    networks = {epoch: _with(of, epoch) for epoch in of.checkpoints}
    by_epoch = {epoch: _total(_scored(of, network, UnitMeans(), None)) for epoch, network in networks.items()}
    by_epoch[len(of.predicted)] = _total(means)
    nearest = min(by_epoch, key=lambda epoch: abs(epoch - label_wave(of.predicted)))
    wave = by_epoch[nearest]
    yield Way("Label Wave, sum over layers", wave.left_out, wave.test, f"epoch {nearest}")
    everything = list(by_epoch.values())
    together = [sum(getattr(scored, part) for scored in everything) for part in ("left_out", "test")]
    yield Way("sum over checkpoints and layers", *together, "all checkpoints")
    most = list(by_epoch)[most_agreeing(everything)]
    yield Way(
        "agreement with the other checkpoints", by_epoch[most].left_out, by_epoch[most].test, f"epoch {most}"
    )

    each = {
        f"{name}, {probe}": s
        for probe, of_probe in (("unit means", means), ("ridge", ridges))
        for name, s in of_probe.items()
    }
    right = [int((scored.test.argmax(1).numpy() == of.test.true).sum()) for scored in each.values()]
    yield _one("best single layer by true test labels (not a method)", each, int(np.argmax(right)))


def _with(of: Case, epoch: int) -> nn.Module:
    network = of.new_network().eval()
    network.load_state_dict(of.checkpoints[epoch])
    return network


def _scored(of: Case, network: nn.Module, head: Head, views: Tensor | None) -> dict[str, Scored]:
    """Fit a head on every layer of a network."""
    layers = examine(network, of.train.inputs).layers
    train, test = (collect(network, x.inputs, layers).by_layer for x in (of.train, of.test))
    seen = train if views is None else collect(network, views, layers).by_layer
    labels, found = torch.from_numpy(of.train.given), {}
    for name, X in train.items():
        fitted = type(head)().fit(X, labels, of.n_classes)
        left_out = fitted.left_out_scores()
        found[name] = Scored(
            left_out, fitted.scores(test[name]), left_out if views is None else fitted.scores(seen[name])
        )
    return found


def _total(by_layer: dict[str, Scored]) -> Scored:
    parts = ("left_out", "test", "views")
    return Scored(*(torch.stack([getattr(s, part) for s in by_layer.values()]).sum(0) for part in parts))


def _sum(name: str, by_layer: dict[str, Scored]) -> Way:
    total = _total(by_layer)
    return Way(name, total.left_out, total.test, f"{len(by_layer)} layers")


def _one(name: str, by_layer: dict[str, Scored], position: int) -> Way:
    layer, scored = list(by_layer.items())[position]
    return Way(name, scored.left_out, scored.test, layer)


def augmented(inputs: Tensor, seed: int) -> Tensor:
    """Return a view of each example that the network has not seen: shifted, or without some of its words."""
    generator = torch.Generator().manual_seed(seed)
    if inputs.ndim == 4:
        padded = nn.functional.pad(inputs, (SHIFT,) * 4)
        moves = torch.randint(2 * SHIFT + 1, (len(inputs), 2), generator=generator).tolist()
        height, width = inputs.shape[2:]
        return torch.stack(
            [x[:, i : i + height, j : j + width] for x, (i, j) in zip(padded, moves, strict=True)]
        )
    dropped = torch.rand(inputs.shape, generator=generator) < DROPPED
    # Of token ids, 0 is padding and 1 an unknown word.
    replaced = inputs.clamp_max(1) if not inputs.is_floating_point() else torch.zeros_like(inputs)
    return torch.where(dropped, replaced, inputs)


def most_agreeing(scored: Sequence[Scored]) -> int:
    """Return the layer (or checkpoint) whose predictions equal those of the others most often."""
    predicted = torch.stack([s.predicted for s in scored])
    agreement = (predicted[:, None] == predicted[None]).double().mean(2)
    return int((agreement.sum(1) - 1).argmax())


def before_the_bend(by_layer: dict[str, Scored], labels: Tensor) -> int:
    """Return the layer after which the accuracy on the training labels accelerates most, by depth.

    Accuracy that rises slowly is taken for learning, and its sudden rise in late layers for memorization. The
    raw input is the first layer.
    """
    assert next(iter(by_layer)) == RAW_INPUT
    accuracy = np.array([float((s.predicted == labels).double().mean()) for s in by_layer.values()])
    return 1 + int(np.diff(accuracy, 2).argmax()) if len(accuracy) > 2 else 0


def most_stable(scored: Sequence[Scored]) -> int:
    """Return the layer whose predictions change least between examples and their augmented views."""
    return int(np.argmax([float((s.predicted == s.views.argmax(1)).double().mean()) for s in scored]))


def best_on_views(scored: Sequence[Scored], labels: Tensor) -> int:
    """Return the layer that predicts most given labels of augmented views, as if these were held out."""
    return int(np.argmax([float((s.views.argmax(1) == labels).double().mean()) for s in scored]))


def label_wave(predicted: np.ndarray) -> int:
    """Return the epoch chosen by Label Wave (Yuan, Feng and Liu, ICLR 2025), counted from 1.

    The number of training examples (epochs × N) whose predicted class changed from the last epoch, averaged
    over `SMOOTHED` epochs, has its first minimum there; the last epoch if it only falls.
    """
    changes = (predicted[1:] != predicted[:-1]).mean(1)
    smooth = np.convolve(changes, np.ones(SMOOTHED) / SMOOTHED, "valid")
    rises = np.flatnonzero(smooth[1:] > smooth[:-1])
    # smooth[i] averages the changes up to epoch i + SMOOTHED + 1.
    return int(rises[0]) + SMOOTHED + 1 if len(rises) else len(predicted)
