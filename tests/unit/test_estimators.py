"""The probes as scikit-learn's users know estimators."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

import latentgen.probes.discriminant
import latentgen.probes.logistic
import latentgen.probes.nearest
import latentgen.probes.subspace_probes
from latentgen.errors import LatentgenError
from latentgen.probes import MASC, VeLPIC
from latentgen.probes.discriminant import LDA, QDA
from latentgen.probes.logistic import LogisticRegression
from latentgen.probes.nearest import KNN, NearestMean

PROBES = [MASC(), MASC(components=1), VeLPIC(), NearestMean(), KNN(), LDA(), QDA(), LogisticRegression()]


# They cannot inherit scikit-learn's base classes, which take longer to import than many a job: that is all
# the warning says. Of MASC, a score that is poor is expected: clouds in two dimensions span both.
@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from:UserWarning")
@parametrize_with_checks(PROBES)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture
def animals():
    """Two kinds of activations that point in different directions, and their names."""
    rng = np.random.default_rng(0)
    y = np.array(["cat", "dog", "yak"])[np.arange(90) % 3]
    centres = {"cat": [3, 1, 0, 0], "dog": [0, 3, 1, 0], "yak": [0, 0, 3, 1]}
    return np.abs(np.array([centres[name] for name in y]) + rng.normal(size=(90, 4))), y


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_they_work_in_pipelines_cross_validation_and_grid_search(probe, animals):
    X, y = animals
    assert is_classifier(probe)
    assert cross_val_score(probe, X, y, cv=3).mean() > (0.3 if repr(probe) == "MASC()" else 0.7)
    pipeline = make_pipeline(Normalizer(), probe).fit(X, y)
    assert set(pipeline.predict(X)) <= set(y)
    assert 0 <= pipeline.score(X, y) <= 1


def test_parameters_are_searched(animals):
    search = GridSearchCV(MASC(), {"components": [1, 4]}, cv=3).fit(*animals)
    assert search.best_params_ == {"components": 1}  # four span everything
    search = GridSearchCV(VeLPIC(), {"sign": ["own", "all"]}, cv=3).fit(*animals)
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_labels_of_any_kind_come_back(probe, animals):
    X, y = animals
    names = np.unique(y)
    numbers = np.searchsorted(names, y)
    expected = clone(probe).fit(X, numbers, 3).predict(X)
    np.testing.assert_array_equal(clone(probe).fit(X, y).predict(X), names[expected])
    np.testing.assert_array_equal(clone(probe).fit(X, 10.0 * numbers).predict(X), 10.0 * expected)
    np.testing.assert_array_equal(clone(probe).fit(X.tolist(), list(y)).predict(X.tolist()), names[expected])
    tensors = torch.from_numpy(X), torch.from_numpy(7 * numbers - 5)
    fitted = clone(probe).fit(*tensors)
    assert torch.equal(fitted.predict(tensors[0]), torch.from_numpy(7 * expected - 5))
    assert fitted.classes_.tolist() == [-5, 2, 9]
    assert fitted.n_features_in_ == 4
    assert fitted.score(*tensors) == pytest.approx(np.mean(expected == numbers))


def test_of_two_classes_the_decision_is_the_difference_of_their_scores(animals):
    X, y = animals
    two = y != "yak"
    probe = VeLPIC().fit(X[two], y[two])
    scores = probe.class_scores(X)
    np.testing.assert_array_equal(probe.decision_function(X), scores[:, 1] - scores[:, 0])
    np.testing.assert_array_equal(probe.decision_function(X) > 0, probe.predict(X) == "dog")


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_they_are_copied_shown_and_refused_as_scikit_learns(probe, animals):
    assert repr(clone(probe)) == repr(probe)
    with pytest.raises(NotFittedError) as caught:
        clone(probe).predict(animals[0])
    assert isinstance(caught.value, LatentgenError)
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        clone(probe).set_params(depth=3)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        clone(probe).fit(animals[0], np.linspace(0, 1, 90))


def test_a_parameter_shows_where_it_is_not_the_default():
    assert repr(MASC()) == "MASC()"
    assert repr(MASC(0.9)) == "MASC(variance=0.9)"
    assert repr(VeLPIC(sign="all")) == "VeLPIC(sign='all')"


@pytest.mark.parametrize(
    "module",
    [
        latentgen.probes.subspace_probes,
        latentgen.probes.nearest,
        latentgen.probes.discriminant,
        latentgen.probes.logistic,
    ],
    ids=lambda module: module.__name__,
)
def test_the_examples_of_the_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("module", ["latentgen.probes", "latentgen.probes.settings"])
def test_torch_is_not_imported_before_it_is_needed(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )


def test_fitting_imports_no_scikit_learn():
    code = "import sys, latentgen.probes.fitting; sys.exit('sklearn' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )
