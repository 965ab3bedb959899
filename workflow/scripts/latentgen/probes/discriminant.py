"""Discriminant analysis: normal classes with a common covariance, or one for each."""

import math
from itertools import islice

import torch
from torch import Tensor

from latentgen.linalg import class_means, eigh, parallel_map, product, workers
from latentgen.probes.base import Work
from latentgen.probes.classifier import ROWS, Classifier
from latentgen.probes.costs import eigh_flops, svd_flops
from latentgen.probes.inputs import InputError

MOST_SUMS = 4
"""Number of d × d sums computed in parallel, each over part of the examples."""

EPS = torch.finfo(torch.float64).eps


class LDA(Classifier):
    """Linear discriminant analysis: normal classes with a common covariance.

    Directions without variation within classes (less than `TOLERANCE`, in features scaled to standard
    deviation 1) are left out.

    Examples
    --------
    >>> from latentgen.probes.discriminant import LDA
    >>> X, y = [[1.0, 0.1], [2.0, 0.3], [0.2, 1.0], [0.1, 3.0]], ["cat", "cat", "dog", "dog"]
    >>> LDA().fit(X, y).predict([[5.0, 1.0]]).tolist()
    ['cat']
    """

    TOLERANCE = 1e-4
    _takes_squares = True

    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
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
        # Only the span of the means separates classes, apart from rounding.
        weighted = (coordinates * (counts / max(int(present.sum()) - 1, 1)).sqrt()[:, None])[present]
        _, lengths, directions = torch.linalg.svd(weighted, full_matrices=False)
        directions = directions[lengths > self.TOLERANCE * lengths[:1]]
        projection = whitening @ directions.T
        projected = coordinates @ directions.T
        self.coef_ = projected @ projection.T
        self.intercept_ = -0.5 * projected.square().sum(1) + priors.log() - self.coef_ @ centre

    def _block_scores(self, X: Tensor) -> Tensor:
        scores: Tensor = X.to(torch.float64) @ self.coef_.T + self.intercept_
        return scores

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula, if no direction is left out; parameters as in `Probe.work`."""
        n, d, C = sum(counts), self.n_features_in_, len(counts)
        present = sum(count > 0 for count in counts)
        r = present - 1
        small = 2 * C * d + 2 * C * d**2 + 2 * d * d * r + 2 * C * d * r + 2 * C * r * d + 2 * C * d
        fit = n * d + 2 * n * d**2 + eigh_flops(d) + svd_flops(d, present) + small
        return Work(fit, 2 * m * d * C, 8 * C * (d + 1))


class QDA(Classifier):
    """Quadratic discriminant analysis: normal classes, each with its own covariance.

    Parameters
    ----------
    reg_param : float in [0, 1]
        The variances along the principal axes of a class become (1 − r) s² + r. After ReLU many units are
        constant within a class, so r = 0 is singular: scikit-learn refuses to fit, and used to divide by
        rounding errors.

    Examples
    --------
    >>> from latentgen.probes.discriminant import QDA
    >>> X, y = [[1.0, 0.1], [2.0, 0.3], [0.2, 1.0], [0.1, 3.0]], ["cat", "cat", "dog", "dog"]
    >>> QDA().fit(X, y).predict([[5.0, 1.0]]).tolist()
    ['cat']
    """

    ROUNDING = 1e-6
    """Error of a variance, relative to the least possible one, above which variances are computed from
    singular values: squares of large features leave no digits for small variances."""
    _takes_squares = True

    def __init__(self, reg_param: float = 1e-3) -> None:
        self.reg_param = reg_param

    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        if not 0 <= self.reg_param <= 1:
            raise InputError(f"reg_param must be from 0 to 1, found {self.reg_param!r}.")
        self._means = class_means(X, labels, counts)

        def whitening(c: int) -> tuple[Tensor, float]:
            """Axes of a class, divided by the standard deviations along them, and the offset of scores."""
            count = int(counts[c])
            members = X[labels == c].to(torch.float64) - self._means[c]
            variances, axes = eigh(product(members.T, members) / max(count, 1))
            if float(variances[-1]) * len(axes) * EPS > self.ROUNDING * self.reg_param:
                _, lengths, rows = torch.linalg.svd(members, full_matrices=True)
                variances, axes = torch.zeros_like(variances), rows.T
                variances[: len(lengths)] = lengths.square() / count
            variances = (1 - self.reg_param) * variances.clamp_min(0) + self.reg_param
            if not bool((variances > 0).all()):
                raise InputError(
                    f"The covariance of class {self.classes_[c]} is singular: some features, or sums of "
                    "them, are constant within it. Give a reg_param above 0."
                )
            half_log = 0.5 * float(variances.log().sum())
            return axes / variances.sqrt(), math.log(count / len(X)) - half_log if count else -math.inf

        whitened = parallel_map(whitening, range(len(counts)), at_most=workers(X.device))
        self._axes = [axes for axes, _ in whitened]
        self._offsets = [offset for _, offset in whitened]

    def _block_scores(self, X: Tensor) -> Tensor:
        X = X.to(torch.float64)
        return torch.stack(
            [
                offset - 0.5 * ((X - mean) @ axes).square().sum(1)
                for mean, axes, offset in zip(self._means, self._axes, self._offsets, strict=True)
            ],
            dim=1,
        )

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula; parameters as in `Probe.work`."""
        n, d, C = sum(counts), self.n_features_in_, len(counts)
        fit = n * d + sum(2 * count * d**2 for count in counts) + C * eigh_flops(d)
        return Work(fit, 2 * m * d**2 * C, 8 * C * (d**2 + d + 1))


def _scatter(X: Tensor, labels: Tensor, means: Tensor) -> Tensor:
    """Sum of the outer products (d × d, float64) of examples minus the means of their classes."""
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
