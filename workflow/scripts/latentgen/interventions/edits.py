"""Edits of a network midway through its training.

The papers write VeLPIC's vectors into the readout and continue training. The other edits are controls: is the
effect due to the directions, their norm, their orthogonality, or to any reset at all?
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from latentgen.data.labels import Labels
from latentgen.errors import LatentgenError
from latentgen.networks.activations import layer_activations
from latentgen.networks.examples import part_of
from latentgen.probes.nearest import NearestMean
from latentgen.probes.subspace_probes import VeLPIC
from latentgen.randomness import Purpose, integer_seed, random_generator
from latentgen.training.data import TrainingData

BLENDS = {"blend25": 0.25, "blend50": 0.5, "blend75": 0.75}
"""Fraction of the old weights that each blend keeps."""


def data_for_vectors(
    data: TrainingData, vectors_from: str | float, seed: int, another_draw: Labels | None = None
) -> TrainingData:
    """Return the training examples that an edit's vectors are fitted with.

    Parameters
    ----------
    data : TrainingData
        The network's training data.
    vectors_from : {"corrupted", "another_draw", "true"} or float
        As in the study file (`latentgen.study.training_settings.Edit`).
    seed : int
        The run's seed, from which a fraction of the examples is drawn.
    another_draw : Labels, optional
        Labels drawn by the same noise with another seed.

    Raises
    ------
    LatentgenError
        If true labels are required and not known.
    """
    if vectors_from == "corrupted":
        return data
    if isinstance(vectors_from, float):
        n_examples = len(data.corrupted_labels)
        size = max(1, round(vectors_from * n_examples))
        chosen = random_generator(seed, Purpose.EDIT).permutation(n_examples)[:size]
        kept = torch.from_numpy(np.sort(chosen)).to(data.device)
        return replace(
            data,
            train_inputs=part_of(data.train_inputs, kept),
            corrupted_labels=data.corrupted_labels[kept],
        )
    if vectors_from == "another_draw":
        assert another_draw is not None
        drawn = torch.from_numpy(another_draw.corrupted).to(data.device)
        return replace(data, corrupted_labels=drawn.view_as(data.corrupted_labels))
    if data.true_labels is None:
        raise LatentgenError(
            "vectors_from: true needs true training labels, which are not known. Use corrupted."
        )
    return replace(data, corrupted_labels=data.true_labels)


@torch.no_grad()
def edit_readout(
    network: nn.Module,
    edit: str,
    data: TrainingData,
    layer: str,
    seed: int,
    sign: Literal["own", "all"] = "own",
) -> None:
    """Replace the readout's weights in place; its bias, if it has one, becomes zero.

    Parameters
    ----------
    network : nn.Module
        A network with its final linear layer `readout` (C × d).
    edit : str
        As in the study file (`latentgen.study.training_settings.Edit`).
    data : TrainingData
        Directions are fitted on its training examples with its corrupted labels, in eval mode
        (`data_for_vectors`).
    layer : str
        The layer whose output is the readout's input.
    seed : int
        The run's seed, for ``random``.
    sign : {"own", "all"}
        Rule for the sign of VeLPIC's vectors, as in `latentgen.probes.VeLPIC`.

    Raises
    ------
    LatentgenError
        If there is no such edit, or writing to the readout's weights has no effect.
    """
    readout = network.get_submodule("readout")
    assert isinstance(readout, nn.Linear | nn.Conv2d)
    if edit == "none":
        return
    if "weight" not in dict(readout.named_parameters(recurse=False)):
        raise LatentgenError(
            "The readout's weights are computed from others (as by weight_norm), so editing them has no "
            "effect. Use a plain nn.Linear as the readout, or remove `interventions`."
        )
    old = readout.weight.flatten(1).clone()  # also of a 1 × 1 convolution
    kept = BLENDS.get(edit, 0.0)
    if edit == "random":
        new = _orthonormal_rows(old.shape[0], old.shape[1], seed)
    else:
        new = _directions(
            edit, layer_activations(network, data.train_inputs, layer), data, old.shape[0], sign
        )
    new = new.to(old)
    if edit == "velpic_old_norms":
        new *= torch.linalg.vector_norm(old, dim=1, keepdim=True)
    readout.weight.copy_((kept * old + (1 - kept) * new).reshape(readout.weight.shape))
    if readout.bias is not None:
        readout.bias.mul_(kept)


def _directions(
    edit: str, X: Tensor, data: TrainingData, n_classes: int, sign: Literal["own", "all"]
) -> Tensor:
    """Rows of norm 1; zeros for classes without examples."""
    labels = data.corrupted_labels.flatten()
    if edit == "nearest_mean":
        return NearestMean().fit(X, labels, n_classes).means_
    if edit in ("velpic", "velpic_old_norms", *BLENDS):
        return VeLPIC(sign).fit(X, labels, n_classes).vectors_
    raise LatentgenError(f"There is no edit {edit!r}.")


def _orthonormal_rows(n_rows: int, width: int, seed: int) -> Tensor:
    """Draw orthonormal rows uniformly."""
    if n_rows > width:
        raise LatentgenError(f"{n_rows} rows of width {width} cannot be orthonormal.")
    generator = torch.Generator().manual_seed(integer_seed(seed, Purpose.EDIT))
    normal = torch.randn((width, n_rows), generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    rows: Tensor = (q * r.diagonal().sign()).T
    return rows
