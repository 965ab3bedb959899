"""Classifiers with scikit-learn's interface as probes."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from latentgen.errors import LatentgenError
from latentgen.probes.custom import SklearnProbe
from latentgen.probes.custom_classifiers import make_classifier
from latentgen.study.config import read_study

N_CLASSES = 4


@pytest.fixture
def items(numbers):
    """Return activations and labels of all classes but 2."""
    labels = numbers.choice([0, 1, 3], size=60)
    return (numbers.normal(size=(60, 5)) + 3 * labels[:, None]).astype(np.float32), labels


class Wrong:
    """Predicts what the test says."""

    def __init__(self, what):
        self.what = what

    def fit(self, X, y):
        if self.what == "raises":
            raise MemoryError("no room")

    def predict(self, X):
        few, far = np.zeros(3, int), np.full(len(X), 4)
        return {"text": far.astype(str), "few": few, "far": far}[self.what]


def test_predictions_are_those_of_scikit_learn_and_the_same_every_time(items):
    X, y = items
    probe = SklearnProbe("sklearn.svm:LinearSVC", {"C": 0.1}).fit(X, y, N_CLASSES)
    expected = LinearSVC(C=0.1, random_state=0).fit(X, y).predict(X)
    np.testing.assert_array_equal(probe.predict(X), expected)
    assert len(set(expected)) == 3
    assert probe.missing_classes_ == [2]


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("sklearn.svm:LinearSVCC", {}, "has no 'LinearSVCC'; the nearest are LinearSVC"),
        ("sklearn.svm:LinearSVR", {}, "is not a classifier"),
        ("sklearn.svm:l1_min_c", {}, "is not a classifier: it must be a class"),
        ("sklearn.svm:LinearSVC", {"CC": 1}, "fails with TypeError"),
        ("sklearn.svm:LinearSVC", {"C": -1.0}, "fails with InvalidParameterError"),
    ],
)
def test_what_is_no_classifier_is_refused_before_anything_is_fitted(path, arguments, said):
    with pytest.raises(LatentgenError, match=said):
        make_classifier(path, arguments)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raises", "cannot be fitted on 60 examples of 5 units: MemoryError: no room"),
        ("text", "must predict one of the labels"),
        ("few", r"of shape \(3,\) for 60 examples"),
        ("far", "predicts classes from 4 to 4; there are 4"),
    ],
)
def test_a_classifier_that_misbehaves_is_refused(items, monkeypatch, what, said):
    monkeypatch.setattr("latentgen.probes.custom_classifiers.load", lambda path: Wrong)
    X, y = items
    with pytest.raises(LatentgenError, match=said):
        SklearnProbe("wrong_probes:Wrong", {"what": what}).fit(X, y, N_CLASSES).predict(X)


def test_a_study_names_it_after_its_class_or_as_it_says(study):
    probe = {"kind": "sklearn", "path": "sklearn.svm:LinearSVC"}
    others = [{"kind": "MASC"}, {"kind": "VeLPIC"}]
    study["probes"] = [*others, probe, probe | {"name": "SVC-strong", "arguments": {"C": 0.01}}]
    assert [one.probe_name for one in read_study(study).probes][2:] == ["LinearSVC", "SVC-strong"]
    study["probes"] = [*others, probe, probe]
    with pytest.raises(LatentgenError, match="each may be given once; twice or more: LinearSVC"):
        read_study(study)
    study["probes"] = [*others, probe | {"name": "MASC"}]
    with pytest.raises(LatentgenError, match=r"probes\[2\]\.name: this name is used for other rows"):
        read_study(study)
