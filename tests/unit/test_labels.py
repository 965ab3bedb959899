"""Noisy labels: rates, streams, and the published labels bit for bit."""

import hashlib
import json
from dataclasses import replace
from typing import ClassVar, get_args

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentgen.data.datasets import Dataset
from latentgen.data.labels import Labels, read_labels, write_labels
from latentgen.data.noise.human import read_human_labels
from latentgen.data.noise.registry import NOISES, corrupt, corrupt_dataset
from latentgen.data.registry import DATASETS, load_dataset
from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, random_generator
from latentgen.study.config import read_study
from latentgen.study.runs import RunSpec

TRUE = np.arange(20_000) % 10
KINDS = sorted(
    get_args(noise.model_fields["kind"].annotation)[0] for noise in NOISES if "study" in noise.functions
)
IMAGES = np.random.default_rng(0).integers(0, 256, (20_000, 1, 4, 4), np.uint8)
NEEDS: dict[str, dict] = {
    "instance": {"inputs": IMAGES},
    "asymmetric": {"pairs": {0: 1, 2: 5, 5: 2}},
    "human": {"human_labels": TRUE[::-1]},
}


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
        assert labels.fraction_true == pytest.approx(1 - p + p / 10, abs=4 * spread)
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


@pytest.mark.parametrize("kind", KINDS)
def test_study_noise_of_a_small_p_is_part_of_that_of_a_larger_one(kind):
    small, large = (corrupt(TRUE, 10, kind, p, seed=5, **NEEDS.get(kind, {})) for p in (0.3, 0.6))
    assert small.redrawn.sum() > 1000
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
    assert round(labels.fraction_true, 4) == share


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(p=-0.1), "between 0 and 1, not -0.1"),
        (dict(p=1.5), "between 0 and 1"),
        (dict(p=float("nan")), "between 0 and 1"),
        (dict(kind="symetric"), "no 'symetric' noise .* symmetric"),
        (dict(generator="numpy"), "'numpy' generator"),
        (dict(seed=-1), "seed"),
        (dict(seed=2**32, generator="published"), "legacy generator"),
        (dict(true_labels=[0.0, 1.0]), "must be integers.*float64"),
        (dict(true_labels=["a"]), "must be integers"),
        (dict(true_labels=[0, 1, -1]), "from 0 to 9; 1 are not, the first of them at index 2: -1"),
        (dict(true_labels=[0, 10, 11]), "2 are not, the first of them at index 1: 10"),
        (dict(true_labels=[[0, 1]]), r"shape is \(1, 2\)"),
        (dict(true_labels=[]), "at least one integer"),
        (dict(n_classes=1), "at least two classes; there are 1"),
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


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_untouched_labels_are_true_and_all_are_classes(self, kind):
        labels = corrupt(TRUE, 10, kind, 0.5, seed=1, **NEEDS.get(kind, {}))
        assert np.array_equal(labels.corrupted[~labels.redrawn], TRUE[~labels.redrawn])
        assert np.isin(labels.corrupted, np.arange(10)).all()
        assert labels.corrupted.dtype == np.int64
        assert labels.fraction_true < 1

    def test_p_0_changes_nothing(self, kind):
        labels = corrupt(TRUE, 10, kind, 0, seed=1, **NEEDS.get(kind, {}))
        assert not labels.redrawn.any()
        assert np.array_equal(labels.corrupted, TRUE)

    def test_a_seed_decides_all(self, kind):
        first, again, other = (
            corrupt(TRUE, 10, kind, 0.5, seed=seed, **NEEDS.get(kind, {})) for seed in (1, 1, 2)
        )
        assert np.array_equal(first.corrupted, again.corrupted)
        assert not np.array_equal(first.corrupted, other.corrupted)

    def test_there_is_no_published_generator_but_for_symmetric_noise(self, kind):
        if kind != "symmetric":
            with pytest.raises(LatentgenError, match=f"no '{kind}' noise from the 'published'"):
                corrupt(TRUE, 10, kind, 0.5, "published", 42, **NEEDS.get(kind, {}))


def test_none_true_noise_redraws_to_every_other_class_alike():
    labels = corrupt(TRUE, 10, "none_true", 0.4, seed=1)
    assert labels.fraction_true == pytest.approx(0.6, abs=0.015)
    assert np.array_equal(labels.redrawn, labels.corrupted != TRUE)
    counts = np.bincount(labels.corrupted[labels.redrawn & (TRUE == 3)], minlength=10)
    assert counts[3] == 0
    assert np.delete(counts, 3) / counts.sum() == pytest.approx(1 / 9, abs=0.05)
    assert (corrupt(TRUE, 10, "none_true", 1).corrupted != TRUE).all()


class TestAsymmetric:
    def test_paired_classes_alone_are_redrawn(self):
        labels = corrupt(TRUE, 10, "asymmetric", 0.4, seed=1, pairs={9: 1, 3: 5, 5: 3})
        for label, becomes in {9: 1, 3: 5, 5: 3}.items():
            of_class = labels.corrupted[label == TRUE]
            assert set(of_class) == {label, becomes}
            assert (of_class == becomes).mean() == pytest.approx(0.4, abs=0.05)
        paired = np.isin(TRUE, [9, 3, 5])
        assert np.array_equal(labels.corrupted[~paired], TRUE[~paired])
        assert np.array_equal(labels.redrawn, labels.corrupted != TRUE)

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            (None, "needs pairs"),
            ({}, "needs pairs"),
            ({3: 10}, "3 into 10"),
            ({-1: 2}, "-1"),
            ({4: 4}, "different"),
        ],
    )
    def test_pairs_that_are_none_are_refused(self, pairs, message):
        with pytest.raises(LatentgenError, match=message):
            corrupt(TRUE, 10, "asymmetric", 0.4, pairs=pairs)


class TestClassesByName:
    """Pairs of asymmetric noise by number or by name."""

    def settings(self, pairs, dataset="cifar10"):
        return TestNoiseOfAStudy().study({"kind": "asymmetric", "p": [1], "pairs": pairs}, dataset).noise[0]

    @pytest.mark.parametrize(
        "pairs", [{3: 5, 9: 1}, {"cat": "dog", "truck": "automobile"}, {"cat": 5, 9: "automobile"}]
    )
    def test_names_and_numbers_are_the_same(self, pairs):
        names = DATASETS["cifar10"].class_names
        dataset = replace(dataset_of("cifar10", TRUE, IMAGES), class_names=names)
        settings = json.loads(json.dumps(self.settings(pairs).label_settings))
        labels = corrupt_dataset(dataset, **settings, p=1, seed=3)
        expected = corrupt(TRUE, 10, "asymmetric", 1, seed=3, pairs={3: 5, 9: 1})
        assert np.array_equal(labels.corrupted, expected.corrupted)

    def test_settings_of_numbers_are_what_they_were(self):
        """Another text would count as a change, and train every network again."""
        settings = self.settings({9: 1, 3: 5}).label_settings
        assert (
            json.dumps(settings) == '{"kind": "asymmetric", "generator": "study", "pairs": [[3, 5], [9, 1]]}'
        )

    @pytest.mark.parametrize(
        ("pairs", "said"),
        [
            ({"cta": "dog"}, r"asymmetric noise on cifar10: no class 'cta'; did you mean 'cat'\? Classes"),
            ({"cat": 11}, "asymmetric noise on cifar10: no class 11; classes are 0 to 9"),
            ({"cat": 3}, "class cat cannot become itself"),
            ({"cat": "dog", 3: 4}, "class 3 is paired twice, once by number and once by name"),
            ({"3": "5"}, "no class '3'; Classes"),
            ({True: 5}, "put the names yes, no, on, off and null in quotes"),
        ],
    )  # fmt: skip
    def test_wrong_names_are_refused_before_anything_runs(self, pairs, said):
        with pytest.raises(LatentgenError, match=said):
            self.settings(pairs)

    def test_names_that_only_the_data_knows_are_looked_up_there(self):
        dataset = replace(dataset_of("pets", TRUE, IMAGES), class_names=tuple("abcdefghij"))
        labels = corrupt_dataset(dataset, kind="asymmetric", p=1, seed=1, pairs=[["c", "h"]])
        assert set(labels.corrupted[TRUE == 2]) == {7}
        with pytest.raises(
            LatentgenError, match="Pairs of asymmetric noise on pets: no class 'k'; Classes: a, b"
        ):
            corrupt_dataset(dataset, kind="asymmetric", p=1, seed=1, pairs=[["k", "h"]])


class TestInstance:
    images = IMAGES

    @pytest.mark.parametrize("p", [0.2, 0.4, 0.6])
    def test_wrong_labels_come_at_the_rate_p(self, p):
        labels = corrupt(TRUE, 10, "instance", p, seed=1, inputs=self.images)
        assert np.array_equal(labels.redrawn, labels.corrupted != TRUE)
        assert labels.redrawn.mean() == pytest.approx(p, abs=0.02)

    def test_p_1_makes_every_label_wrong(self):
        assert (corrupt(TRUE, 10, "instance", 1, inputs=self.images).corrupted != TRUE).all()

    def test_equal_images_tend_to_the_same_wrong_label(self):
        true = np.zeros(10_000, int)
        images = np.repeat(self.images[:10], 1000, axis=0)
        labels = corrupt(true, 10, "instance", 0.5, seed=1, inputs=images)
        shares = [
            np.bincount(labels.corrupted[copies][labels.redrawn[copies]], minlength=10).max()
            / labels.redrawn[copies].sum()
            for copies in np.split(np.arange(10_000), 10)
        ]
        assert np.mean(shares) > 0.5  # by chance it would be 0.11
        assert len(set(labels.corrupted)) > 3  # but not the same one for all images

    def test_agrees_with_a_plain_reading_of_the_paper(self):
        """Probabilities, computed item by item, of the labels of many copies of a few images."""
        true, images = np.repeat([0, 1, 1], 20_000), np.repeat(self.images[:3] // 32, 20_000, axis=0)
        labels = corrupt(true, 3, "instance", 0.4, seed=7, inputs=images)
        rng = random_generator(7, Purpose.LABELS)
        rng.random((3, len(true)))  # what was drawn before the weights
        weights = [rng.standard_normal((16, 3)) for _ in range(3)]
        pixels = (images.reshape(-1, 16) - images.mean()) / images.std()
        for copies, label in ((0, 0), (20_000, 1), (40_000, 1)):
            scores = np.exp(pixels[copies] @ weights[label])
            scores[label] = 0
            expected = 0.4 * scores / scores.sum()
            expected[label] = 0.6
            found = np.bincount(labels.corrupted[copies : copies + 20_000], minlength=3) / 20_000
            assert found == pytest.approx(expected, abs=0.015)

    @pytest.mark.parametrize("images", [None, IMAGES[:-1]])
    def test_without_images_it_is_refused(self, images):
        with pytest.raises(LatentgenError, match="needs inputs: one example"):
            corrupt(TRUE, 10, "instance", 0.4, inputs=images)

    def test_equal_pixels_everywhere_do_no_harm(self):
        labels = corrupt(TRUE, 10, "instance", 0.5, inputs=np.zeros_like(self.images))
        assert labels.redrawn.mean() == pytest.approx(0.5, abs=0.02)


class TestHuman:
    true = np.arange(50) % 10
    answers = np.roll(true, 1)

    def save(self, path, **arrays):
        torch = pytest.importorskip("torch")
        torch.save({"clean_label": self.true, "worse_label": self.answers} | arrays, path)
        return path

    def test_p_is_the_fraction_of_labels_that_people_gave(self):
        assert np.array_equal(corrupt(TRUE, 10, "human", 1, human_labels=TRUE[::-1]).corrupted, TRUE[::-1])
        labels = corrupt(TRUE, 10, "human", 0.3, human_labels=TRUE[::-1])
        assert labels.redrawn.mean() == pytest.approx(0.3, abs=0.02)

    @pytest.mark.parametrize(
        ("answers", "message"),
        [(None, "needs the human labels"), ([1, 2], "2 human labels"), ([10], "from 0 to 9")],
    )
    def test_human_labels_that_do_not_fit_are_refused(self, answers, message):
        with pytest.raises(LatentgenError, match=message):
            corrupt(TRUE, 10, "human", 1, human_labels=answers)

    @pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
    def test_the_file_is_read(self, tmp_path, dtype):
        path = self.save(tmp_path / "human.pt", worse_label=self.answers.astype(dtype))
        answers = read_human_labels(path, "worse_label", self.true)
        assert np.array_equal(answers, self.answers)
        assert answers.dtype == np.int64
        some = np.array([3, 30])
        assert np.array_equal(
            read_human_labels(path, "worse_label", self.true[some], some), self.answers[some]
        )

    def test_other_variants_and_images_are_refused(self, tmp_path):
        path = self.save(tmp_path / "human.pt")
        with pytest.raises(LatentgenError, match="no variant 'noisy_label'; it has: worse_label"):
            read_human_labels(path, "noisy_label", self.true)
        with pytest.raises(LatentgenError, match="other images"):
            read_human_labels(path, "worse_label", self.true[::-1])
        with pytest.raises(LatentgenError, match="other images"):
            read_human_labels(path, "worse_label", self.true, np.arange(50) + 1)
        with pytest.raises(LatentgenError, match=r"does not exist.*CIFAR-N"):
            read_human_labels(tmp_path / "none.pt", "worse_label", self.true)

    def test_code_in_it_is_not_run_and_damage_is_refused(self, tmp_path, capsys):
        class Evil:
            def __reduce__(self):
                return print, ("run",)

        path = self.save(tmp_path / "human.pt", worse_label=Evil())
        with pytest.raises(LatentgenError, match="only arrays"):
            read_human_labels(path, "worse_label", self.true)
        assert "run" not in capsys.readouterr().out
        whole = self.save(path).read_bytes()
        for length in (0, 10, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(LatentgenError, match="damaged"):
                read_human_labels(path, "worse_label", self.true)


def dataset_of(name, true, images):
    """Return a data set of which only the training items matter."""
    return Dataset(
        name, images, true, images[:0], true[:0], np.arange(len(true)), np.arange(0),
        tuple("0123456789"), 255, "", {},
    )  # fmt: skip


class TestNoiseOfAStudy:
    """Every kind of noise, from what a study file says to the labels."""

    GIVEN: ClassVar = {
        "symmetric": {},
        "none_true": {},
        "asymmetric": {"pairs": {0: 1, 2: 5, 5: 2}},
        "instance": {},
        "human": {"variant": "worse_label"},
    }

    def study(self, noise, dataset="cifar10"):
        training = {"optimizer": {"name": "SGD", "learning_rate": 0.1}, "batch_size": 1, "max_epochs": 1}
        pair = {"dataset": dataset, "model": {"architecture": "MLP"}, "training": training}
        return read_study({"study": "s", "seeds": [3], "noise": [noise], "pairs": [pair]})

    def test_all_kinds_are_there(self):
        assert set(self.GIVEN) == set(KINDS)

    @pytest.mark.parametrize("kind", KINDS)
    def test_labels_are_those_of_the_library(self, kind, tmp_path):
        torch = pytest.importorskip("torch")
        torch.save({"clean_label": TRUE, "worse_label": TRUE[::-1].copy()}, tmp_path / "CIFAR-10_human.pt")
        study = self.study({"kind": kind, "p": [0.3]} | self.GIVEN[kind])
        (run,) = study.runs.values()
        assert run.spec.slug == f"cifar10-mlp-{kind}0.30-seed3"
        assert RunSpec.parse(run.spec.slug) == run.spec
        settings = json.loads(json.dumps(run.noise.label_settings))
        dataset = dataset_of("cifar10", TRUE, IMAGES)
        files = run.noise.input_files("cifar10", tmp_path)
        found = corrupt_dataset(dataset, files, **settings, p=run.spec.p, seed=run.label_seed)
        expected = corrupt(TRUE, 10, kind, 0.3, seed=3, **NEEDS.get(kind, {}))
        assert np.array_equal(found.corrupted, expected.corrupted)
        assert found.redrawn.any()

    def test_human_labels_are_taken_whole_by_default(self):
        assert self.study({"kind": "human", "variant": "aggre_label"}).noise[0].p == (1.0,)

    @pytest.mark.parametrize(
        ("noise", "dataset", "said"),
        [
            ({"kind": "asymmetric", "p": [0.4], "pairs": {3: 10}}, "cifar10", "no class 10"),
            ({"kind": "asymmetric", "p": [0.4], "pairs": {3: 3}}, "cifar10", "cannot become itself"),
            ({"kind": "asymmetric", "p": [0.4]}, "cifar10", r"noise\[0\].pairs: missing"),
            ({"kind": "human", "variant": "worse_label"}, "mnist", "for mnist; there are: none"),
            ({"kind": "human", "variant": "noisy_label"}, "cifar10", "there are: aggre_label"),
            ({"kind": "instances", "p": [0.4]}, "mnist", "did you mean 'instance'"),
            ({"kind": "instance", "p": [0.4], "generator": "published"}, "mnist", "unknown key"),
        ],
    )
    def test_noise_that_cannot_be_is_refused_before_anything_runs(self, noise, dataset, said):
        with pytest.raises(LatentgenError, match=said):
            self.study(noise, dataset)

    def test_a_missing_file_of_human_labels_is_reported(self, tmp_path):
        with pytest.raises(LatentgenError, match=r"CIFAR-10_human.pt does not exist"):
            corrupt_dataset(
                dataset_of("cifar10", TRUE, IMAGES),
                [tmp_path / "CIFAR-10_human.pt"],
                kind="human", generator="study", p=1, seed=1, variant="worse_label",
            )  # fmt: skip


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
