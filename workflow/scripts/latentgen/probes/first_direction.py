"""What the first direction of each class says beside VeLPIC's accuracy.

How much of a class lies along it, and whether MASC with this direction alone, which knows no sign and squares
the products, predicts the same classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgen.data.labels import PARTS
from latentgen.linalg import product
from latentgen.probes.stored import StoredLayer

Array: TypeAlias = NDArray[Any]
Place: TypeAlias = tuple[str, str]
"""Split and name of a vector of evaluation labels."""

MEASURED = ("one_component_correct", "one_component_equal", "first_energy")
"""Columns of what is measured here."""
ROWS = 2048
"""Examples that are multiplied at a time."""
DECIMALS = 4
"""Of a fraction of energy. Rounding of float32 products, which depends on how they are divided, is less."""


def first_direction(
    vectors: Tensor,
    velpic: Mapping[str, Array],
    masc: Mapping[str, Array],
    layer: StoredLayer,
    labels: Mapping[str, Mapping[str, Array]],
    only: Mapping[str, Array | None],
) -> dict[Place, dict[str, Any]]:
    """Return for each vector of evaluation labels how far MASC with one component agrees, and the energy.

    Parameters
    ----------
    vectors : Tensor, C × d, float64
        VeLPIC's vectors.
    velpic, masc : mapping of str to array
        Classes that both predict, by split.
    layer : StoredLayer
        The activations.
    labels : mapping
        As `latentgen.data.labels.evaluation_labels` returns them, of the examples that count.
    only : mapping
        The examples that count, of splits of which not all do.
    """
    measured: dict[Place, dict[str, Any]] = {}
    for whole, equal in ((split, velpic[split] == masc[split]) for split in velpic):
        of_whole = {
            (split, name): examples
            for split, by_name in labels.items()
            for name, examples in by_name.items()
            if PARTS.get(split, split) == whole
        }
        energies = energy_fractions(vectors, layer.blocks(whole, only.get(whole)), [*of_whole.values()])
        for (place, expected), energy in zip(of_whole.items(), energies, strict=True):
            counted = int((masc[whole] == expected).sum()), int(equal[expected >= 0].sum())
            measured[place] = dict(zip(MEASURED, (*counted, energy), strict=True))
    return measured


def energy_fractions(
    vectors: Tensor, blocks: Iterable[Tensor], labels: Sequence[Array]
) -> list[float | None]:
    """Return how much of the energy of the classes lies along their vectors, for each vector of labels.

    Of the examples of class c that is Σ⟨x, v_c⟩² / Σ‖x‖², which for those that v_c was fitted with is λ₁/Σλ.
    The mean is over the classes that have energy; None if none has.

    Parameters
    ----------
    vectors : Tensor, C × d, float64
        Unit vectors, or zero for missing classes.
    blocks : iterable of Tensor, n × d
        The activations of all examples, in order.
    labels : sequence of array, int
        A class for each example; -1 for those that do not count.
    """
    along, whole = np.zeros((2, len(labels), len(vectors)))
    start = 0
    rows_of_class = vectors.to(torch.float32).T
    for X in (rows.to(torch.float32) for block in blocks for rows in torch.split(block, ROWS)):
        squares = product(X, rows_of_class).to(torch.float64).square().cpu().numpy()
        energy = torch.linalg.vector_norm(X, dim=1, dtype=torch.float64).square().cpu().numpy()
        for index, of_all in enumerate(labels):
            y = of_all[start : start + len(X)]
            here = np.flatnonzero(y >= 0)
            along[index] += np.bincount(y[here], squares[here, y[here]], len(vectors))
            whole[index] += np.bincount(y[here], energy[here], len(vectors))
        start += len(X)
    fractions = [a[norms > 0] / norms[norms > 0] for a, norms in zip(along, whole, strict=True)]
    return [round(float(norms.mean()), DECIMALS) if len(norms) else None for norms in fractions]
