"""Heads on a layer's features: what they score, above all for examples that they were fitted on."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from latentgen.probes import VeLPIC
from latentgen.repairing.features import all_finite
from latentgen.repairing.heads import (
    FOLDS,
    HEADS,
    LANCZOS_FROM,
    LinearHead,
    Ridge,
    UnitMeans,
    fit_heads,
    stratified_folds,
)
from latentgen.repairing.statistics import (
    calibration,
    calibration_with_temperature,
    expected_calibration_error,
    fit_temperature,
    paired_difference,
    proportion,
)

N, D, C = 60, 7, 3


@pytest.fixture
def blobs():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(N) % C
    X = torch.randn(N, D, generator=generator) + 2 * torch.eye(C, D)[labels]
    return X, labels


def without(X, labels, i):
    kept = torch.arange(len(X)) != i
    return X[kept], labels[kept]


class TestLeavingOneOut:
    def test_ridge_equals_fits_without_the_example(self, blobs):
        X, labels = blobs
        head = Ridge(strength=0.3).fit(X, labels, C)
        penalty = 0.3 * float(head._eigenvalues.mean())
        expected = []
        for i in range(N):
            rest, their = without(X, labels, i)
            Y = np.eye(C)[their.numpy()]
            other = SklearnRidge(alpha=penalty).fit(rest.double().numpy(), Y)
            expected.append(other.predict(X[i : i + 1].double().numpy())[0])
        np.testing.assert_allclose(head.left_out_scores().numpy(), np.array(expected), rtol=1e-9, atol=1e-9)

    def test_ridge_with_more_features_than_examples(self):
        generator = torch.Generator().manual_seed(2)
        X, labels = torch.randn(12, 30, generator=generator), torch.arange(12) % 2
        head = Ridge(strength=0.5).fit(X, labels, 2)
        penalty = 0.5 * float(head._eigenvalues.mean())
        for i in (0, 7):
            rest, their = without(X, labels, i)
            other = SklearnRidge(alpha=penalty).fit(rest.double().numpy(), np.eye(2)[their.numpy()])
            expected = other.predict(X[i : i + 1].double().numpy())[0]
            np.testing.assert_allclose(head.left_out_scores()[i].numpy(), expected, rtol=1e-8, atol=1e-8)

    @pytest.mark.parametrize("name", ["unit means", "kNN"])
    def test_others_equal_fits_without_the_example(self, blobs, name):
        X, labels = blobs
        found = HEADS[name]().fit(X, labels, C).left_out_scores()
        for i in range(0, N, 7):
            rest, their = without(X, labels, i)
            expected = HEADS[name]().fit(rest, their, C).scores(X[i : i + 1])[0]
            torch.testing.assert_close(found[i], expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("name", ["VeLPIC", "LDA", "logistic", "MASC"])
    def test_folds_do_not_see_the_example(self, blobs, name):
        X, labels = blobs
        found = HEADS[name](0).fit(X, labels, C).left_out_scores()
        folds = stratified_folds(labels, FOLDS, 0)
        inside = folds == folds[5]
        expected = HEADS[name](0).fit(X[~inside], labels[~inside], C).scores(X[inside])
        torch.testing.assert_close(found[inside], expected)

    def test_folds_spread_every_class(self, blobs):
        _, labels = blobs
        folds = stratified_folds(labels, FOLDS, 3)
        for c in range(C):
            counts = folds[labels == c].bincount(minlength=FOLDS)
            assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if head.linear])
def test_linear_heads_are_linear_layers(blobs, name):
    X, labels = blobs
    head = HEADS[name]().fit(X, labels, C)
    assert isinstance(head, LinearHead)
    layer = head.as_linear(temperature=2.0)
    assert layer.bias is not None
    with torch.no_grad():
        logits = layer(X)
    expected = (X.double() @ head.weight_.T + head.bias_) / 2
    torch.testing.assert_close(logits.double(), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits.argmax(1), head.scores(X).argmax(1))


@pytest.mark.parametrize("name", HEADS)
def test_a_class_without_examples_is_never_predicted(blobs, name):
    X, labels = blobs
    with pytest.warns() if name in ("VeLPIC", "MASC") else _nothing():
        head = HEADS[name]().fit(X, labels, C + 1)
        assert (head.scores(X)[:, C] == -torch.inf).all()
        assert (head.left_out_scores()[:, C] == -torch.inf).all()
    if isinstance(head, LinearHead):
        assert (head.as_linear()(X).argmax(1) != C).all()


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_velpic_points_to_its_own_class():
    """With the sign over all examples, the second class's direction points away from it."""
    generator = torch.Generator().manual_seed(0)
    X = torch.cat([torch.randn(50, 4, generator=generator) + 3, torch.randn(10, 4, generator=generator) - 3])
    labels = torch.tensor([0] * 50 + [1] * 10)
    assert (HEADS["VeLPIC"]().fit(X, labels, 2).scores(X).argmax(1) == labels).all()


@pytest.mark.parametrize("shift", [0.0, 1.0, -1.0])
def test_velpic_of_wide_layers_is_velpic(shift):
    """Lanczos' method finds the same directions and signs, also of classes whose means are near zero."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(400) % C
    X = torch.randn(400, LANCZOS_FROM, generator=generator) + shift
    X += 0.3 * torch.randn(C, LANCZOS_FROM, generator=generator)[labels]
    expected = VeLPIC().fit(X, labels, C).vectors_
    torch.testing.assert_close(HEADS["VeLPIC"]().fit(X, labels, C).weight_, expected, rtol=0, atol=1e-9)


def test_strengths_of_ridge_come_from_one_decomposition(blobs):
    X, labels = blobs
    for head in fit_heads(["ridge"], X, labels, C):
        assert isinstance(head, Ridge)
        again = Ridge(strength=head.strength).fit(X, labels, C)
        torch.testing.assert_close(head.left_out_scores(), again.left_out_scores())


@pytest.mark.parametrize(("strange", "finite"), [(3e38, True), (torch.nan, False), (-torch.inf, False)])
def test_finite_numbers_whose_sum_overflows_are_finite(strange, finite):
    numbers = torch.ones(100)
    numbers[10:20] = strange
    assert all_finite(numbers) is finite


def test_one_example_of_a_class_vouches_for_nothing():
    X = torch.eye(3).repeat(4, 1)[:10]
    labels = torch.tensor([0, 1, 1, 0, 1, 1, 0, 1, 1, 2])
    scores = UnitMeans().fit(X, labels, 3).left_out_scores()
    assert scores[9, 2] == 0.0


class TestStatistics:
    def test_temperature_is_found(self):
        generator = torch.Generator().manual_seed(0)
        logits = 2 * torch.randn(4000, 3, generator=generator).double()
        labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
        assert fit_temperature(5 * logits, labels) == pytest.approx(5, rel=0.08)
        overconfident = calibration(5 * logits, labels)
        mended = calibration_with_temperature(5 * logits, labels)
        assert mended.nll < overconfident.nll
        assert mended.ece < 0.03 < overconfident.ece

    def test_calibration_error_of_certain_mistakes_is_one(self):
        logits = torch.tensor([[100.0, 0.0]] * 5)
        assert expected_calibration_error(logits, torch.ones(5, dtype=torch.int64)) == pytest.approx(1)

    def test_proportion_is_wilsons(self):
        assert proportion(8, 10)[1:] == pytest.approx((0.4902, 0.9433), abs=1e-4)

    def test_paired_difference(self):
        """15.5 and 5.5 of 102 pairs: 0.09804 ± 1.95996 √((0.20588 − 0.09804²) / 102)."""
        one = torch.tensor([True] * 15 + [False] * 5 + [True] * 80)
        other = torch.tensor([False] * 15 + [True] * 5 + [True] * 80)
        found = paired_difference(one, other)
        assert found == pytest.approx((0.10, 0.01206, 0.18402), abs=1e-5)
        assert paired_difference(one, one).low < 0 < paired_difference(one, one).high

    def test_paired_difference_covers_the_truth(self):
        generator = torch.Generator().manual_seed(0)
        covered = 0
        for _ in range(400):
            drawn = torch.rand(300, generator=generator)
            gained, lost = drawn < 0.10, (drawn > 0.10) & (drawn < 0.16)
            both = drawn > 0.5
            found = paired_difference(gained | both, lost | both)
            covered += found.low <= 0.04 <= found.high
        assert 0.92 <= covered / 400 <= 0.98
