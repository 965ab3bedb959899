"""The other probes, compared with scikit-learn's."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import normalize

from benchmarks.inputs import probed
from benchmarks.timing import Goal, Section, in_turn
from latentgen.probes.discriminant import LDA, QDA
from latentgen.probes.nearest import KNN, NearestMean

LAYER, ITEMS = "fc2", 10_000
"""512 units. scikit-learn's logistic regression takes minutes for more."""


def run() -> list[Section]:
    """LDA, QDA, nearest mean, logistic regression and nearest neighbours: fit and predict."""
    given = probed(epochs=2)
    X, test = given.train[LAYER][:ITEMS].numpy(), given.test[LAYER].numpy()
    y = given.labels.corrupted[:ITEMS]
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "LDA": (LDA, lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=None)),
        "QDA": (QDA, lambda: QuadraticDiscriminantAnalysis(reg_param=1e-3)),
        "nearest mean": (NearestMean, lambda: _OfNormalized(NearestCentroid())),
        "logistic": (LogisticRegression, lambda: LogisticRegression(max_iter=2000, tol=1e-5)),
        "KNN": (KNN, lambda: KNeighborsClassifier(5, metric="cosine", algorithm="brute")),
    }
    predictions: dict[str, np.ndarray] = {}

    def task(way: str, make: Callable[[], Any], tensors: bool) -> Callable[[], None]:
        rows = tuple(map(torch.from_numpy, (X, test))) if tensors else (X, test)

        def fit_and_predict() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn warns that real activations are collinear
                predictions[way] = np.asarray(make().fit(rows[0], y).predict(rows[1]))

        return fit_and_predict

    ways = {}
    for name, both in pairs.items():
        for way, make in zip((f"{name}: ours", f"{name}: scikit-learn"), both, strict=True):
            ways[way] = task(way, make, tensors=way.endswith("ours"))
    slow = "logistic: scikit-learn"
    timed = in_turn({way: call for way, call in ways.items() if way != slow})
    timed |= in_turn({slow: ways[slow]}, rounds=1, cold=(slow,))
    sklearn, ours = (
        [f"{name}: {who}" for name in pairs if name != "KNN"] for who in ("scikit-learn", "ours")
    )
    equal = {
        name: float((predictions[f"{name}: ours"] == predictions[f"{name}: scikit-learn"]).mean())
        for name in pairs
    }
    return [
        Section(
            "Other probes, compared with scikit-learn",
            f"{ITEMS:,} examples of {LAYER} (512 units) after 2 epochs, and {len(test):,} test examples; fit "
            "and predict. scikit-learn's logistic regression is timed once.",
            list(timed.values()),
            [
                Goal(
                    "scikit-learn relative to ours: LDA, QDA, nearest mean, logistic together",
                    timed.ratio(tuple(sklearn), tuple(ours)),
                    3,
                    at_least=True,
                ),
                Goal(
                    "equal predictions, lowest of these and KNN",
                    100 * min(equal.values()),
                    99.5,
                    "%",
                    at_least=True,
                ),
            ],
            [f"{name}: {fraction:.2%} of the predictions are equal" for name, fraction in equal.items()],
        )
    ]


class _OfNormalized:
    """Nearest class mean by cosine, from scikit-learn's parts: the means of rows, compared at norm 1."""

    def __init__(self, nearest: NearestCentroid) -> None:
        self.nearest = nearest

    def fit(self, X: np.ndarray, y: np.ndarray) -> "_OfNormalized":
        self.nearest.fit(X, y)
        self.nearest.centroids_ = normalize(self.nearest.centroids_)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        predicted: np.ndarray = self.nearest.predict(normalize(X))
        return predicted
