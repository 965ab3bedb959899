"""The Krylov method for a class's principal subspace: float32 products and a certified float64 step."""

import math

import torch
from torch import Tensor

from latentgen.linalg import falling_eigh, float64_blocks, product
from latentgen.probes.class_subspace import ClassSubspace, KrylovWork, directions_wanted

EPS = torch.finfo(torch.float64).eps

KRYLOV_BLOCK = 32
"""Columns per Krylov step. Smaller blocks converge with fewer columns; larger ones make products faster."""

KRYLOV_PER_COMPONENT = 3
"""Approximate number of columns per needed direction until convergence."""

ANGLE = 5e-5
"""Certified angle between the computed and the true subspace. It changes s_c(x) = ‖U_cᵀx‖² by at most this
times ‖x‖², and the difference of two scores by at most 1e-4 ‖x‖²."""

MISSED_ENERGY = 1e-10
"""Certified fraction of the energy by which the eigenvalues may fall short of the true ones."""


def krylov_subspace(Z: Tensor, variance: float | None, components: int) -> ClassSubspace | None:
    """Decompose one class (n × d) from the block Krylov space of M = ZᵀZ; None if that does not pay off.

    The space spanned by G, MG, M²G, … for a random block G contains better approximations of the leading
    eigenvectors than any other use of the same products with Z. A random block is orthogonal to none of them,
    so once the weakest needed one has converged, no stronger one has been missed. The rows of V are its
    orthonormal basis, and the eigenvectors of T = VMVᵀ give the Ritz vectors. The method is abandoned if it
    will need so many columns that the exact method is faster.
    """
    Z32 = Z.to(torch.float32)
    # Summed over examples in float64: a float32 sum over a whole class can be off by one percent.
    rough_energy = float(torch.linalg.vector_norm(Z32, dim=1).to(torch.float64).square().sum())
    if not 1e-20 < rough_energy < 1e30:  # zero, not finite, or with inaccurate float32 squares
        return None
    widest = _widest_krylov(min(Z.shape))
    generator = torch.Generator().manual_seed(0)
    fresh = torch.randn((Z.shape[1], KRYLOV_BLOCK), generator=generator).T.to(Z.device)
    basis = Z32.new_empty((widest, Z.shape[1]))  # vectors are rows, so the computed ones are contiguous
    T = torch.zeros((widest, widest), dtype=torch.float64, device=Z.device)
    next_look = 2 * KRYLOV_BLOCK
    checks: list[tuple[int, int]] = []
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
        ritz_values, S = falling_eigh(T[:s, :s])
        k = directions_wanted(ritz_values, rough_energy, variance, components)
        foreseen = KRYLOV_PER_COMPONENT * max(k, _least_count(ritz_values[: s // 2], rough_energy, variance))
        if foreseen > widest:
            return None
        next_look = min(foreseen, 2 * s)
        kept = k + k // 4 + 8  # the gap to the omitted ones determines how well the last ones are separated
        checks.append((s, kept if kept <= s else 0))
        if kept > s:
            continue
        # For Ritz vectors SᵀV, (SᵀV)M - Θ(SᵀV) is in the fresh block alone.
        S = S[:, :kept].to(torch.float32)
        residuals = torch.linalg.vector_norm(S[-KRYLOV_BLOCK:].T @ fresh, dim=1).to(torch.float64)
        if _angle(ritz_values[:kept], residuals, k) < ANGLE / 5:
            work = KrylovWork(s, tuple(checks), kept, rounds=0)
            return _rayleigh_ritz(Z, product(S.T, V).T, variance, components, work)
    return None


def _widest_krylov(smaller: int) -> int:
    """Largest number of columns with which the Krylov method was faster, from the smaller of n and d."""
    return min(smaller // 2, max(1024, smaller // 4))


def _orthonormal(fresh: Tensor, V: Tensor) -> Tensor:
    """Orthonormalize the rows of `fresh` (b × d) against those of V (s × d), up to rounding."""
    Q: Tensor = torch.linalg.qr(fresh.T).Q.T
    # If little of a row was new, normalizing it has amplified the rounding error along V.
    Q = torch.linalg.qr((Q - product(product(Q, V.T), V)).T).Q.T
    return Q


def _rayleigh_ritz(
    Z: Tensor, start: Tensor, variance: float | None, components: int, work: KrylovWork
) -> ClassSubspace | None:
    """Compute the leading directions of Z near the span of `start` (d × p) in float64; None if uncertain.

    Ritz values never exceed the eigenvalues, so their cumulative sums reach the threshold only if the true
    ones do; the certificate bounds by how much they may fall short.
    """
    MR = start.to(torch.float64)
    for rounds in (1, 2):  # a second time, after one power iteration, if float32 was not accurate enough
        R = torch.linalg.qr(MR).Q
        MR = torch.zeros_like(R)
        energy = 0.0
        for block in float64_blocks(Z, dim=0):
            MR.addmm_(block.T, block @ R)
            energy += float(torch.linalg.vector_norm(block)) ** 2
        values, S = falling_eigh(R.T @ MR)
        k = directions_wanted(values, energy, variance, components)
        if k >= len(values):
            return None
        R, MR = R @ S, MR @ S
        residuals = torch.linalg.vector_norm(MR - R * values, dim=0)
        missed_energy = float((residuals[:k].square() / (values[:k] - values[-1])).sum())
        rounding = EPS * math.sqrt(len(Z)) * float(values[0])
        if _angle(values, residuals, k, rounding) < ANGLE and missed_energy < MISSED_ENERGY * energy:
            # MR is already computed, and closer to the true subspace than R by one power iteration.
            basis = torch.linalg.qr(MR[:, :k]).Q
            krylov = work._replace(rounds=rounds)
            return ClassSubspace(basis, values[:k].clone(), energy, len(Z), "krylov", krylov=krylov)
    return None


def _angle(values: Tensor, residuals: Tensor, k: int, rounding: float = 0.0) -> float:
    """Bound the angle between the first k Ritz vectors, after one power iteration, and the true ones.

    Let N be M on the complement of all p Ritz vectors, and ν its norm, estimated by the last Ritz value. To
    first order, Ritz vector j with residual r_j leaks (θ_j - N)⁻¹ r_j into the complement; a power iteration
    multiplies that by N/θ_j, at most ν/θ_j. The leak couples it with every other Ritz vector l, by
    r_lᵀ(θ_j - N)⁻¹ r_j/(θ_j - θ_l). The bound holds for every number of directions up to k.

    Rounding rotates vectors j ≤ k and l > k into each other by its size over θ_j - θ_l. Within the first k
    this happens if eigenvalues are nearly equal, also with the exact method.

    Parameters
    ----------
    values, residuals : Tensor, p, float64
        Ritz values, decreasing, and the norms of the residuals of their vectors.
    k : int
        Number of directions needed, less than p.
    rounding : float
        Error of the products behind the Ritz values.
    """
    last = values[-1]
    leaks = residuals[:k] / (values[:k] - last)
    distances = (values[:k, None] - values).abs()
    couplings = leaks[:, None] * residuals / distances
    couplings.fill_diagonal_(0.0)
    angle = torch.linalg.vector_norm(leaks * last / values[:k]) + torch.linalg.vector_norm(couplings)
    return float(angle + torch.linalg.vector_norm(rounding / distances[:, k:]))


def _least_count(leading: Tensor, energy: float, variance: float | None) -> int:
    """Bound k_c from below by the first few eigenvalues, as if all others were as large as the last."""
    if variance is None or leading[-1] <= 0.0:
        return 0
    missing = variance * energy - float(leading.sum())
    return len(leading) + int(missing / float(leading[-1])) if missing > 0.0 else 0
