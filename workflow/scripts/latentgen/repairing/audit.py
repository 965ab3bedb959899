"""Find labels that are probably wrong, from the activations of a network trained on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentgen.networks.examples import Examples
from latentgen.repairing.choice import (
    ALL_LAYERS,
    Candidate,
    Snapshot,
    as_table,
    best_of,
    fit_candidates,
    network_itself,
    raw_input_only,
    take_snapshots,
)
from latentgen.repairing.duplicates import contradicting_duplicates
from latentgen.repairing.examples import AS_GIVEN, Given, State, take
from latentgen.repairing.features import RAW_INPUT
from latentgen.repairing.heads import KNNHead, UnitMeans
from latentgen.repairing.noise import Noise, estimate_noise
from latentgen.repairing.statistics import Interval, fit_temperature, paired_difference

PROBES = ("unit means", "ridge")
"""Heads that held-out labels choose among. Without held-out labels the first is used."""

COUNTS_ERR = (
    "The interval of this number covers only the sampling of held-out labels. The method itself can be off "
    "by several percentage points more, above all if the noise depends on the example."
)


@dataclass(frozen=True)
class Choice:
    """What the audit used, and why.

    Attributes
    ----------
    checkpoint, layer, probe : str
    how : str
        How they were chosen, in a sentence.
    candidates : DataFrame
        All candidates, with their held-out accuracies.
    """

    checkpoint: str
    layer: str
    probe: str
    how: str
    candidates: pd.DataFrame = field(repr=False)


@dataclass(frozen=True)
class Audit:
    """The result of `audit`.

    Attributes
    ----------
    table : DataFrame
        One row per example: `index`, `given` and `suggested` label, `score` (0 … 1, lower is more
        suspicious), `is_issue`, `layer`, and `agreement`, the fraction of layers that suggest the same label.
    choice : Choice
    n_issues : Interval or None
        Estimated number of wrong labels; only with held-out examples.
    noise_matrix : DataFrame or None
        Estimated probability that a label of class `true` is `given`, with intervals; likewise.
    references : DataFrame
        Accuracies of the choice, of the network itself and of the raw input.
    reference_scores : DataFrame
        Scores of each example from these: `network_score` and `raw_input_score`, 0 … 1.
    findings : tuple of str
        Warnings and remarks that belong to the result, in sentences.
    pred_probs : float64 array, N × C
        Probability of each label, from all other examples.
    duplicates : list of (int, int)
        Nearly identical examples with different labels.
    """

    table: pd.DataFrame
    choice: Choice
    n_issues: Interval | None
    noise_matrix: pd.DataFrame | None
    references: pd.DataFrame
    reference_scores: pd.DataFrame = field(repr=False)
    findings: tuple[str, ...]
    pred_probs: NDArray[np.float64] = field(repr=False)
    duplicates: list[tuple[int, int]] = field(repr=False)
    classes: tuple[Any, ...]
    inputs: Examples = field(repr=False)

    def to_cleanlab(self) -> pd.DataFrame:
        """Return the table under the column names of cleanlab's ``Datalab.get_issues("label")``."""
        names = {"is_issue": "is_label_issue", "score": "label_score"}
        names |= {"given": "given_label", "suggested": "predicted_label"}
        return self.table.set_index("index").rename(columns=names)[list(names.values())]

    def report(self, path: str | Path | None = None) -> str:
        """Return the report, one self-contained HTML page; also write it to `path` if given."""
        from latentgen.repairing.page import audit_page
        from latentgen.runtime.files import atomic_path

        page = audit_page(self)
        if path is not None:
            with atomic_path(path) as partial:
                partial.write_text(page, encoding="utf-8")
        return page


def audit(
    network: nn.Module,
    inputs: Any,
    labels: Any = None,
    held_out: Any = None,
    layers: Sequence[str] | None = None,
    checkpoints: Mapping[Any, State] | Sequence[State] | None = None,
    seed: int = 0,
    *,
    probes: Sequence[str] = PROBES,
) -> Audit:
    """Find the labels of a training set that are probably wrong. No network is trained.

    Parameters
    ----------
    network : nn.Module
        Trained on these examples and labels. It is run in eval mode and not changed.
    inputs : array or tensor, N × …
        The examples, exactly as they were fed to the network in training; a torch data set of them, whose
        transforms are not random; or, if they are larger than memory, a
        `latentgen.networks.examples.StoredExamples`, which is read block by block.
    labels : N integers or strings, optional
        The labels it was trained on: indices of its outputs, or names whose alphabetical order is that of
        the outputs (a pandas Categorical has its own order). A data set of pairs (input, label) has its own.
    held_out : (inputs, labels) or data set, optional
        Further examples with labels of the same quality, **never trained on**. They choose checkpoint, layer
        and probe, and estimate the number of wrong labels. 1,000 are enough, 200 are few.
    layers : sequence of str, optional
        Names of modules to use; see `latentgen.repairing.features.examine`.
    checkpoints : dict of int to state dict or file, or a sequence of them, optional
        Earlier weights of the network, by epoch. Only held-out labels can choose among them.
    seed : int
        Seed of the folds (of heads that cannot leave one example out) and of the intervals.
    probes : sequence of str
        Heads to choose from, names in `latentgen.repairing.heads.HEADS`.

    Returns
    -------
    Audit

    Raises
    ------
    LatentgenError
        If an argument is not as described.
    """
    given = take(network, inputs, labels, held_out, layers, checkpoints)
    snapshots = take_snapshots(given, layers)
    candidates = [c for snapshot in snapshots for c in fit_candidates(given, snapshot, probes, seed)]
    chosen = best_of(candidates)
    itself = [network_itself(given, snapshot) for snapshot in snapshots]
    scores = chosen.left_out_scores()
    noise = _noise(given, chosen, seed)
    table, pred_probs = _table(given, chosen, candidates, scores, noise)
    raw = _raw_input(candidates)
    references = _references(given, chosen, scores, itself, raw)
    duplicates = contradicting_duplicates(snapshots[0].train.by_layer[RAW_INPUT], given.train.labels)
    return Audit(
        table=table,
        choice=Choice(
            chosen.snapshot.name, chosen.layer, chosen.probe, _how(given), as_table([*itself, *candidates])
        ),
        n_issues=None if noise is None else Interval(*(len(table) * bound for bound in noise.rate)),
        noise_matrix=None if noise is None else noise.matrix,
        references=references,
        reference_scores=_reference_scores(given, itself[0], raw),
        findings=_findings(given, chosen, itself, candidates, duplicates),
        pred_probs=pred_probs,
        duplicates=duplicates,
        classes=given.classes,
        inputs=given.train.inputs,
    )


def _noise(given: Given, chosen: Candidate, seed: int) -> Noise | None:
    if given.held_out is None or chosen.held_out_scores is None:
        return None
    return estimate_noise(chosen.held_out_scores, given.held_out.labels, given.classes, seed)


def _table(
    given: Given, chosen: Candidate, candidates: Sequence[Candidate], scores: Tensor, noise: Noise | None
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    labels = given.train.labels
    if given.held_out is not None and chosen.held_out_scores is not None:
        temperature = fit_temperature(chosen.held_out_scores, given.held_out.labels)
    else:
        temperature = fit_temperature(scores, labels)
    suspicion = (margins(scores, labels) / temperature).sigmoid()
    suggested = scores.argmax(1)
    issues = suggested != labels
    if noise is not None:
        # The most suspicious labels, as many as are estimated to be wrong.
        ranks = suspicion.argsort(stable=True).argsort(stable=True)
        issues &= ranks < round(noise.rate.value * len(labels))
    names = np.array(given.classes, dtype=object)
    table = pd.DataFrame(
        {
            "index": np.arange(len(labels)),
            "given": names[labels.numpy()],
            "suggested": names[suggested.numpy()],
            "score": suspicion.numpy(),
            "is_issue": issues.numpy(),
            "layer": chosen.layer,
            "agreement": _agreement(given, chosen.snapshot, candidates, suggested).numpy(),
        }
    )
    if all(isinstance(name, int) for name in given.classes):
        table = table.astype({"given": "int64", "suggested": "int64"})
    return table, (scores / temperature).softmax(1).numpy()


def margins(scores: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the score of each label (n) exceeds the best other score (n × C)."""
    own = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.max(1).values


def _agreement(
    given: Given, snapshot: Snapshot, candidates: Sequence[Candidate], suggested: Tensor
) -> Tensor:
    """Return the fraction of layers whose nearest unit mean is that of the suggested label."""
    labels, n_classes = given.train.labels, given.n_classes
    fitted = [c.heads for c in candidates if c.snapshot is snapshot and c.probe == UnitMeans.name]
    heads = max(fitted, key=len, default={})
    agreeing = torch.zeros(len(suggested), dtype=torch.float64)
    for layer, X in snapshot.train.by_layer.items():
        head = heads.get(layer) or UnitMeans().fit(X, labels, n_classes)
        agreeing += head.left_out_scores().argmax(1) == suggested
    return agreeing / len(snapshot.train.by_layer)


def _raw_input(candidates: Sequence[Candidate]) -> Candidate:
    """Return the best head on the raw input; without held-out labels, the one in the sum over layers."""
    if raw := raw_input_only(candidates):
        return best_of(raw)
    (together,) = (candidate for candidate in candidates if candidate.layer == ALL_LAYERS)
    return Candidate(together.snapshot, RAW_INPUT, together.probe, {RAW_INPUT: together.heads[RAW_INPUT]})


def _reference_scores(given: Given, itself: Candidate, raw: Candidate) -> pd.DataFrame:
    labels = given.train.labels
    scores = {"network": itself.snapshot.train.logits.to(torch.float64), "raw_input": raw.left_out_scores()}
    return pd.DataFrame(
        {
            f"{name}_score": (margins(logits, labels) / fit_temperature(logits, labels)).sigmoid().numpy()
            for name, logits in scores.items()
        }
    )


def _references(
    given: Given, chosen: Candidate, scores: Tensor, itself: Sequence[Candidate], raw: Candidate
) -> pd.DataFrame:
    """Return the choice, the network itself and the best head on the raw input, with accuracies."""
    labels = given.train.labels
    rows = [("chosen", chosen, scores.argmax(1))]
    rows += [("network itself", one, one.snapshot.train.predicted) for one in itself]
    rows.append(("raw input", raw, raw.left_out_scores().argmax(1)))
    table = as_table([candidate for _, candidate, _ in rows])
    table.insert(0, "name", [name for name, _, _ in rows])
    table["contradicts"] = [float((predicted != labels).double().mean()) for _, _, predicted in rows]
    return table


def _how(given: Given) -> str:
    if given.held_out is None:
        return (
            "Without held-out examples nothing can be chosen: labels that the network was trained on favour "
            "its last layer, where it has memorized them. The scores of all layers and of the raw input were "
            "added."
        )
    m = len(given.held_out.labels)
    return (
        f"Of all candidates, it predicts the largest number of the {m:,} held-out labels, which the network "
        "never saw."
    )


def _findings(
    given: Given,
    chosen: Candidate,
    itself: Sequence[Candidate],
    candidates: Sequence[Candidate],
    duplicates: Sequence[tuple[int, int]],
) -> tuple[str, ...]:
    findings = []
    fitted = float((itself[0].snapshot.train.predicted == given.train.labels).double().mean())
    if fitted < 0.3 and given.n_classes < 100:
        findings.append(
            f"The network predicts only {fitted:.0%} of the labels it was trained on. Check that the inputs "
            "and the order of the classes are the same as in training."
        )
    if given.held_out is None:
        findings.append(
            "No held-out examples were given, so the quality of this audit is unknown, and the number of "
            "wrong labels is not estimated. is_issue marks every label that is not the suggested one: too "
            "many."
        )
        if given.checkpoints:
            findings.append("The checkpoints were not used: only held-out labels can choose among them.")
    else:
        findings.append(COUNTS_ERR)
        findings += _beside_raw_input(chosen, candidates)
    if chosen.probe == KNNHead.name:
        findings.append(
            "Nearest neighbours were used. They miss wrong labels between similar classes, where neighbours "
            "share the wrong label."
        )
    if chosen.snapshot.name != AS_GIVEN:
        findings.append(f"The checkpoint {chosen.snapshot.name} was used: the later network retains less.")
    if duplicates:
        findings.append(f"{len(duplicates)} pairs of nearly identical examples have different labels.")
    return tuple(findings)


def _beside_raw_input(chosen: Candidate, candidates: Sequence[Candidate]) -> list[str]:
    raw = best_of(raw_input_only(candidates))
    if chosen.layer == RAW_INPUT:
        return [
            "The raw input was chosen and the network is not used: its layers retain less than the raw input."
        ]
    if paired_difference(chosen.on_held_out, raw.on_held_out).low <= 0:
        return [
            f"The raw input alone ({raw.probe}) is as good on the held-out labels: no network was needed."
        ]
    return []
