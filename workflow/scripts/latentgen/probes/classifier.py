"""Base class of the common classifiers that subspace probes are compared with.

All are deterministic, resolve ties to the first class, never predict a class without examples, and give the
same predictions as scikit-learn's classifiers of the same name (with default settings, except as documented).
"""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from latentgen.probes.base import Probe
from latentgen.probes.inputs import InputError, check_finite

ROWS = 4096
"""Examples handled at a time, which bounds the memory for their float64 copies and for distances."""

SQUARABLE = (1e-120, 1e120)
"""Range of activations whose squares, and sums of squares, are accurate in float64."""


class Classifier(Probe):
    """Base class with checks, blocks of examples, and classes without examples."""

    _takes_squares: ClassVar[bool] = False

    def _fit(self, X: Tensor, labels: Tensor) -> None:
        check_finite(X)
        largest = float(torch.maximum(X.max(), -X.min()))
        if self._takes_squares and largest and not SQUARABLE[0] < largest < SQUARABLE[1]:
            what = (
                "small that their squares underflow" if largest < 1 else "large that their squares overflow"
            )
            raise InputError(f"Activations are so {what} float64. Rescale them.")
        counts = labels.bincount(minlength=len(self.classes_))
        self.missing_classes_ = (counts == 0).nonzero().flatten().tolist()
        self._learn(X, labels, counts)

    def _scores(self, X: Tensor) -> Tensor:
        blocks = []
        for rows in torch.split(X, ROWS):
            check_finite(rows)
            blocks.append(self._block_scores(rows))
        scores = torch.cat(blocks).to(torch.float64)
        scores[:, self.missing_classes_] = -math.inf
        return scores

    @abstractmethod
    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        """Fit to checked examples, the positions of their classes, and the number of examples of each."""

    @abstractmethod
    def _block_scores(self, X: Tensor) -> Tensor:
        """Scores (n × C) of a block of examples."""
