"""Choose layer, head and checkpoint by held-out noisy labels.

Labels that the network was trained on always choose its last layer, where it has memorized them. Held-out
labels are equally noisy, but the network has not seen their noise: a head that agrees with them more often is
right more often. Without held-out labels nothing is chosen: the scores of all layers are added.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from latentgen.repairing.examples import AS_GIVEN, Given, with_weights
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, Anatomy, Features, collect, examine
from latentgen.repairing.heads import Head, Ridge, fit_heads
from latentgen.repairing.statistics import Interval, proportion

FOLDS = 10
"""Folds of the held-out labels: each is scored by the candidate that the other folds choose."""

ALL_LAYERS = "all layers"
NETWORK = "the network itself"


@dataclass(frozen=True)
class Snapshot:
    """A network with certain weights, and the features of all examples in it."""

    name: str
    network: nn.Module
    anatomy: Anatomy
    train: Features
    held_out: Features | None


@dataclass(frozen=True)
class Candidate:
    """A head on one layer, or one on each of several whose scores are added.

    Attributes
    ----------
    snapshot : Snapshot
    layer : str
        Its name, or `ALL_LAYERS`.
    probe : str
        The head's name, with its strength if it has one.
    heads : dict of str to Head
        By layer.
    held_out_scores : Tensor, m × C, or None
    correct : bool Tensor, m, or None
        Which held-out labels are predicted.
    """

    snapshot: Snapshot
    layer: str
    probe: str
    heads: dict[str, Head] = field(repr=False)
    held_out_scores: Tensor | None = field(default=None, repr=False)
    correct: Tensor | None = field(default=None, repr=False)

    @property
    def accuracy(self) -> Interval | None:
        """Fraction of the held-out (noisy) labels that are predicted."""
        return None if self.correct is None else proportion(int(self.correct.sum()), len(self.correct))

    @property
    def on_held_out(self) -> Tensor:
        """`correct`; only with held-out labels."""
        assert self.correct is not None
        return self.correct

    def left_out_scores(self) -> Tensor:
        """Return the scores of the training examples (n × C), each left out of the fit."""
        return sum_scores([head.left_out_scores() for head in self.heads.values()])


def sum_scores(scores: Sequence[Tensor]) -> Tensor:
    """Add the scores of several layers."""
    return torch.stack(list(scores)).sum(0)


def take_snapshots(given: Given, layers: Sequence[str] | None) -> list[Snapshot]:
    """Return the network and, with held-out labels, the checkpoint that is right most often on them."""
    named = [(AS_GIVEN, given.network)]
    if given.held_out is not None and given.checkpoints:
        right = {}
        for name, network in given.networks():
            predicted = collect(network, given.held_out.inputs, ()).predicted
            right[name] = int((predicted == given.held_out.labels).sum())
        del right[AS_GIVEN]
        best = max(right, key=lambda name: right[name])
        named.append((best, with_weights(given.network, given.checkpoints[best], best)))
    return [_snapshot(given, name, network, layers) for name, network in named]


def _snapshot(given: Given, name: str, network: nn.Module, layers: Sequence[str] | None) -> Snapshot:
    anatomy = given.anatomy if name == AS_GIVEN else examine(network, given.train.inputs, layers)
    train = collect(network, given.train.inputs, anatomy.layers)
    held_out = None if given.held_out is None else collect(network, given.held_out.inputs, anatomy.layers)
    return Snapshot(name, network, anatomy, train, held_out)


def fit_candidates(
    given: Given, snapshot: Snapshot, names: Sequence[str], seed: int, in_readout: Sequence[str] = ()
) -> list[Candidate]:
    """Fit heads on every layer of a snapshot; those of `in_readout`, on the readout's input only.

    With held-out labels, all heads are returned, each on every layer and on all layers together. Without
    them, only the first of `names`, on all layers together.
    """
    labels, n_classes = given.train.labels, given.n_classes
    chosen = names if given.held_out is not None else names[:1]
    by_probe: dict[str, dict[str, Head]] = {}
    for layer, X in snapshot.train.by_layer.items():
        further = in_readout if layer == READOUT_INPUT and given.held_out is not None else ()
        for head in fit_heads([*chosen, *further], X, labels, n_classes, seed, given.held_out is not None):
            by_probe.setdefault(_probe_name(head), {})[layer] = head
    candidates = []
    for probe, heads in by_probe.items():
        scores: dict[str, Tensor] = {}
        if snapshot.held_out is not None:
            scores = {name: head.scores(snapshot.held_out.by_layer[name]) for name, head in heads.items()}
            candidates += [
                _judged(given, snapshot, name, probe, {name: head}, scores[name])
                for name, head in heads.items()
            ]
        if len(heads) > 1 or given.held_out is None:
            together = sum_scores(list(scores.values())) if scores else None
            candidates.append(_judged(given, snapshot, ALL_LAYERS, probe, heads, together))
    return candidates


def _probe_name(head: Head) -> str:
    return f"{head.name} ({head.strength:g})" if isinstance(head, Ridge) else head.name


def _judged(
    given: Given, snapshot: Snapshot, layer: str, probe: str, heads: dict[str, Head], scores: Tensor | None
) -> Candidate:
    correct = None
    if scores is not None and given.held_out is not None:
        correct = scores.argmax(1) == given.held_out.labels
    return Candidate(snapshot, layer, probe, heads, scores, correct)


def network_itself(given: Given, snapshot: Snapshot) -> Candidate:
    """Return the network's own predictions as a candidate."""
    logits = None if snapshot.held_out is None else snapshot.held_out.logits
    return _judged(given, snapshot, NETWORK, "own readout", {}, logits)


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate that predicts the most held-out labels; the first of equals."""
    return max(
        candidates, key=lambda candidate: -1.0 if candidate.accuracy is None else candidate.accuracy.value
    )


def raw_input_only(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that use only the raw input."""
    return [candidate for candidate in candidates if candidate.layer == RAW_INPUT]


def right_when_chosen(candidates: Sequence[Candidate]) -> Tensor:
    """Return which held-out labels are predicted (m) when the candidate is chosen by the *other* labels.

    The labels are split into `FOLDS` folds. Each fold is scored by the candidate that predicts most labels of
    the other folds, so the choice among many candidates does not inflate the accuracy.
    """
    correct = torch.stack([candidate.on_held_out for candidate in candidates])
    fold = torch.arange(correct.shape[1]) % FOLDS
    kept = torch.zeros_like(correct[0])
    for this in range(FOLDS):
        inside = fold == this
        best = int(correct[:, ~inside].sum(1).argmax())
        kept[inside] = correct[best, inside]
    return kept


def as_table(candidates: Sequence[Candidate]) -> pd.DataFrame:
    """Return the candidates with their held-out accuracies: checkpoint, layer, probe, accuracy, low, high."""
    rows: list[dict[str, Any]] = []
    for candidate in candidates:
        accuracy = candidate.accuracy or Interval(float("nan"), float("nan"), float("nan"))
        rows.append(
            {
                "checkpoint": candidate.snapshot.name,
                "layer": candidate.layer,
                "probe": candidate.probe,
                "held_out_accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
            }
        )
    return pd.DataFrame(rows)
