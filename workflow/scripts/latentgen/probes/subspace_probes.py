"""Probes: classifiers fitted on the activations of one layer.

Both probes rest on the principal subspaces of the classes (`latentgen.probes.subspaces`), with U_c the
leading eigenvectors of M_c = Z_cᵀ Z_c:

* `MASC`, the minimum-angle subspace classifier, predicts the class whose subspace is at the smallest angle
  to x, that is, with the largest ‖U_cᵀ x‖²;
* `VeLPIC` predicts the class with the largest ⟨x, v_c⟩, where v_c is the first principal direction.

They are deterministic. Ties, and items whose activations are all zero, go to the lowest class index.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from latentgen.errors import LatentgenError
from latentgen.linalg import product
from latentgen.probes.subspaces import (
    Array,
    ClassSubspace,
    as_labels,
    as_rows,
    class_subspaces,
    column_means,
    describe_non_finite,
)

SCORED_ITEMS = 4096
SCORED_DIRECTIONS = 1024
"""Items and directions that are multiplied at a time: enough to be fast, and no more memory than that."""

ROUNDING = 64 * torch.finfo(torch.float32).eps
"""Difference of two float32 scores, relative to their largest possible value, that rounding can make."""


class SubspaceProbe(ABC):
    """What probes on class subspaces share: fitting, and scoring from coordinates in the subspaces.

    Attributes
    ----------
    subspaces_ : list of ClassSubspace
        The subspace of each class, with no direction for the missing ones.
    n_components_ : numpy array of int, C
        Number of directions used of each class; 0 for the missing ones.
    missing_classes_ : list of int
        Classes with no items or with zero rows only. They are never predicted.
    n_fallbacks_ : int
        Number of classes that were decomposed exactly because the faster way could not be certified.
    """

    variance: float | None = None
    components: int = 1

    subspaces_: list[ClassSubspace]
    n_components_: np.ndarray[tuple[int], np.dtype[np.int64]]
    missing_classes_: list[int]
    n_fallbacks_: int

    def fit(self, X: Array, y: Array, n_classes: int | None = None) -> Self:
        """Learn the subspaces of the classes.

        Parameters
        ----------
        X : array or tensor, n × d, floating point
            Activations of the training items.
        y : array or tensor, n, integer
            Their labels, in 0 … n_classes - 1.
        n_classes : int, optional
            Number of classes; by default one more than the largest label.

        Raises
        ------
        LatentgenError
            If X or y is not as described.
        """
        fit_together([self], X, y, n_classes)
        return self

    def predict(self, X: Array) -> Array:
        """Return the class of each row of X (n × d): n integers, an array or tensor as X is."""
        return predict_together([self], X)[0]

    def decision_function(self, X: Array) -> Array:
        """Return the score of each row of X for each class: n × C, float64; -∞ for missing classes."""
        (scores,) = _score_together([self], X)
        return _like(scores, X)

    def _learn(self, shared: list[ClassSubspace], mean: Tensor) -> None:
        """Take from a shared decomposition what this probe needs; `mean` (d) is that of all items."""
        self._shared = shared
        counts = [self._components_of(subspace) for subspace in shared]
        self.subspaces_ = [subspace.truncated(k) for subspace, k in zip(shared, counts, strict=True)]
        self.n_components_ = np.array(counts, dtype=np.int64)
        self.missing_classes_ = [c for c, k in enumerate(counts) if k == 0]
        self.n_fallbacks_ = sum(subspace.fell_back for subspace in shared)

    def _class_scores(self, coordinates: Sequence[Tensor], classes: slice) -> Tensor:
        used = self.n_components_[classes].tolist()
        scores = self._scores([p[:, :k] for p, k in zip(coordinates, used, strict=True)], classes)
        missing = [c for c, k in enumerate(used) if k == 0]
        scores = scores.to(torch.float64)
        scores[:, missing] = -math.inf
        return scores

    @abstractmethod
    def _components_of(self, subspace: ClassSubspace) -> int:
        """How many directions of a class this probe uses."""

    @abstractmethod
    def _scores(self, coordinates: Sequence[Tensor], classes: slice) -> Tensor:
        """Scores (n × C) from the coordinates of the items in the bases of some classes (n × k_c each)."""

    @abstractmethod
    def _largest_score(self, squared_norm: Tensor) -> Tensor:
        """Largest score an item of this squared norm can have."""


class MASC(SubspaceProbe):
    """Minimum-angle subspace classifier: the largest s_c(x) = ‖U_cᵀ x‖².

    As cos θ = ‖U_cᵀ x‖/‖x‖ for the angle θ between x and its projection, the largest score is the smallest
    angle; and as s_c(x) = xᵀ(U_c U_cᵀ)x, this is a quadratic classifier.

    Parameters
    ----------
    variance : float in (0, 1), optional
        Share v of the energy of a class from which the number of directions follows:
        k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ v} + 1. By default 0.99, as in the papers.
    components : int, optional
        The same number of directions for every class instead (fewer where the rank is lower).
        The papers' "threshold 1" is ``components=1``.

    References
    ----------
    Ketha and Ramaswamy, arXiv 2501.14687.
    """

    def __init__(self, variance: float | None = None, components: int | None = None) -> None:
        if variance is not None and components is not None:
            raise LatentgenError(
                f"MASC takes variance or components, found both ({variance!r} and {components!r}). Drop one."
            )
        self.variance = 0.99 if variance is None and components is None else variance
        self.components = 1 if components is None else components

    def _components_of(self, subspace: ClassSubspace) -> int:
        if self.variance is None:
            return min(self.components, subspace.n_components)
        return subspace.components_for(self.variance)

    def _scores(self, coordinates: Sequence[Tensor], classes: slice) -> Tensor:
        return torch.stack([p.square().sum(dim=1) for p in coordinates], dim=1)

    def _largest_score(self, squared_norm: Tensor) -> Tensor:
        return squared_norm


class VeLPIC(SubspaceProbe):
    """Classifier by the first principal direction of each class: the largest ⟨x, v_c⟩.

    v_c = ±u₁ of M_c, with the sign for which the mean of ⟨x, v_c⟩ over the whole training set is ≥ 0.

    Attributes
    ----------
    vectors_ : Tensor, C × d, float64
        The v_c as rows, as they go into a readout; zero for the missing classes.

    References
    ----------
    Ketha and Ramaswamy, arXiv 2603.19865.
    """

    vectors_: Tensor

    def _components_of(self, subspace: ClassSubspace) -> int:
        return min(1, subspace.n_components)

    def _learn(self, shared: list[ClassSubspace], mean: Tensor) -> None:
        super()._learn(shared, mean)
        firsts = torch.stack([_first(subspace.basis) for subspace in shared])
        self._signs = torch.where(firsts @ mean >= 0.0, 1.0, -1.0)
        self.vectors_ = self._signs[:, None] * firsts

    def _scores(self, coordinates: Sequence[Tensor], classes: slice) -> Tensor:
        return torch.stack([_first(p) for p in coordinates], dim=1) * self._signs[classes].to(coordinates[0])

    def _largest_score(self, squared_norm: Tensor) -> Tensor:
        return squared_norm.sqrt()


def _first(columns: Tensor) -> Tensor:
    """First of some columns, or zeros where there are none (missing classes)."""
    return columns[:, :1].sum(dim=1)


def fit_together(probes: Sequence[SubspaceProbe], X: Array, y: Array, n_classes: int | None = None) -> None:
    """Fit several probes on the same items and labels from one decomposition of each class.

    Gives each probe what its own `fit` would give it.

    Parameters
    ----------
    probes : sequence of SubspaceProbe
        Unfitted or fitted; what they had learned is replaced.
    X, y, n_classes
        As in `SubspaceProbe.fit`.

    Raises
    ------
    LatentgenError
        As in `SubspaceProbe.fit`.
    """
    X = as_rows(X)
    labels, n_classes = as_labels(y, X, n_classes)
    subspaces = class_subspaces(
        X,
        labels,
        n_classes,
        variance=max((probe.variance for probe in probes if probe.variance is not None), default=None),
        components=max(probe.components for probe in probes),
    )
    missing = [c for c, subspace in enumerate(subspaces) if subspace.n_components == 0]
    if missing:
        listed = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
        warnings.warn(
            f"{len(missing)} of {n_classes} classes have no items, or zero activations only, "
            f"and are never predicted: {listed}",
            stacklevel=2,
        )
    mean = column_means(X)
    for probe in probes:
        probe._learn(subspaces, mean)


def predict_together(probes: Sequence[SubspaceProbe], X: Array) -> list[Array]:
    """Predict with several fitted probes in one pass over the items.

    Probes that were fitted together share the product with their bases.

    Parameters
    ----------
    probes : sequence of SubspaceProbe
        Fitted probes, from one `fit_together` or from several (say, on corrupted and on true labels).
    X : array or tensor, n × d, floating point
        Activations, on any device.

    Returns
    -------
    list of array or Tensor, n, int64
        The classes predicted by each probe: arrays for an array, tensors on the device of X for a tensor.

    Raises
    ------
    LatentgenError
        If X is not a finite matrix with the number of features that the probes were fitted on.
    """
    return [_like(scores.argmax(dim=1), X) for scores in _score_together(probes, X)]


def _score_together(probes: Sequence[SubspaceProbe], X: Array) -> list[Tensor]:
    """Scores of each probe (n × C, float64).

    Products are taken in the precision of X. Where float32 cannot tell the two best scores of a row apart,
    the row is scored again in float64, so that rounding decides no prediction.
    """
    X = as_rows(X)
    decompositions: dict[int, list[SubspaceProbe]] = {}
    for probe in probes:
        if not hasattr(probe, "subspaces_"):
            raise LatentgenError(f"This {type(probe).__name__} is not fitted yet. Call fit first.")
        decompositions.setdefault(id(probe._shared), []).append(probe)

    squared_norms = torch.linalg.vector_norm(X, dim=1).to(torch.float64).square()
    if not bool(squared_norms.isfinite().all()):
        raise LatentgenError(describe_non_finite(X))
    scores: dict[int, Tensor] = {}
    for fitted_together in decompositions.values():
        shared = fitted_together[0]._shared
        n_features = len(shared[0].basis)
        if X.shape[1] != n_features:
            raise LatentgenError(
                f"The probes were fitted on {n_features} features, found {X.shape[1]}. "
                "Give activations of the same layer."
            )
        found = [X.new_empty((len(X), len(shared)), dtype=torch.float64) for _ in fitted_together]
        for classes in _groups([subspace.n_components for subspace in shared]):
            _score_classes(fitted_together, X, classes, [scores_of[:, classes] for scores_of in found])
        for probe, scores_of in zip(fitted_together, found, strict=True):
            if X.dtype == torch.float32 and len(shared) > 1:
                close = _too_close(scores_of, probe._largest_score(squared_norms)).nonzero()[:, 0]
                for rows in torch.split(close, SCORED_ITEMS):
                    exact = X[rows].to(torch.float64)
                    again = [exact @ subspace.basis.to(exact) for subspace in shared]
                    scores_of[rows] = probe._class_scores(again, slice(None))
            scores[id(probe)] = scores_of
    return [scores[id(probe)] for probe in probes]


def _groups(widths: Sequence[int]) -> Iterator[slice]:
    """Neighbouring classes, as many as have about `SCORED_DIRECTIONS` directions together."""
    start, columns = 0, 0
    for c, width in enumerate(widths):
        if c > start and columns + width > SCORED_DIRECTIONS:
            yield slice(start, c)
            start, columns = c, 0
        columns += width
    yield slice(start, len(widths))


def _score_classes(
    probes: Sequence[SubspaceProbe], X: Tensor, classes: slice, scores: Sequence[Tensor]
) -> None:
    """Fill in the scores of some classes (n × as many), for each of some probes that were fitted together."""
    shared = probes[0]._shared[classes]
    widths = [subspace.n_components for subspace in shared]
    # By columns, as the bases are: to put them together by rows would take three times as long.
    basis = torch.cat([subspace.basis.T.to(X) for subspace in shared]).T
    for start in range(0, len(X), SCORED_ITEMS):
        rows = slice(start, start + SCORED_ITEMS)
        coordinates = torch.split(product(X[rows], basis), widths, dim=1)
        for probe, scores_of in zip(probes, scores, strict=True):
            scores_of[rows] = probe._class_scores(coordinates, classes)


def _too_close(scores: Tensor, largest_score: Tensor) -> Tensor:
    """Which rows have two best scores that rounding to float32 could have swapped (NaN counts as such)."""
    best = scores.topk(2, dim=1).values
    return ~(best[:, 0] - best[:, 1] > ROUNDING * largest_score)


def _like(result: Tensor, X: Array) -> Array:
    return result if isinstance(X, Tensor) else result.cpu().numpy()
