"""A part of the training examples that is corrupted alike and never trained on."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from latentgen.data.datasets import read_dataset, subset, write_dataset
from latentgen.data.labels import evaluation_labels, read_labels, write_labels
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.data.registry import load_dataset
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.study.tables_study import tables_study
from latentgen.tables.columns import EDIT_FACTS
from latentgen.tables.comparisons import choosing_rows
from latentgen.tables.facts import control_of, edits_of
from latentgen.training.data import training_data
from latentgen.training.measuring import count_correct
from studies import SMALL_STUDY
from trainings import train_here


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def part(digits):
    return subset(digits, 400, 100, held_out=40)


def study(**dataset):
    pair = SMALL_STUDY["pairs"][0] | {"dataset": {"name": "digits", **dataset}}
    return read_study(SMALL_STUDY | {"pairs": [pair]})


def test_held_out_examples_are_those_that_the_training_set_lacks(digits, part):
    whole = subset(digits, 400, 100)
    assert len(part.train_labels) == 360
    assert len(part.held_out.labels) == len(part.held_out.inputs) == 40
    assert set(part.train_labels) == set(range(10))
    together = np.concatenate([part.train_index, part.held_out.index])
    assert sorted(together) == list(whole.train_index)
    places = np.searchsorted(digits.train_index, part.held_out.index)
    assert np.array_equal(part.held_out.inputs, digits.train_inputs[places])
    assert np.array_equal(part.held_out.labels, digits.train_labels[places])
    assert np.array_equal(part.test_index, whole.test_index)


def test_more_held_out_examples_contain_fewer(digits, part):
    more = subset(digits, 400, 100, held_out=100)
    assert set(part.held_out.index) < set(more.held_out.index)


@pytest.mark.parametrize("kind", ["symmetric", "none_true", "instance"])
def test_labels_are_corrupted_as_if_nothing_were_held_out(digits, part, kind):
    whole = subset(digits, 400, 100)
    expected = corrupt_dataset(whole, kind=kind, p=0.4, seed=3)
    found = corrupt_dataset(part, kind=kind, p=0.4, seed=3)
    by_index = dict(zip(whole.train_index.tolist(), expected.corrupted.tolist(), strict=True))
    assert found.corrupted.tolist() == [by_index[i] for i in part.train_index.tolist()]
    assert found.held_out.tolist() == [by_index[i] for i in part.held_out.index.tolist()]
    assert np.array_equal(found.true, part.train_labels)
    assert np.array_equal(found.redrawn | (found.true == found.corrupted), np.ones(360, bool))
    assert 4 < (found.held_out != part.held_out.labels).sum() < 25


def test_both_survive_their_files(part, tmp_path):
    write_dataset(tmp_path / "data.h5", part)
    read = read_dataset(tmp_path / "data.h5")
    assert np.array_equal(read.held_out.inputs, part.held_out.inputs)
    assert np.array_equal(read.held_out.labels, part.held_out.labels)
    assert read_dataset(tmp_path / "data.h5", split="test").held_out is None
    labels = corrupt_dataset(part, kind="symmetric", p=0.4, seed=1)
    write_labels(tmp_path / "labels.h5", labels)
    assert np.array_equal(read_labels(tmp_path / "labels.h5").held_out, labels.held_out)


def test_files_without_held_out_examples_are_as_before(digits, tmp_path):
    whole = subset(digits, 400, 100)
    write_dataset(tmp_path / "data.h5", whole)
    write_labels(tmp_path / "labels.h5", corrupt_dataset(whole, kind="symmetric", p=0.4, seed=1))
    for name in ("data.h5", "labels.h5"):
        assert b"held_out" not in (tmp_path / name).read_bytes()
    assert read_labels(tmp_path / "labels.h5").held_out is None
    assert read_dataset(tmp_path / "data.h5").held_out is None


def test_a_data_set_says_how_much_it_holds_out_and_says_nothing_by_default():
    with_part, without = study(train_items=400, held_out=0.1), study(train_items=400)
    (run, *_), (other, *_) = with_part.runs.values(), without.runs.values()
    assert run.spec.dataset == "digits_400_held10"
    assert other.spec.dataset == "digits_400"
    assert (run.pair.dataset.n_train, run.pair.dataset.n_held_out) == (360, 40)
    assert (other.pair.dataset.n_train, other.pair.dataset.n_held_out) == (400, 0)
    assert study(held_out=0.125).pairs[0].dataset.dataset_id == "digits_held12_5"
    assert "held_out" not in json.dumps(tables_study(without))
    assert "held_out" in json.dumps(tables_study(with_part))


def test_held_out_parts_that_make_no_sense_are_refused(digits):
    with pytest.raises(LatentgenError, match=r"held_out.*at most 0\.5"):
        study(held_out=0.9)
    with pytest.raises(LatentgenError, match="held_out: is less than one of 20 training examples"):
        study(train_items=20, held_out=0.01)
    with pytest.raises(LatentgenError, match="399 training examples of digits"):
        subset(digits, 399, held_out=399)


def test_evaluation_labels_have_those_of_held_out_examples(part):
    labels = corrupt_dataset(part, kind="symmetric", p=0.4, seed=1)
    found = evaluation_labels(labels, part.test_labels)
    assert list(found) == ["test", "train", "train_redrawn", "train_untouched", "held_out"]
    assert list(found["held_out"]) == ["corrupted"]
    assert np.array_equal(found["held_out"]["corrupted"], labels.held_out)


def test_training_can_be_stopped_by_held_out_noisy_labels(digits):
    part = subset(digits, 400, 100, held_out=100)
    labels = corrupt_dataset(part, kind="symmetric", p=0.6, seed=1)
    data = training_data(part, labels, (0, 1), torch.device("cpu"))
    settings = {
        "optimizer": {"name": "SGD", "learning_rate": 0.05, "momentum": 0.9}, "batch_size": 50,
        "shuffle": True, "max_epochs": 40, "stop": None, "checkpoints": range(41), "seed": 1, "patience": 6,
    }  # fmt: skip
    model = {"architecture": "MLP", "widths": (40,)}
    runs = {}
    for stop_by in ("test", "held_out"):
        network = make_network(model, part.input_shape, 10, 1)
        runs[stop_by], saved = train_here(network, data, **settings, stop_by=stop_by)
    history = runs["held_out"].history
    assert {record.held_out_total for record in history} == {100}
    assert {record.held_out_total for record in runs["test"].history} == {20}
    assert {record.test_total for record in history} == {80}
    assert all(record.noisy_correct == record.held_out_correct for record in history)
    common = zip(history, runs["test"].history, strict=False)  # the same training, until one of them stops
    assert all(one.noisy_correct == other.noisy_correct for one, other in common)
    best = max(history, key=lambda record: record.held_out_correct)
    assert history[-1].epoch == best.epoch < 40
    network.load_state_dict(saved[best.epoch])
    held_out = torch.from_numpy(labels.held_out)
    assert count_correct(network, data.held_out_inputs, held_out) == [best.held_out_correct]


def edited(*interventions, **dataset):
    pair = SMALL_STUDY["pairs"][0] | {"dataset": {"name": "digits", **dataset}}
    return read_study(SMALL_STUDY | {"pairs": [pair | {"interventions": list(interventions)}]})


def test_early_stopping_by_held_out_labels_is_another_run():
    by_test, by_held_out = {"edit": "early_stop"}, {"edit": "early_stop", "stop_by": "held_out"}
    runs = edited(by_test, by_held_out, held_out=0.1).runs.values()
    plans = {run.spec.intervention: run.training for run in runs if run.intervention}
    assert set(plans) == {"early_stop", "early_stop_held_out"}
    assert "stop_by" not in plans["early_stop"]
    assert plans["early_stop_held_out"]["stop_by"] == "held_out"
    with pytest.raises(LatentgenError, match="early_stop_held_out: the data set has no held_out examples"):
        edited(by_held_out)


def test_relabelling_is_named_by_what_its_labels_are_from():
    ways = [{"edit": "relabel", "labels_from": source} for source in ("unit_means", "MASC_cross_fitted")]
    study = edited({"edit": "relabel"}, *ways)
    names = {run.spec.intervention for run in study.runs.values()} - {"none"}
    assert names == {"relabel_masc_best", "relabel_unit_means_best", "relabel_cross_fitted_masc_best"}
    assert "labels_from" not in json.dumps(tables_study(edited({"edit": "relabel"})))


def test_relabelling_is_compared_with_early_stopping_by_the_same_rule():
    def table(*names):
        edits = ["relabel" if name.startswith("relabel") else "early_stop" for name in names]
        facts = dict.fromkeys(EDIT_FACTS) | {"at_epoch": pd.NA, "edit_batch_size": pd.NA}
        return edits_of(pd.DataFrame({"intervention": names, **facts, "edit": edits}))

    both = table("early_stop_held_out", "relabel_unit_means_best", "early_stop")
    assert control_of("relabel_unit_means_best", both) == "early_stop"
    assert control_of("early_stop_held_out", both) is None
    assert control_of("relabel_masc_fc1", table("early_stop_held_out", "relabel_masc_fc1")) is None


def test_layers_are_chosen_by_held_out_labels_where_there_are_any():
    rows = pd.DataFrame(
        [
            (dataset, split, labels, "corrupted")
            for dataset in ("with", "without")
            for split, labels in (("test", "true"), ("train", "true"), ("train", "corrupted"))
        ]
        + [("with", "held_out", "corrupted", "corrupted"), ("with", "held_out", "corrupted", "true")],
        columns=["dataset", "split", "eval_labels", "fit_labels"],
    )
    assert choosing_rows(rows).to_numpy().tolist() == [
        ["without", "train", "true", "corrupted"],
        ["with", "held_out", "corrupted", "corrupted"],
    ]
