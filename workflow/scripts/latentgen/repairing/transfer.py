"""Linear heads other than VeLPIC written into the readout of a run's networks: the control for transfer.

The gain from transfer may be due to VeLPIC, or any new linear classifier on the last layer might give it.
These heads are fitted like VeLPIC, on the same activations with the same corrupted labels, and counted
likewise.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from latentgen.data.labels import whole_splits
from latentgen.interventions.transfer import Bias, edited_readout
from latentgen.networks.activation_files import epochs_of
from latentgen.networks.checkpoints import read_tensors
from latentgen.networks.joined_files import Stored
from latentgen.probes.counting import counts
from latentgen.repairing.heads import LDAHead, LinearHead, LogisticHead, Ridge, UnitMeans
from latentgen.repairing.statistics import calibration, fit_temperature

Array: TypeAlias = np.ndarray[Any, Any]

HEADS: Mapping[str, type[LinearHead]] = {
    "nearest_mean": UnitMeans,
    "logistic": LogisticHead,
    "lda": LDAHead,
    "ridge": Ridge,
}
"""Heads by their names in the study file. Rows of ``nearest_mean`` are class means at length 1, without bias
(weight imprinting, Qi et al. 2018); the others have a fitted bias."""


class HeadResults(NamedTuple):
    """Results of transferring heads."""

    rows: list[dict[str, Any]]
    """Counts: one row per epoch, head, split and evaluation labels."""
    calibrations: list[dict[str, Any]]
    """Calibration of each network's logits: one row per epoch and network."""


def transfer_heads(
    checkpoints: Mapping[int, Path],
    activations: Stored,
    vectors: Mapping[str, Array],
    layer: str,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    heads: Sequence[str],
    biases: Sequence[Bias],
    readout: str = "readout",
) -> HeadResults:
    """Put heads into the readout of each checkpoint whose activations are given.

    Correct predictions are counted for the networks with the heads. Calibration is measured for these, for
    the network itself (``model``) and for those with VeLPIC's vectors, on the test examples against their
    true labels: the mean negative log likelihood (nats) and the expected calibration error, with the logits
    as they are (``nll``, ``ece``), and divided by a temperature (``nll_scaled``, ``ece_scaled``). The
    temperature is fitted on the corrupted labels of held-out examples. Without such examples it is missing,
    since labels that a network has memorized tell nothing about its confidence elsewhere.

    Parameters
    ----------
    checkpoints : mapping of int to path
        Files of all weights of a run, by epoch.
    activations : h5py.File or JoinedGroup
        Activations at some of these epochs, as `latentgen.networks.activations` writes them.
    vectors : mapping of str to array
        VeLPIC's vectors (C × d) under ``{epoch}/{layer}/corrupted``.
    layer : str
        The layer whose output is the readout's input.
    labels : mapping
        Label vectors to score against by split and name. Heads are fitted with
        ``labels["train"]["corrupted"]``.
    n_classes : int
    heads : sequence of str
        Keys of `HEADS`.
    biases : sequence of {"zero", "kept"}
        As in `latentgen.interventions.transfer.transfer_weights`.
    readout : str
        Name of the final linear layer. One without bias gets the bias of the head.
    """
    results = HeadResults([], [])
    for epoch in epochs_of(activations):
        weights, _ = read_tensors(checkpoints[epoch])
        stored = {split: activations[f"{epoch}/{layer}/{split}"][...] for split in whole_splits(labels)}
        inputs = {split: torch.from_numpy(X).to(torch.float32) for split, X in stored.items()}
        fitted = dict(_fitted(heads, inputs["train"], labels["train"]["corrupted"], n_classes))
        others = dict(_edited(weights, vectors[f"{epoch}/{layer}/corrupted"], biases, readout))
        with torch.inference_mode():
            for network, linear in (others | fitted).items():
                logits = {split: linear(X) for split, X in inputs.items()}
                results.calibrations.append(
                    {"epoch": epoch, "network": network} | _calibrated(logits, labels)
                )
                if network in fitted:
                    predicted = {split: scores.argmax(1).numpy() for split, scores in logits.items()}
                    place = {"epoch": epoch, "layer": "readout", "probe": network, "fit_labels": "corrupted"}
                    rows = counts(predicted, labels, epoch == max(checkpoints))
                    results.rows.extend(place | row for row in rows)
    return results


def _fitted(
    heads: Sequence[str], X: Tensor, labels: Array, n_classes: int
) -> Iterator[tuple[str, nn.Linear]]:
    for name in heads:
        head = HEADS[name]().fit(X, torch.from_numpy(np.asarray(labels, np.int64)), n_classes)
        yield f"transfer-{name}", head.as_linear()


def _edited(
    weights: Mapping[str, Array], vectors: Array, biases: Sequence[Bias], readout: str
) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the network's readout as trained, and with VeLPIC's vectors."""
    yield "model", _linear(weights, readout)
    has_bias = f"{readout}.bias" in weights
    for bias in biases:
        if has_bias or bias == "zero" or "zero" not in biases:
            yield f"transfer-{bias}", _linear(edited_readout(weights, vectors, bias, readout), readout)


def _linear(weights: Mapping[str, Array], readout: str) -> nn.Linear:
    rows = torch.from_numpy(weights[f"{readout}.weight"]).flatten(1)  # also of a 1 × 1 convolution
    bias = weights.get(f"{readout}.bias")
    layer = nn.Linear(rows.shape[1], len(rows))
    with torch.no_grad():
        layer.weight.copy_(rows)
        layer.bias.copy_(torch.zeros(len(rows)) if bias is None else torch.from_numpy(bias))
    return layer


def _calibrated(
    logits: Mapping[str, Tensor], labels: Mapping[str, Mapping[str, Array]]
) -> dict[str, float | int | None]:
    expected = torch.from_numpy(np.asarray(labels["test"]["true"], np.int64))
    plain = calibration(logits["test"], expected)
    measures: dict[str, float | int | None] = {"nll": plain.nll, "ece": plain.ece, "total": len(expected)}
    if "held_out" not in labels:
        return measures | dict.fromkeys(("temperature", "nll_scaled", "ece_scaled"))
    held_out = torch.from_numpy(np.asarray(labels["held_out"]["corrupted"], np.int64))
    temperature = fit_temperature(logits["held_out"], held_out)
    scaled = calibration(logits["test"].to(torch.float64) / temperature, expected)
    return measures | {"temperature": temperature, "nll_scaled": scaled.nll, "ece_scaled": scaled.ece}
