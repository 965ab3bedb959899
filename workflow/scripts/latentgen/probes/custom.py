"""Classifiers with scikit-learn's interface as probes, fitted and scored like the built-in ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from latentgen.errors import LatentgenError
from latentgen.probes.classifier import Classifier
from latentgen.probes.custom_classifiers import make_classifier


class SklearnProbe(Classifier):
    """A custom classifier: anything with scikit-learn's ``fit(X, y)`` and ``predict(X)``.

    It gets float32 or float64 arrays as stored, n × d, and int64 labels, on the CPU. Classes without examples
    are not passed to it. Only its predictions are used: `decision_function` is 1 for the predicted class and
    0 for the others.

    Parameters
    ----------
    path : str
        Import path of the class.
    arguments : mapping, optional
        Arguments of the class. `random_state` is 0 if the class takes one and none is given, so that the
        probe is deterministic, like all probes.

    Raises
    ------
    LatentgenError
        If the class cannot be imported or called, or is not a classifier.
    """

    def __init__(self, path: str, arguments: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.arguments = arguments

    def _learn(self, X: Tensor, labels: Tensor, counts: Tensor) -> None:
        self._classifier = make_classifier(self.path, self.arguments or {})
        try:
            self._classifier.fit(X.cpu().numpy(), labels.cpu().numpy())
        except Exception as error:  # custom code can raise anything
            raise LatentgenError(
                f"{self.path} cannot be fitted on {len(X)} examples of {X.shape[1]} units: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _block_scores(self, X: Tensor) -> Tensor:
        predicted = np.asarray(self._classifier.predict(X.cpu().numpy()))
        if predicted.shape != (len(X),) or not np.issubdtype(predicted.dtype, np.integer):
            raise LatentgenError(
                f"{self.path} predicts {predicted.dtype} of shape {predicted.shape} for {len(X)} examples; "
                "it must predict one of the labels it was fitted with for each."
            )
        if len(predicted) and not 0 <= predicted.min() <= predicted.max() < len(self.classes_):
            raise LatentgenError(
                f"{self.path} predicts classes from {predicted.min()} to {predicted.max()}; there are "
                f"{len(self.classes_)}, from 0 up."
            )
        return one_hot(torch.from_numpy(predicted.astype(np.int64)), len(self.classes_)).to(
            X.device, torch.float64
        )
