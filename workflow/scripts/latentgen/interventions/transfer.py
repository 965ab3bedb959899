"""Write VeLPIC's vectors into the readout: counts of correct predictions, and weights of edited networks.

Only the readout changes, so the edited network's outputs are computed from the activations of its last layer,
without a forward pass and without torch.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import h5py
import numpy as np

from latentgen.data.labels import labels_of, whole_splits
from latentgen.errors import LatentgenError
from latentgen.networks.activation_files import epochs_of
from latentgen.networks.checkpoints import checkpoint_name, read_tensors, save_weights
from latentgen.networks.joined_files import JoinedRows, Stored
from latentgen.networks.ranges import CHUNK_ITEMS
from latentgen.probes.counting import counts

READ_BYTES = 64 << 20
"""Bytes of activations and scores that are held at a time."""

Bias = Literal["zero", "kept"]
Array: TypeAlias = np.ndarray[Any, Any]


def edited_readout(
    weights: Mapping[str, Array], vectors: Array, bias: Bias, readout: str = "readout"
) -> dict[str, Array]:
    """Return a checkpoint's weights with the readout's rows replaced.

    Parameters
    ----------
    weights : mapping of str to array
        All weights of a network by name; the readout's are ``{readout}.weight`` (C × d, or C × d × 1 × 1)
        and, if it has one, ``{readout}.bias`` (C).
    vectors : array, C × d
        VeLPIC's vector of each class. A row of zeros (a class without examples) leaves only the bias.
    bias : {"zero", "kept"}
        Whether the bias is set to zero or kept (arXiv 2603.19865: "zerobias" and "withbias").
    readout : str
        Name of the final linear layer.

    Raises
    ------
    LatentgenError
        If the weights have no plain readout of that name.
    """
    weight_name, bias_name = f"{readout}.weight", f"{readout}.bias"
    _check_readout(weights, readout)
    edited = dict(weights)
    edited[weight_name] = vectors.astype(weights[weight_name].dtype).reshape(weights[weight_name].shape)
    if bias == "zero" and bias_name in weights:
        edited[bias_name] = np.zeros_like(weights[bias_name])
    return edited


def _check_readout(weights: Mapping[str, Array], readout: str) -> None:
    if f"{readout}.weight" not in weights:
        near = sorted(name for name in weights if name.startswith(f"{readout}."))
        raise LatentgenError(
            f"The checkpoint has no {readout}.weight, so the readout cannot be edited; it has "
            f"{', '.join(near) or 'nothing of that layer'}. If its weights are computed from others (as by "
            "weight_norm), make the readout a plain nn.Linear, or set transfer to null."
        )


def count_correct(
    weights: Mapping[str, Array], activations: Array, labels: Mapping[str, Array], readout: str = "readout"
) -> dict[str, int]:
    """Count the images whose predicted class equals each vector of labels.

    Parameters
    ----------
    weights : mapping of str to array
        Includes ``{readout}.weight`` (C × d) and possibly ``{readout}.bias`` (C).
    activations : array, n × d
        Inputs of the readout.
    labels : mapping of str to array
        Label vectors of length n by name.
    readout : str
        Name of the final linear layer.
    """
    predicted = _predicted(weights, activations, readout)
    return {name: int((predicted == vector).sum()) for name, vector in labels.items()}


def _predicted(weights: Mapping[str, Array], activations: Array, readout: str) -> Array:
    """Return the class that a readout predicts for each example."""
    weight = weights[f"{readout}.weight"]
    logits = activations @ weight.reshape(len(weight), -1).T  # also of a 1 × 1 convolution
    if f"{readout}.bias" in weights:
        logits += weights[f"{readout}.bias"]
    predicted: Array = logits.argmax(1)
    return predicted


def transfer_weights(
    checkpoints: Mapping[int, Path],
    activations: Stored,
    vectors: Mapping[str, Array],
    layer: str,
    labels: Mapping[str, Mapping[str, Array]],
    biases: Sequence[Bias],
    keep_models_at: Collection[int],
    models: Path,
    readout: str = "readout",
) -> list[dict[str, Any]]:
    """Edit each checkpoint whose activations are given; return the counts, and keep some edited networks.

    Parameters
    ----------
    checkpoints : mapping of int to path
        Files of all weights of a run by epoch.
    activations : h5py.File or JoinedGroup
        Activations at some of these epochs, as `latentgen.networks.activations` writes them.
    vectors : mapping of str to array
        VeLPIC's vectors (C × d) under ``{epoch}/{layer}/corrupted``.
    layer : str
        The layer whose output is the readout's input.
    labels : mapping
        Label vectors to score against, by split and name.
    biases : sequence of {"zero", "kept"}
        Whether the bias is set to zero or kept. If the readout has no bias, the two coincide, and ``kept`` is
        left out beside ``zero``.
    keep_models_at : collection of int
        Epochs whose edited network is written to the folder `models`, besides the run's last one.
    models : Path
        An existing folder.
    readout : str
        Name of the final linear layer.
    """
    rows = []
    for epoch in epochs_of(activations):
        weights, metadata = read_tensors(checkpoints[epoch])
        edited = {
            bias: edited_readout(weights, vectors[f"{epoch}/{layer}/corrupted"], bias, readout)
            for bias in biases
            if bias == "zero" or "zero" not in biases or f"{readout}.bias" in weights
        }
        is_last = epoch == max(checkpoints)
        if epoch in keep_models_at or is_last:
            for bias, network in edited.items():
                path = models / checkpoint_name(epoch, edit=bias)
                save_weights(path, network, metadata | {"transfer": f"VeLPIC, bias {bias}"})
        stored = activations[f"{epoch}/{layer}"]
        # Of training examples there may be moments only.
        of_stored = labels_of(labels, [split for split in whole_splits(labels) if split in stored])
        predicted = {
            split: _predicted_in_blocks(edited, stored[split], readout) for split in whole_splits(of_stored)
        }
        for bias in edited:
            place = {
                "epoch": epoch,
                "layer": "readout",
                "probe": f"transfer-{bias}",
                "fit_labels": "corrupted",
            }
            by_split = {split: by_bias[bias] for split, by_bias in predicted.items()}
            rows += [place | row for row in counts(by_split, of_stored, is_last)]
    return rows


def _predicted_in_blocks(
    networks: Mapping[Bias, Mapping[str, Array]], stored: h5py.Dataset | JoinedRows, readout: str
) -> dict[Bias, Array]:
    """Return what each network predicts: neither all activations nor all scores are held."""
    blocks: dict[Bias, list[Array]] = {bias: [] for bias in networks}
    n_classes = len(next(iter(networks.values()))[f"{readout}.weight"])
    rows = max(1, READ_BYTES // (4 * (stored.shape[1] + n_classes) * CHUNK_ITEMS)) * CHUNK_ITEMS
    for start in range(0, len(stored), rows):
        activations = stored[start : start + rows]
        for bias, weights in networks.items():
            blocks[bias].append(_predicted(weights, activations, readout))
    return {bias: np.concatenate(of_blocks) for bias, of_blocks in blocks.items()}
