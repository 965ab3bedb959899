"""What every probe is: a classifier with scikit-learn's interface, on arrays and on torch's tensors.

scikit-learn's base classes are not used, since importing them takes longer than many a job: what they need of
an estimator is here, and the test runs scikit-learn's own checks (`check_estimator`).
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
    """What fitting and predicting take, by formula."""

    fit_flops: float
    predict_flops: float
    fitted_bytes: float
    """Size of what was learned."""


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
        Positions in `classes_` of the classes without items (or, for MASC and VeLPIC, with activations that
        are all zero). They are never predicted.
    """

    classes_: np.ndarray[Any, Any]
    n_features_in_: int
    missing_classes_: list[int]

    _separates_everything: ClassVar[bool] = True
    """Whether it tells well-separated clouds apart wherever they lie, as scikit-learn's checks expect."""

    def fit(self, X: Array, y: Array, n_classes: int | None = None) -> Self:
        """Learn from activations and their labels.

        Parameters
        ----------
        X : array or tensor, n × d
            Activations of the training items.
        y : array or tensor, n
            Their labels, of any kind; with `n_classes`, integers in 0 … n_classes - 1.
        n_classes : int, optional
            Number of classes, where some may have no item; by default the classes are the labels in y.

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
        """Return the class of each row of X (n × d): n labels, an array or a tensor as X is."""
        return self._labelled(self._predict(self._checked(X)), X)

    def class_scores(self, X: Array) -> Array:
        """Return the score of each row of X for each class: n × C, float64; -∞ for missing classes."""
        scores = self._scores(self._checked(X))
        return scores if isinstance(X, Tensor) else scores.cpu().numpy()

    def decision_function(self, X: Array) -> Array:
        """Return `class_scores`; of two classes, as in scikit-learn, the second's less the first's (n)."""
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
        """Return what it costs, by formula (`latentgen.probes.costs`): unknown, unless a probe says.

        Parameters
        ----------
        counts : list of int, C
            Items of each class that it was fitted on.
        m : int
            Number of items to predict.
        item_size : int
            Bytes of one activation.
        """
        return Work(math.nan, math.nan, math.nan)

    @abstractmethod
    def _fit(self, X: Tensor, labels: Tensor) -> None:
        """Learn from rows and the positions of their classes in `classes_`."""

    @abstractmethod
    def _scores(self, X: Tensor) -> Tensor:
        """Scores (n × C, float64) of checked rows."""

    def _predict(self, X: Tensor) -> Tensor:
        """Positions of the predicted classes (n) of checked rows."""
        return self._scores(X).argmax(dim=1)

    def _checked(self, X: Array) -> Tensor:
        """Return activations to predict as `as_features` does."""
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

    # What scikit-learn asks of an estimator.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep` is scikit-learn's, and changes nothing here."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> Self:
        """Change some parameters; what was learned stays until `fit` is called."""
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
        """Show the parameters that are not the default ones, as scikit-learn does."""
        defaults = {
            name: parameter.default for name, parameter in inspect.signature(type(self)).parameters.items()
        }
        changed = (
            f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that this is a classifier, and what of."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(poor_score=not self._separates_everything),
            input_tags=InputTags(),
        )
