"""Classifiers by the smallest angle: to the mean of a class, or to single training examples."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from latentgen.linalg import class_means
from latentgen.probes.base import Work
from latentgen.probes.classifier import ROWS, Classifier
from latentgen.probes.costs import LABEL_BYTES
from latentgen.probes.inputs import InputError, divided, row_exponents, unit_rows
from latentgen.probes.scoring import ROUNDING


class NearestMean(Classifier):
    """The class whose mean has the largest cosine with x.

    Attributes
    ----------
    means_ : Tensor, C × d, float64
        The means, of length 1.

    Examples
    --------
    >>> from latentgen.probes.nearest import NearestMean
    >>> X, y = [[1.0, 0.1], [2.0, 0.3], [0.2, 1.0], [0.1, 3.0]], ["cat", "cat", "dog", "dog"]
    >>> NearestMean().fit(X, y).predict([[5.0, 1.0]]).tolist()
    ['cat']
    """

    means_: Tensor

    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        self.means_ = unit_rows(class_means(X, labels, counts))

    def _block_scores(self, X: Tensor) -> Tensor:
        X = X.to(torch.float64)
        scores: Tensor = divided(X, row_exponents(X)) @ self.means_.T  # the cosine, apart from the norm of x
        return scores

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula; parameters as in `Probe.work`."""
        n, d, C = sum(counts), self.n_features_in_, len(counts)
        return Work(n * d, 2 * m * d * C, 8 * C * d)


class KNN(Classifier):
    """The majority among the nearest training examples, by cosine.

    Parameters
    ----------
    neighbours : int
        Their number. If float32 cannot separate the last of them from the next, float64 is used.

    Examples
    --------
    >>> from latentgen.probes.nearest import KNN
    >>> X, y = [[1.0, 0.1], [2.0, 0.3], [0.2, 1.0], [0.1, 3.0]], ["cat", "cat", "dog", "dog"]
    >>> KNN(1).fit(X, y).predict([[5.0, 1.0]]).tolist()
    ['cat']
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        if isinstance(self.neighbours, bool) or not self.neighbours >= 1:
            raise InputError(f"neighbours must be a whole number of at least 1, found {self.neighbours!r}.")
        self._items, self._labels = unit_rows(X), labels
        self._given = X if X.dtype == torch.float32 else self._items

    def _block_scores(self, X: Tensor) -> Tensor:
        k = min(self.neighbours, len(self._items))
        blocks = torch.split(X, ROWS // 8)
        nearest = torch.cat([self._nearest(block, k) for block in blocks])
        return one_hot(self._labels[nearest], len(self.classes_)).sum(1)

    def _nearest(self, X: Tensor, k: int) -> Tensor:
        """Return the indices of the k nearest training examples of each row (n × k)."""
        cosines = unit_rows(X).to(self._items) @ self._items.T
        cosines, nearest = cosines.topk(min(k + 1, len(self._items)), dim=1)
        if cosines.dtype == torch.float32 and len(self._items) > k:
            close = (cosines[:, k - 1] - cosines[:, k] <= ROUNDING).nonzero()[:, 0]
            if len(close):
                nearest[close, :k] = self._nearest_in_float64(X[close], k)
        return nearest[:, :k]

    def _nearest_in_float64(self, X: Tensor, k: int) -> Tensor:
        """Do the same in float64, where float32 cannot separate the last of them from the next."""
        X = unit_rows(X.to(torch.float64))
        best = X.new_full((len(X), k), -torch.inf)
        nearest = torch.zeros((len(X), k), dtype=torch.int64, device=X.device)
        for start in range(0, len(self._given), ROWS):
            items = unit_rows(self._given[start : start + ROWS].to(torch.float64))
            numbers = torch.arange(start, start + len(items), device=X.device).expand(len(X), -1)
            best, kept = torch.cat([best, X @ items.T], dim=1).topk(k, dim=1)
            nearest = torch.cat([nearest, numbers], dim=1).gather(1, kept)
        return nearest

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula; parameters as in `Probe.work`."""
        n, d = sum(counts), self.n_features_in_
        return Work(3 * n * d, 2 * m * n * d + 3 * m * d, n * (item_size * d + LABEL_BYTES))
