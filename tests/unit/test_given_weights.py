"""Weights trained elsewhere: taken as they are, or refused by name and shape."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, load_weights
from latentgen.study.config import read_study
from latentgen.training.data import TrainingData
from latentgen.training.given_weights import put_weights, read_weights, take_weights

SHAPE, MODEL = (1, 4, 4), {"architecture": "MLP", "widths": [5]}


def network(seed=1):
    return make_network(MODEL, SHAPE, 3, seed)


@pytest.fixture
def weights():
    return network(seed=2).state_dict()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(30, *SHAPE, generator=generator)
    true, corrupted = (torch.randint(0, 3, (30,), generator=generator) for _ in range(2))
    return TrainingData(images, corrupted, true, corrupted != true, images[:9], true[:9])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "state_dict.pth", "model.pth"])
def test_weights_are_read_as_they_were_saved(tmp_path, weights, name):
    key, _, kind = name.partition(".")
    if kind == "safetensors":
        save_file(weights, tmp_path / name)
    else:
        torch.save(weights if key == "w" else {key: weights, "epoch": 7}, tmp_path / name)
    read = read_weights(tmp_path / name)
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[key], weights[key]) for key in weights)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model._orig_mod."])
def test_prefixes_of_wrapped_networks_are_dropped(prefix):
    network = torch.nn.Linear(3, 2)
    named = {f"{prefix}{name}": torch.full_like(tensor, 0.5) for name, tensor in network.state_dict().items()}
    put_weights(network, named, "w.pt")
    assert all(bool((tensor == 0.5).all()) for tensor in network.state_dict().values())
    wrapped = torch.nn.ModuleDict({"module": torch.nn.Linear(3, 2)})  # its own names begin like that
    own = {name: torch.full_like(tensor, 0.25) for name, tensor in wrapped.state_dict().items()}
    put_weights(wrapped, own, "w.pt")
    assert all(bool((tensor == 0.25).all()) for tensor in wrapped.state_dict().values())


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_no_code_in_a_file_is_run(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    torch.save(weights | {"trap": Trap()}, "w.pt")
    with pytest.raises(LatentgenError, match="holds more than tensors, which is never read"):
        read_weights("w.pt")
    assert not os.path.exists("trapped")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"something else"])
def test_a_damaged_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LatentgenError, match="cannot be read as weights: it is damaged"):
        read_weights(tmp_path / name)
    with pytest.raises(LatentgenError, match="does not exist"):
        read_weights(tmp_path / f"no-{name}")


def test_what_is_no_state_dict_is_refused(tmp_path):
    torch.save([torch.ones(3)], tmp_path / "w.pt")
    with pytest.raises(LatentgenError, match="is not a state_dict"):
        read_weights(tmp_path / "w.pt")
    torch.save({"epoch": 3, "my_net": {"x": torch.ones(3)}}, tmp_path / "w.pt")
    with pytest.raises(LatentgenError, match=r"it holds epoch, my_net.* under state_dict, model_state_dict"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("readout.bias"), "lacks readout.bias, 3"),
        (lambda w: w.update(extra=torch.ones(2, 7)), "has extra, 2 × 7, which the network does not have"),
        (lambda w: w.update({"fc1.0.bias": torch.ones(6)}), "fc1.0.bias is 6 and must be 5"),
        (
            lambda w: w["fc1.0.weight"].__setitem__((1, 2), torch.nan),
            "1 of 80 numbers in fc1.0.weight are NaN",
        ),
        (lambda w: w["fc1.0.weight"].__setitem__(2, torch.inf), "16 of 80 numbers in fc1.0.weight are NaN"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_the_network_stays(weights, change, said):
    net = network()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    change(weights)
    with pytest.raises(LatentgenError, match=said):
        put_weights(net, weights, "w.pt")
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in before)


def test_they_become_the_checkpoints_of_the_run_and_are_counted(tmp_path, weights, data):
    files = {}
    for epoch in (0, 10):
        files[epoch] = tmp_path / f"e{epoch}.pt"
        torch.save({name: tensor + epoch * 0.01 for name, tensor in weights.items()}, files[epoch])
    result = take_weights(network(), files, data, "a-run", tmp_path / "checkpoints")
    paths = checkpoint_paths(tmp_path / "checkpoints")
    assert list(paths) == [0, 10]
    np.testing.assert_array_equal(
        load_weights(paths[10])["fc1.0.bias"], (weights["fc1.0.bias"] + 0.1).numpy()
    )
    net = network()
    net.load_state_dict(torch.load(files[10]))
    predicted = net(data.train_inputs).argmax(1)
    last = result.history[-1]
    assert (last.epoch, last.train_total, last.loss) == (10, 30, None)
    assert last.train_corrupted_correct == int((predicted == data.corrupted_labels).sum())
    assert last.train_true_correct == int((predicted == data.true_labels).sum())
    assert last.redrawn_true_correct == int((predicted == data.true_labels)[data.redrawn].sum())


def test_nothing_is_written_if_one_file_does_not_fit(tmp_path, weights, data):
    torch.save(weights, tmp_path / "good.pt")
    torch.save({}, tmp_path / "bad.pt")
    files = {0: tmp_path / "good.pt", 1: tmp_path / "bad.pt"}
    with pytest.raises(LatentgenError, match=r"bad\.pt do not fit"):
        take_weights(network(), files, data, "a-run", tmp_path / "checkpoints")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pt", "good.pt"]


@pytest.fixture
def with_weights(study):
    pair = study["pairs"][0]
    del pair["training"]
    pair["weights"] = {"files": "w/{p}/{seed}/{epoch}.pt", "epochs": [0, 10]}
    return study


def test_a_study_names_the_files_of_each_run(with_weights):
    run = read_study(with_weights).runs["digits-mlp-symmetric0.40-seed2"]
    assert run.weight_files == ["w/0.40/2/0.pt", "w/0.40/2/10.pt"]
    assert run.scheduled == (0, 10)
    assert run.training_step == "take_weights"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": "w/{epoch}.pt"}, "must contain {seed} and {p}, since there are several"),
        ({"files": "w/{p}/{sede}/{epoch}.pt"}, "unknown placeholder '{sede}'; known: {epoch}, {seed}, {p}"),
        ({"files": "w/{p}/{seed}/{epoch}.pkl"}, "must end with .safetensors, .pt or .pth"),
        ({"epochs": [10, 0]}, "weights.epochs: must increase"),
        ({"epochs": []}, "weights.epochs: must not be empty"),
    ],
)
def test_a_study_says_what_is_wrong_with_its_weights(with_weights, change, said):
    with_weights["pairs"][0]["weights"] |= change
    with pytest.raises(LatentgenError) as caught:
        read_study(with_weights)
    assert said in str(caught.value)


def test_weights_and_training_exclude_each_other(with_weights, study):
    pair = with_weights["pairs"][0]
    pair["training"] = {"optimizer": {"name": "Adam", "learning_rate": 1}, "batch_size": 9, "max_epochs": 9}
    with pytest.raises(LatentgenError, match="give either `training` or `weights`, not both"):
        read_study(with_weights)
    del pair["training"], pair["weights"]
    with pytest.raises(LatentgenError, match="give either `training` or `weights`, not both"):
        read_study(with_weights)


def test_trained_weights_are_not_trained_on(with_weights):
    with_weights["pairs"][0]["interventions"] = [{"edit": "velpic", "at_epoch": 10}]
    with pytest.raises(LatentgenError, match="need `training`: the optimizer of given `weights` is unknown"):
        read_study(with_weights)
