"""Edits of the readout midway."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.utils import weight_norm as weight_norm_by_hooks
from torch.nn.utils.parametrizations import weight_norm

from latentgen.data.labels import Labels
from latentgen.errors import LatentgenError
from latentgen.interventions.edits import BLENDS, data_for_vectors, edit_readout
from latentgen.networks.activations import captured
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_at
from latentgen.study.config import read_study
from latentgen.tables.named_settings import settings_in_names
from latentgen.training.data import TrainingData
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.resuming import Resume
from reference_probes import eigen, velpic_vectors

SHAPE, LAYER = (1, 6, 6), "fc1"


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, *SHAPE, generator=generator)
    true, corrupted = (torch.randint(0, 4, (60,), generator=generator) for _ in range(2))
    return TrainingData(x, corrupted, true, corrupted != true, x[:20], true[:20])


@pytest.fixture
def network():
    return make_network({"architecture": "MLP", "widths": (12,)}, SHAPE, 4, 1)


@pytest.fixture
def vectors(network, data):
    """VeLPIC's vectors from their definition."""
    with captured(network, [LAYER]) as outputs, torch.no_grad():
        network(data.train_inputs)
    X = outputs[LAYER].numpy()
    y = data.corrupted_labels.numpy()
    return velpic_vectors(eigen(X, y, 4), X, y)


def readout(network):
    return network.readout.weight.detach().numpy().copy(), network.readout.bias.detach().numpy().copy()


def test_velpic_replaces_rows_and_zeroes_the_bias_and_nothing_else(network, data, vectors):
    before = copy.deepcopy(network.state_dict())
    edit_readout(network, "velpic", data, LAYER, 1)
    weight, bias = readout(network)
    np.testing.assert_allclose(weight, vectors, atol=1e-6)
    assert not bias.any()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("readout"))


@pytest.mark.parametrize("edit", ["velpic", "blend50"])
def test_the_sign_of_the_vectors_is_as_asked(network, data, edit, monkeypatch, numbers):
    y = data.corrupted_labels.numpy()
    X = numbers.normal(size=(len(y), 12))  # as after layer normalization: the mean of all is next to nothing
    X -= X.mean(0)
    monkeypatch.setattr("latentgen.interventions.edits.layer_activations", lambda *_: torch.from_numpy(X))
    expected = {sign: velpic_vectors(eigen(X, y, 4), X, y, sign) for sign in ("own", "all")}
    assert not np.allclose(expected["own"], expected["all"])
    for sign, vectors in expected.items():
        changed, old, kept = copy.deepcopy(network), readout(network)[0], BLENDS.get(edit, 0)
        edit_readout(changed, edit, data, LAYER, 1, sign)
        np.testing.assert_allclose(readout(changed)[0], kept * old + (1 - kept) * vectors, atol=1e-6)


def test_old_norms_are_left(network, data, vectors):
    norms = np.linalg.norm(readout(network)[0], axis=1, keepdims=True)
    edit_readout(network, "velpic_old_norms", data, LAYER, 1)
    np.testing.assert_allclose(readout(network)[0], vectors * norms, atol=1e-6)


@pytest.mark.parametrize(("edit", "share"), BLENDS.items())
def test_blends_keep_a_fraction_of_the_old_weights(network, data, vectors, edit, share):
    weight, bias = readout(network)
    edit_readout(network, edit, data, LAYER, 1)
    np.testing.assert_allclose(readout(network)[0], share * weight + (1 - share) * vectors, atol=1e-6)
    np.testing.assert_allclose(readout(network)[1], share * bias, atol=1e-7)


def test_means_are_those_of_the_corrupted_classes(network, data):
    with captured(network, [LAYER]) as outputs, torch.no_grad():
        network(data.train_inputs)
    means = torch.stack([outputs[LAYER][data.corrupted_labels == c].mean(0) for c in range(4)])
    edit_readout(network, "nearest_mean", data, LAYER, 1)
    expected = means / means.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(readout(network)[0], expected, atol=1e-6)


def test_random_rows_are_orthonormal_and_follow_from_the_seed(network, data):
    found = {}
    for seed in (1, 1, 2):
        edit_readout(network, "random", data, LAYER, seed)
        weight = readout(network)[0]
        np.testing.assert_allclose(weight @ weight.T, np.eye(4), atol=1e-6)
        assert seed not in found or np.array_equal(found[seed], weight)
        found[seed] = weight
    assert not np.allclose(found[1], found[2])


def test_vectors_are_fitted_with_the_examples_and_labels_that_are_asked_for(network, data):
    assert data_for_vectors(data, "corrupted", 3) is data
    true = data_for_vectors(data, "true", 3)
    assert torch.equal(true.corrupted_labels, data.true_labels)
    drawn = np.random.default_rng(0).integers(0, 4, 60)
    other = data_for_vectors(data, "another_draw", 3, Labels(None, drawn, None))
    assert torch.equal(other.train_inputs, data.train_inputs)
    edit_readout(network, "velpic", other, LAYER, 3)
    with captured(network, [LAYER]) as outputs, torch.no_grad():
        network(data.train_inputs)
    X = outputs[LAYER].numpy()
    np.testing.assert_allclose(readout(network)[0], velpic_vectors(eigen(X, drawn, 4), X, drawn), atol=1e-6)
    unknown = dataclasses.replace(data, true_labels=None)
    with pytest.raises(LatentgenError, match="vectors_from: true needs true training labels"):
        data_for_vectors(unknown, "true", 3)


def test_a_fraction_of_the_examples_follows_from_the_seed(data):
    index = {tuple(image): k for k, image in enumerate(data.train_inputs.flatten(1).tolist())}
    found = []
    for seed in (1, 1, 2):
        part = data_for_vectors(data, 0.3, seed)
        chosen = [index[tuple(image)] for image in part.train_inputs.flatten(1).tolist()]
        assert len(set(chosen)) == len(chosen) == 18
        assert torch.equal(part.corrupted_labels, data.corrupted_labels[chosen])
        found.append(chosen)
    assert found[0] == found[1] != found[2]


def test_none_changes_nothing_and_another_name_is_refused(network, data):
    before = readout(network)
    edit_readout(network, "none", data, LAYER, 1)
    assert all(np.array_equal(a, b) for a, b in zip(before, readout(network), strict=True))
    with pytest.raises(LatentgenError, match="no edit 'other'"):
        edit_readout(network, "other", data, LAYER, 1)


@pytest.mark.parametrize("normalized", [weight_norm, weight_norm_by_hooks])
def test_a_readout_that_would_not_be_changed_is_refused(network, data, normalized):
    normalized(network.readout)
    with pytest.raises(LatentgenError, match="editing them has no effect"):
        edit_readout(network, "velpic", data, "fc1", 5)


@pytest.fixture
def run(tmp_path_factory):
    """Return a function that trains a network, and returns what training says."""
    return lambda *given, **more: run_in(tmp_path_factory.mktemp("run"), *given, **more)


def run_in(folder, network, data, epochs, start=0):
    plan = TrainingPlan(
        optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.0},
        batch_size=16,
        shuffle=True,
        max_epochs=epochs,
        stop=None,
        checkpoints=[],
        seed=3,
        start=start,
    )
    return train(network, data, plan, Resume(folder, "run", {}))


def test_a_resumed_training_is_the_same_training(network, data, run):
    """Without momentum there is nothing in the optimizer to lose: the orders of the epochs go on."""
    whole = copy.deepcopy(network)
    run(whole, data, 5)
    run(network, data, 2)
    result = run(network, data, 5, start=2)
    assert [record.epoch for record in result.history] == [2, 3, 4, 5]
    assert result.history[0].loss is None
    assert result.history[0].train_total == 60
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[name])


def test_redrawn_examples_are_counted_separately(network, data, run):
    last = run(network, data, 3).history[-1]
    with torch.no_grad():
        predicted = network.eval()(data.train_inputs).argmax(1)
    redrawn = data.redrawn
    assert last.redrawn_total == redrawn.sum()
    assert last.redrawn_corrupted_correct == (predicted == data.corrupted_labels)[redrawn].sum()
    assert last.redrawn_true_correct == (predicted == data.true_labels)[redrawn].sum()


def test_the_last_checkpoint_stands_in_where_training_ended_before(tmp_path):
    for epoch in (0, 10, 23):
        (tmp_path / f"epoch-{epoch:04d}.safetensors").touch()
    assert checkpoint_at(tmp_path, 10)[0] == 10
    assert checkpoint_at(tmp_path, 40)[0] == 23
    with pytest.raises(LatentgenError, match="no checkpoint at epoch 15"):
        checkpoint_at(tmp_path, 15)


STUDY = {
    "study": "s",
    "seeds": [1, 2],
    "noise": [{"kind": "symmetric", "p": [0, 0.4]}],
    "pairs": [
        {
            "dataset": "digits",
            "model": {"architecture": "MLP"},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.1},
                "batch_size": 32,
                "max_epochs": 50,
            },
        }
    ],
}


def with_interventions(*interventions, **changes):
    study = copy.deepcopy(STUDY) | changes
    study["pairs"][0]["interventions"] = list(interventions)
    return read_study(study)


def test_every_intervention_is_a_run_of_each_seed_and_p():
    velpic = {"edit": "velpic", "at_epoch": 40, "max_epochs": 60}
    study = with_interventions(velpic, velpic | {"batch_size": 1, "p": [0.4]})
    assert len(study.runs) == 4 + 4 + 2
    run = study.runs["digits-mlp-symmetric0.40-seed2-velpic_at_40_batch1"]
    assert run.training["batch_size"] == 1
    assert run.scheduled == (40, 45, 50, 55, 60)
    assert run.shards == [range(61)]
    assert run.transfer is None
    same = study.runs["digits-mlp-symmetric0.00-seed1-velpic_at_40"]
    assert same.training["batch_size"] == 32
    assert same.training["stop"] is None
    published = with_interventions(velpic, protocol="published")
    assert {run.training["batch_size"] for run in published.runs.values() if run.intervention} == {1}


@pytest.mark.parametrize(
    ("intervention", "said"),
    [
        ({"edit": "velpic", "at_epoch": 41}, "no checkpoint at epoch 41 to edit"),
        ({"edit": "velpic", "at_epoch": 40, "max_epochs": 40}, "must come after at_epoch"),
        ({"edit": "random", "at_epoch": 0, "vectors_from": 0.1}, "'random' uses no training examples"),
        ({"edit": "velpic", "at_epoch": 0, "vectors_from": 1}, "less than 1"),
        ({"edit": "velpics", "at_epoch": 40}, "did you mean 'velpic'"),
        ({"edit": "relabel", "layer": "fc9"}, "no layer 'fc9' is probed, did you mean 'fc"),
        (
            {"edit": "early_stop", "at_epoch": 40},
            r"interventions\[0\].at_epoch: unknown key; .*known: edit, p, pat",
        ),
    ],
)
def test_interventions_that_cannot_be_are_refused(intervention, said):
    with pytest.raises(LatentgenError, match=said):
        with_interventions(intervention)


def test_where_vectors_come_from_is_part_of_the_name_and_only_if_it_is_asked_for():
    at_0 = {"edit": "velpic", "at_epoch": 0}
    sources = ({}, {"vectors_from": 0.25}, {"vectors_from": "another_draw"}, {"vectors_from": True})
    study = with_interventions(*(at_0 | source for source in sources))
    names = [one.intervention_name for one in study.pairs[0].interventions]
    assert names == [
        "velpic_at_0", "velpic_at_0_from_0_25", "velpic_at_0_from_another_draw", "velpic_at_0_from_true",
    ]  # fmt: skip
    assert "vectors_from" not in study.pairs[0].interventions[0].model_dump(mode="json")
    known = settings_in_names((), names, ()).interventions
    assert [known[name]["vectors_from"] for name in names] == ["corrupted", 0.25, "another_draw", "true"]
    run = study.runs["digits-mlp-symmetric0.40-seed2-velpic_at_0_from_another_draw"]
    assert run.label_seeds == [2, 10**9 + 2]
    assert study.runs["digits-mlp-symmetric0.40-seed2-velpic_at_0_from_true"].label_seeds == [2]


def test_trainings_on_other_labels_are_runs_that_stop_early():
    study = with_interventions(
        {"edit": "early_stop", "patience": 4, "p": [0.4]},
        {"edit": "relabel", "layer": "fc2"},
        {"edit": "relabel"},
    )
    named = {run.spec.intervention for run in study.runs.values()}
    assert named == {"none", "early_stop", "relabel_masc_fc2", "relabel_masc_best"}
    run = study.runs["digits-mlp-symmetric0.40-seed2-early_stop"]
    assert (run.training["patience"], run.training["stop"], run.shards) == (4, None, [])
    assert run.training_step == "train"
    assert "patience" not in study.runs["digits-mlp-symmetric0.40-seed2"].training
    assert study.runs["digits-mlp-symmetric0.00-seed1-relabel_masc_fc2"].relabel_layers == ["fc2"]
    best = study.runs["digits-mlp-symmetric0.00-seed1-relabel_masc_best"]
    assert best.relabel_layers == ["fc1", "fc2", "fc3", "fc4"]
    assert best.original.slug == "digits-mlp-symmetric0.00-seed1"


def test_retraining_may_start_from_the_memorized_weights_and_from_an_oracle():
    theirs = {"edit": "relabel", "start": "memorized", "patience": 3, "max_epochs": 30, "result": "last"}
    study = with_interventions(
        {"edit": "relabel"}, theirs, theirs | {"layer": "best_on_test", "subspaces": True, "p": [0.4]}
    )
    named = {run.spec.intervention for run in study.runs.values()} - {"none"}
    assert named == {
        "relabel_masc_best",
        "relabel_masc_best_memorized",
        "relabel_masc_best_on_test_memorized_true",
    }
    afresh, memorized, oracle = (
        study.runs[f"digits-mlp-symmetric0.40-seed1-{name}"] for name in sorted(named)
    )
    assert [run.starts_memorized for run in (afresh, memorized, oracle)] == [False, True, True]
    assert [run.layer_by for run in (afresh, memorized, oracle)] == ["agreement", "agreement", "test"]
    assert all(run.relabel_layers == ["fc1", "fc2", "fc3", "fc4"] for run in (afresh, memorized, oracle))
    assert memorized.training["max_epochs"] == 30
    assert memorized.training["result"] == "last"
    assert memorized.scheduled == (0, 30)
    assert "result" not in afresh.training
    assert afresh.training["max_epochs"] == study.pairs[0].training.max_epochs
    assert afresh.start is None
    assert memorized.start == {"new_layer": "", "prefix": ""}
    kept = [one.model_dump(mode="json") for one in study.pairs[0].interventions]
    assert [one.get("subspaces") for one in kept] == [None, None, "true"]
    published = with_interventions({"edit": "relabel"}, protocol="published")
    assert published.runs["digits-mlp-symmetric_published0.40-seed1-relabel_masc_best_on_test_memorized"]
