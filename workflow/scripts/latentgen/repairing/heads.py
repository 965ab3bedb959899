"""Heads: classifiers on the features of one layer, fitted with the given (noisy) labels.

Each also scores its training examples *as if it had not seen them*, so that an example's own label does not
count in its favour: by exact leave-one-out where that is cheap, otherwise from five folds.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.linalg.blas import dtrmm
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from latentgen.linalg import class_sums, eigh, float64_blocks, product
from latentgen.probes.classifier import Classifier
from latentgen.probes.discriminant import LDA
from latentgen.probes.logistic import LogisticRegression
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC
from latentgen.randomness import Purpose, random_generator

ROWS = 4096
"""Examples handled at a time."""

FOLDS = 5

LANCZOS_FROM = 256
"""Least number of features for which VeLPIC's directions are found by Lanczos' method: 20 times as fast."""

TINY = 1e-12
"""Length that replaces 0 as a divisor."""

NEVER = -1e9
"""Bias of a class without examples in an ``nn.Linear``, so that it is never predicted."""


class Head(ABC):
    """A classifier on the features of one layer.

    Attributes
    ----------
    name : str
        Name in tables and reports.
    linear : bool
        Whether it can be written as an ``nn.Linear`` (`LinearHead`).
    """

    name: str
    linear: ClassVar[bool] = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Tensor, labels: Tensor, n_classes: int) -> Self:
        """Fit to features (n × d, float32) and labels (n, in 0 … n_classes − 1)."""
        self._X, self._labels, self._n_classes = X, labels, n_classes
        self._missing = labels.bincount(minlength=n_classes) == 0
        self._left_out: Tensor | None = None
        self._fit(X, labels, n_classes)
        return self

    def scores(self, X: Tensor) -> Tensor:
        """Return the score of each example for each class: n × C; −∞ for classes without examples."""
        scores = torch.cat([self._scores(rows.to(torch.float64)) for rows in torch.split(X, ROWS)])
        scores[:, self._missing] = -math.inf
        return scores

    def left_out_scores(self) -> Tensor:
        """Return the scores (n × C) of the training examples, each left out of the fit."""
        if self._left_out is None:
            self._left_out = self._left_out_scores()
            self._left_out[:, self._missing] = -math.inf
        return self._left_out

    @abstractmethod
    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None: ...

    @abstractmethod
    def _scores(self, X: Tensor) -> Tensor: ...

    def _left_out_scores(self) -> Tensor:
        """From `FOLDS` stratified folds."""
        scores = self._X.new_zeros((len(self._X), self._n_classes), dtype=torch.float64)
        folds = stratified_folds(self._labels, FOLDS, self.seed)
        for fold in range(FOLDS):
            inside = folds == fold
            if bool(inside.any()):
                other = type(self)(self.seed).fit(self._X[~inside], self._labels[~inside], self._n_classes)
                scores[inside] = other.scores(self._X[inside])
        return scores


class LinearHead(Head):
    """A head whose score is a linear function of the features.

    Attributes
    ----------
    weight_ : Tensor, C × d, float64
    bias_ : Tensor, C, float64
    unit : bool
        Whether `scores` use features scaled to length 1. ``as_linear`` does not scale them, which changes no
        prediction, since such heads have no bias.
    """

    linear = True
    unit: ClassVar[bool] = False
    weight_: Tensor
    bias_: Tensor

    def _scores(self, X: Tensor) -> Tensor:
        return X @ self.weight_.T + self.bias_

    def as_linear(self, temperature: float = 1.0, projection: Tensor | None = None) -> nn.Linear:
        """Return the head as an ``nn.Linear`` (float32), its logits divided by a temperature.

        `projection` (D × d), if given, is the matrix that reduced the features; the linear layer then takes
        the D unreduced ones.
        """
        weight, bias = self.weight_ / temperature, self.bias_ / temperature
        if projection is not None:
            weight = weight @ projection.to(weight).T
        layer = nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(torch.where(self._missing, NEVER, bias))
        return layer


class UnitMeans(LinearHead):
    """The class whose mean, scaled to length 1, has the largest product with the example.

    `scores` are cosines, so that those of several layers can be added.
    """

    name = "unit means"
    unit = True

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        self._sums = class_sums(X, labels, n_classes)
        self.weight_ = normalize(self._sums, dim=1)
        self.bias_ = self.weight_.new_zeros(n_classes)

    def _scores(self, X: Tensor) -> Tensor:
        return normalize(X, dim=1) @ self.weight_.T

    def _left_out_scores(self) -> Tensor:
        """Exact: the example x is subtracted from its own class's sum s.

        xᵀ(s − x) and ‖s − x‖² follow from xᵀs, ‖x‖² and ‖s‖². A class of one example has no mean then.
        """
        squares, alone = self._sums.square().sum(1), self._labels.bincount(minlength=self._n_classes) == 1
        blocks = []
        for X, labels in _with_labels(self._X, self._labels):
            along, of_x = product(X, self._sums.T), X.square().sum(1)
            scores = along / (of_x.sqrt()[:, None] * squares.sqrt()).clamp_min(TINY)
            own = along.gather(1, labels[:, None])[:, 0]
            left = (squares[labels] - 2 * own + of_x).clamp_min(0).sqrt()
            own_scores = (own - of_x) / (of_x.sqrt() * left).clamp_min(TINY)
            scores[torch.arange(len(X)), labels] = own_scores.masked_fill(alone[labels], 0)
            blocks.append(scores)
        return torch.cat(blocks)


class Ridge(LinearHead):
    """Ridge regression on the labels, one number for each class, with an intercept.

    Minimizes ‖Y − 1bᵀ − XWᵀ‖² + λ‖W‖² for Y the labels, 1 in the column of an example's class and 0 in the
    others. λ is `strength` times the mean eigenvalue of the centred XᵀX.

    One decomposition XᵀX = V diag(l) Vᵀ gives the fits for all strengths and the exact leave-one-out
    predictions y − (y − ŷ)/(1 − h), with leverage h = 1/n + Σⱼ (xᵀvⱼ)²/(lⱼ + λ) = 1/n + ‖Rx‖², where R is the
    triangular factor of diag(l + λ)^(−1/2) Vᵀ.
    """

    name = "ridge"
    STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)

    def __init__(self, seed: int = 0, strength: float = 1e-1) -> None:
        super().__init__(seed)
        self.strength = strength

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        n, d = X.shape
        sums, counts = class_sums(X, labels, n_classes), labels.bincount(minlength=n_classes)
        self._mean = sums.sum(0) / n
        self._frequencies = counts.to(torch.float64) / n
        gram = sums.new_zeros((d, d))
        for rows in float64_blocks(X, 0):
            centred = rows - self._mean
            gram += product(centred.T, centred)
        crossed = (sums - counts[:, None] * self._mean).T
        eigenvalues, self._vectors = eigh(gram)
        self._eigenvalues = eigenvalues.clamp_min(0)
        self._crossed = self._vectors.T @ crossed
        self._set_strength()

    def _set_strength(self) -> None:
        penalty = self.strength * float(self._eigenvalues.mean())
        self._shrunk = 1 / (self._eigenvalues + max(penalty, 1e-300))
        self.weight_ = (self._vectors @ (self._shrunk[:, None] * self._crossed)).T
        self.bias_ = self._frequencies - self.weight_ @ self._mean

    def with_strength(self, strength: float) -> "Ridge":
        """Return the fit with another strength, from the same decomposition."""
        other = type(self)(self.seed, strength)
        other.__dict__.update({**self.__dict__, "strength": strength, "_left_out": None})
        other._set_strength()
        return other

    def _left_out_scores(self) -> Tensor:
        factor = np.linalg.qr((self._shrunk.sqrt()[:, None] * self._vectors.T).numpy(), mode="r")
        blocks = []
        for rows, labels in _with_labels(self._X, self._labels):
            centred = rows - self._mean
            # Half the time of a product with all of V.
            factored = torch.from_numpy(dtrmm(1.0, factor, centred.numpy().T))
            leverage = 1 / len(self._X) + factored.square().sum(0)
            targets = one_hot(labels, self._n_classes).to(torch.float64)
            residuals = targets - self._frequencies - centred @ self.weight_.T
            blocks.append(targets - residuals / (1 - leverage).clamp_min(1e-9)[:, None])
        return torch.cat(blocks)


def _with_labels(X: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield blocks of rows in float64, with their labels."""
    done = 0
    for rows in float64_blocks(X, 0):
        yield rows, labels[done : done + len(rows)]
        done += len(rows)


class _Probe(Head):
    """A probe of this project as a head."""

    make: Callable[[], Any]
    _probe: Classifier | SubspaceProbe

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        self._probe = type(self).make().fit(X, labels, n_classes)

    def _scores(self, X: Tensor) -> Tensor:
        return torch.as_tensor(self._probe.decision_function(X)).to(torch.float64)


class MASCHead(_Probe):
    """The papers' MASC; scores are squared cosines."""

    name = "MASC"
    make = MASC

    def _scores(self, X: Tensor) -> Tensor:
        return super()._scores(normalize(X, dim=1))


class VeLPICHead(LinearHead):
    """First principal direction of each class, with the sign of the sound protocol."""

    name = "VeLPIC"
    unit = True

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        wide = X.shape[1] >= LANCZOS_FROM and not bool(self._missing.any())
        self.weight_ = (
            _first_directions(X, labels, n_classes)
            if wide
            else VeLPIC().fit(X, labels, n_classes).vectors_.to(torch.float64)
        )
        self.bias_ = self.weight_.new_zeros(n_classes)

    def _scores(self, X: Tensor) -> Tensor:
        return normalize(X, dim=1) @ self.weight_.T


def _first_directions(X: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return what `VeLPIC` finds (C × d), to 10 digits, without the other directions of each class."""
    start = np.random.default_rng(0).standard_normal(X.shape[1])
    directions = []
    # One for all classes: one for each left holes in the heap, a gigabyte for 200 classes of 1,024 features.
    moments = X.new_zeros((X.shape[1],) * 2, dtype=torch.float64)
    for c in range(n_classes):
        moments.zero_()
        total = X.new_zeros(X.shape[1], dtype=torch.float64)
        for rows in float64_blocks(X, 0, (labels == c).nonzero()[:, 0]):
            moments += product(rows.T, rows)
            total += rows.sum(0)
        _, vectors = eigsh(moments.numpy(), k=1, v0=start)
        vector = torch.from_numpy(vectors[:, 0])
        directions.append(torch.where(vector @ total >= 0, vector, -vector))
    return torch.stack(directions)


class LDAHead(LinearHead):
    """Linear discriminant analysis."""

    name = "LDA"

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        fitted = LDA().fit(X, labels, n_classes)
        self.weight_, self.bias_ = fitted.coef_.to(torch.float64), fitted.intercept_.to(torch.float64)


class LogisticHead(LinearHead):
    """Logistic regression with an L2 penalty."""

    name = "logistic"

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        fitted = LogisticRegression().fit(X, labels, n_classes)
        self.weight_, self.bias_ = fitted.coef_.to(torch.float64), fitted.intercept_.to(torch.float64)


class KNNHead(Head):
    """Fraction of the 50 nearest examples, by cosine, that have a class's label.

    Noise between similar classes misleads it, since neighbours then share the wrong label.
    """

    name = "kNN"
    NEIGHBOURS = 50

    def _fit(self, X: Tensor, labels: Tensor, n_classes: int) -> None:
        self._unit = normalize(X, dim=1)

    def _scores(self, X: Tensor) -> Tensor:
        return self._votes(normalize(X.to(self._unit.dtype), dim=1))

    def _left_out_scores(self) -> Tensor:
        """Exact: an example is not among its own neighbours."""
        blocks = torch.split(torch.arange(len(self._unit)), ROWS // 4)
        return torch.cat([self._votes(self._unit[block], block) for block in blocks])

    def _votes(self, unit: Tensor, themselves: Tensor | None = None) -> Tensor:
        k = min(self.NEIGHBOURS, len(self._unit) - (themselves is not None))
        votes = []
        for start in range(0, len(unit), ROWS // 4):
            rows = slice(start, start + ROWS // 4)
            cosines = unit[rows] @ self._unit.T
            if themselves is not None:
                cosines[torch.arange(len(cosines)), themselves[rows]] = -math.inf
            nearest = self._labels[cosines.topk(k, dim=1).indices]
            votes.append(one_hot(nearest, self._n_classes).sum(1).to(torch.float64) / max(k, 1))
        return torch.cat(votes)


_ALL: tuple[type[Head], ...] = (UnitMeans, Ridge, VeLPICHead, LDAHead, LogisticHead, KNNHead, MASCHead)
HEADS: dict[str, type[Head]] = {head.name: head for head in _ALL}
"""Heads by name."""


def fit_heads(
    names: Sequence[str], X: Tensor, labels: Tensor, n_classes: int, seed: int = 0, all_strengths: bool = True
) -> list[Head]:
    """Fit heads on the features of one layer; ridge at each of its strengths, from one decomposition.

    Parameters
    ----------
    names : sequence of str
        Keys of `HEADS`.
    X : Tensor, n × d, float32
    labels : Tensor, n, int64
    n_classes : int
    seed : int
        Seed of the folds.
    all_strengths : bool
        Whether to fit ridge at all its strengths, to choose from; otherwise only at the default.
    """
    fitted: list[Head] = []
    for name in names:
        head = HEADS[name](seed).fit(X, labels, n_classes)
        if isinstance(head, Ridge) and all_strengths:
            fitted += [head.with_strength(strength) for strength in Ridge.STRENGTHS]
        else:
            fitted.append(head)
    return fitted


def stratified_folds(labels: Tensor, folds: int, seed: int) -> Tensor:
    """Return the fold (0 … folds − 1) of each example, drawn at random; each class is spread evenly."""
    order = random_generator(seed, Purpose.HELD_OUT).permutation(len(labels))
    shuffled = labels.cpu().numpy()[order]
    sorted_by_class = order[np.argsort(shuffled, kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[sorted_by_class] = np.arange(len(labels)) % folds
    return torch.from_numpy(fold_of)
