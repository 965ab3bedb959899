"""The two probes on the principal subspaces of classes (`latentgen.probes.subspaces`).

With U_c the leading eigenvectors of M_c = Z_cᵀ Z_c:

* `MASC`, the minimum-angle subspace classifier, predicts the class whose subspace is at the smallest angle
  to x, that is, with the largest ‖U_cᵀ x‖²;
* `VeLPIC` predicts the class with the largest ⟨x, v_c⟩, where v_c is the first principal direction.

They are deterministic. Ties, and examples whose activations are all zero, go to the first class.
"""

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from latentgen.linalg import class_means
from latentgen.probes.base import Probe, Work
from latentgen.probes.class_subspace import ClassSubspace, Decomposition, no_subspace
from latentgen.probes.costs import subspace_flops
from latentgen.probes.inputs import Array, InputError, as_classes, as_features
from latentgen.probes.scoring import Coordinates, best_classes, class_scores
from latentgen.probes.stored import ClassGroup
from latentgen.probes.subspaces import class_subspaces

PAPERS_VARIANCE = 0.99
"""Fraction of the variance that each class's subspace keeps in the papers."""


class SubspaceProbe(Probe):
    """Base class of probes on class subspaces: fitting, and scoring from coordinates in the subspaces.

    Attributes
    ----------
    subspaces_ : list of ClassSubspace
        The subspace of each class, without directions for the missing ones.
    n_components_ : numpy array of int, C
        Number of directions used for each class; 0 for the missing ones.
    n_fallbacks_ : int
        Number of classes that were decomposed exactly because the faster method could not be certified.
    """

    subspaces_: list[ClassSubspace]
    n_components_: np.ndarray[tuple[int], np.dtype[np.int64]]
    n_fallbacks_: int

    degree: int
    """The scores of 2x are 2 to this power times those of x."""

    @property
    def decomposition(self) -> Sequence[ClassSubspace]:
        """The computed subspaces, shared by all probes that were fitted together."""
        return self._decomposition

    @property
    def counts(self) -> Sequence[int]:
        """`n_components_` as a list."""
        counts: list[int] = self.n_components_.tolist()
        return counts

    def scores(self, coordinates: Sequence[Coordinates], classes: slice, squared_norms: Tensor) -> Tensor:
        """Return the scores of a block for some classes; see `latentgen.probes.scoring.Scorer`."""
        used = self.counts[classes]
        columns = [
            self._class_score(of_class, k, squared_norms).to(torch.float64)
            if k
            else torch.full_like(squared_norms, -math.inf)
            for of_class, k in zip(coordinates, used, strict=True)
        ]
        return self._signed(torch.stack(columns, dim=1), classes)

    def _signed(self, scores: Tensor, classes: slice) -> Tensor:
        return scores

    def _fit(self, X: Tensor, labels: Tensor) -> None:
        fit_all([self], [ClassGroup(slice(0, len(self.classes_)), X, labels)])

    def _learn(self, decomposition: list[ClassSubspace], means: Tensor | None, counts: Tensor) -> None:
        """Fit from a shared decomposition; `means` (C × d) are those of the classes."""
        self._decomposition = decomposition
        used = [self._components_of(subspace) for subspace in decomposition]
        self.subspaces_ = [subspace.truncated(k) for subspace, k in zip(decomposition, used, strict=True)]
        self.n_components_ = np.array(used, dtype=np.int64)
        self.missing_classes_ = [c for c, k in enumerate(used) if k == 0]
        self.n_fallbacks_ = sum(subspace.fell_back for subspace in decomposition)

    def _predict(self, X: Tensor) -> Tensor:
        return best_classes([self], X)[0]

    def _scores(self, X: Tensor) -> Tensor:
        return class_scores(self, X)

    def _fit_flops(self) -> float:
        return sum(subspace_flops(subspace, self.n_features_in_) for subspace in self.subspaces_)

    @abstractmethod
    def _demand(self) -> tuple[float | None, int]:
        """Fraction of the variance, if given, and number of directions that this probe needs."""

    @abstractmethod
    def _components_of(self, subspace: ClassSubspace) -> int:
        """Return the number of directions of a class that this probe uses."""

    @abstractmethod
    def _class_score(self, coordinates: Coordinates, k: int, squared_norms: Tensor) -> Tensor:
        """Scores (n) for one class, with k directions."""


class MASC(SubspaceProbe):
    """Minimum-angle subspace classifier: the largest s_c(x) = ‖U_cᵀ x‖².

    As cos θ = ‖U_cᵀ x‖/‖x‖ for the angle θ between x and its projection, the largest score is the smallest
    angle; and as s_c(x) = xᵀ(U_c U_cᵀ)x, this is a quadratic classifier.

    Parameters
    ----------
    variance : float in (0, 1), optional
        Fraction v of the energy of a class, which determines the number of directions:
        k_c = #{j : (λ₁+…+λ_j)/Σλ ≤ v} + 1. 0.99, as in the papers, if neither parameter is given.
    components : int, optional
        The same number of directions for every class instead (fewer if the rank is lower).
        The papers' "threshold 1" is ``components=1``.

    References
    ----------
    Ketha and Ramaswamy, arXiv 2501.14687.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.probes import MASC
    >>> X = np.array([[1.0, 0.1, 0.0], [2.0, 0.0, 0.1], [0.0, 1.0, 0.1], [0.1, 3.0, 0.0]])
    >>> masc = MASC(components=1).fit(X, ["cat", "cat", "dog", "dog"])
    >>> masc.predict([[5.0, 1.0, 0.0], [0.0, 0.2, 0.1]]).tolist()
    ['cat', 'dog']
    >>> masc.n_components_.tolist()
    [1, 1]
    """

    degree = 2
    _separates_everything = False  # clusters that span all features are at the same angle to everything

    def __init__(self, variance: float | None = None, components: int | None = None) -> None:
        self.variance = variance
        self.components = components

    def _demand(self) -> tuple[float | None, int]:
        if self.variance is not None and self.components is not None:
            raise InputError(
                f"MASC takes variance or components, found both ({self.variance!r} and {self.components!r}). "
                "Drop one."
            )
        if self.components is not None:
            return None, self.components
        return PAPERS_VARIANCE if self.variance is None else self.variance, 1

    def _components_of(self, subspace: ClassSubspace) -> int:
        variance, components = self._demand()
        if variance is None:
            return min(components, subspace.n_components)
        return subspace.components_for(variance)

    def _class_score(self, coordinates: Coordinates, k: int, squared_norms: Tensor) -> Tensor:
        if coordinates.outside is not None and k > coordinates.inside.shape[1]:
            return squared_norms - coordinates.outside.square().sum(dim=1)
        return coordinates.inside[:, :k].square().sum(dim=1)

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula; parameters as in `Probe.work`."""
        d = self.n_features_in_
        fewest = [
            min(k, s.complement.shape[1]) if s.complement is not None else k
            for s, k in zip(self.subspaces_, self.counts, strict=True)
        ]
        return Work(self._fit_flops(), 2 * m * d * sum(fewest), 8 * d * sum(fewest))


class VeLPIC(SubspaceProbe):
    """Classifier by the first principal direction of each class: the largest ⟨x, v_c⟩.

    v_c = ±u₁ of M_c. On non-negative activations both rules for the sign give the same vectors
    (`docs/velpic-sign.md` has the proof). Otherwise the mean over all classes can be close to zero, and its
    sign is then arbitrary.

    Parameters
    ----------
    sign : {"own", "all"}
        ``own``: the mean of ⟨x, v_c⟩ over the class's own examples is ≥ 0. ``all``, as in the papers: the
        mean over the whole training set is ≥ 0.

    Attributes
    ----------
    vectors_ : Tensor, C × d, float64
        The v_c as rows, ready for a readout; zero for the missing classes.
    signs_against_mean_ : int
        Number of classes for which the two rules differ: with ``all``, vectors that point away from the mean
        of their own class.

    References
    ----------
    Ketha and Ramaswamy, arXiv 2603.19865.

    Examples
    --------
    >>> import numpy as np
    >>> from latentgen.probes import VeLPIC
    >>> X = np.array([[1.0, 0.1], [2.0, 0.1], [-0.1, -1.0], [-0.1, -3.0]])
    >>> velpic = VeLPIC().fit(X, [0, 0, 1, 1])
    >>> velpic.predict([[5.0, 1.0], [0.0, -0.2]]).tolist()
    [0, 1]
    >>> VeLPIC(sign="all").fit(X, [0, 0, 1, 1]).signs_against_mean_
    0
    """

    degree = 1

    vectors_: Tensor
    signs_against_mean_: int

    def __init__(self, sign: Literal["own", "all"] = "own") -> None:
        self.sign = sign

    def _demand(self) -> tuple[float | None, int]:
        if self.sign not in ("own", "all"):
            raise InputError(f"sign must be 'own' or 'all', found {self.sign!r}.")
        return None, 1

    def _components_of(self, subspace: ClassSubspace) -> int:
        return min(1, subspace.n_components)

    def _learn(self, decomposition: list[ClassSubspace], means: Tensor | None, counts: Tensor) -> None:
        super()._learn(decomposition, means, counts)
        assert means is not None
        # First directions; zeros for missing classes.
        firsts = torch.stack([subspace.basis[:, :1].sum(dim=1) for subspace in decomposition])
        along = {
            "own": (firsts * means).sum(dim=1),
            "all": firsts @ (counts.to(torch.float64) / counts.sum() @ means),
        }
        signs = {rule: torch.where(mean >= 0.0, 1.0, -1.0).to(firsts) for rule, mean in along.items()}
        self.signs_against_mean_ = int((signs["own"] != signs["all"]).sum())
        self._signs = signs[self.sign]
        self.vectors_ = self._signs[:, None] * firsts

    def _class_score(self, coordinates: Coordinates, k: int, squared_norms: Tensor) -> Tensor:
        return coordinates.inside[:, 0]

    def _signed(self, scores: Tensor, classes: slice) -> Tensor:
        return scores * self._signs[classes]  # 1 for a missing class

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula; parameters as in `Probe.work`."""
        d, k = self.n_features_in_, sum(self.counts)
        means = sum(counts) * d + 2 * d * len(counts) + 2 * d * len(counts)
        return Work(self._fit_flops() + means, 2 * m * d * k, 8 * k * d + self._signs.nbytes)


def fit_together(probes: Sequence[SubspaceProbe], X: Array, y: Array, n_classes: int | None = None) -> None:
    """Fit several probes on the same examples and labels from one decomposition of each class.

    The result is the same as that of each probe's own `fit`.

    Parameters
    ----------
    probes : sequence of SubspaceProbe
        Unfitted or fitted; previous fits are replaced.
    X, y, n_classes
        As in `Probe.fit`.

    Raises
    ------
    LatentgenError
        As in `Probe.fit`.
    """
    rows = as_features(X)
    labels, classes = as_classes(y, rows, n_classes)
    for probe in probes:
        probe._learn_classes(classes, rows)
    fit_all(probes, [ClassGroup(slice(0, len(classes)), rows, labels)])


def largest_demand(probes: Sequence[SubspaceProbe]) -> tuple[float | None, int]:
    """Return share of the variance and number of directions that suffice for all probes."""
    demands = [probe._demand() for probe in probes]
    variance = max((variance for variance, _ in demands if variance is not None), default=None)
    return variance, max(components for _, components in demands)


def fit_all(
    probes: Sequence[SubspaceProbe],
    groups: Iterable[ClassGroup],
    kept: Callable[[list[ClassSubspace]], list[ClassSubspace]] = list,
) -> None:
    """Fit on classes that come in groups; `kept` says where the subspaces of a group are to lie."""
    learn_all(probes, decomposed(probes, groups, kept))


def decomposed(
    probes: Sequence[SubspaceProbe],
    groups: Iterable[ClassGroup],
    kept: Callable[[list[ClassSubspace]], list[ClassSubspace]] = list,
) -> Decomposition:
    """Return what these probes need of the classes in some groups."""
    variance, components = largest_demand(probes)
    signed = any(isinstance(probe, VeLPIC) for probe in probes)
    subspaces: list[ClassSubspace] = []
    means, counts = [], []
    for group in groups:
        n_classes = group.classes.stop - group.classes.start
        X, labels = group.X, group.labels
        if len(X):
            of_group = class_subspaces(X, labels, n_classes, variance=variance, components=components)
        else:  # all classes of a range may be without examples
            of_group = [no_subspace(X)] * n_classes
        subspaces.extend(kept(of_group))
        counts.append(labels.bincount(minlength=n_classes))
        if signed:
            means.append(class_means(X, labels, counts[-1]))
    return Decomposition(subspaces, torch.cat(means) if signed else None, torch.cat(counts))


def learn_all(probes: Sequence[SubspaceProbe], decomposition: Decomposition) -> None:
    """Let each probe take what it needs of a decomposition, and warn of classes that have none."""
    classes = probes[0].classes_
    missing = [c for c, subspace in enumerate(decomposition.subspaces) if subspace.n_components == 0]
    if missing:
        listed = ", ".join(str(classes[c]) for c in missing[:10]) + (", …" if len(missing) > 10 else "")
        warnings.warn(
            f"{len(missing)} of {len(classes)} classes have no examples, or only zero activations, "
            f"and are never predicted: {listed}",
            stacklevel=4,
        )
    for probe in probes:
        probe._learn(*decomposition)


def predict_together(probes: Sequence[SubspaceProbe], X: Array) -> list[Array]:
    """Predict with several fitted probes in one pass over the examples.

    Probes that were fitted together share the product with their bases.

    Parameters
    ----------
    probes : sequence of SubspaceProbe
        Fitted probes, from one `fit_together` or several (for instance with corrupted and with true labels).
    X : array or tensor, n × d
        Activations, on any device.

    Returns
    -------
    list of array or Tensor, n
        The predictions of each probe: arrays for an array, tensors on the device of X for a tensor.

    Raises
    ------
    LatentgenError
        If X is not a finite matrix with the number of features that the probes were fitted on.
    """
    rows = as_features(X)
    together: dict[int, list[SubspaceProbe]] = {}
    for probe in probes:
        probe._checked(rows)
        together.setdefault(id(probe.decomposition), []).append(probe)
    predicted = {
        id(probe): positions
        for group in together.values()
        for probe, positions in zip(group, best_classes(group, rows), strict=True)
    }
    return [probe._labelled(predicted[id(probe)], X) for probe in probes]
