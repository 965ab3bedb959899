"""The base class of all probes: classifiers with scikit-learn's interface, for arrays and torch tensors.

scikit-learn's base classes are not used, since importing them takes longer than many jobs. Their interface is
implemented here, and a test runs scikit-learn's own checks (`check_estimator`).
"""

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from latentgen.probes.inputs import Array, InputError, as_classes, as_features, not_fitted


class Work(NamedTuple):
    """Cost of fitting and predicting, by formula."""

    fit_flops: float
    predict_flops: float
    fitted_bytes: float
    """Size of the learned parameters in bytes."""


class Probe(ABC):
    """A deterministic classifier of activations.

    Its parameters are those of ``__init__``, which only stores them. Ties go to the first class.

    Attributes
    ----------
    classes_ : array, C
        The class labels, sorted.
    n_features_in_ : int
        Number of units that it was fitted on, d.
    missing_classes_ : list of int
        Positions in `classes_` of the classes without examples (or, for MASC and VeLPIC, whose activations
        are all zero). They are never predicted.
    """

    classes_: np.ndarray[Any, Any]
    n_features_in_: int
    missing_classes_: list[int]

    _separates_everything: ClassVar[bool] = True
    """Whether it separates well-separated clusters anywhere, as scikit-learn's checks expect."""

    def fit(self, X: Array, y: Array, n_classes: int | None = None) -> Self:
        """Fit to activations and their labels.

        Parameters
        ----------
        X : array or tensor, n × d
            Activations of the training examples.
        y : array or tensor, n
            Their labels, of any kind; with `n_classes`, integers in 0 … n_classes - 1.
        n_classes : int, optional
            Number of classes, some of which may have no examples; by default the classes are the labels in y.

        Raises
        ------
        LatentgenError
            If X is not a finite matrix of numbers, or y not one label for each of its rows.
        """
        rows = as_features(X)
        labels, classes = as_classes(y, rows, n_classes)
        self._learn_classes(classes, rows)
        self._fit(rows, labels)
        return self

    def _learn_classes(self, classes: np.ndarray[Any, Any], X: Tensor) -> None:
        self.classes_ = classes
        self.n_features_in_ = X.shape[1]

    def predict(self, X: Array) -> Array:
        """Return the class of each row of X (n × d): n labels, an array or a tensor like X."""
        return self._labelled(self._predict(self._checked(X)), X)

    def class_scores(self, X: Array) -> Array:
        """Return the score of each row of X for each class: n × C, float64; -∞ for missing classes."""
        scores = self._scores(self._checked(X))
        return scores if isinstance(X, Tensor) else scores.cpu().numpy()

    def decision_function(self, X: Array) -> Array:
        """Return `class_scores`; for two classes, as in scikit-learn, the second's minus the first's (n)."""
        scores = self.class_scores(X)
        if scores.shape[1] != 2:
            return scores
        scores[:, self.missing_classes_] = 0.0 if len(self.missing_classes_) == 2 else -math.inf
        return scores[:, 1] - scores[:, 0]

    def score(self, X: Array, y: Array) -> float:
        """Return the fraction of the rows of X whose predicted class is that in y."""
        predicted, expected = (
            labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
            for labels in (self.predict(X), y)
        )
        return float((predicted == expected).mean())

    def work(self, counts: list[int], m: int, item_size: int) -> Work:
        """Return its cost, by formula (`latentgen.probes.costs`); unknown by default.

        Parameters
        ----------
        counts : list of int, C
            Number of training examples of each class.
        m : int
            Number of examples to predict.
        item_size : int
            Bytes of one activation.
        """
        return Work(math.nan, math.nan, math.nan)

    @abstractmethod
    def _fit(self, X: Tensor, labels: Tensor) -> None:
        """Fit to rows and the positions of their classes in `classes_`."""

    @abstractmethod
    def _scores(self, X: Tensor) -> Tensor:
        """Scores (n × C, float64) of checked rows."""

    def _predict(self, X: Tensor) -> Tensor:
        """Positions of the predicted classes (n) of checked rows."""
        return self._scores(X).argmax(dim=1)

    def _checked(self, X: Array) -> Tensor:
        """Check activations to predict, and return them like `as_features`."""
        if not hasattr(self, "n_features_in_"):
            raise not_fitted(self)
        rows = as_features(X)
        if rows.shape[1] != self.n_features_in_:
            raise InputError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input. Give activations of the same layer."
            )
        return rows

    def _labelled(self, positions: Tensor, X: Array) -> Array:
        """Return labels, given positions in `classes_`: a tensor for a tensor, unless they are strings."""
        if isinstance(X, Tensor) and self.classes_.dtype.kind in "biuf":
            return torch.from_numpy(self.classes_).to(positions.device)[positions]
        labels: np.ndarray[Any, Any] = self.classes_[positions.cpu().numpy()]
        return labels

    # scikit-learn's interface of an estimator.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep` is for scikit-learn and has no effect."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> Self:
        """Change some parameters; fitted attributes do not change until `fit` is called."""
        unknown = parameters.keys() - self.get_params().keys()
        if unknown:
            raise InputError(
                f"Invalid parameter {min(unknown)!r} for {type(self).__name__}. "
                f"Its parameters: {', '.join(self.get_params()) or 'none'}."
            )
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Show the parameters that differ from the defaults, like scikit-learn."""
        defaults = {
            name: parameter.default for name, parameter in inspect.signature(type(self)).parameters.items()
        }
        changed = (
            f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Describe this classifier to scikit-learn."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(poor_score=not self._separates_everything),
            input_tags=InputTags(),
        )
