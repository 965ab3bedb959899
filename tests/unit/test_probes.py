"""The probes against their definitions, item by item, on random and on real activations."""

import gzip
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import reference_probes as reference
from latentgen.errors import LatentgenError
from latentgen.probes import exact
from latentgen.probes.subspace_probes import MASC, VeLPIC, fit_together, predict_together

FASHION = Path("/usr/share/datasets/fashion-mnist")


@st.composite
def problems(draw):
    """Training items, labels, test items: few or many, with duplicates, zeros and missing classes."""
    n, d, n_classes = draw(st.integers(2, 50)), draw(st.integers(1, 50)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mixing = rng.normal(size=(d, d)) * rng.exponential(size=d) ** 2
    X = rng.normal(size=(n, d)) @ mixing
    if draw(st.booleans()):
        X = np.maximum(X, 0)
    y = rng.integers(0, n_classes, n)
    if draw(st.booleans()):
        y[y == n_classes - 1] = 0
    if draw(st.booleans()):
        X[rng.integers(0, n, n // 2)] = X[0]
    if draw(st.booleans()):
        X[rng.integers(0, n, n // 2)] = 0
    if draw(st.booleans()):
        X[y == y[0]] = 0
    X *= draw(st.sampled_from([1.0, 1e-3, 30.0]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    X = X.clip(-6e4, 6e4).astype(dtype)
    test = np.concatenate([X[: n // 2], np.zeros((1, d)), rng.normal(size=(20, d)) @ mixing])
    test = test.clip(-6e4, 6e4).astype(dtype)
    return X, y, test, n_classes


def check_masc(probe, X, y, test, n_classes, decompositions=None):
    """Compare a fitted MASC with the definition, unless rounding may decide a k_c."""
    decompositions = decompositions or reference.eigen(X, y, n_classes)
    counts = []
    for c, eig in enumerate(decompositions):
        if eig is None:
            counts.append(0)
            continue
        rank = reference.rank(eig.values, X[y == c].shape)
        if probe.components is not None:
            counts.append(min(probe.components, rank))
        else:
            variance = probe.variance or 0.99
            counts.append(min(reference.components_for(eig.values, variance), rank))
            if not reference.is_decided(eig.values, variance):
                return
    np.testing.assert_array_equal(probe.n_components_, counts)
    check_scores(probe, reference.masc_scores(decompositions, counts, test), test, power=2)


def check_velpic(probe, X, y, test, n_classes, decompositions=None):
    """Compare a fitted VeLPIC with the definition, unless a sign or a direction hangs on rounding."""
    decompositions = decompositions or reference.eigen(X, y, n_classes)
    vectors = reference.velpic_vectors(decompositions, X, y, probe.sign)
    items = [X[y == c] if probe.sign == "own" else X for c in range(n_classes)]
    means = [
        v @ Z.mean(axis=0, dtype=np.float64) if len(Z) else 0 for v, Z in zip(vectors, items, strict=True)
    ]
    norm = np.linalg.norm(X.astype(np.float64), axis=1).mean()
    for eig, mean in zip(decompositions, means, strict=True):
        if eig is not None and (
            mean < 1e-9 * norm or (len(eig.values) > 1 and eig.values[1] > 0.999 * eig.values[0])
        ):
            return
    np.testing.assert_allclose(probe.vectors_.numpy(), vectors, atol=1e-8)
    check_scores(probe, reference.velpic_scores(decompositions, vectors, test), test, power=1)


def check_scores(probe, expected, test, power):
    found = probe.class_scores(test)
    predicted = probe.predict(test)
    assert found.dtype == np.float64
    assert predicted.dtype == np.int64
    missing = np.isneginf(expected)
    np.testing.assert_array_equal(np.isneginf(found), missing)
    scale = np.linalg.norm(test.astype(np.float64), axis=1, keepdims=True) ** power
    error = np.abs(np.where(missing, 0, found) - np.where(missing, 0, expected))
    assert (error <= 1e-5 * scale).all()
    clear = reference.clear(expected, scale[:, 0]) & test.any(axis=1)
    np.testing.assert_array_equal(predicted[clear], expected.argmax(axis=1)[clear])
    present = np.flatnonzero(~missing.all(axis=0))
    assert (predicted[~test.any(axis=1)] == present[0]).all()


def fit(probe, *arguments):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*never predicted")
        return probe.fit(*arguments)


@settings(max_examples=60, deadline=None)
@given(problem=problems(), variance=st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_masc_by_variance_is_its_definition(problem, variance):
    X, y, _, n_classes = problem
    if X.any():
        check_masc(fit(MASC(variance=variance), X, y, n_classes), *problem)


@settings(max_examples=40, deadline=None)
@given(problem=problems(), components=st.integers(1, 5))
def test_masc_by_components_is_its_definition(problem, components):
    X, y, _, n_classes = problem
    if X.any():
        check_masc(fit(MASC(components=components), X, y, n_classes), *problem)


@settings(max_examples=60, deadline=None)
@given(problem=problems(), sign=st.sampled_from(["own", "all"]))
def test_velpic_is_its_definition(problem, sign):
    X, y, _, n_classes = problem
    if X.any():
        check_velpic(fit(VeLPIC(sign), X, y, n_classes), *problem)


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_on_activations_that_are_not_negative_both_signs_are_the_same(problem):
    """The proof is in docs/velpic-sign.md."""
    X, y, test, n_classes = problem
    X, test = np.abs(X), np.abs(test)
    if not X.any():
        return
    own, every = fit(VeLPIC("own"), X, y, n_classes), fit(VeLPIC("all"), X, y, n_classes)
    clear = [
        len(eig.values) == 1 or eig.values[1] < 0.999 * eig.values[0]
        for eig in reference.eigen(X, y, n_classes)
        if eig is not None
    ]
    if all(clear):
        assert own.signs_against_mean_ == every.signs_against_mean_ == 0
        assert torch.equal(own.vectors_, every.vectors_)
        np.testing.assert_array_equal(own.predict(test), every.predict(test))


@settings(max_examples=40, deadline=None)
@given(problem=problems())
def test_vectors_that_point_away_from_their_own_class_are_counted(problem):
    X, y, _, n_classes = problem
    if not X.any():
        return
    own, every = fit(VeLPIC("own"), X, y, n_classes), fit(VeLPIC("all"), X, y, n_classes)
    X = X.astype(np.float64)
    along = [X[y == c].mean(0) @ v if (y == c).any() else 0 for c, v in enumerate(every.vectors_.numpy())]
    if all(abs(mean) > 1e-9 or mean == 0 for mean in along):
        assert every.signs_against_mean_ == own.signs_against_mean_ == sum(mean < 0 for mean in along)


def test_the_sign_of_the_whole_mean_fails_where_activations_are_centred_and_that_of_its_own_does_not():
    """As after layer normalization: classes lie around the origin, and their means add up to nothing."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 6
    centres = rng.normal(size=(6, 30))
    X = (centres - centres.mean(0))[y] + 0.3 * rng.normal(size=(600, 30))
    own, every = VeLPIC("own").fit(X, y), VeLPIC("all").fit(X, y)
    assert every.signs_against_mean_ > 0
    assert own.score(X, y) > 0.95
    assert every.score(X, y) < 0.8


def memorizing(images, labels, widths, epochs):
    """Activations of a small MLP after a short training on labels of which 40 % are redrawn, and these."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(len(labels)) < 0.4, rng.integers(0, 10, len(labels)), labels)
    images, targets = torch.from_numpy(images), torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Linear(a, b) for a, b in zip(widths, (*widths[1:], 10), strict=True)]
        optimizer = torch.optim.SGD(
            [p for layer in layers for p in layer.parameters()], lr=0.05, momentum=0.9
        )
        for _ in range(epochs):
            for batch in torch.randperm(len(images)).split(32):
                x = images[batch]
                for layer in layers[:-1]:
                    x = layer(x).relu()
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(layers[-1](x), targets[batch]).backward()
                optimizer.step()
    hidden = []
    with torch.no_grad():
        for layer in layers[:-1]:
            images = layer(images).relu()
            hidden.append(images.numpy())
    return hidden, labels


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Problems this small are faster so, and much faster on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return memorizing((images / 16).astype(np.float32), labels, (64, 128, 256), epochs=10)


@pytest.mark.parametrize("layer", [0, 1])
def test_on_activations_of_a_memorizing_network(digits, layer):
    hidden, labels = digits
    X, y, test = hidden[layer][:1437], labels[:1437], hidden[layer][1437:]
    assert (X > 0).any(axis=0).mean() > 0.5
    check_masc(MASC().fit(X, y), X, y, test, 10)
    check_masc(MASC(components=1).fit(X, y), X, y, test, 10)
    check_velpic(VeLPIC().fit(X, y), X, y, test, 10)


@pytest.mark.skipif(not FASHION.exists(), reason=f"no Fashion-MNIST in {FASHION}")
def test_on_real_images_and_layers_wide_enough_for_krylov():
    images, labels = (
        np.frombuffer(gzip.decompress((FASHION / f"train-{kind}-ubyte.gz").read_bytes()), np.uint8)
        for kind in ("images-idx3", "labels-idx1")
    )
    images = images[16:].reshape(-1, 784)[:10_400] / np.float32(255)
    hidden, labels = memorizing(images, labels[8:10_408].astype(np.int64), (784, 64, 1024), epochs=1)
    X, y, test = hidden[1][:10_000], labels[:10_000], hidden[1][10_000:]
    masc, velpic = MASC(), VeLPIC()
    fit_together([masc, velpic], X, y)
    assert {s.route for s in masc.subspaces_} == {"krylov"}
    assert masc.n_fallbacks_ == velpic.n_fallbacks_ == 0
    decompositions = reference.eigen(X, y, 10)
    check_masc(masc, X, y, test, 10, decompositions)
    check_velpic(velpic, X, y, test, 10, decompositions)


def test_together_is_the_same_as_one_by_one(digits):
    hidden, labels = digits
    X, y, test = hidden[1][:1437], labels[:1437], hidden[1][1437:]
    together = [MASC(0.99), MASC(0.9), MASC(components=4), VeLPIC()]
    alone = [MASC(0.99), MASC(0.9), MASC(components=4), VeLPIC()]
    fit_together(together, X, y)
    predictions = predict_together(together, test)
    for probe, single, predicted in zip(together, alone, predictions, strict=True):
        single.fit(X, y)
        np.testing.assert_array_equal(probe.n_components_, single.n_components_)
        assert [s.n_components for s in probe.subspaces_] == list(single.n_components_)
        np.testing.assert_array_equal(predicted, single.predict(test))
    np.testing.assert_allclose(together[3].vectors_, alone[3].vectors_, atol=1e-12)


def test_together_decomposes_once(digits, monkeypatch):
    hidden, labels = digits
    calls = []
    decompose = exact.falling_eigh
    monkeypatch.setattr(exact, "falling_eigh", lambda A: calls.append(A) or decompose(A))
    fit_together([MASC(0.99), MASC(0.9), VeLPIC()], hidden[0], labels)
    assert len(calls) == 10


def test_probes_of_different_labels_are_scored_together(digits):
    hidden, labels = digits
    X = hidden[0]
    other = np.roll(labels, 1)
    probes = [MASC().fit(X, labels), MASC().fit(X, other), VeLPIC().fit(X, other)]
    for probe, predicted in zip(probes, predict_together(probes, X), strict=True):
        np.testing.assert_array_equal(predicted, probe.predict(X))


@pytest.mark.parametrize("probe", [MASC, VeLPIC])
def test_blocks_change_nothing(digits, probe, monkeypatch):
    hidden, labels = digits
    fitted = probe().fit(hidden[0], labels)
    whole = fitted.class_scores(hidden[0])
    monkeypatch.setattr("latentgen.probes.scoring.SCORED_ITEMS", 7)
    monkeypatch.setattr("latentgen.probes.scoring.SCORED_DIRECTIONS", 1)
    np.testing.assert_allclose(fitted.class_scores(hidden[0]), whole, rtol=1e-5)


def slowly_falling(n, d, n_classes, seed=5):
    """Activations whose subspaces span most of the features, as in layers of networks that have memorized."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    turns = [np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(n_classes)]
    X = rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -0.4
    for c, turn in enumerate(turns):
        X[y == c] = X[y == c] @ turn
    return X, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sign", ["own", "all"])
def test_by_way_of_the_complement_where_that_is_smaller(dtype, sign):
    X, y = slowly_falling(900, 60, 3)
    X = X.astype(dtype)
    test = np.concatenate([X[:200], np.zeros((1, 60)), 1e-21 * X[:50]]).astype(dtype)
    probes = [MASC(), MASC(0.9), MASC(components=2), VeLPIC(sign)]
    fit_together(probes, X, y)
    assert all(s.complement is not None and s.complement.shape[1] < 30 for s in probes[0].subspaces_)
    assert all(s.complement is None for s in probes[1].subspaces_ + probes[3].subspaces_)
    together = predict_together(probes, test)
    for probe, predicted in zip(probes, together, strict=True):
        np.testing.assert_array_equal(predicted, probe.predict(test))
        check = check_velpic if isinstance(probe, VeLPIC) else check_masc
        check(probe, X, y, test, 3)


def test_classes_whose_subspaces_are_everything_score_the_whole_length():
    X, y = slowly_falling(90, 5, 2)
    probe = MASC(0.999999).fit(X, y)
    assert probe.n_components_.tolist() == [5, 5]
    np.testing.assert_allclose(probe.class_scores(X), (X**2).sum(1, keepdims=True).repeat(2, 1), rtol=1e-12)
    assert not probe.predict(X).any()


@pytest.mark.parametrize("directions", [1, 40, 1024])
def test_many_classes_in_groups_are_predicted_as_at_once(directions, monkeypatch):
    rng = np.random.default_rng(7)
    centres = np.abs(rng.normal(size=(50, 20)))
    y = np.arange(500) % 50
    X = (centres[y] + 0.2 * rng.normal(size=(500, 20))).astype(np.float32)
    probes = [MASC(0.9), VeLPIC()]
    fit_together(probes, X, y)
    monkeypatch.setattr("latentgen.probes.scoring.SCORED_ITEMS", 64)
    monkeypatch.setattr("latentgen.probes.scoring.SCORED_DIRECTIONS", directions)
    for probe, predicted in zip(probes, predict_together(probes, X), strict=True):
        np.testing.assert_array_equal(predicted, probe.class_scores(X).argmax(1))
    check_masc(probes[0], X, y, X[:100], 50)
    check_velpic(probes[1], X, y, X[:100], 50)


def test_memory_does_not_grow_with_the_number_of_classes():
    """Of 20,000 items and 500 classes, all scores in float64 would take 80 MB."""
    code = """
import resource, numpy as np, torch
from latentgen.probes import MASC
torch.set_num_threads(1)
rng = np.random.default_rng(0)
y = np.arange(20_000) % 500
X = (rng.random((500, 16))[y] + 0.1 * rng.random((20_000, 16))).astype(np.float32)
probe = MASC(components=2).fit(X, y)
probe.predict(X[:9000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
probe.predict(X)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    environment = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert float(done.stdout) < 20, done.stderr


@pytest.mark.parametrize("probe", [MASC, VeLPIC])
def test_rounding_to_float32_decides_no_prediction(probe):
    # Class 1 is class 0 turned by an angle that float32 scores cannot see.
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(1, 64)))
    turned = X + 1e-7 * rng.normal(size=X.shape)
    train = np.concatenate([X, turned])
    fitted = probe().fit(train, np.array([0, 1]))
    test = train[rng.integers(0, 2, 200)] + 0.3 * np.abs(rng.normal(size=(200, 64)))
    test = test.astype(np.float32)
    exact = fitted.predict(test.astype(np.float64))
    assert 20 < exact.sum() < 180
    np.testing.assert_array_equal(fitted.predict(test), exact)


def test_identical_classes_go_to_the_lowest():
    X = np.tile(np.abs(np.random.default_rng(1).normal(size=(5, 8))).astype(np.float32), (2, 1))
    y = np.repeat([1, 3], 5)
    with pytest.warns(UserWarning, match=r"2 of 4 classes .* never predicted: 0, 2"):
        probe = MASC(components=1).fit(X, y, 4)
    assert probe.missing_classes_ == [0, 2]
    assert set(probe.predict(X)) == {1}
    assert set(probe.predict(np.zeros_like(X))) == {1}


def test_fallbacks_are_counted(monkeypatch):
    monkeypatch.setattr("latentgen.probes.subspaces.KRYLOV_FROM", 30)
    X = np.abs(np.random.default_rng(2).normal(size=(120, 40)))  # its directions are not few
    y = np.arange(120) % 3
    probe = MASC().fit(X, y)
    assert probe.n_fallbacks_ == 3
    monkeypatch.undo()
    np.testing.assert_array_equal(probe.predict(X), MASC().fit(X, y).predict(X))


def test_tensors_in_tensors_out(digits):
    hidden, labels = digits
    X, y = torch.from_numpy(hidden[0]), torch.from_numpy(labels)
    for make in (MASC, VeLPIC):
        from_arrays, from_tensors = make().fit(hidden[0], labels), make().fit(X, y)
        predicted = from_tensors.predict(X)
        assert isinstance(predicted, torch.Tensor)
        assert isinstance(from_arrays.predict(hidden[0]), np.ndarray)
        np.testing.assert_array_equal(predicted, from_arrays.predict(hidden[0]))
        assert isinstance(from_tensors.class_scores(X), torch.Tensor)


def test_fitting_again_gives_the_same_bits(digits):
    hidden, labels = digits
    first, second = (VeLPIC().fit(hidden[1], labels) for _ in range(2))
    assert torch.equal(first.vectors_, second.vectors_)


def test_masc_takes_the_papers_threshold_by_default_and_only_one_demand():
    X = np.abs(np.random.default_rng(3).normal(size=(60, 30)))
    y = np.arange(60) % 2
    np.testing.assert_array_equal(MASC().fit(X, y).n_components_, MASC(0.99).fit(X, y).n_components_)
    assert MASC(components=3).fit(X, y).n_components_.tolist() == [3, 3]
    with pytest.raises(LatentgenError, match="found both"):
        MASC(variance=0.9, components=3).fit(X, y)
    with pytest.raises(LatentgenError, match="variance"):
        MASC(variance=1.0).fit(np.eye(3), np.arange(3))


@pytest.mark.parametrize("probe", [MASC(), VeLPIC()])
def test_a_dead_layer_is_reported_and_gives_every_item_the_lowest_class(probe):
    """Layers do die (a diverged network, a narrow one): a study goes on, and says so."""
    with pytest.warns(UserWarning, match="2 of 2 classes"):
        probe.fit(np.zeros((4, 3)), np.arange(4) % 2)
    assert probe.missing_classes_ == [0, 1]
    assert probe.predict(np.ones((2, 3))).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("probe", "message"),
    [(MASC(components=0), "components must"), (VeLPIC(sign="mine"), "sign must be 'own' or 'all'")],
)
def test_impossible_parameters_are_refused_when_fitting(probe, message):
    with pytest.raises(LatentgenError, match=message):
        probe.fit(np.eye(3), np.arange(3))


def test_misuse_is_refused_in_words(digits):
    hidden, labels = digits
    with pytest.raises(LatentgenError, match="not fitted"):
        MASC().predict(hidden[0])
    with pytest.raises(LatentgenError, match="features"):
        VeLPIC().fit(hidden[0], labels).predict(hidden[1])
    spoilt = hidden[0].copy()
    spoilt[7, 3] = np.nan
    with pytest.raises(LatentgenError, match="1 of 1797 rows"):
        VeLPIC().fit(hidden[0], labels).predict(spoilt)
