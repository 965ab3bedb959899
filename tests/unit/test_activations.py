"""Activations are what the layers answer, whole and in the order of the network."""

from collections import OrderedDict

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu

from latentgen.errors import LatentgenError
from latentgen.networks import activation_files, activations, forward
from latentgen.networks.activation_files import PREDICTIONS, epochs_of, layers_of
from latentgen.networks.activations import captured, write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint

SHAPE = (3, 16, 16)
MODELS = {
    "MLP": ({"architecture": "MLP", "widths": [20, 15]}, ["fc1", "fc2"]),
    "CNN": ({"architecture": "CNN"}, ["flatten", "fc1", "fc2", "fc3"]),
}


def by_hand(weights, name, images):
    """Return every layer's answer from the weights and torch's functions, item by item in float64."""
    weights = {key: value.double() for key, value in weights.items()}
    x, found = images.double(), {}
    if name == "CNN":
        for block in ("block1", "block2", "block3"):
            for place in (0, 2):
                x = relu(
                    nn.functional.conv2d(
                        x, weights[f"{block}.{place}.weight"], weights[f"{block}.{place}.bias"], padding=1
                    )
                )
            x = max_pool2d(x, 2)
    x = found["flatten"] = x.reshape(len(x), -1)
    for layer in (layer for layer in MODELS[name][1] if layer != "flatten"):
        x = found[layer] = relu(x @ weights[f"{layer}.0.weight"].T + weights[f"{layer}.0.bias"])
    return found


def images(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *SHAPE, generator=generator).to(memory_format=torch.channels_last) * 2 - 1


@pytest.fixture
def inputs():
    """Return images of both splits."""
    return {"train": images(23, 1), "test": images(9, 2)}


@pytest.fixture
def make_checkpoints(tmp_path):
    """Return a function that saves networks by epoch and returns their files."""

    def make(networks):
        for epoch, network in networks.items():
            save_checkpoint(tmp_path / "checkpoints", "run", epoch, network)
        return checkpoint_paths(tmp_path / "checkpoints")

    return make


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("block", [5000, 10, 1])
def test_activations_are_those_of_a_forward_pass_by_hand(
    name, block, inputs, make_checkpoints, tmp_path, monkeypatch
):
    monkeypatch.setattr(forward, "MOST_ITEMS", block)
    monkeypatch.setattr(activations, "CHUNK_ITEMS", 16)
    monkeypatch.setattr(activation_files, "CHUNK_BYTES", 1000)  # several chunks, the last one smaller
    settings, layers = MODELS[name]
    networks = {epoch: make_network(settings, SHAPE, 10, seed=epoch) for epoch in (2, 10, 0)}
    paths = make_checkpoints(networks)
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        write_activations(file, make_network(settings, SHAPE, 10, seed=77), paths, inputs, layers)
    with h5py.File(tmp_path / "activations.h5") as file:
        assert epochs_of(file) == [0, 2, 10]
        assert layers_of(file) == layers
        for epoch in (0, 2, 10):
            for split, items in inputs.items():
                expected = by_hand(networks[epoch].state_dict(), name, items)
                for layer in layers:
                    stored = file[f"{epoch}/{layer}/{split}"]
                    assert stored.dtype == np.float32
                    assert stored.chunks[1] == stored.shape[1]  # whole rows
                    np.testing.assert_allclose(stored[...], expected[layer], rtol=1e-4, atol=1e-5)
                    assert stored[...].any()


def test_only_the_layers_asked_for_are_written_in_the_order_given(inputs, make_checkpoints, tmp_path):
    settings, _ = MODELS["CNN"]
    network = make_network(settings, SHAPE, 10)
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        write_activations(file, network, make_checkpoints({0: network}), inputs, ["flatten", "fc2"])
        assert layers_of(file) == ["flatten", "fc2"]  # the alphabet has them the other way
        assert set(file["0"]) == {"flatten", "fc2", PREDICTIONS}


@pytest.mark.parametrize("moments", [None, ({"corrupted": np.arange(23) % 10}, 10)])
def test_the_raw_input_is_written_once_for_all_checkpoints(moments, inputs, make_checkpoints, tmp_path):
    settings, _ = MODELS["MLP"]
    networks = {epoch: make_network(settings, SHAPE, 10, seed=epoch) for epoch in (0, 3, 12)}
    layers = ["input", "fc1"]
    paths = make_checkpoints(networks)
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        write_activations(file, networks[0], paths, inputs, layers, moments=moments)
    with h5py.File(tmp_path / "activations.h5") as file:
        rows = file["0/input/test"]
        np.testing.assert_array_equal(rows[...], inputs["test"].flatten(1))
        for epoch in (3, 12):
            assert file[f"{epoch}/input"] == file["0/input"]  # the same object in the file
            assert file[f"{epoch}/fc1"] != file["0/fc1"]
            assert (
                set(file[f"{epoch}/input"])
                == set(file[f"{epoch}/fc1"])
                == {"test", *(["moments"] if moments else ["train"])}
            )


def test_a_shard_that_training_never_reached_is_empty(inputs, tmp_path):
    settings, layers = MODELS["MLP"]
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        write_activations(file, make_network(settings, SHAPE, 10), {}, inputs, layers)
        assert (epochs_of(file), layers_of(file)) == ([], layers)


def linear_then_relu(inplace):
    torch.manual_seed(0)
    layers = OrderedDict(linear=nn.Linear(6, 8), relu=nn.ReLU(inplace=inplace), readout=nn.Linear(8, 2))
    return nn.Sequential(layers)


def test_a_relu_in_place_leaves_what_was_captured_before_it():
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    network = linear_then_relu(inplace=True)
    with torch.no_grad(), captured(network, ["linear", "relu"]) as outputs:
        network(x)
        expected = nn.functional.linear(x, network.linear.weight, network.linear.bias)
    assert (expected < 0).any()
    torch.testing.assert_close(outputs["linear"], expected)
    torch.testing.assert_close(outputs["relu"], expected.relu())


def test_what_was_captured_holds_no_graph_and_no_memory_of_the_network():
    network = linear_then_relu(inplace=False)
    with captured(network, ["linear"]) as outputs:
        network(torch.ones(2, 6))
    assert not outputs["linear"].requires_grad


def hooks_of(network):
    return [hook for module in network.modules() for hook in module._forward_hooks]


def use_and_fail(network, layers):
    with captured(network, layers):
        assert len(hooks_of(network)) == len(layers)
        raise ZeroDivisionError


def test_hooks_are_gone_afterwards_whatever_happened():
    network = linear_then_relu(inplace=False)
    with captured(network, ["linear", "relu"]):
        assert len(hooks_of(network)) == 2
    assert hooks_of(network) == []
    with pytest.raises(ZeroDivisionError):
        use_and_fail(network, ["linear", "relu"])
    assert hooks_of(network) == []
    with pytest.raises(AttributeError), captured(network, ["linear", "no_such_layer"]):
        pass
    assert hooks_of(network) == []


@pytest.mark.parametrize("bits", [1, 10, 13, 22])
def test_float32_is_rounded_to_the_nearest_number_of_so_many_bits(bits, inputs, make_checkpoints, tmp_path):
    network = make_network(MODELS["MLP"][0], SHAPE, 10)
    paths = make_checkpoints({0: network})
    whole = written(tmp_path, network, paths, inputs)
    for name, found in written(tmp_path, network, paths, inputs, mantissa_bits=bits).items():
        mantissas, exponents = np.frexp(whole[name].astype(np.float64))
        nearest = np.ldexp(np.floor(mantissas * 2 ** (bits + 1) + 0.5), exponents - (bits + 1))
        np.testing.assert_array_equal(found, nearest)  # none is negative after ReLU
        assert (found != whole[name]).any()


def test_rounding_is_symmetric_and_keeps_zeros_and_what_needs_no_more_bits():
    exact = torch.tensor([0.0, -0.0, 1.0, -1.0, 1.5, -0.0078125, 2.0**-126, 3.0e38])
    rows = exact.clone()
    activations.round_mantissa(rows, 13)
    assert torch.equal(rows[:-1], exact[:-1])
    assert rows[-1].isfinite()
    third = torch.tensor([1 / 3, -1 / 3])
    activations.round_mantissa(third, 2)
    assert third.tolist() == [0.3125, -0.3125]


def written(tmp_path, network, paths, inputs, dtype="float32", mantissa_bits=23):
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        write_activations(file, network, paths, inputs, ["fc1", "fc2"], dtype, mantissa_bits)
        return {name: file[f"0/{name}"][...] for name in ("fc1/train", "fc1/test", "fc2/train", "fc2/test")}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_nan_or_infinite_are_refused(value, inputs, make_checkpoints, tmp_path):
    network = make_network(MODELS["MLP"][0], SHAPE, 10)
    with torch.no_grad():
        network.fc2[0].bias[3] = value
    with pytest.raises(
        LatentgenError, match=r"Layer fc2 at epoch 0 .*NaN or infinite: the weights are unusable"
    ):
        written(tmp_path, network, make_checkpoints({0: network}), inputs)


def test_half_precision_is_refused_where_it_overflows(inputs, make_checkpoints, tmp_path):
    network = make_network(MODELS["MLP"][0], SHAPE, 10)
    with torch.no_grad():
        network.fc2[0].weight[3] = 0
        network.fc2[0].bias[3] = 65_504  # the largest number of float16
    paths = make_checkpoints({0: network})
    halves = written(tmp_path, network, paths, inputs, "float16")
    floats = written(tmp_path, network, paths, inputs)
    assert halves["fc1/test"].dtype == np.float16
    assert np.array_equal(halves["fc1/test"], floats["fc1/test"].astype(np.float16))
    with torch.no_grad():
        network.fc2[0].bias[3] = 70_000
    with pytest.raises(
        LatentgenError, match=r"Layer fc2 at epoch 0 .*float16: set activations.dtype to float32"
    ):
        written(tmp_path, network, make_checkpoints({0: network}), inputs, "float16")
