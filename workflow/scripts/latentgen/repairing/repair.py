"""Repair a network that memorized noisy labels, without retraining, if held-out labels support it."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.repairing.choice import (
    ALL_LAYERS,
    NETWORK,
    Candidate,
    Snapshot,
    as_table,
    best_of,
    fit_candidates,
    network_itself,
    raw_input_only,
    right_when_chosen,
    take_snapshots,
)
from latentgen.repairing.examples import AS_GIVEN, Given, State, take
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, Layer, Reduce
from latentgen.repairing.heads import LinearHead
from latentgen.repairing.networks import Shortcut, SumOfLayers, takes, with_readout
from latentgen.repairing.noise import estimate_noise
from latentgen.repairing.statistics import (
    Calibration,
    Interval,
    calibration,
    calibration_with_temperature,
    fit_temperature,
    paired_difference,
    proportion,
)

HEADS, IN_READOUT = ("unit means", "ridge"), ("VeLPIC",)
"""Heads that held-out labels choose among: on every layer, and on the readout's input only. On the other
layers VeLPIC, as good as unit means, would take as long as everything else together."""

Kind = Literal["none", "checkpoint", "shortcut", "readout"]

NOISE_TO_REPAIR = 0.05
"""Estimated noise of the training labels above which a network is repaired without held-out labels. On
Fashion-MNIST the estimate was 0.002 for true labels and 0.2 for 30 to 40 % noise."""

REPRODUCED_TO_REPAIR = 0.5
"""A network has memorized if it predicts more than this fraction of the labels that probes contradict. A CNN
predicted 97 % of them at the end, and 20 % at its best checkpoint, which the repair would have made worse."""


@dataclass(frozen=True)
class Repair:
    """The result of `repair`.

    Attributes
    ----------
    network : nn.Module
        Takes the same inputs as the given network and returns logits, in eval mode. Always a copy, even if
        nothing was changed.
    kind : {"none", "checkpoint", "shortcut", "readout"}
        Unchanged; earlier weights (with a new head, if that is better still); the network up to a layer with
        a head on it; the network with another readout.
    before, after : Interval or None
        Accuracy on the held-out, noisy labels; only with held-out examples. `after` is cross-validated: each
        tenth of the labels is scored by the candidate that the others choose.
    gain : Interval or None
        `after` − `before`, paired by example.
    checkpoint, layer, probe : str
        What the result consists of.
    raw_input : nn.Module
        The best linear head on the raw input, fitted in the same way: the control.
    calibration : dict of str to Calibration
        Negative log likelihood and expected calibration error of held-out labels: `before`, of the given
        network; `without temperature` and `after`, of the new head.
    candidates : DataFrame
        All candidates that were compared.
    findings : tuple of str
        Warnings and remarks that belong to the result, in sentences.
    """

    network: nn.Module
    kind: Kind
    before: Interval | None
    after: Interval | None
    gain: Interval | None
    checkpoint: str
    layer: str
    probe: str
    raw_input: nn.Module = field(repr=False)
    calibration: dict[str, Calibration]
    candidates: pd.DataFrame = field(repr=False)
    findings: tuple[str, ...]
    classes: tuple[Any, ...]
    example: Tensor = field(repr=False)
    same_architecture: bool

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights, to load into the given network's class.

        Raises
        ------
        LatentgenError
            If the result has another structure.
        """
        if not self.same_architecture:
            raise LatentgenError(
                f"The repaired network ends at layer {self.layer!r}, so its weights do not fit the given "
                "one. Use .network, or save it with torch.export (as `latentgen repair` does)."
            )
        return dict(self.network.state_dict())


@dataclass(frozen=True)
class _Step:
    """The repair so far: its kind, a candidate, and which held-out labels it predicts when chosen."""

    kind: Kind
    candidate: Candidate
    right: Tensor

    def is_beaten_by(self, other: "_Step") -> bool:
        """Whether another predicts significantly more held-out labels."""
        return paired_difference(other.right, self.right).low > 0

    @property
    def accuracy(self) -> Interval:
        """Fraction of the held-out labels that are predicted."""
        return proportion(int(self.right.sum()), len(self.right))


def repair(
    network: nn.Module,
    inputs: Any,
    labels: Any = None,
    held_out: Any = None,
    layers: Sequence[str] | None = None,
    checkpoints: Mapping[Any, State] | Sequence[State] | None = None,
    seed: int = 0,
    *,
    readout: bool = False,
) -> Repair:
    """Return a network that generalizes better than a given one, which memorized noisy labels.

    With held-out examples, the following are tried in order, and each is taken only if it predicts
    significantly more held-out labels than the best so far: an earlier checkpoint (unchanged, or with a new
    linear head); the network truncated at its best layer with a linear head (or the whole network with heads
    on all layers, their scores added); and a new readout (preferred if it is as good as these, since the
    network's structure stays the same). Training labels choose nothing.

    Without held-out examples, if probes contradict labels that the network reproduces, the cosines with the
    classes' unit means are added over all layers; the quality of the result is then unknown.

    Parameters
    ----------
    network, inputs, labels, held_out, layers, checkpoints, seed
        As in `latentgen.audit`.
    readout : bool
        Only write a new readout, as the papers do, and only if it is better than the old one.

    Returns
    -------
    Repair

    Raises
    ------
    LatentgenError
        If an argument is not as described.
    """
    given = take(network, inputs, labels, held_out, layers, checkpoints)
    if given.held_out is None:
        if readout:
            raise LatentgenError("readout=True needs held_out examples, to show that it helps. Give some.")
        return _without_held_out(given, layers, seed)
    snapshots = take_snapshots(given, layers)
    itself = [network_itself(given, snapshot) for snapshot in snapshots]
    candidates = [
        c for snapshot in snapshots for c in fit_candidates(given, snapshot, HEADS, seed, IN_READOUT)
    ]
    step = _choose(itself, candidates, readout)
    return _built(given, step, itself, candidates)


def _choose(itself: Sequence[Candidate], candidates: Sequence[Candidate], readout_only: bool) -> _Step:
    """Try the repairs in order; each has to beat the best so far."""
    given = now = _Step("none", itself[0], itself[0].on_held_out)
    earlier = [*itself[1:], *(c for c in candidates if c.snapshot.name != AS_GIVEN and c.layer != RAW_INPUT)]
    of_given = [c for c in candidates if c.snapshot.name == AS_GIVEN]
    readouts = [c for c in of_given if _fits_readout(c)]
    if not readout_only:
        for other in (*_best("checkpoint", earlier), *_best("shortcut", of_given)):
            now = other if now.is_beaten_by(other) else now
    if now.kind != "checkpoint":
        for other in _best("readout", readouts):
            as_good = other.accuracy.value >= now.accuracy.value
            now = other if as_good and given.is_beaten_by(other) else now
    return now


def _best(kind: Kind, group: Sequence[Candidate]) -> list[_Step]:
    """Return the best of a group, if it is not empty."""
    return [_Step(kind, best_of(group), right_when_chosen(group))] if group else []


def _fits_readout(candidate: Candidate) -> bool:
    readout = candidate.snapshot.anatomy.readout
    if candidate.layer != READOUT_INPUT or readout is None:
        return False
    return takes(candidate.snapshot.network, readout, _linear(candidate, 1.0, _layer(candidate)))


def _layer(candidate: Candidate) -> Layer:
    return next(layer for layer in candidate.snapshot.anatomy.layers if layer.name == candidate.layer)


def _linear(candidate: Candidate, temperature: float, layer: Layer | None = None) -> nn.Linear:
    """Return the candidate's head as a linear layer: on the features, or on the whole output of a layer."""
    head = candidate.heads[candidate.layer]
    assert isinstance(head, LinearHead)
    projection = None if layer is None else Reduce(layer).projection
    return head.as_linear(temperature, projection)


def _held_out_logits(candidate: Candidate) -> Tensor:
    """Held-out logits of the candidate's network, before calibration."""
    assert candidate.held_out_scores is not None
    assert candidate.snapshot.held_out is not None
    if len(candidate.heads) != 1:
        return candidate.held_out_scores
    with torch.no_grad():
        logits: Tensor = _linear(candidate, 1.0)(candidate.snapshot.held_out.by_layer[candidate.layer])
    return logits


def _built(given: Given, step: _Step, itself: Sequence[Candidate], candidates: Sequence[Candidate]) -> Repair:
    assert given.held_out is not None
    candidate, labels = step.candidate, given.held_out.labels
    measured = {"before": calibration(_held_out_logits(itself[0]), labels)}
    network, same = _copied(candidate.snapshot), True
    if candidate.heads:
        logits = _held_out_logits(candidate)
        measured["without temperature"] = calibration(logits, labels)
        measured["after"] = calibration_with_temperature(logits, labels)
        network, same = _with_heads(candidate, fit_temperature(logits, labels))
    return Repair(
        network=network,
        kind=step.kind,
        before=itself[0].accuracy,
        after=step.accuracy,
        gain=paired_difference(step.right, itself[0].on_held_out),
        checkpoint=candidate.snapshot.name,
        layer=candidate.layer,
        probe=candidate.probe,
        raw_input=_with_heads(best_of(raw_input_only(candidates)), 1.0)[0],
        calibration=measured,
        candidates=as_table([*itself, *candidates]),
        findings=_findings(step, candidates),
        classes=given.classes,
        example=given.train.inputs[:2].clone(),
        same_architecture=same,
    )


def _copied(snapshot: Snapshot) -> nn.Module:
    return copy.deepcopy(snapshot.network).eval()


def _with_heads(candidate: Candidate, temperature: float) -> tuple[nn.Module, bool]:
    """Return the network with a candidate's heads, and whether it is still the same network."""
    network, anatomy = candidate.snapshot.network, candidate.snapshot.anatomy
    if candidate.layer == ALL_LAYERS:
        heads = [head for head in candidate.heads.values() if isinstance(head, LinearHead)]
        linear = [head.as_linear(temperature) for head in heads]
        return SumOfLayers(network, anatomy.layers, linear, heads[0].unit), False
    if anatomy.readout is not None and _fits_readout(candidate):
        linear_readout = _linear(candidate, temperature, _layer(candidate))
        return with_readout(network, anatomy.readout, linear_readout), True
    return Shortcut(network, _layer(candidate), _linear(candidate, temperature)), False


def _findings(step: _Step, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    findings = []
    if step.kind == "none":
        findings.append(
            "No candidate is significantly better than the given network, so it is returned unchanged."
        )
    if step.candidate.layer == RAW_INPUT:
        findings.append(
            "The network is discarded: a linear head on the raw input predicts more held-out labels."
        )
    elif step.kind != "none":
        raw = best_of(raw_input_only(candidates))
        if paired_difference(step.candidate.on_held_out, raw.on_held_out).low <= 0:
            findings.append(
                f"A linear head on the raw input ({raw.probe}) is as good on the held-out labels: they show "
                "no contribution of the network."
            )
    return tuple(findings)


def _without_held_out(given: Given, layers: Sequence[str] | None, seed: int) -> Repair:
    """Repair by the sum of unit means over all layers, if the network memorized what they contradict."""
    (snapshot,) = take_snapshots(given, layers)
    (together,) = fit_candidates(given, snapshot, HEADS[:1], seed)
    scores = together.left_out_scores()
    noise = estimate_noise(scores, given.train.labels, given.classes, seed).rate
    findings = [
        "No held-out examples were given, so it is unknown whether this repair helps. With 1,000 of them, "
        "even with noisy labels, layer, head and checkpoint can be chosen and the gain can be measured."
    ]
    if given.checkpoints:
        findings.append("The checkpoints were not used: only held-out labels can choose among them.")
    raw = {RAW_INPUT: together.heads[RAW_INPUT]}
    contradicted = scores.argmax(1) != given.train.labels
    reproduced = float((snapshot.train.predicted == given.train.labels)[contradicted].double().mean())
    kind: Kind = "none"
    network, same = _copied(snapshot), True
    if noise.value < NOISE_TO_REPAIR:
        findings.append(
            f"Probes that are certain contradict only {noise.value:.1%} of the labels: either few labels are "
            "wrong, or the layers have memorized them too. The network is returned unchanged."
        )
    elif reproduced < REPRODUCED_TO_REPAIR:
        findings.append(
            f"The network itself predicts only {reproduced:.0%} of the labels that probes contradict: it has "
            "not memorized them. It is returned unchanged."
        )
    else:
        warnings.warn(findings[0], stacklevel=3)
        temperature = fit_temperature(scores, given.train.labels)
        kind = "shortcut"
        network, same = _with_heads(together, temperature)
    return Repair(
        network=network,
        kind=kind,
        before=None,
        after=None,
        gain=None,
        checkpoint=AS_GIVEN,
        layer=together.layer if kind == "shortcut" else NETWORK,
        probe=together.probe if kind == "shortcut" else "own readout",
        raw_input=_with_heads(replace(together, layer=RAW_INPUT, heads=raw), 1.0)[0],
        calibration={},
        candidates=as_table([together]),
        findings=tuple(findings),
        classes=given.classes,
        example=given.train.inputs[:2].clone(),
        same_architecture=same,
    )
