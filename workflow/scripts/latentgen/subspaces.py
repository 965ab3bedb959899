"""Principal subspaces of classes: the directions in which the activations of a class lie.

Rows of Z_c are the activations of the items labelled c, **not centred**. M_c = Z_cᵀ Z_c has eigenvalues
λ₁ ≥ λ₂ ≥ … and unit eigenvectors u₁, u₂, …; their sum Σλ = ‖Z_c‖²_F is the energy of the class. The subspace
that holds a share v of the energy is spanned by the first k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ v} + 1 eigenvectors.

Everything that decides k_c is computed in float64, from whichever of the two matrices with these
eigenvalues is the smaller: Z_c Z_cᵀ (the Gram matrix, items × items) or Z_cᵀ Z_c (the moment matrix,
features × features).
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from latentgen.errors import LatentgenError

Array: TypeAlias = np.ndarray[Any, Any] | Tensor

EPS = torch.finfo(torch.float64).eps
COLUMN_BLOCK = 2048
"""Columns of a class turned to float64 at a time: what bounds the memory of the exact routes."""

WEAK = 1e-6
"""Eigenvalue, relative to the first, below which Zᵀw/√λ is no longer orthogonal to the others to 1e-10."""


@dataclass(frozen=True)
class ClassSubspace:
    """The leading principal directions of one class.

    Attributes
    ----------
    basis : Tensor, d × k, float64
        Unit eigenvectors of the uncentred moment matrix, by falling eigenvalue. k = 0 for a class with no
        items or with zero rows only: it has no direction.
    eigenvalues : Tensor, k, float64
        Their eigenvalues, in squared units of the activations.
    energy : float
        Sum of *all* eigenvalues, the squared Frobenius norm of the class.
    n_items : int
        Number of items of the class.
    route : str
        How the directions were found: from the ``"gram"`` or the ``"moment"`` matrix.
    """

    basis: Tensor
    eigenvalues: Tensor
    energy: float
    n_items: int
    route: Literal["gram", "moment"]

    @property
    def n_components(self) -> int:
        """Number of directions held, k."""
        return self.basis.shape[1]

    def components_for(self, variance: float) -> int:
        """Return k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1, at most the number of directions held."""
        if self.n_components == 0:
            return 0
        return min(_count(self.eigenvalues, self.energy, variance), self.n_components)

    def truncated(self, components: int) -> "ClassSubspace":
        """Return the same subspace with its first `components` directions only (views, no copies)."""
        return ClassSubspace(
            self.basis[:, :components], self.eigenvalues[:components], self.energy, self.n_items, self.route
        )


def class_subspaces(
    X: Array,
    y: Array,
    n_classes: int | None = None,
    *,
    variance: float | None = None,
    components: int = 1,
) -> list[ClassSubspace]:
    """Decompose every class once, as far as the most demanding use of it needs.

    Parameters
    ----------
    X : array or tensor, n × d, floating point
        Activations, on any device.
    y : array or tensor, n, integer
        Labels in 0 … n_classes - 1.
    n_classes : int, optional
        Number of classes; by default one more than the largest label.
    variance : float in (0, 1), optional
        Largest share of a class's energy that will be asked for (`ClassSubspace.components_for`).
    components : int, default 1
        Number of directions to find at least. Classes of lower numerical rank have fewer.

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
    # One stable sort instead of one comparison per class; items keep their order within a class.
    counts = labels.bincount(minlength=n_classes).tolist()
    members = torch.split(labels.argsort(stable=True), counts)
    return [_decompose(X.index_select(0, rows), variance, components) for rows in members]


def _decompose(Z: Tensor, variance: float | None, components: int) -> ClassSubspace:
    """Decompose one class (n × d) exactly, by way of the smaller of its two symmetric matrices."""
    n, d = Z.shape
    route: Literal["gram", "moment"] = "gram" if n < d else "moment"
    A = Z if route == "gram" else Z.T
    symmetric = Z.new_zeros((len(A), len(A)), dtype=torch.float64)
    for block in _float64_columns(A):
        symmetric.addmm_(block, block.T)
    energy = float(symmetric.trace())
    if not math.isfinite(energy):
        raise LatentgenError(describe_non_finite(Z))
    if energy == 0.0:
        return ClassSubspace(_no_directions(Z), symmetric.new_zeros(0), 0.0, n, route)

    rising, vectors = torch.linalg.eigh(symmetric)
    eigenvalues, vectors = rising.flip(0), vectors.flip(1)
    rank = int((eigenvalues > eigenvalues[0] * max(n, d) * EPS).sum())
    k = min(components, rank)
    if variance is not None:
        k = min(max(k, _count(eigenvalues, energy, variance)), rank)
    eigenvalues, vectors = eigenvalues[:k].clone(), vectors[:, :k].clone()
    if route == "gram":  # ZZᵀw = λw, so Zᵀw/√λ is the unit eigenvector of ZᵀZ
        vectors = torch.cat([block.T @ vectors for block in _float64_columns(Z)]) / eigenvalues.sqrt()
        if eigenvalues[-1] < WEAK * eigenvalues[0]:
            vectors = torch.linalg.qr(vectors).Q
    return ClassSubspace(vectors, eigenvalues, energy, n, route)


def _float64_columns(A: Tensor) -> Iterator[Tensor]:
    for block in torch.split(A, COLUMN_BLOCK, dim=1):
        yield block.to(torch.float64)


def _no_directions(Z: Tensor) -> Tensor:
    return Z.new_zeros((Z.shape[1], 0), dtype=torch.float64)


def _count(eigenvalues: Tensor, energy: float, variance: float) -> int:
    """k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1 from falling eigenvalues and their full sum."""
    return int((eigenvalues.cumsum(0) <= variance * energy).sum()) + 1


def as_rows(X: Array) -> Tensor:
    """Return activations as a tensor of float32 or float64, sharing memory where that is possible.

    Raises
    ------
    LatentgenError
        If X is not a matrix of floating-point numbers with at least one row and one column.
    """
    if not isinstance(X, Tensor):
        X = _tensor(np.asarray(X))
    if X.ndim != 2 or 0 in X.shape or not X.is_floating_point():
        raise LatentgenError(
            f"Activations must be a matrix of floating-point numbers, items × features, and not empty; "
            f"found {X.dtype} of shape {tuple(X.shape)}. Flatten spatial maps and convert integers first."
        )
    # Half precision is for storage: float32 holds every such number exactly.
    return X.detach() if X.dtype in (torch.float32, torch.float64) else X.detach().to(torch.float32)


def as_labels(y: Array, X: Tensor, n_classes: int | None) -> tuple[Tensor, int]:
    """Return labels as int64 on the device of X, and the number of classes.

    Raises
    ------
    LatentgenError
        If there is not one integer label in 0 … n_classes - 1 for each row of X.
    """
    if not isinstance(y, Tensor):
        y = _tensor(np.asarray(y))
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise LatentgenError(f"Labels must be integers, found {y.dtype}. Convert them, as in y.astype(int).")
    if y.shape != X.shape[:1]:
        raise LatentgenError(
            f"There must be one label for each item: found labels of shape {tuple(y.shape)} "
            f"and {len(X)} items. Check that both come from the same split."
        )
    labels = y.to(device=X.device, dtype=torch.int64)
    low, high = int(labels.min()), int(labels.max())
    if n_classes is None:
        n_classes = high + 1
    if low < 0 or high >= n_classes:
        raise LatentgenError(
            f"Labels must lie in 0 … {n_classes - 1} for {n_classes} classes; found {low} … {high}. "
            "Give the right n_classes or renumber the labels."
        )
    return labels, n_classes


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    if array.dtype.kind == "f" and (array.dtype.itemsize > 8 or not array.dtype.isnative):
        array = array.astype(np.float64)
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():
        # Torch warns that it can write to read-only arrays. Nothing here writes to its input.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        try:
            return torch.from_numpy(array)
        except TypeError:
            raise LatentgenError(f"Found an array of {array.dtype}, which holds no plain numbers.") from None


def _check_demand(variance: float | None, components: int) -> None:
    if variance is not None and not 0.0 < variance < 1.0:
        raise LatentgenError(
            f"variance must lie strictly between 0 and 1, found {variance!r}. The papers use 0.99."
        )
    if isinstance(components, bool) or not isinstance(components, int | np.integer) or components < 1:
        raise LatentgenError(f"components must be a whole number of at least 1, found {components!r}.")


def describe_non_finite(X: Tensor) -> str:
    """Say what is wrong with activations that are not finite, or whose squares are not."""
    finite = X.isfinite().all(dim=1)
    if bool(finite.all()):
        return "Activations are so large that their squares overflow float64. Rescale them."
    return (
        f"{int((~finite).sum())} of {len(X)} rows of activations hold NaN or infinity. "
        "The network has probably diverged, or its activations overflowed float16: "
        "check the loss, or store activations as float32."
    )
