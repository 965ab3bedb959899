"""Probes on class subspaces, fitted on what is stored of a layer, which need not fit into memory."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from latentgen.linalg import parallel_map, workers
from latentgen.networks.class_moments import Moments
from latentgen.probes.class_subspace import ClassSubspace, Decomposition
from latentgen.probes.exact import subspace_of_moments
from latentgen.probes.inputs import Array
from latentgen.probes.stored import StoredLayer
from latentgen.probes.subspace_probes import (
    SubspaceProbe,
    fit_all,
    largest_demand,
    learn_all,
    predict_together,
)
from latentgen.probes.subspaces import ALONE_FROM


def fit_stored(probes: Sequence[SubspaceProbe], layer: StoredLayer, y: Array, n_classes: int) -> None:
    """Fit several probes as `fit_together` does, on a stored layer, which need not fit into memory.

    Parameters
    ----------
    probes : sequence of SubspaceProbe
    layer : StoredLayer
    y : array, n, integer
        Labels of its training examples, in 0 … n_classes - 1.
    n_classes : int

    Raises
    ------
    LatentgenError
        As in `Probe.fit`.
    """
    _take_shape(probes, n_classes, layer.width)
    fit_all(probes, layer.class_groups(y, n_classes), layer.kept)


def fit_moments(probes: Sequence[SubspaceProbe], moments: Moments) -> None:
    """Fit several probes as `fit_together` does, on the moments of the classes.

    Parameters
    ----------
    probes : sequence of SubspaceProbe
    moments : Moments
        Their matrices are overwritten.

    Raises
    ------
    LatentgenError
        As in `Probe.fit`.
    """
    n_classes, width = moments.sums.shape
    _take_shape(probes, n_classes, width)
    variance, components = largest_demand(probes)
    counts = moments.counts

    def decompose(c: int) -> ClassSubspace:
        return subspace_of_moments(moments.matrices[c], int(counts[c]), variance, components)

    at_most = workers(counts.device) if width**2 < ALONE_FROM else 1
    subspaces = parallel_map(decompose, range(n_classes), at_most)
    learn_all(probes, Decomposition(subspaces, moments.sums / counts.clamp(min=1)[:, None], counts))


def fit_decomposed(probes: Sequence[SubspaceProbe], decomposition: Decomposition, width: int) -> None:
    """Fit several probes on classes of `width` units that were decomposed elsewhere, for the same probes."""
    _take_shape(probes, len(decomposition.subspaces), width)
    learn_all(probes, decomposition)


def _take_shape(probes: Sequence[SubspaceProbe], n_classes: int, width: int) -> None:
    for probe in probes:
        probe.classes_, probe.n_features_in_ = np.arange(n_classes), width


def predict_stored(
    probes: Sequence[SubspaceProbe], layer: StoredLayer, split: str, only: Array | None = None
) -> list[Tensor]:
    """Predict examples of a split of a stored layer, all or `only` some, as `predict_together` does."""
    blocks = [predict_together(probes, X) for X in layer.blocks(split, only)]
    if not blocks:  # a range of the examples may have none that count
        return [torch.empty(0, dtype=torch.int64) for _ in probes]
    return [
        torch.cat([torch.as_tensor(block) for block in of_probe]) for of_probe in zip(*blocks, strict=True)
    ]
