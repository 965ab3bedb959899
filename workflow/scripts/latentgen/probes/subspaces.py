"""Principal subspaces of classes.

Rows of Z_c are the activations of the examples labelled c, **not centred**. M_c = Z_cᵀ Z_c has eigenvalues
λ₁ ≥ λ₂ ≥ … and unit eigenvectors u₁, u₂, …; their sum Σλ = ‖Z_c‖²_F is the energy of the class. The subspace
with a fraction v of the energy is spanned by the first k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ v} + 1 eigenvectors.

There are two methods, chosen by shape:

* **exact** (`latentgen.probes.exact`): compute the smaller of Z_c Z_cᵀ (the Gram matrix, examples × examples)
  and Z_cᵀ Z_c (the moment matrix, features × features) in float64, and decompose it;
* **krylov** (`latentgen.probes.krylov`), for large classes whose energy is in few directions: a block Krylov
  method with long products in float32 and a final float64 Rayleigh–Ritz step with a certificate. If the
  certificate fails, or the directions are not few, the exact method is used instead (`fell_back`).
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from latentgen.linalg import parallel_map, workers
from latentgen.probes.class_subspace import ClassSubspace
from latentgen.probes.exact import by_lapack, exact_subspace
from latentgen.probes.inputs import Array, InputError, as_labels, as_rows
from latentgen.probes.krylov import krylov_subspace

ALONE_FROM = 2**26
"""Size of a class above which no other is decomposed in parallel: copies of both might not fit in memory."""

KRYLOV_FROM = 768
"""Least number of examples and of features for which the Krylov method was faster than the exact one."""


def class_subspaces(
    X: Array,
    y: Array,
    n_classes: int | None = None,
    *,
    variance: float | None = None,
    components: int = 1,
) -> list[ClassSubspace]:
    """Decompose every class once, with as many directions as the most demanding use needs.

    Parameters
    ----------
    X : array or tensor, n × d, floating point
        Activations, on any device.
    y : array or tensor, n, integer
        Labels in 0 … n_classes - 1.
    n_classes : int, optional
        Number of classes; by default one more than the largest label.
    variance : float in (0, 1), optional
        Largest fraction of a class's energy that will be needed (`ClassSubspace.components_for`).
    components : int, default 1
        Least number of directions. Classes of lower numerical rank have fewer.

    Returns
    -------
    list of ClassSubspace
        One for each class, on the device of X.

    Raises
    ------
    LatentgenError
        If X, y or a parameter is not as described, or X is not finite.
    """
    _check_demand(variance, components)
    X = as_rows(X)
    labels, n_classes = as_labels(y, X, n_classes)
    # One stable sort instead of one comparison per class; examples keep their order within a class.
    counts = labels.bincount(minlength=n_classes).tolist()
    members = torch.split(labels.argsort(stable=True), counts)

    def fall_back(rows: Tensor) -> ClassSubspace:
        return replace(exact_subspace(X, rows, variance, components), fell_back=True)

    def decompose(rows: Tensor) -> ClassSubspace | None:
        smaller = min(len(rows), X.shape[1])
        if smaller < KRYLOV_FROM:
            return exact_subspace(X, rows, variance, components)
        subspaces = krylov_subspace(X.index_select(0, rows), variance, components)
        return subspaces if subspaces or by_lapack(smaller, X.device) else fall_back(rows)

    at_most = workers(X.device) if max(counts) * X.shape[1] < ALONE_FROM else 1
    subspaces = parallel_map(decompose, members, at_most)
    # The rest is large and uses SciPy, which holds Python's lock: one after the other, with all threads.
    return [subspace or fall_back(rows) for subspace, rows in zip(subspaces, members, strict=True)]


def _check_demand(variance: float | None, components: int) -> None:
    if variance is not None and not 0.0 < variance < 1.0:
        raise InputError(
            f"variance must be strictly between 0 and 1, found {variance!r}. The papers use 0.99."
        )
    if isinstance(components, bool) or not isinstance(components, int | np.integer) or components < 1:
        raise InputError(f"components must be a whole number of at least 1, found {components!r}.")
