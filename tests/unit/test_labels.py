"""Noisy labels: rates, streams, and the published labels bit for bit."""

import hashlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentgen.datasets import load_dataset
from latentgen.errors import LatentgenError
from latentgen.labels import Labels, corrupt, read_labels, write_labels

TRUE = np.arange(20_000) % 10


@pytest.mark.parametrize("generator", ["study", "published"])
class TestSymmetric:
    @pytest.mark.parametrize("p", [0.2, 0.4, 0.8])
    def test_labels_are_redrawn_at_the_rate_p_over_all_classes(self, generator, p):
        labels = corrupt(TRUE, 10, "symmetric", p, generator, seed=3)
        spread = np.sqrt(p * (1 - p) / len(TRUE))
        assert labels.redrawn.mean() == pytest.approx(p, abs=4 * spread)
        redrawn = labels.corrupted[labels.redrawn]
        assert np.bincount(redrawn, minlength=10) / len(redrawn) == pytest.approx(0.1, abs=0.015)
        # the true class is one of those drawn from
        assert labels.share_true == pytest.approx(1 - p + p / 10, abs=4 * spread)
        assert np.array_equal(labels.corrupted[~labels.redrawn], TRUE[~labels.redrawn])
        assert np.array_equal(labels.true, TRUE)

    def test_p_0_changes_nothing_and_p_1_redraws_all(self, generator):
        unchanged = corrupt(TRUE, 10, "symmetric", 0, generator, seed=3)
        assert np.array_equal(unchanged.corrupted, TRUE)
        assert not unchanged.redrawn.any()
        assert corrupt(TRUE, 10, "symmetric", 1, generator, seed=3).redrawn.all()

    def test_a_seed_decides_all(self, generator):
        first, again, other = (corrupt(TRUE, 10, "symmetric", 0.5, generator, seed) for seed in (3, 3, 4))
        assert np.array_equal(first.corrupted, again.corrupted)
        assert (first.redrawn == other.redrawn).mean() == pytest.approx(0.5, abs=0.02)

    def test_the_input_is_left_alone(self, generator):
        true = TRUE.copy()
        labels = corrupt(true, 10, "symmetric", 0.9, generator, seed=0)
        assert np.array_equal(true, TRUE)
        labels.corrupted[:] = 0
        assert np.array_equal(labels.true, TRUE)


def test_study_noise_of_a_small_p_is_part_of_that_of_a_larger_one():
    small, large = (corrupt(TRUE, 10, "symmetric", p, seed=5) for p in (0.3, 0.6))
    assert large.redrawn[small.redrawn].all()
    assert np.array_equal(small.corrupted[small.redrawn], large.corrupted[small.redrawn])


def test_study_labels_are_those_of_every_result_so_far():
    labels = corrupt(TRUE, 10, "symmetric", 0.4, "study", seed=1)
    assert _sha256(labels.corrupted) == "d08bfb4904f23ae7a58be48de9da182ca90e87fa95e3dfdc85738db2fe0922f8"


@pytest.mark.parametrize(("n_classes", "seed"), [(10, 42), (100, 42), (200, 7)])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_published_labels_are_what_the_global_generator_gives(n_classes, seed, p):
    true = np.arange(5000) % n_classes
    expected = true.copy()
    state = np.random.get_state()
    try:
        np.random.seed(seed)
        mask = np.random.rand(len(true)) <= p
        expected[mask] = np.random.choice(n_classes, mask.sum())
    finally:
        np.random.set_state(state)
    labels = corrupt(true, n_classes, "symmetric", p, "published", seed)
    assert np.array_equal(labels.corrupted, expected)
    assert np.array_equal(labels.redrawn, mask)


def test_published_labels_never_change():
    # Computed once, with NumPy's global functions: a change of NumPy itself would be noticed.
    labels = corrupt(np.arange(60_000) % 10, 10, "symmetric", 0.4, "published", 42)
    assert _sha256(labels.corrupted) == "fdf6f0464b3bfafeed2932a789c70039aac0f5d1498481540776576e97cacd15"


def test_published_labels_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    corrupt(TRUE, 10, "symmetric", 0.4, "published", 42)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(("p", "share"), [(0.2, 0.8204), (0.4, 0.6411), (0.6, 0.4616), (0.8, 0.2787)])
def test_published_labels_of_mnist_are_true_as_often_as_published(p, share):
    try:
        mnist = load_dataset("mnist", fetch=False)
    except LatentgenError as error:
        pytest.skip(f"no MNIST here: {str(error).splitlines()[0]}")
    labels = corrupt(mnist.train_labels, 10, "symmetric", p, "published", 42)
    assert round(labels.share_true, 4) == share


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(p=-0.1), "between 0 and 1; it was given as -0.1"),
        (dict(p=1.5), "between 0 and 1"),
        (dict(p=float("nan")), "between 0 and 1"),
        (dict(kind="symetric"), "no 'symetric' noise .* symmetric"),
        (dict(generator="numpy"), "'numpy' generator"),
        (dict(seed=-1), "seed"),
        (dict(seed=2**32, generator="published"), "legacy generator"),
        (dict(true_labels=[0.0, 1.0]), "must be integers.*float64"),
        (dict(true_labels=["a"]), "must be integers"),
        (dict(true_labels=[0, 1, -1]), "from 0 to 9; 1 are not, first that of item 2, which is -1"),
        (dict(true_labels=[0, 10, 11]), "2 are not, first that of item 1, which is 10"),
        (dict(true_labels=[[0, 1]]), r"shape is \(1, 2\)"),
        (dict(true_labels=[]), "at least one item"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    good = dict(true_labels=[0, 1, 2], n_classes=10, kind="symmetric", p=0.4, generator="study", seed=0)
    with pytest.raises(LatentgenError, match=message):
        corrupt(**(good | arguments))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["study", "published"]),
)
def test_whatever_is_drawn_is_a_class_and_untouched_labels_are_true(true, p, seed, generator):
    labels = corrupt(true, 5, "symmetric", p, generator, seed)
    assert labels.corrupted.dtype == labels.true.dtype == np.int64
    assert labels.redrawn.dtype == bool
    assert ((labels.corrupted >= 0) & (labels.corrupted < 5)).all()
    assert np.array_equal(labels.corrupted[~labels.redrawn], np.array(true)[~labels.redrawn])


class TestFiles:
    labels = corrupt(TRUE, 10, "symmetric", 0.4, seed=1)

    def test_what_is_read_is_what_was_written(self, tmp_path):
        path = tmp_path / "labels.h5"
        write_labels(path, self.labels, {"kind": "symmetric", "p": 0.4})
        read = read_labels(path)
        for part in ("true", "corrupted", "redrawn"):
            assert np.array_equal(getattr(read, part), getattr(self.labels, part))
            assert getattr(read, part).dtype == getattr(self.labels, part).dtype
        with h5py.File(path) as file:
            assert (file.attrs["kind"], file.attrs["p"]) == ("symmetric", 0.4)

    def test_another_file_is_refused(self, tmp_path):
        path = tmp_path / "labels.h5"
        write_labels(path, self.labels)
        with h5py.File(path, "a") as file:
            del file["redrawn"]
        with pytest.raises(LatentgenError, match="holds no labels"):
            read_labels(path)

    def test_labels_of_unequal_length_are_refused(self, tmp_path):
        path = tmp_path / "labels.h5"
        write_labels(path, Labels(self.labels.true[:-1], self.labels.corrupted, self.labels.redrawn))
        with pytest.raises(LatentgenError, match="unequal length"):
            read_labels(path)


def _sha256(labels):
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
