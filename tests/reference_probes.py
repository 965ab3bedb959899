"""The probes, straight from their definitions: plain float64 numpy, one class after the other, no short cuts.

This is what the library is compared with. It forms M_c = Z_cᵀ Z_c, takes all its eigenvectors, and scores
item by item with the formulas of the papers. It is slow, and meant to be read as the definition.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Eigen:
    """Eigenvalues of M_c, falling, and its unit eigenvectors as columns."""

    values: np.ndarray
    vectors: np.ndarray


def eigen(X, y, n_classes):
    """Decompose M_c of every class: a list with None for classes that have no direction."""
    X = np.asarray(X, dtype=np.float64)
    decompositions = []
    for c in range(n_classes):
        Z = X[np.asarray(y) == c]
        values, vectors = np.linalg.eigh(Z.T @ Z)
        decompositions.append(Eigen(values[::-1], vectors[:, ::-1]) if Z.any() else None)
    return decompositions


def components_for(values, variance):
    """Return k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ v} + 1."""
    return int(np.sum(np.cumsum(values) / np.sum(values) <= variance)) + 1


def is_decided(values, variance):
    """Whether no cumulative share is so near the threshold (1e-9) that rounding may decide k_c."""
    return bool(np.all(np.abs(np.cumsum(values) / np.sum(values) - variance) > 1e-9))


def rank(values, shape):
    """Numerical rank: the eigenvalues that float64 can tell from zero."""
    return int(np.sum(values > values[0] * max(shape) * np.finfo(np.float64).eps))


def masc_scores(decompositions, components, X):
    """‖U_cᵀ x‖² of each item for each class (n × C), -∞ for classes without direction."""
    X = np.asarray(X, dtype=np.float64)
    scores = np.full((len(X), len(decompositions)), -np.inf)
    for c, (eig, k) in enumerate(zip(decompositions, components, strict=True)):
        if eig is not None:
            U = eig.vectors[:, :k]
            for i, x in enumerate(X):
                scores[i, c] = np.sum((U.T @ x) ** 2)
    return scores


def velpic_vectors(decompositions, X_train, y, sign="own"):
    """v_c = ±u₁ as rows; zero without direction.

    The mean of ⟨x, v_c⟩ is ≥ 0 over the class's own items (``own``), or over all items (``all``).
    """
    X_train, y = np.asarray(X_train, dtype=np.float64), np.asarray(y)
    vectors = np.zeros((len(decompositions), X_train.shape[1]))
    for c, eig in enumerate(decompositions):
        if eig is not None:
            first = eig.vectors[:, 0]
            items = X_train[y == c] if sign == "own" else X_train
            vectors[c] = first if np.mean(items @ first) >= 0 else -first
    return vectors


def velpic_scores(decompositions, vectors, X):
    """⟨x, v_c⟩ of each item for each class (n × C), -∞ for classes without direction."""
    scores = np.asarray(X, dtype=np.float64) @ vectors.T
    scores[:, [c for c, eig in enumerate(decompositions) if eig is None]] = -np.inf
    return scores


def clear(scores, largest=0.0, tolerance=1e-4):
    """Which items have two best scores that differ by more than `tolerance`, relative to the best.

    Nor by what rounding in float64 can make of the `largest` scores that the items can have.
    """
    if scores.shape[1] == 1:
        return np.ones(len(scores), dtype=bool)
    second, best = np.sort(scores, axis=1)[:, -2:].T
    return best - second > np.maximum(tolerance * np.abs(best), 1e-12 * largest)
