"""Labels as they were given, and noise and data by a function of one's own."""

import numpy as np
import pytest
import torch

from latentgen.data.custom import (
    call_custom_data,
    custom_info,
    read_custom_data,
)
from latentgen.data.datasets import read_dataset, subset, write_dataset
from latentgen.data.labels import evaluation_labels, fitting_labels, read_labels, write_labels
from latentgen.data.noise.custom import corrupt_with
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.data.study_block import label_kind, settings_block
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.training.data import training_data
from latentgen.training.measuring import counting, counts_on_train
from trainings import train_here

TRUE = np.arange(24) % 3
GIVEN = np.where(np.arange(24) < 6, 0, TRUE)


def arrays(**more):
    images = np.random.default_rng(0).integers(256, size=(24, 4, 4)).astype(np.uint8)
    train = {"train_images": images, "train_labels": GIVEN}
    return train | {"test_images": images[:9], "test_labels": TRUE[:9]} | more


@pytest.fixture
def module(monkeypatch):
    """Make this file importable as a user's module."""
    monkeypatch.setattr(
        "latentgen.data.custom_sources.function.load", lambda path: globals()[path.partition(":")[2]]
    )
    monkeypatch.setattr("latentgen.data.noise.custom.load", lambda path: globals()[path.partition(":")[2]])


@pytest.fixture(params=["given", "both"])
def dataset(request, tmp_path):
    more = {"train_true_labels": TRUE} if request.param == "both" else {}
    np.savez(tmp_path / "mine.npz", **arrays(**more))
    return read_custom_data("mine", tmp_path / "mine.npz", truth_known=request.param == "both")


def given_labels(dataset):
    return corrupt_dataset(dataset, kind="given", generator="study", p=1.0, seed=1)


def test_given_labels_are_kept_through_files_and_subsets(dataset, tmp_path):
    write_dataset(tmp_path / "d.h5", dataset)
    again = read_dataset(tmp_path / "d.h5")
    assert label_kind(again) == label_kind(dataset)
    fewer = subset(again, train_items=12)
    np.testing.assert_array_equal(fewer.given_labels, GIVEN[fewer.train_index])
    write_labels(tmp_path / "l.h5", given_labels(again))
    labels = read_labels(tmp_path / "l.h5")
    np.testing.assert_array_equal(labels.corrupted, GIVEN)
    if dataset.truth_known:
        np.testing.assert_array_equal(labels.true, TRUE)
        np.testing.assert_array_equal(labels.redrawn, GIVEN != TRUE)
    else:
        assert labels.true is None
        assert labels.redrawn is None


def test_what_needs_true_labels_is_left_out_with_a_note_where_they_are_unknown(dataset, caplog):
    labels = given_labels(dataset)
    fitted = fitting_labels(labels, ["corrupted", "true", "permuted"], seed=1)
    known = {"true"} if dataset.truth_known else set()
    assert fitted.keys() == {"corrupted", "permuted"} | known
    assert ("not known, so no probe is fitted with them" in caplog.text) is not dataset.truth_known
    assert evaluation_labels(labels, TRUE[:9])["train"].keys() == {"corrupted"} | known
    data = training_data(dataset, labels, (-1, 1), torch.device("cpu"))
    network = make_network({"architecture": "MLP", "widths": [4]}, (1, 4, 4), 3)
    counted = [name for name in counts_on_train(counting(network), data) if name.endswith("_correct")]
    assert len(counted) == (4 if dataset.truth_known else 1)
    result, _ = train_here(
        network, data, optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}, batch_size=8,
        shuffle=True, max_epochs=1, stop={"train_accuracy": 1.0, "measured": "eval"}, checkpoints=[0], seed=1,
    )  # fmt: skip
    last = result.history[-1]
    assert last.train_corrupted_correct is not None
    assert (last.train_true_correct is None) is not dataset.truth_known
    assert last.redrawn_total == (int((GIVEN != TRUE).sum()) if dataset.truth_known else None)


def test_other_noise_needs_true_labels(tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays())
    unknown = read_custom_data("mine", tmp_path / "mine.npz", truth_known=False)
    with pytest.raises(LatentgenError, match="True labels of mine are not known"):
        corrupt_dataset(unknown, kind="symmetric", generator="study", p=0.4, seed=1)
    with pytest.raises(LatentgenError, match="no given labels besides its true ones"):
        given_labels(read_custom_data("mine", tmp_path / "mine.npz"))


@pytest.fixture
def own(study):
    study["noise"] = [{"kind": "given"}]
    block = {"path": "mine.npz", "shape": [1, 4, 4], "classes": 3, "train": 24, "test": 9, "labels": "given"}
    study["pairs"][0]["dataset"] = {"name": "mine", "own": block}
    return study


def test_a_study_of_given_labels(own):
    run = read_study(own).runs["mine-mlp-given1.00-seed1"]
    assert not run.truth_known


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"noise": [{"kind": "given", "p": [0.4]}]},
            "noise[0].p: labels are used as given",
        ),
        ({"noise": [{"kind": "symmetric", "p": [0.4]}]}, "symmetric noise needs them"),
        ({"labels": "true"}, "those of mine count as true"),
        ({"fit_labels": ["true"], "transfer": None}, "true training labels are not known; add corrupted"),
        ({"function": "a:b"}, "give either a path or a function, not both"),
        ({"arguments": {"a": 1}}, "arguments need a function; there is none"),
    ],
)
def test_a_study_says_what_does_not_go_together(own, change, said):
    for key, value in change.items():
        block = own if key in ("noise", "fit_labels", "transfer") else own["pairs"][0]["dataset"]["own"]
        block[key] = value
    with pytest.raises(LatentgenError) as caught:
        read_study(own)
    assert said in str(caught.value)


def load_shapes(items=24):
    return {name: array[:items] for name, array in arrays().items()}


def load_nothing():
    return {}


def load_text():
    return "images"


def load_badly():
    raise OSError("no network")


def test_a_function_gives_a_data_set_as_a_file_does(module, tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays())
    one, other = (
        read_custom_data("mine", tmp_path / "mine.npz"),
        call_custom_data("mine", "m:load_shapes", {}),
    )
    assert one.checksums == other.checksums
    assert "function: m:load_shapes\n        arguments: {items: 12}" in settings_block(
        call_custom_data("mine", "m:load_shapes", {"items": 12}), "m:load_shapes", {"items": 12}
    )
    info = custom_info("mine", function="m:load_shapes", shape=(1, 4, 4), classes=3, train=23, test=9)
    with pytest.raises(LatentgenError, match="study file does not match m:load_shapes"):
        info.read(info, tmp_path, False)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("m:load_nothing", "m:load_nothing lacks train_images, train_labels"),
        ("m:load_text", "returned a str; it must return a dict"),
        ("m:load_badly", r"m:load_badly\(\) failed with OSError: no network"),
    ],
)
def test_a_function_that_gives_no_data_is_refused(module, function, said):
    with pytest.raises(LatentgenError, match=said):
        call_custom_data("mine", function, {})


def swap(labels, p, n_classes, rng, images, step=1):
    assert len(images) == len(labels)
    labels[:] = np.where(rng.random(len(labels)) < p, (labels + step) % n_classes, labels)
    return labels


def wrong(labels, p, n_classes, rng, how):
    if how == "raises":
        raise KeyError("cat")
    return {"far": labels + 3, "float": labels / 2, "short": labels[1:]}[how]


def test_a_noise_of_ones_own_follows_from_the_seed_and_leaves_the_data_alone(module):
    dataset = call_custom_data("mine", "m:load_shapes", {})
    settings = {"kind": "own", "generator": "study", "p": 0.5, "path": "m:swap", "arguments": {"step": 2}}
    one, again, other = (corrupt_dataset(dataset, seed=seed, **settings) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.true, GIVEN)
    np.testing.assert_array_equal(one.corrupted, again.corrupted)
    assert (one.corrupted != other.corrupted).any()
    np.testing.assert_array_equal(one.corrupted[one.redrawn], (GIVEN[one.redrawn] + 2) % 3)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "m:wrong failed with KeyError: 'cat'"),
        ("far", "m:wrong: Labels of 3 classes must be from 0 to 2; 24 are not, the first of them at index 0"),
        ("float", "m:wrong: Labels must be integers"),
        ("short", r"m:wrong returned labels of shape \(23,\) for 24 examples"),
    ],
)
def test_a_noise_that_misbehaves_is_refused(module, how, said):
    dataset = call_custom_data("mine", "m:load_shapes", {})
    with pytest.raises(LatentgenError, match=said):
        corrupt_with(wrong, dataset, 0.5, 1, "m:wrong", {"how": how})


def test_a_study_names_a_noise_after_its_function_or_as_it_says(study):
    study["noise"] = [{"kind": "own", "path": "m:Swap2", "p": [0.4]}]
    assert "digits-mlp-swap0.40-seed1" in read_study(study).runs
    study["noise"][0]["name"] = "human"
    with pytest.raises(LatentgenError, match=r"noise\[0\]\.name: 'human' is another kind of noise"):
        read_study(study)


class TestOneNameOneDataSet:
    """Two data sets of one name would share a file: the second pair was trained on the first one's data."""

    BLOCK = {"path": "mine.npz", "shape": [1, 4, 4], "classes": 3, "train": 600, "test": 90}  # noqa: RUF012

    def pairs(self, study, *datasets):
        pair = study["pairs"][0]
        models = [{"architecture": "MLP", "widths": [8], "name": f"mlp{n}"} for n in range(len(datasets))]
        return study | {
            "pairs": [
                pair | {"dataset": dataset, "model": model}
                for dataset, model in zip(datasets, models, strict=True)
            ]
        }

    @pytest.mark.parametrize(
        ("one", "other", "name"),
        [
            ({"name": "mine", "own": BLOCK}, {"name": "mine", "own": BLOCK | {"path": "b.npz"}}, "mine"),
            ({"name": "mine", "own": BLOCK}, {"name": "mine", "own": BLOCK | {"labels": "both"}}, "mine"),
            ({"name": "digits", "train_items": 500}, {"name": "digits_500", "own": BLOCK}, "digits_500"),
            ({"name": "digits", "test_items": 50}, {"name": "digitsx50", "own": BLOCK}, "digitsx50"),
            (
                {"name": "digits", "train_items": 500, "test_items": 50},
                {"name": "digits_500", "test_items": 50, "own": BLOCK},
                "digits_500x50",
            ),
        ],
    )
    def test_different_data_of_one_name_is_refused(self, study, one, other, name):
        said = f"pairs: pairs 0 and 1 have different data sets, and both are called {name} in file names"
        with pytest.raises(LatentgenError, match=said):
            read_study(self.pairs(study, one, other))

    def test_the_same_data_may_stand_there_twice(self, study):
        same = {"name": "mine", "own": self.BLOCK}
        assert len(read_study(self.pairs(study, same, same | {"input_range": [0, 1]})).pairs) == 2


@pytest.mark.parametrize("taken", ["symmetric", "symmetric_published", "none_true", "given"])
def test_a_function_called_as_a_built_in_noise_needs_another_name(study, taken):
    """Tables would take it for that noise, and compare it with the papers' numbers."""
    study["noise"] = [{"kind": "own", "path": f"m:{taken}", "p": [0.4]}]
    with pytest.raises(LatentgenError, match=f"'{taken}' is another kind of noise; choose another name"):
        read_study(study)
    study["noise"][0]["name"] = "mine"
    assert "digits-mlp-mine0.40-seed1" in read_study(study).runs
