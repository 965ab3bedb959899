"""The subspaces of classes: what they must satisfy whatever way they were computed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_probes as reference
from latentgen import linalg
from latentgen.errors import LatentgenError
from latentgen.probes import exact, krylov, subspaces
from latentgen.probes.class_subspace import KrylovWork
from latentgen.probes.subspaces import class_subspaces


def activations(seed, n, d, dtype=np.float32):
    """Rectified random features of a few latent causes: a falling spectrum, as real layers have."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n, d)) * rng.exponential(size=d) ** 2
    return np.maximum(causes @ rng.normal(size=(d, d)) / np.sqrt(d), 0).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    d=st.integers(1, 60),
    variance=st.floats(0.01, 0.9999),
    components=st.integers(1, 12),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_directions_are_the_leading_eigenvectors(seed, n, d, variance, components, dtype):
    X = activations(seed, n, d, dtype)
    y = np.random.default_rng(seed).integers(0, 3, n)
    for c, subspace in enumerate(class_subspaces(X, y, 3, variance=variance, components=components)):
        Z = X[y == c].astype(np.float64)
        assert subspace.n_items == len(Z)
        np.testing.assert_allclose(subspace.energy, np.sum(Z**2), rtol=1e-12)
        if not Z.any():
            assert subspace.n_components == 0
            continue
        U, values = subspace.basis.numpy(), subspace.eigenvalues.numpy()
        k = subspace.n_components
        scale = values[0]
        np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-9)
        np.testing.assert_allclose(Z.T @ (Z @ U), U * values, atol=1e-10 * scale)
        all_values = np.linalg.eigvalsh(Z.T @ Z)[::-1]
        np.testing.assert_allclose(values, all_values[:k], atol=1e-12 * scale)
        if reference.is_decided(all_values, variance):
            assert subspace.components_for(variance) == reference.components_for(all_values, variance)
            wanted = max(components, reference.components_for(all_values, variance))
            assert k == min(wanted, reference.rank(all_values, Z.shape))


@pytest.mark.parametrize(("n", "d", "route"), [(20, 50, "gram"), (50, 20, "moment")])
def test_the_smaller_matrix_is_decomposed(n, d, route):
    (subspace,) = class_subspaces(activations(0, n, d), np.zeros(n, dtype=int), 1)
    assert subspace.route == route


def test_wide_and_long_classes_are_summed_over_blocks(monkeypatch):
    X = activations(1, 30, 40)
    y = np.zeros(30, dtype=int)
    for A in (X, X.T.copy()):
        whole = class_subspaces(A, y[: len(A)] if len(A) == 30 else np.zeros(40, dtype=int), 1, components=5)[
            0
        ]
        monkeypatch.setattr("latentgen.linalg.FLOAT64_BLOCK", 7 * 30)
        blocks = class_subspaces(A, np.zeros(len(A), dtype=int), 1, components=5)[0]
        monkeypatch.undo()
        np.testing.assert_allclose(blocks.basis.abs(), whole.basis.abs(), atol=1e-10)


def test_components_are_clipped_to_the_rank():
    X = np.repeat(activations(2, 3, 10), 5, axis=0)  # fifteen rows, three of them different
    (subspace,) = class_subspaces(X, np.zeros(15, dtype=int), components=8)
    assert subspace.n_components == 3


def test_weak_directions_stay_orthogonal():
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.normal(size=(m, 12)))[0] for m in (12, 40))
    X = (U * np.geomspace(1.0, 3e-6, 12)) @ V.T  # eigenvalues down to 1e-11 of the first
    (subspace,) = class_subspaces(X, np.zeros(12, dtype=int), components=12)
    assert subspace.n_components == 12
    np.testing.assert_allclose(subspace.basis.T @ subspace.basis, np.eye(12), atol=1e-12)


def test_a_smaller_fraction_is_a_prefix_of_the_same_decomposition():
    X, y = activations(4, 90, 30), np.arange(90) % 3
    for large, small in zip(
        class_subspaces(X, y, variance=0.99), class_subspaces(X, y, variance=0.9), strict=True
    ):
        assert large.components_for(0.9) == small.n_components < large.n_components
        prefix = large.truncated(small.n_components)
        assert torch.equal(prefix.basis, small.basis)
        assert prefix.basis.untyped_storage().data_ptr() == large.basis.untyped_storage().data_ptr()


def test_classes_without_direction_are_empty():
    X, y = activations(5, 12, 6), np.repeat([0, 2, 4], 4)
    X[y == 4] = 0
    found = class_subspaces(X, y, 6, variance=0.9, components=2)
    assert [s.n_components == 0 for s in found] == [False, True, False, True, True, True]
    assert [s.n_items for s in found] == [4, 0, 4, 0, 4, 0]
    assert found[4].components_for(0.9) == 0


def test_input_is_left_alone_and_may_be_read_only():
    X = activations(6, 20, 5)
    X.flags.writeable = False
    before = X.copy()
    class_subspaces(X[::-1], np.arange(20) % 2)
    np.testing.assert_array_equal(X, before)


def test_the_global_generators_are_left_alone():
    state = torch.get_rng_state()
    class_subspaces(activations(7, 20, 5), np.arange(20) % 2)
    assert torch.equal(torch.get_rng_state(), state)


def large(seed=8, n=900, d=800, decay=1.2):
    """One class large enough for the Krylov way, with eigenvalues that fall as a power."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.normal(size=(m, d)))[0] for m in (n, d))
    return ((U * np.arange(1, d + 1) ** -decay) @ V.T).astype(np.float32)


def only(X, **demand):
    (subspace,) = class_subspaces(X, np.zeros(len(X), dtype=int), 1, **demand)
    return subspace


def eigen(X):
    (decomposition,) = reference.eigen(X, np.zeros(len(X)), 1)
    return decomposition


def sine(basis, U):
    """Sine of the largest angle between two subspaces."""
    return np.linalg.norm(basis - U @ (U.T @ basis), 2)


@pytest.mark.parametrize(("n", "d"), [(900, 800), (800, 900)])
@pytest.mark.parametrize("demand", [{"variance": 0.99}, {"components": 20}, {}])
def test_large_classes_with_few_directions_take_the_krylov_way(n, d, demand):
    X = large(n=900, d=800) if n > d else large(n=900, d=800).T.copy()
    found, expected = only(X, **demand), eigen(X)
    k = found.n_components
    assert found.route == "krylov"
    assert not found.fell_back
    wanted = reference.components_for(expected.values, 0.99) if "variance" in demand else None
    assert k == (wanted or demand.get("components", 1))
    assert sine(found.basis.numpy(), expected.vectors[:, :k]) < krylov.ANGLE
    np.testing.assert_allclose(found.eigenvalues, expected.values[:k], rtol=1e-8)
    np.testing.assert_allclose(found.energy, expected.values.sum(), rtol=1e-12)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(k), atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 40])
@pytest.mark.parametrize("spectrum", ["falling", "equal", "low rank"])
def test_wanted_eigenvectors_alone_are_those_of_the_whole_decomposition(size, spectrum, monkeypatch):
    monkeypatch.setattr(exact, "LAPACK_FROM", 2)
    Q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(size, size)))
    falling = 2.0 ** -np.arange(size)
    expected = {"falling": falling, "equal": np.ones(size), "low rank": falling * (falling > 0.3)}[spectrum]
    A = (Q * expected) @ Q.T
    for k in (1, size // 2, size):
        upper = torch.from_numpy(np.triu(A))
        values, vectors, _ = exact._leading_eigh(upper, lambda found, k=k: len(found[:k]))
        np.testing.assert_allclose(values, expected[:k], atol=1e-14)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-11)
        np.testing.assert_allclose(A @ vectors.numpy(), vectors.numpy() * expected[:k], atol=1e-13)


@pytest.mark.parametrize(("n", "d"), [(400, 50), (60, 80), (1700, 800)], ids=["moment", "gram", "krylov"])
@pytest.mark.parametrize("alone_from", [0, subspaces.ALONE_FROM], ids=["in turn", "side by side"])
def test_a_class_does_not_depend_on_the_threads_nor_on_those_beside_it(n, d, alone_from, monkeypatch):
    monkeypatch.setattr(subspaces, "ALONE_FROM", alone_from)
    X, y = torch.from_numpy(activations(4, n, d)).float(), torch.arange(n) % 2
    threads, found = torch.get_num_threads(), {}
    try:
        for torch_threads in (1, 2, 3):
            torch.set_num_threads(torch_threads)
            found[torch_threads] = subspaces.class_subspaces(X, y, variance=0.9)
    finally:
        torch.set_num_threads(threads)
    for classes in found.values():
        for subspace, expected in zip(classes, found[1], strict=True):
            assert subspace.route == expected.route
            assert subspace.n_components == expected.n_components
            assert sine(subspace.basis.numpy(), expected.basis.numpy()) < 1e-9
            if alone_from:  # a thread for each: the same bits, whichever it is
                assert torch.equal(subspace.basis, expected.basis)


@pytest.mark.parametrize(("n", "d"), [(70, 90), (90, 70)])
@pytest.mark.parametrize("numbers", [100, 2**20], ids=["blocks", "at once"])
def test_matrices_are_formed_by_parts_and_decomposed_as_far_as_wanted(n, d, numbers, monkeypatch):
    X = activations(3, n, d)
    whole = only(X, variance=0.9)
    monkeypatch.setattr(exact, "LAPACK_FROM", 2)
    monkeypatch.setattr(linalg, "FLOAT64_BLOCK", numbers)
    found = only(X, variance=0.9)
    assert 1 < found.n_components == whole.n_components < 70
    np.testing.assert_allclose(found.eigenvalues, whole.eigenvalues, rtol=1e-12)
    np.testing.assert_allclose(found.energy, whole.energy, rtol=1e-14)
    assert sine(found.basis.numpy(), whole.basis.numpy()) < 1e-9


def test_the_krylov_way_gives_the_same_bits_again_and_leaves_the_generators_alone():
    X, state = large(), torch.get_rng_state()
    assert torch.equal(only(X, variance=0.9).basis, only(X, variance=0.9).basis)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("constant", ["ANGLE", "MISSED_ENERGY"])
@pytest.mark.parametrize("lapack_from", [2, 10_000])
def test_what_is_not_certain_is_decomposed_exactly_and_says_so(constant, lapack_from, monkeypatch):
    X = large()
    monkeypatch.setattr(exact, "LAPACK_FROM", lapack_from)
    monkeypatch.setattr(krylov, constant, 0.0)
    found = only(X, variance=0.9)
    assert found.route == "moment"
    assert found.fell_back
    assert sine(found.basis.numpy(), eigen(X).vectors[:, : found.n_components]) < 1e-9


@pytest.mark.parametrize("variance", [0.9, 0.99])
def test_the_certificate_keeps_its_word(variance):
    X = torch.from_numpy(large())
    expected = eigen(X.numpy())
    k = reference.components_for(expected.values, variance)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(800, 60)) / np.sqrt(800))
    U = torch.from_numpy(expected.vectors[:, :60].copy())
    work = KrylovWork(columns=60, checks=(), kept=60, rounds=0)
    certified = []
    for size in (1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0):
        found = krylov._rayleigh_ritz(X, U + size * noise, variance, 1, work)
        certified.append(found is not None)
        if found is not None:
            assert found.n_components == k
            assert sine(found.basis.numpy(), expected.vectors[:, :k]) < krylov.ANGLE
    assert certified[0]
    assert not certified[-1]
    assert krylov._rayleigh_ritz(X, noise, variance, 1, work) is None


def test_many_directions_fall_back():
    X = np.random.default_rng(9).normal(size=(900, 800)).astype(np.float32)
    found = only(X, variance=0.99)
    assert found.fell_back
    assert found.n_components == reference.components_for(eigen(X).values, 0.99)


def test_more_equal_eigenvalues_than_a_krylov_block_has_columns():
    X = np.zeros((1600, 800), dtype=np.float32)
    X[np.arange(1600), np.arange(1600) % 50] = 1.0
    found = only(X, variance=0.99)
    assert found.n_components == 50
    np.testing.assert_allclose(found.eigenvalues, 32.0, rtol=1e-10)
    np.testing.assert_allclose((found.basis[:50] ** 2).sum(), 50.0, rtol=1e-10)


def test_large_classes_of_unusual_values():
    assert only(np.zeros((800, 800), dtype=np.float32)).n_components == 0
    assert only(np.ones((800, 800), dtype=np.float32), components=3).n_components == 1
    for scale in (1e-25, 1e25):
        scaled = only(large().astype(np.float64) * scale, variance=0.9)
        assert scaled.n_components == only(large(), variance=0.9).n_components
    spoilt = large()
    spoilt[5, 5] = np.nan
    with pytest.raises(LatentgenError, match="1 of 900 rows"):
        only(spoilt)


X, Y = np.ones((4, 3), dtype=np.float32), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[0], Y), "matrix of floating-point numbers"),
        ((X.astype(int), Y), "matrix of floating-point numbers"),
        ((X[:0], Y[:0]), "not empty"),
        ((X.astype("U3"), Y), "not plain numbers"),
        ((np.where(np.eye(4, 3) > 0, np.nan, X), Y), "3 of 4 rows|of 2 rows"),
        ((np.where(np.eye(4, 3) > 0, np.inf, X), Y), "NaN or infinity"),
        ((np.full((4, 3), 1e200), Y), "overflow float64"),
        ((X, Y[:3]), r"labels of shape \(3,\) and 4 examples"),
        ((X, Y.astype(float)), "must be integers"),
        ((X, Y > 0), "must be integers"),
        ((X, Y - 1), "found -1 … 0"),
        ((X, Y, 1), "0 … 0 for 1 classes; found 0 … 1"),
    ],
)
def test_unusable_input_is_refused_in_words(arguments, message):
    with pytest.raises(LatentgenError, match=message):
        class_subspaces(*arguments)


@pytest.mark.parametrize(
    "demand", [{"variance": v} for v in (0.0, 1.0, -1, np.nan)] + [{"components": 0}, {"components": 1.5}]
)
def test_impossible_demands_are_refused(demand):
    with pytest.raises(LatentgenError, match=next(iter(demand))):
        class_subspaces(X, Y, **demand)
