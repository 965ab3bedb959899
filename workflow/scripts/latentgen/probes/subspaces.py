"""Principal subspaces of classes: the directions in which the activations of a class lie.

Rows of Z_c are the activations of the items labelled c, **not centred**. M_c = Z_cᵀ Z_c has eigenvalues
λ₁ ≥ λ₂ ≥ … and unit eigenvectors u₁, u₂, …; their sum Σλ = ‖Z_c‖²_F is the energy of the class. The subspace
that holds a share v of the energy is spanned by the first k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ v} + 1 eigenvectors.

There are two ways to them, chosen by shape:

* **exact**: form, in float64, whichever of Z_c Z_cᵀ (the Gram matrix, items × items) and Z_cᵀ Z_c (the moment
  matrix, features × features) is the smaller, and decompose it;
* **krylov**, for large classes whose energy lies in few directions: a block Krylov method whose long products
  are in float32, closed by one float64 Rayleigh–Ritz step with a certificate. Where the certificate fails, or
  the directions are not few, the exact way is taken instead and the class says so (`fell_back`).
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from latentgen.errors import LatentgenError
from latentgen.linalg import eigh, parallel_map, product, workers

Array: TypeAlias = np.ndarray[Any, Any] | Tensor

EPS = torch.finfo(torch.float64).eps
FLOAT64_BLOCK = 2**20
"""Numbers turned to float64 at a time: bounds the memory, and stays in the processor's cache."""

WEAK = 1e-6
"""Eigenvalue, relative to the first, below which Zᵀw/√λ is no longer orthogonal to the others to 1e-10."""

LAPACK_FROM = 2560
"""Least size of a symmetric matrix of which LAPACK's steps find the wanted eigenvectors alone, with all
threads, faster than NumPy finds all, one class beside another."""

ALONE_FROM = 2**26
"""Numbers of a class from which no other is decomposed beside it: copies of both could be more than fit."""

KRYLOV_FROM = 768
"""Least number of items and of features for which the Krylov way has been faster than the exact one."""

KRYLOV_BLOCK = 32
"""Columns per Krylov step. Fewer converge with fewer columns in all; more make a faster product."""

KRYLOV_PER_COMPONENT = 3
"""Columns for each wanted direction that it takes to converge, or almost."""

ANGLE = 5e-5
"""Certified angle between the subspace found and the true one. It moves s_c(x) = ‖U_cᵀx‖² by at most this
times ‖x‖², the scores of two classes together by 1e-4 of it."""

MISSED_ENERGY = 1e-10
"""Certified share of the energy that the eigenvalues found may fall short of the true ones."""

Route: TypeAlias = Literal["gram", "moment", "krylov"]


class KrylovWork(NamedTuple):
    """What the Krylov way did for one class; its cost follows from this (`latentgen.probes.costs`)."""

    columns: int
    """Of the basis in the end."""
    looks: tuple[tuple[int, int], ...]
    """At how many columns convergence was looked at, and for how many directions (0: too few columns)."""
    kept: int
    """Directions that went into the float64 step."""
    rounds: int
    """How often that was done."""


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
        How the directions were found: from the ``"gram"`` or the ``"moment"`` matrix, or by ``"krylov"``.
    fell_back : bool
        Whether that was the exact way because the Krylov way, tried first, could not be certified.
    krylov : KrylovWork, optional
        What the Krylov way did, if it was taken.
    orthogonalized : bool
        Whether the directions from the Gram matrix had to be made orthogonal once more.
    """

    basis: Tensor
    eigenvalues: Tensor
    energy: float
    n_items: int
    route: Route
    fell_back: bool = False
    krylov: KrylovWork | None = None
    orthogonalized: bool = False

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
        return replace(self, basis=self.basis[:, :components], eigenvalues=self.eigenvalues[:components])


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

    def fall_back(rows: Tensor) -> ClassSubspace:
        return replace(_exact(X, rows, variance, components), fell_back=True)

    def decompose(rows: Tensor) -> ClassSubspace | None:
        smaller = min(len(rows), X.shape[1])
        if smaller < KRYLOV_FROM:
            return _exact(X, rows, variance, components)
        found = _krylov(X.index_select(0, rows), variance, components)
        return fall_back(rows) if found is None and smaller < LAPACK_FROM else found

    at_most = workers(X.device) if max(counts) * X.shape[1] < ALONE_FROM else 1
    found = parallel_map(decompose, members, at_most)
    # What is left is large and for SciPy, which keeps Python's lock: one after the other, with all threads.
    return [subspace or fall_back(rows) for subspace, rows in zip(found, members, strict=True)]


def _exact(X: Tensor, rows: Tensor, variance: float | None, components: int) -> ClassSubspace:
    """Decompose the class of some rows by way of the smaller of its two symmetric matrices, in float64.

    Rows are gathered block by block, not copied: a wide layer's matrices leave little memory beside them.
    """
    n, d = len(rows), X.shape[1]
    route: Route = "gram" if n < d else "moment"
    symmetric = X.new_zeros((min(n, d), min(n, d)), dtype=torch.float64)
    # Each block goes over the whole matrix: where that is larger than the cache, fewer blocks are faster.
    numbers = 2 * FLOAT64_BLOCK if _by_lapack(symmetric) else FLOAT64_BLOCK
    for block in _float64_blocks(X, 1 if route == "gram" else 0, rows, numbers):
        _add_square(symmetric, block if route == "gram" else block.T)
    energy = float(symmetric.trace())
    if not math.isfinite(energy):
        raise LatentgenError(describe_non_finite(X.index_select(0, rows)))
    if energy == 0.0:
        return ClassSubspace(X.new_zeros((d, 0), dtype=torch.float64), symmetric.new_zeros(0), 0.0, n, route)

    def wanted(eigenvalues: Tensor) -> int:
        rank = int((eigenvalues > eigenvalues[0] * max(n, d) * EPS).sum())
        return min(_wanted(eigenvalues, energy, variance, components), rank)

    eigenvalues, vectors = _leading_eigh(symmetric, wanted)
    del symmetric
    weak = route == "gram" and bool(eigenvalues[-1] < WEAK * eigenvalues[0])
    if route == "gram":  # ZZᵀw = λw, so Zᵀw/√λ is the unit eigenvector of ZᵀZ
        W = vectors.div_(eigenvalues.sqrt()).T
        transposed, done = W.new_empty((len(W), d)), 0  # a fifth faster than the other way round
        for block in _float64_blocks(X, 1, rows):
            transposed[:, done : done + block.shape[1]] = product(W, block)
            done += block.shape[1]
        vectors = transposed.T
        if weak:
            vectors = torch.linalg.qr(vectors).Q
    return ClassSubspace(vectors, eigenvalues, energy, n, route, orthogonalized=weak)


def _krylov(Z: Tensor, variance: float | None, components: int) -> ClassSubspace | None:
    """Decompose one class (n × d) from the block Krylov space of M = ZᵀZ; None where that is of no use.

    The space spanned by G, MG, M²G, … for a random block G holds better approximations of the leading
    eigenvectors than any other way of spending the same products with Z. A random block is orthogonal to
    none of them, so that when the weakest wanted one has converged, no stronger one has been missed.
    The rows of V are its orthonormal basis, and the eigenvectors of T = VMVᵀ give the Ritz vectors. It is
    given up when more columns are foreseen than the exact way is worth.
    """
    Z32 = Z.to(torch.float32)
    # Summed over items in float64: one float32 sum over a whole class can be off by a per cent.
    rough_energy = float(torch.linalg.vector_norm(Z32, dim=1).to(torch.float64).square().sum())
    if not 1e-20 < rough_energy < 1e30:  # zero, not finite, or where float32 squares would not be exact
        return None
    widest = _widest_krylov(min(Z.shape))
    generator = torch.Generator().manual_seed(0)
    fresh = torch.randn((Z.shape[1], KRYLOV_BLOCK), generator=generator).T.to(Z.device)
    basis = Z32.new_empty((widest, Z.shape[1]))  # its vectors are rows, so that those found so far are dense
    T = torch.zeros((widest, widest), dtype=torch.float64, device=Z.device)
    next_look = 2 * KRYLOV_BLOCK
    looks: list[tuple[int, int]] = []
    for s in range(KRYLOV_BLOCK, widest + 1, KRYLOV_BLOCK):
        new = slice(s - KRYLOV_BLOCK, s)
        basis[new] = _orthonormal(fresh, basis[: new.start])
        V = basis[:s]
        fresh = product(product(Z32, V[new].T).T, Z32)
        along = product(fresh, V.T)
        T[new, :s] = along
        T[:s, new] = along.T
        fresh -= product(along, V)
        if s < next_look:
            continue
        ritz_values, S = _falling_eigh(T[:s, :s])
        k = _wanted(ritz_values, rough_energy, variance, components)
        foreseen = KRYLOV_PER_COMPONENT * max(k, _least_count(ritz_values[: s // 2], rough_energy, variance))
        if foreseen > widest:
            return None
        next_look = min(foreseen, 2 * s)
        kept = k + k // 4 + 8  # the gap to what is left out sets how well the last ones can be told apart
        looks.append((s, kept if kept <= s else 0))
        if kept > s:
            continue
        # For Ritz vectors SᵀV, (SᵀV)M - Θ(SᵀV) lies in the fresh block alone.
        S = S[:, :kept].to(torch.float32)
        residuals = torch.linalg.vector_norm(S[-KRYLOV_BLOCK:].T @ fresh, dim=1).to(torch.float64)
        if _angle(ritz_values[:kept], residuals, k) < ANGLE / 5:
            work = KrylovWork(s, tuple(looks), kept, rounds=0)
            return _rayleigh_ritz(Z, product(S.T, V).T, variance, components, work)
    return None


def _widest_krylov(smaller: int) -> int:
    """Columns up to which the Krylov way has been faster than the exact one; of the smaller of n and d."""
    return min(smaller // 2, max(1024, smaller // 4))


def _orthonormal(fresh: Tensor, V: Tensor) -> Tensor:
    """Orthonormal rows, of the span of `fresh` (b × d), orthogonal to those of V (s × d) up to rounding."""
    Q: Tensor = torch.linalg.qr(fresh.T).Q.T
    # Where little of a row was new, scaling it to length one has scaled up what rounding left along V.
    Q = torch.linalg.qr((Q - product(product(Q, V.T), V)).T).Q.T
    return Q


def _rayleigh_ritz(
    Z: Tensor, start: Tensor, variance: float | None, components: int, work: KrylovWork
) -> ClassSubspace | None:
    """Find the leading directions of Z near the span of `start` (d × p) in float64; None if not certain.

    Ritz values never exceed the eigenvalues, so their cumulative sums reach the threshold only where the true
    ones have; the certificate bounds by how much they may fall short.
    """
    MR = start.to(torch.float64)
    for rounds in (1, 2):  # a second time, from one power iteration on, where float32 was not enough
        R = torch.linalg.qr(MR).Q
        MR = torch.zeros_like(R)
        energy = 0.0
        for block in _float64_blocks(Z, dim=0):
            MR.addmm_(block.T, block @ R)
            energy += float(torch.linalg.vector_norm(block)) ** 2
        values, S = _falling_eigh(R.T @ MR)
        k = _wanted(values, energy, variance, components)
        if k >= len(values):
            return None
        R, MR = R @ S, MR @ S
        residuals = torch.linalg.vector_norm(MR - R * values, dim=0)
        missed_energy = float((residuals[:k].square() / (values[:k] - values[-1])).sum())
        if _angle(values, residuals, k) < ANGLE and missed_energy < MISSED_ENERGY * energy:
            # MR is at hand, and nearer to the true subspace than R by one power iteration.
            basis = torch.linalg.qr(MR[:, :k]).Q
            krylov = work._replace(rounds=rounds)
            return ClassSubspace(basis, values[:k].clone(), energy, len(Z), "krylov", krylov=krylov)
    return None


def _angle(values: Tensor, residuals: Tensor, k: int) -> float:
    """Bound the angle between the first k Ritz vectors, after one power iteration, and the true ones.

    Let N be M on the complement of all p Ritz vectors, and ν its norm, for which the last Ritz value
    stands. To first order, Ritz vector j with residual r_j leaks (θ_j - N)⁻¹ r_j into the complement; a power
    iteration multiplies that by N/θ_j, at most ν/θ_j. The leak couples it with every other Ritz vector l, by
    r_lᵀ(θ_j - N)⁻¹ r_j/(θ_j - θ_l). The bound holds for every number of directions up to k.

    Parameters
    ----------
    values, residuals : Tensor, p, float64
        Ritz values, falling, and the norms of the residuals of their vectors.
    k : int
        Number of directions wanted, less than p.
    """
    last = values[-1]
    leaks = residuals[:k] / (values[:k] - last)
    distances = (values[:k, None] - values).abs()
    couplings = leaks[:, None] * residuals / distances
    couplings.fill_diagonal_(0.0)
    angle = torch.linalg.vector_norm(leaks * last / values[:k]) + torch.linalg.vector_norm(couplings)
    return float(angle)


def _wanted(eigenvalues: Tensor, energy: float, variance: float | None, components: int) -> int:
    return components if variance is None else max(components, _count(eigenvalues, energy, variance))


def _count(eigenvalues: Tensor, energy: float, variance: float) -> int:
    """k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ variance} + 1 from falling eigenvalues and their full sum."""
    return int((eigenvalues.cumsum(0) <= variance * energy).sum()) + 1


def _least_count(leading: Tensor, energy: float, variance: float | None) -> int:
    """k_c at least, given the first few eigenvalues: that many if all others were as large as the last."""
    if variance is None or leading[-1] <= 0.0:
        return 0
    missing = variance * energy - float(leading.sum())
    return len(leading) + int(missing / float(leading[-1])) if missing > 0.0 else 0


def _falling_eigh(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = eigh(symmetric)
    return values.flip(0), vectors.flip(1)


def _leading_eigh(symmetric: Tensor, wanted: Callable[[Tensor], int]) -> tuple[Tensor, Tensor]:
    """Eigenvalues, falling, and eigenvectors of the leading part of a symmetric matrix, which is overwritten.

    Parameters
    ----------
    symmetric : Tensor, m × m, float64
        Only its upper triangle is looked at.
    wanted : callable
        Says from all eigenvalues, falling, how many are wanted.
    """
    if not _by_lapack(symmetric):
        values, vectors = _falling_eigh(symmetric)
        k = wanted(values)
        return values[:k].clone(), vectors[:, :k].clone()

    # NumPy finds all eigenvectors, which takes most of its time. These are the steps of LAPACK's dsyevr, with
    # a look at the eigenvalues between them: A = QTQᵀ with T tridiagonal, T = WΛWᵀ, and QW.
    from scipy.linalg import eigh_tridiagonal, lapack

    A = symmetric.numpy().T  # by columns, as LAPACK has it: the upper triangle has become the lower
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
    return torch.from_numpy(rising[::-1].copy()), torch.from_numpy(W)


def _without_first_row(A: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Move all but the first row and the last column of a matrix by columns together, where they are."""
    m = len(A) - 1
    numbers = A.reshape(-1, order="F")
    for column in range(m):
        numbers[column * m : (column + 1) * m] = A[1:, column]
    return numbers[: m * m].reshape((m, m), order="F")


def _by_lapack(symmetric: Tensor) -> bool:
    """Whether the steps of LAPACK and BLAS are taken one by one, by SciPy: on the CPU, for large matrices."""
    return symmetric.device.type == "cpu" and len(symmetric) >= LAPACK_FROM


def _add_square(symmetric: Tensor, A: Tensor) -> None:
    """Add AAᵀ to the upper triangle of a symmetric matrix, in place; A (m × s) by rows or by columns."""
    if not _by_lapack(symmetric):
        symmetric += product(A, A.T)
        return

    from scipy.linalg.blas import dsyrk

    # By columns, as BLAS has it, the matrix is its own transpose and the upper triangle is the lower.
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


def _float64_blocks(
    X: Tensor, dim: int, rows: Tensor | None = None, numbers: int | None = None
) -> Iterator[Tensor]:
    """Blocks of whole rows (dim 0) or columns (dim 1) of some rows of a matrix, in float64 and dense."""
    other = X.shape[1] if dim == 0 else len(X) if rows is None else len(rows)
    size = max(1, (numbers or FLOAT64_BLOCK) // max(1, other))
    if dim == 0 and rows is not None:
        for some in torch.split(rows, size):
            yield X.index_select(0, some).to(torch.float64)
        return
    for block in torch.split(X, size, dim):
        yield (block if rows is None else block.index_select(0, rows)).to(torch.float64)


def column_means(X: Tensor) -> Tensor:
    """Mean of each column of X (n × d), in float64."""
    total = X.new_zeros(X.shape[1], dtype=torch.float64)
    for block in _float64_blocks(X, dim=0):  # five times as fast as X.mean(dim=0, dtype=torch.float64)
        total += block.sum(dim=0)
    return total / len(X)


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
