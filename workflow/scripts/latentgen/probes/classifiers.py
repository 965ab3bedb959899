"""Common classifiers as probes, to compare the subspace probes with.

All are deterministic, take ties to the lowest class index, never predict a class without items, and give the
predictions of scikit-learn (in its namesakes' defaults, but for what is said below):

* `NearestMean`: the class whose mean is at the smallest angle to x;
* `KNN`: the class most frequent among the k training items at the smallest angles to x;
* `LDA`, `QDA`: discriminant analysis, with one covariance for all classes or one for each;
* `LogisticRegression`: with an L2 penalty, or as the papers fit it.
"""

import math
from abc import ABC, abstractmethod
from itertools import islice
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot

from latentgen.errors import LatentgenError
from latentgen.linalg import eigh, parallel_map, product, workers
from latentgen.probes.subspaces import Array, as_labels, as_rows, describe_non_finite

ROWS = 4096
"""Items handled at a time, which bounds the memory for their float64 copies and for distances."""

MOST_SUMS = 4
"""Sums of d × d numbers that are made side by side, each of a part of the items."""

ADAM_EPOCHS = 20


class Classifier(ABC):
    """What these probes share: checks, blocks of items, and classes that have none.

    Attributes
    ----------
    missing_classes_ : list of int
        Classes with no items. They are never predicted.
    """

    missing_classes_: list[int]

    def fit(self, X: Array, y: Array, n_classes: int | None = None) -> Self:
        """Learn from items and labels, as in `latentgen.probes.subspace_probes.SubspaceProbe.fit`.

        Raises
        ------
        LatentgenError
            If X is not a finite matrix, or y not as many labels in 0 … n_classes - 1.
        """
        X = as_rows(X)
        labels, n_classes = as_labels(y, X, n_classes)
        if not bool(X.isfinite().all()):
            raise LatentgenError(describe_non_finite(X))
        counts = labels.bincount(minlength=n_classes)
        self.missing_classes_ = (counts == 0).nonzero().flatten().tolist()
        self._n_features = X.shape[1]
        self._fit(X, labels, counts)
        return self

    def decision_function(self, X: Array) -> Array:
        """Return the score of each row of X for each class: n × C; -∞ for missing classes."""
        if not hasattr(self, "missing_classes_"):
            raise LatentgenError(f"This {type(self).__name__} is not fitted yet. Call fit first.")
        rows = as_rows(X)
        if rows.shape[1] != self._n_features:
            raise LatentgenError(
                f"The probe was fitted on {self._n_features} features, found {rows.shape[1]}. "
                "Give activations of the same layer."
            )
        scores = torch.cat([self._scores(block) for block in torch.split(rows, ROWS)])
        scores[:, self.missing_classes_] = -math.inf
        return scores if isinstance(X, Tensor) else scores.cpu().numpy()

    def predict(self, X: Array) -> Array:
        """Return the class of each row of X (n × d): n integers, an array or tensor as X is."""
        return self.decision_function(X).argmax(1)

    @abstractmethod
    def _fit(self, X: Tensor, labels: Tensor, counts: Tensor) -> None: ...

    @abstractmethod
    def _scores(self, X: Tensor) -> Tensor:
        """Scores (n × C) of a block of items."""


class NearestMean(Classifier):
    """The class whose mean has the largest cosine with x.

    Attributes
    ----------
    means_ : Tensor, C × d, float64
        The means, of length 1.
    """

    means_: Tensor

    def _fit(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        self.means_ = normalize(class_means(X, labels, counts), dim=1)

    def _scores(self, X: Tensor) -> Tensor:
        return X.to(torch.float64) @ self.means_.T


class KNN(Classifier):
    """The majority among the nearest training items, by cosine.

    Parameters
    ----------
    neighbours : int
        How many of them.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def _fit(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        self._items, self._labels, self._n_classes = normalize(X, dim=1), labels, len(counts)

    def _scores(self, X: Tensor) -> Tensor:
        k = min(self.neighbours, len(self._items))
        blocks = torch.split(normalize(X, dim=1), ROWS // 8)
        nearest = torch.cat([(block @ self._items.T).topk(k, dim=1).indices for block in blocks])
        return one_hot(self._labels[nearest], self._n_classes).sum(1).to(torch.float64)


class LDA(Classifier):
    """Linear discriminant analysis: normal classes with one covariance.

    Directions in which the items within classes do not vary (by less than `TOLERANCE`, in features scaled to
    standard deviation 1) are left out.
    """

    TOLERANCE = 1e-4

    def _fit(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        n = len(X)
        means = class_means(X, labels, counts)
        within = _scatter(X, labels, means)
        spread = (within.diagonal() / n).sqrt()
        spread[spread == 0] = 1.0
        variances, vectors = eigh(within / n / spread / spread[:, None])
        kept = variances > self.TOLERANCE**2
        whitening = vectors[:, kept] / variances[kept].sqrt() / spread[:, None]
        present = counts > 0
        priors = counts.to(torch.float64) / n
        centre = priors @ means
        coordinates = (means - centre) @ whitening
        # Only the space that the means span tells classes apart, less what rounding adds to it.
        weighted = (coordinates * (counts / max(int(present.sum()) - 1, 1)).sqrt()[:, None])[present]
        _, lengths, directions = torch.linalg.svd(weighted, full_matrices=False)
        directions = directions[lengths > self.TOLERANCE * lengths[:1]]
        projection = whitening @ directions.T
        projected = coordinates @ directions.T
        self.coef_ = projected @ projection.T
        self.intercept_ = -0.5 * projected.square().sum(1) + priors.log() - self.coef_ @ centre

    def _scores(self, X: Tensor) -> Tensor:
        scores: Tensor = X.to(torch.float64) @ self.coef_.T + self.intercept_
        return scores


class QDA(Classifier):
    """Quadratic discriminant analysis: normal classes, each with a covariance of its own.

    Parameters
    ----------
    reg_param : float in [0, 1]
        The variances along the principal axes of a class become (1 − r) s² + r. After ReLU many units do not
        vary at all within a class, so r = 0 has no answer: scikit-learn refuses to fit there, and used to
        divide by what rounding had left.
    """

    def __init__(self, reg_param: float = 1e-3) -> None:
        self.reg_param = reg_param

    def _fit(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        self._means = class_means(X, labels, counts)

        def whitening(c: int) -> tuple[Tensor, float]:
            """Axes of a class, divided by the standard deviations along them, and what is added to scores."""
            count = int(counts[c])
            members = X[labels == c].to(torch.float64) - self._means[c]
            variances, axes = eigh(product(members.T, members) / max(count, 1))
            variances = (1 - self.reg_param) * variances.clamp_min(0) + self.reg_param
            half_log = 0.5 * float(variances.log().sum())
            return axes / variances.sqrt(), math.log(count / len(X)) - half_log if count else -math.inf

        found = parallel_map(whitening, range(len(counts)), at_most=workers(X.device))
        self._axes = [axes for axes, _ in found]
        self._offsets = [offset for _, offset in found]

    def _scores(self, X: Tensor) -> Tensor:
        X = X.to(torch.float64)
        return torch.stack(
            [
                offset - 0.5 * ((X - mean) @ axes).square().sum(1)
                for mean, axes, offset in zip(self._means, self._axes, self._offsets, strict=True)
            ],
            dim=1,
        )


class LogisticRegression(Classifier):
    """Logistic regression for several classes.

    Parameters
    ----------
    solver : {"lbfgs", "adam"}
        ``lbfgs``: the minimum of the mean cross entropy + ‖W‖² / (2 n). ``adam``: as the papers fit it: Adam
        with step length 10⁻³, 20 epochs of shuffled batches of 128, no penalty. It has not converged by then;
        its random numbers are always the same.

    Attributes
    ----------
    n_passes_ : int
        How many times all items were gone through for a gradient.
    """

    TOLERANCE = 1e-5
    """Largest entry of the gradient at which ``lbfgs`` ends (or after `ITERATIONS`)."""
    ITERATIONS = 2000

    n_passes_: int

    def __init__(self, solver: Literal["lbfgs", "adam"] = "lbfgs") -> None:
        self.solver = solver

    def _fit(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        self.n_passes_ = ADAM_EPOCHS
        fitted = (_fit_by_adam if self.solver == "adam" else self._minimum)(X, labels, len(counts))
        self.coef_, self.intercept_ = fitted[:, :-1], fitted[:, -1]

    def _scores(self, X: Tensor) -> Tensor:
        scores: Tensor = X.to(self.coef_.dtype) @ self.coef_.T + self.intercept_
        return scores

    def _minimum(self, X: Tensor, labels: Tensor, n_classes: int) -> Tensor:
        from scipy.optimize import minimize

        present = [c for c in range(n_classes) if c not in self.missing_classes_]
        n, d = X.shape
        targets = one_hot(labels, n_classes)[:, present].to(X.dtype)
        B, L = _preconditioned(X)
        # ‖W‖² without the intercepts, for W = V L⁻¹, is the trace of V Q Vᵀ.
        inverse = torch.linalg.solve_triangular(L, torch.eye(d + 1).to(L), upper=False)
        Q = inverse[:, :-1] @ inverse[:, :-1].T / n
        steepest = math.inf

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal steepest
            V = torch.from_numpy(flat).to(X.device).reshape(-1, d + 1)
            log_shares = (B @ V.to(X.dtype).T).log_softmax(1)
            VQ = V @ Q
            gradient = ((log_shares.exp() - targets).T @ B).to(torch.float64) / n + VQ
            loss = -(log_shares * targets).sum(dtype=torch.float64) / n
            steepest = float((gradient @ L.T).abs().max())  # of the gradient by W
            return float(loss + 0.5 * (VQ * V).sum()), gradient.cpu().numpy().ravel()

        def end_at_tolerance(xk: np.ndarray) -> None:
            if steepest <= self.TOLERANCE:
                raise StopIteration

        found = minimize(
            objective,
            np.zeros(len(present) * (d + 1)),
            jac=True,
            method="L-BFGS-B",
            callback=end_at_tolerance,
            options={"maxiter": self.ITERATIONS, "gtol": 0.0, "ftol": 0.0, "maxls": 50},
        )
        self.n_passes_ = int(found.nfev)
        weights = torch.zeros((n_classes, d + 1), dtype=torch.float64, device=X.device)
        weights[present] = torch.from_numpy(found.x).to(X.device).reshape(-1, d + 1) @ inverse
        return weights


def _preconditioned(X: Tensor) -> tuple[Tensor, Tensor]:
    """Turn the inputs of a logistic regression so that its minimum is found in few steps.

    Let A be X with a column of ones. The Hessian of the mean cross entropy is at most AᵀA/(2 n) for each
    class, and of activations that is so ill-conditioned that thousands of steps go along its valleys. With
    LLᵀ = AᵀA/(4 n) + I/n, the second term that of the penalty, and weights V = W L, it is about the identity.

    Returns
    -------
    B : Tensor, n × (d + 1), as X
        A L⁻ᵀ, with which B Vᵀ = A Wᵀ.
    L : Tensor, (d + 1) × (d + 1), float64
        Lower triangular.
    """
    n, d = X.shape

    def with_ones(rows: Tensor) -> Tensor:
        return torch.cat([rows.to(torch.float64), rows.new_ones((len(rows), 1), dtype=torch.float64)], dim=1)

    curvature = torch.zeros((d + 1, d + 1), dtype=torch.float64, device=X.device)
    for rows in torch.split(X, ROWS):
        A = with_ones(rows)
        curvature.addmm_(A.T, A, alpha=1 / (4 * n))
    curvature.diagonal()[:-1] += 1 / n
    L: Tensor = torch.linalg.cholesky(curvature)
    B = X.new_empty((n, d + 1))
    for turned, rows in zip(torch.split(B, ROWS), torch.split(X, ROWS), strict=True):
        turned.copy_(torch.linalg.solve_triangular(L, with_ones(rows).T, upper=False).T)
    return B, L


def _fit_by_adam(X: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    from torch.optim.adam import adam

    generator = torch.Generator().manual_seed(0)
    bound = X.shape[1] ** -0.5
    weight = torch.empty(n_classes, X.shape[1]).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(n_classes).uniform_(-bound, bound, generator=generator)
    parameters = [tensor.to(X.device).requires_grad_() for tensor in (weight, bias)]
    means, squares = ([torch.zeros_like(tensor) for tensor in parameters] for _ in range(2))
    steps = [torch.zeros((), device=X.device) for _ in parameters]
    for _ in range(ADAM_EPOCHS):
        order = torch.randperm(len(X), generator=generator).to(X.device)
        for batch in torch.split(order, 128):
            logits = X[batch].to(torch.float32) @ parameters[0].T + parameters[1]
            gradients = torch.autograd.grad(cross_entropy(logits, labels[batch]), parameters)
            with torch.no_grad():
                adam(
                    parameters, list(gradients), means, squares, [], steps, lr=1e-3, beta1=0.9, beta2=0.999,
                    eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False, fused=True,
                )  # fmt: skip
    return torch.cat([parameters[0], parameters[1][:, None]], dim=1).detach()


def class_means(X: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of each class (C × d, float64); zero for classes without items."""
    sums = torch.zeros((len(counts), X.shape[1]), dtype=torch.float64, device=X.device)
    for rows, of_rows in zip(torch.split(X, ROWS), torch.split(labels, ROWS), strict=True):
        sums.index_add_(0, of_rows, rows.to(torch.float64))
    return sums / counts.clamp_min(1)[:, None]


def _scatter(X: Tensor, labels: Tensor, means: Tensor) -> Tensor:
    """Sum of the squares and products (d × d, float64) of items less the means of their classes."""
    parts = min(workers(X.device), MOST_SUMS)

    def of_part(part: int) -> Tensor:
        total = means.new_zeros((X.shape[1], X.shape[1]))
        blocks = zip(torch.split(X, ROWS), torch.split(labels, ROWS), strict=True)
        for rows, of_rows in islice(blocks, part, None, parts):
            centred = rows.to(torch.float64) - means[of_rows]
            total += product(centred.T, centred)
        return total

    total, *others = parallel_map(of_part, range(parts), at_most=parts)
    for other in others:
        total += other
    return total
