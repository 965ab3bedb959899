"""What the first direction of each class says beside VeLPIC's accuracy.

How much of a class lies along it, and whether MASC with this direction alone, which knows no sign and squares
the products, predicts the same classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgen.data.labels import PARTS
from latentgen.linalg import product
from latentgen.probes.stored import StoredLayer
from latentgen.probes.stored_ranges import Place

Array: TypeAlias = NDArray[Any]

MEASURED = ("one_component_correct", "one_component_equal", "first_energy")
"""Columns of what is measured here."""
ROWS = 2048
"""Examples that are multiplied at a time."""
DECIMALS = 4
"""Of a fraction of energy. Rounding of float32 products, which depends on how they are divided, is less."""


def first_direction(
    velpic: Mapping[str, Array],
    masc: Mapping[str, Array],
    labels: Mapping[str, Mapping[str, Array]],
    energies: Mapping[Place, Array],
) -> dict[Place, dict[str, Any]]:
    """Return for each vector of evaluation labels how far MASC with one component agrees, and the energy.

    Parameters
    ----------
    velpic, masc : mapping of str to array
        Classes that both predict, by split.
    labels : mapping
        As `latentgen.data.labels.evaluation_labels` returns them, of the examples that count.
    energies : mapping
        From `class_energies`.
    """
    measured: dict[Place, dict[str, Any]] = {}
    equal = {split: velpic[split] == masc[split] for split in velpic}
    for split, name, whole, expected in _places(labels):
        counted = int((masc[whole] == expected).sum()), int(equal[whole][expected >= 0].sum())
        measured[split, name] = dict(
            zip(MEASURED, (*counted, mean_fraction(energies[split, name])), strict=True)
        )
    return measured


def class_energies(
    vectors: Tensor,
    layer: StoredLayer,
    labels: Mapping[str, Mapping[str, Array]],
    only: Mapping[str, Array | None],
) -> dict[Place, Array]:
    """Return the energy of classes along their vectors, and in all, for each vector of evaluation labels.

    Parameters
    ----------
    vectors : Tensor, C × d, float64
        VeLPIC's vectors: unit vectors, or zero for missing classes.
    layer : StoredLayer
        The activations.
    labels : mapping
        Of the examples that count.
    only : mapping
        The examples that count, of splits of which not all do.

    Returns
    -------
    dict of (str, str) to array, 2 × C
        Σ⟨x, v_c⟩² and Σ‖x‖² over the examples of class c.
    """
    energies: dict[Place, Array] = {}
    places = list(_places(labels))
    for of_split in dict.fromkeys(whole for _, _, whole, _ in places):
        here = {(split, name): vector for split, name, whole, vector in places if whole == of_split}
        blocks = layer.blocks(of_split, only.get(of_split))
        energies.update(zip(here, _energies(vectors, blocks, [*here.values()]), strict=True))
    return energies


def mean_fraction(energies: Array) -> float | None:
    """Return which fraction of a class's energy lies along its vector, from a result of `class_energies`.

    For the examples that v_c was fitted with it is λ₁/Σλ. The mean is over the classes that have energy; None
    if none has.
    """
    along, whole = energies
    fractions = along[whole > 0] / whole[whole > 0]
    return round(float(fractions.mean()), DECIMALS) if len(fractions) else None


def _places(labels: Mapping[str, Mapping[str, Array]]) -> Iterator[tuple[str, str, str, Array]]:
    """Yield split and name of each vector, the whole split that it belongs to, and the vector."""
    for split, by_name in labels.items():
        for name, vector in by_name.items():
            yield split, name, PARTS.get(split, split), vector


def _energies(vectors: Tensor, blocks: Iterable[Tensor], labels: Sequence[Array]) -> Array:
    """Return the energies of classes (L × 2 × C) by each vector of labels; -1: the example does not count."""
    sums = np.zeros((len(labels), 2, len(vectors)))
    start = 0
    rows_of_class = vectors.to(torch.float32).T
    for X in (rows.to(torch.float32) for block in blocks for rows in torch.split(block, ROWS)):
        squares = product(X, rows_of_class).to(torch.float64).square().cpu().numpy()
        energy = torch.linalg.vector_norm(X, dim=1, dtype=torch.float64).square().cpu().numpy()
        for index, of_all in enumerate(labels):
            y = of_all[start : start + len(X)]
            here = np.flatnonzero(y >= 0)
            sums[index, 0] += np.bincount(y[here], squares[here, y[here]], len(vectors))
            sums[index, 1] += np.bincount(y[here], energy[here], len(vectors))
        start += len(X)
    return sums
