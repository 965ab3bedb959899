"""Other linear heads than VeLPIC written into the readout of a run's networks: the control for transfer.

What transfer gains may be due to VeLPIC, or to any new linear classifier on the last layer. These heads are
fitted as VeLPIC is, on the same activations with the same corrupted labels, and counted as transfer is.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from latentgen.data.labels import whole_splits
from latentgen.interventions.transfer import Bias, edited_readout
from latentgen.networks.activation_files import epochs_of
from latentgen.networks.checkpoints import read_tensors
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
    """What the transfer of heads gave."""

    rows: list[dict[str, Any]]
    """Counts: one row per epoch, head, split and evaluation labels."""
    calibrations: list[dict[str, Any]]
    """How well each network's logits are calibrated: one row per epoch and network."""


def transfer_heads(
    checkpoints: Mapping[int, Path],
    activations: h5py.File,
    vectors: Mapping[str, Array],
    layer: str,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    heads: Sequence[str],
    biases: Sequence[Bias],
    readout: str = "readout",
) -> HeadResults:
    """Put heads into the readout of each checkpoint whose activations are given.

    Counted are the networks with the heads; calibration is measured of these, of the network itself
    (``model``) and of those with VeLPIC's vectors. It is that of the test examples, against their true
    labels: the mean negative log likelihood (nats) and the expected calibration error, with the logits as
    they are (``nll``, ``ece``), and divided by one temperature (``nll_scaled``, ``ece_scaled``). That is
    fitted on the corrupted labels of held-out examples. Without such examples it is missing: labels that a
    network has memorized say nothing of its confidence elsewhere.

    Parameters
    ----------
    checkpoints : mapping of int to path
        Files of all of a run's weights by epoch.
    activations : h5py.File
        Of some of these epochs, as `latentgen.networks.activations` writes it.
    vectors : mapping of str to array
        VeLPIC's vectors (C × d) under ``{epoch}/{layer}/corrupted``.
    layer : str
        The layer that the readout sees.
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
                    predicted = {split: of.argmax(1).numpy() for split, of in logits.items()}
                    place = {"epoch": epoch, "layer": "readout", "probe": network, "fit_labels": "corrupted"}
                    found = counts(predicted, labels, epoch == max(checkpoints))
                    results.rows.extend(place | row for row in found)
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
    rows = torch.from_numpy(weights[f"{readout}.weight"]).flatten(1)  # of a convolution of 1 × 1 too
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
    found: dict[str, float | int | None] = {"nll": plain.nll, "ece": plain.ece, "total": len(expected)}
    if "held_out" not in labels:
        return found | dict.fromkeys(("temperature", "nll_scaled", "ece_scaled"))
    held_out = torch.from_numpy(np.asarray(labels["held_out"]["corrupted"], np.int64))
    temperature = fit_temperature(logits["held_out"], held_out)
    scaled = calibration(logits["test"].to(torch.float64) / temperature, expected)
    return found | {"temperature": temperature, "nll_scaled": scaled.nll, "ece_scaled": scaled.ece}
