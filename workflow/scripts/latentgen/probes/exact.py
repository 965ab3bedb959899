"""The exact method for the subspace of a class: decompose its smaller symmetric matrix in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentgen import linalg
from latentgen.linalg import falling_eigh, float64_blocks, product
from latentgen.probes.class_subspace import ClassSubspace, Route, directions_wanted
from latentgen.probes.inputs import InputError, describe_non_finite

EPS = torch.finfo(torch.float64).eps

LEAST_ENERGY = 1e-280
"""Energy of a class below which the squares of its values lose digits to underflow."""

WEAK = 1e-6
"""Eigenvalue, relative to the first, below which Zᵀw/√λ is no longer orthogonal to the others to 1e-10."""

LAPACK_FROM = 2560
"""Least size of a symmetric matrix for which computing only the needed eigenvectors by LAPACK's steps, with
all threads, is faster than computing all with NumPy, for several classes in parallel."""


def exact_subspace(X: Tensor, rows: Tensor, variance: float | None, components: int) -> ClassSubspace:
    """Decompose the class of some rows using the smaller of its two symmetric matrices, in float64.

    Rows are gathered block by block and not copied, since a wide layer's matrices leave little memory.
    """
    n, d = len(rows), X.shape[1]
    route: Route = "gram" if n < d else "moment"
    symmetric = X.new_zeros((min(n, d), min(n, d)), dtype=torch.float64)
    # Each block is added to the whole matrix: if that is larger than the cache, fewer blocks are faster.
    numbers = 2 * linalg.FLOAT64_BLOCK if by_lapack(len(symmetric), symmetric.device) else None
    for block in float64_blocks(X, 1 if route == "gram" else 0, rows, numbers):
        _add_square(symmetric, block if route == "gram" else block.T)
    energy = float(symmetric.trace())
    if not math.isfinite(energy):
        raise InputError(describe_non_finite(X.index_select(0, rows)))
    if energy < LEAST_ENERGY and bool(X.index_select(0, rows).any()):
        raise InputError("Activations are so small that their squares underflow float64. Rescale them.")
    if energy == 0.0:
        return ClassSubspace(X.new_zeros((d, 0), dtype=torch.float64), symmetric.new_zeros(0), 0.0, n, route)

    def wanted(eigenvalues: Tensor) -> int:
        rank = int((eigenvalues > eigenvalues[0] * max(n, d) * EPS).sum())
        return min(directions_wanted(eigenvalues, energy, variance, components), rank)

    eigenvalues, vectors, others = _leading_eigh(symmetric, wanted)
    del symmetric
    weak = route == "gram" and bool(eigenvalues[-1] < WEAK * eigenvalues[0])
    if route == "gram":  # ZZᵀw = λw, so Zᵀw/√λ is the unit eigenvector of ZᵀZ
        W = vectors.div_(eigenvalues.sqrt()).T
        transposed, done = W.new_empty((len(W), d)), 0  # a fifth faster than not transposed
        for block in float64_blocks(X, 1, rows):
            transposed[:, done : done + block.shape[1]] = product(W, block)
            done += block.shape[1]
        vectors = transposed.T
        if weak:
            vectors = torch.linalg.qr(vectors).Q
    complement = others if route == "moment" else None
    return ClassSubspace(vectors, eigenvalues, energy, n, route, orthogonalized=weak, complement=complement)


def _leading_eigh(symmetric: Tensor, wanted: Callable[[Tensor], int]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Leading eigenvalues, decreasing, and eigenvectors of a symmetric matrix, which is overwritten.

    Also the other eigenvectors, if they were computed and are fewer.

    Parameters
    ----------
    symmetric : Tensor, m × m, float64
        Only its upper triangle is used.
    wanted : callable
        Returns the number of eigenvectors needed, from all eigenvalues, decreasing.
    """
    if not by_lapack(len(symmetric), symmetric.device):
        values, vectors = falling_eigh(symmetric)
        k = wanted(values)
        others = vectors[:, k:].clone() if 1 < k > len(vectors) - k else None
        return values[:k].clone(), vectors[:, :k].clone(), others

    # NumPy computes all eigenvectors, which takes most of its time. These are the steps of LAPACK's dsyevr,
    # with a check of the eigenvalues in between: A = QTQᵀ with T tridiagonal, T = WΛWᵀ, and QW. Calling
    # SciPy's eigvalsh and then eigh(subset_by_index=…) takes twice as long, since each computes T.
    from scipy.linalg import eigh_tridiagonal, lapack

    A = symmetric.numpy().T  # column-major, as in LAPACK: the upper triangle becomes the lower
    work, _ = lapack.dsytrd_lwork(len(A), lower=1)
    A, diagonal, beside, tau, _ = lapack.dsytrd(A, lower=1, lwork=int(work), overwrite_a=1)
    rising = eigh_tridiagonal(diagonal, beside, eigvals_only=True)
    k = wanted(torch.from_numpy(rising[::-1].copy()))
    last = len(A) - 1
    rising, W = eigh_tridiagonal(
        diagonal, beside, select="i", select_range=(last - k + 1, last), lapack_driver="stemr"
    )
    W = np.array(W[:, ::-1], order="F")
    reflectors = _without_first_row(A)
    _, work, _ = lapack.dormqr("L", "N", reflectors, tau, W[1:], lwork=-1)
    W[1:], _, _ = lapack.dormqr("L", "N", reflectors, tau, W[1:], lwork=int(work[0]))
    return torch.from_numpy(rising[::-1].copy()), torch.from_numpy(W), None


def _without_first_row(A: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a column-major matrix without its first row and last column, moved in place."""
    m = len(A) - 1
    numbers = A.reshape(-1, order="F")
    for column in range(m):
        numbers[column * m : (column + 1) * m] = A[1:, column]
    return numbers[: m * m].reshape((m, m), order="F")


def by_lapack(size: int, device: torch.device) -> bool:
    """Whether single steps of LAPACK and BLAS are called through SciPy: on the CPU, for large matrices."""
    return device.type == "cpu" and size >= LAPACK_FROM


def _add_square(symmetric: Tensor, A: Tensor) -> None:
    """Add AAᵀ to the upper triangle of a symmetric matrix, in place; A (m × s) by rows or by columns."""
    if not by_lapack(len(symmetric), symmetric.device):
        symmetric += product(A, A.T)
        return

    from scipy.linalg.blas import dsyrk

    # In BLAS's column-major order the matrix is transposed, so its upper triangle is the lower.
    by_columns = A.T.is_contiguous()
    dsyrk(
        1.0,
        A.numpy() if by_columns else A.numpy().T,
        beta=1.0,
        c=symmetric.numpy().T,
        trans=not by_columns,
        lower=True,
        overwrite_c=True,
    )
