"""Probes on activations that are tiny, huge, far from the origin, constant, or not finite."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.neighbors import KNeighborsClassifier

import reference_probes as reference
from latentgen.errors import LatentgenError
from latentgen.probes.class_subspace import KrylovWork
from latentgen.probes.custom import SklearnProbe
from latentgen.probes.discriminant import LDA, QDA
from latentgen.probes.krylov import _rayleigh_ritz
from latentgen.probes.logistic import LogisticRegression
from latentgen.probes.nearest import KNN, NearestMean
from latentgen.probes.subspace_probes import MASC, VeLPIC


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clouds(n=200, d=8, n_classes=3, seed=0):
    """Overlapping clouds: activations and labels to fit with, and activations to predict."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, d))
    X, T = (centres[y] + rng.normal(size=(n, d)) for _ in range(2))
    return X, y, T


class TestLogisticRegression:
    @pytest.mark.parametrize("n", [20, 200])
    @pytest.mark.parametrize("labels", [(0, 1), (1, 3)], ids=["all classes", "two of four"])
    def test_two_classes_have_scikit_learns_penalty(self, n, labels):
        X, y, T = clouds(n, n_classes=2)
        y = np.array(labels)[y]
        theirs = SklearnLogistic(tol=1e-10, max_iter=10_000).fit(X, y)
        probe = LogisticRegression().fit(X, y, 4)
        np.testing.assert_array_equal(probe.predict(T), theirs.predict(T))
        W = probe.coef_.numpy()
        np.testing.assert_allclose(W[labels[1]] - W[labels[0]], theirs.coef_[0], atol=2e-3)

    def test_three_classes_have_it_as_well(self):
        X, y, _ = clouds(40)
        theirs = SklearnLogistic(tol=1e-10, max_iter=10_000).fit(X, y)
        np.testing.assert_allclose(LogisticRegression().fit(X, y).coef_, theirs.coef_, atol=2e-3)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("constant", [1e3, 1e6, 1e8])
    def test_constant_features_however_large_change_nothing(self, constant, dtype):
        X, y, T = (array.astype(dtype) if array.dtype == float else array for array in clouds(60))
        add = np.full((60, 2), constant, dtype)
        probe = LogisticRegression().fit(np.hstack([X, add]), y)
        plain = LogisticRegression().fit(X, y)
        np.testing.assert_array_equal(probe.predict(np.hstack([T, add])), plain.predict(T))

    @pytest.mark.parametrize("offset", [1e4, 1e6, 1e8])
    def test_features_far_from_the_origin_are_fitted_as_near_ones(self, offset):
        X, y, T = clouds(60)
        plain = LogisticRegression().fit(X, y)
        probe = LogisticRegression().fit(X + offset, y)
        assert np.mean(probe.predict(T + offset) == plain.predict(T)) > 0.98

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("n", [20, 60, 500])
    def test_constant_and_doubled_features_of_any_size_can_be_fitted(self, n, dtype):
        X, y, _ = clouds(n)
        for features in (np.ones((n, 4)), X + 1, np.maximum(np.hstack([X, X]), 0)):
            probe = LogisticRegression().fit((features * 1e8).astype(dtype), y)
            assert probe.coef_.isfinite().all()

    @pytest.mark.parametrize("scale", [1e6, 1e8])
    def test_huge_features_are_fitted_as_scaled_ones_with_a_smaller_penalty(self, scale):
        X, y, T = clouds(300, d=3)  # not separable: there is a minimum without a penalty
        theirs = SklearnLogistic(C=scale**2, tol=1e-10, max_iter=10_000).fit(X, y)
        probe = LogisticRegression().fit(X * scale, y)
        assert np.mean(probe.predict(T * scale) == theirs.predict(T)) > 0.98


class TestNearest:
    @pytest.mark.parametrize("scale", [1e-13, 1e-30, 1e-40, 1e30])
    @pytest.mark.parametrize("probe", [KNN(), NearestMean()])
    def test_directions_count_however_short_or_long_a_row_is(self, probe, scale):
        X, y, T = (array.astype(np.float32) if array.dtype == float else array for array in clouds())
        expected = probe.fit(X, y).predict(T)
        tolerance = 0.05 if scale == 1e-40 else 0  # numbers that are left three digits by float32
        for fitted, given in ((X, T * scale), (X * np.float32(scale), T * np.float32(scale))):
            found = probe.fit(fitted, y).predict(given.astype(np.float32))
            assert np.mean(found != expected) <= tolerance

    @pytest.mark.parametrize("scale", [1e-300, 1e300])
    @pytest.mark.parametrize("probe", [KNN(), NearestMean()])
    def test_float64_of_any_size(self, probe, scale):
        X, y, T = clouds()
        expected = probe.fit(X, y).predict(T)
        np.testing.assert_array_equal(probe.fit(X * scale, y).predict(T * scale), expected)

    @pytest.mark.parametrize("offset", [0, 10, 1000])
    def test_float64_separates_neighbours_that_float32_cannot(self, offset):
        X, y, T = (
            (array + offset).astype(np.float32) if array.dtype == float else array for array in clouds()
        )
        theirs = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(X.astype(np.float64), y)
        np.testing.assert_array_equal(KNN().fit(X, y).predict(T), theirs.predict(T.astype(np.float64)))


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6, 1e8])
@pytest.mark.parametrize("reg_param", [1e-3, 0.1])
def test_qda_keeps_small_variances_beside_large_ones(scale, reg_param):
    X, y, T = clouds()
    X, T = (np.hstack([A, A]) * scale for A in (X, T))
    # scikit-learn works with singular values, not with squares.
    theirs = QuadraticDiscriminantAnalysis(reg_param=reg_param).fit(X, y)
    np.testing.assert_array_equal(QDA(reg_param).fit(X, y).predict(T), theirs.predict(T))


def test_qda_without_regularization_refuses_a_singular_covariance():
    X, y, _ = clouds()
    X[:, 0] = 0
    with pytest.raises(LatentgenError, match=r"covariance of class 0 is singular.*reg_param above 0"):
        QDA(reg_param=0).fit(X, y)


@pytest.mark.parametrize("scale", [2.0**-120, 2.0**-80, 1e-22, 1.0, 1e10, 1e19, 2.0**100])
@pytest.mark.parametrize("probe", [MASC(0.9), MASC(components=2), VeLPIC("own"), VeLPIC("all")])
def test_subspace_probes_do_not_depend_on_the_scale(probe, scale):
    X, y, T = (array.astype(np.float32) if array.dtype == float else array for array in clouds())
    expected = probe.fit(X.astype(np.float64), y).predict(T.astype(np.float64))
    np.testing.assert_array_equal(probe.fit(X, y).predict(T * np.float32(scale)), expected)
    np.testing.assert_array_equal(probe.fit(X * np.float32(scale), y).predict(T), expected)


@pytest.mark.parametrize("scale", [1e-22, 1e-19, 1e15])
def test_near_ties_of_tiny_and_huge_activations_are_noticed(scale):
    # Class 1 is class 0 turned by an angle that denormal scores cannot see.
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(1, 64)))
    train = np.concatenate([X, X + 1e-4 * rng.normal(size=X.shape)])
    fitted = MASC(components=1).fit(train, np.array([0, 1]))
    test = train[rng.integers(0, 2, 200)] + 0.3 * np.abs(rng.normal(size=(200, 64)))
    test = (test * scale).astype(np.float32)
    exact = reference.masc_scores(reference.eigen(train, [0, 1], 2), [1, 1], test.astype(np.float64) / scale)
    assert 20 < exact.argmax(1).sum() < 180
    np.testing.assert_array_equal(fitted.predict(test), exact.argmax(1))


def test_squares_beyond_float64_are_refused_with_what_is_wrong():
    X, y, _ = clouds()
    with pytest.raises(LatentgenError, match="so large that their squares overflow float64"):
        MASC().fit(X * 1e200, y)
    for probe in (MASC(), VeLPIC(), LDA(), QDA(), LogisticRegression()):
        with pytest.raises(LatentgenError, match="so small that their squares underflow float64"):
            probe.fit(X * 1e-200, y)


ALL = [MASC(), VeLPIC(), NearestMean(), KNN(), LDA(), QDA(), LogisticRegression(), LogisticRegression("adam")]


@pytest.mark.parametrize("kind", [*ALL, SklearnProbe("sklearn.tree:DecisionTreeClassifier")], ids=repr)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_neither_fitted_nor_predicted(kind, bad):
    X, y, T = clouds()
    kind.fit(X, y, 3).predict(T)
    for A in (X, T):
        A[7, 3] = bad
    with pytest.raises(LatentgenError, match="1 of 200 rows of activations contain NaN or infinity"):
        kind.predict(T)
    with pytest.raises(LatentgenError, match="rows of activations contain NaN or infinity"):
        kind.fit(X, y, 3)


@pytest.mark.parametrize("largest", [2, 20_000])
@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8, 5e-10, 5e-12])
def test_the_certificate_knows_of_float64_rounding(gap, largest):
    """Directions k and k + 1 belong to nearly equal eigenvalues: rounding turns them into each other."""
    d, n, k = 64, 4096, 8
    rng = np.random.default_rng(1)
    signs = np.array([[(-1.0) ** (bin(i & j).count("1")) for j in range(d)] for i in range(d)])
    values = np.concatenate(
        [np.geomspace(largest, 1.5, k - 1), [1, 1 - gap], np.geomspace(1e-2, 1e-4, d - k - 1)]
    )
    rows = rng.integers(
        0, d, n
    )  # each row is a multiple of a Hadamard vector: eigenvectors are known exactly
    rows[:d] = np.arange(d)
    counts = np.bincount(rows, minlength=d)
    X = torch.from_numpy(np.sqrt(values / counts)[rows, None] * signs[rows])
    V = torch.from_numpy(signs.T / np.sqrt(d))
    start = V[:, : k + 10] + 1e-9 * torch.from_numpy(rng.normal(size=(d, k + 10)))
    found = _rayleigh_ritz(X, start, None, k, KrylovWork(k + 10, (), k + 10, 0))
    true = V[:, :k]
    if found is not None:
        error = torch.linalg.matrix_norm(found.basis - true @ (true.T @ found.basis), 2)
        assert float(error) < 5e-5
    assert found is not None or gap < 1e-9 * largest
