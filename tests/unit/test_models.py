"""The networks are what they say they are, and start from their seed alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from latentgen.networks.architectures import Architecture, make_network
from latentgen.networks.forward import as_input

MLP = {"architecture": "MLP"}
CNN = {"architecture": "CNN"}
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (2, 19, 30)]
MODELS = [MLP, {"architecture": "MLP", "widths": [7]}, CNN]


def described(settings):
    return TypeAdapter(Architecture).validate_python(settings)


def traced(network, shape, of):
    """Return `of(module, input, output)` of every module by name, in the order of the forward pass."""
    found = {}
    hooks = [
        module.register_forward_hook(
            lambda module, inputs, output, name=name: found.__setitem__(name, of(module, inputs[0], output))
        )
        for name, module in network.named_modules()
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(2, *shape))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", MODELS)
def test_layers_are_as_wide_as_announced_and_the_last_feeds_the_readout(settings, shape):
    widths = described(settings).layer_widths(shape)
    network = make_network(settings, shape, n_classes=10)
    outputs = traced(network, shape, lambda module, before, after: after.flatten(1).shape[1])
    assert {layer: outputs[layer] for layer in widths} == widths
    assert list(widths) == [name for name in outputs if name in widths]
    inputs = traced(network, shape, lambda module, before, after: before.shape[1])
    assert inputs["readout"] == list(widths.values())[-1]
    assert outputs["readout"] == 10


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", MODELS)
def test_multiply_adds_are_those_of_the_modules(settings, shape):
    def count(module, before, after):
        if isinstance(module, nn.Conv2d):  # every number that comes out is a sum over a kernel's weights
            return after[0].numel() * module.weight[0].numel()
        return module.weight.numel() if isinstance(module, nn.Linear) else 0

    counts = traced(make_network(settings, shape, n_classes=10), shape, count)
    del counts["readout"]
    assert described(settings).multiply_adds(shape) == sum(counts.values())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", MODELS)
def test_the_largest_output_is_that_of_the_modules(settings, shape):
    outputs = traced(make_network(settings, shape, n_classes=3), shape, lambda module, before, after: after)
    assert described(settings).largest_output(shape) == max(output[0].numel() for output in outputs.values())


@pytest.mark.parametrize("settings", MODELS)
def test_layers_are_taken_after_their_relu(settings):
    outputs = traced(
        make_network(settings, (1, 28, 28), 10), (1, 28, 28), lambda module, before, after: after
    )
    for layer in described(settings).layer_widths((1, 28, 28)):
        assert (outputs[layer] >= 0).all()


def test_the_papers_mlp():
    network = make_network(MLP, (1, 28, 28), 10)
    linear = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert linear == [(784, 128), (128, 512), (512, 2048), (2048, 2048), (2048, 10)]
    assert network.readout.bias is not None


@pytest.mark.parametrize(("shape", "flattened"), [((1, 28, 28), 576), ((3, 32, 32), 1024)])
def test_the_papers_cnn(shape, flattened):
    network = make_network(CNN, shape, 10)
    channels = [shape[0], 16, 16, 32, 32, 64, 64]
    convolutions = sum(9 * a * b + b for a, b in pairwise(channels))
    linear = flattened * 250 + 250 + 2 * (250 * 250 + 250)
    readout = 250 * 10  # no bias
    assert sum(weights.numel() for weights in network.parameters()) == convolutions + linear + readout
    assert network.readout.bias is None


@pytest.mark.parametrize("settings", MODELS)
def test_initial_weights_follow_from_the_seed_alone(settings):
    first = make_network(settings, (1, 8, 8), 10, seed=3).state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = make_network(settings, (1, 8, 8), 10, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    other = make_network(settings, (1, 8, 8), 10, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_initial_weights_are_those_of_every_result_so_far():
    weights = make_network({"architecture": "MLP", "widths": [4]}, (1, 8, 8), 10, seed=1).readout.weight
    expected = [-0.46177, 0.28756, 0.12976, -0.40770]
    assert weights[0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1)])
def test_images_are_scaled_to_the_input_range(numbers, n_channels, low, high):
    images = numbers.integers(0, 17, (5, n_channels, 8, 6), dtype=np.uint8)
    images[0, 0, 0, :2] = 0, 16
    before = images.copy()
    inputs = as_input(images, 16, (low, high), torch.device("cpu"))
    assert inputs.dtype == torch.float32
    assert inputs.shape == images.shape
    np.testing.assert_allclose(inputs.numpy(), low + (high - low) * (images / 16), atol=1e-6)
    assert (inputs.min().item(), inputs.max().item()) == (low, high)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(images, before)


def test_bytes_are_scaled_to_the_bits_of_torchvisions_transforms():
    """The papers' `ToTensor`, with `Normalize(0.5, 0.5)` or without."""
    transforms = pytest.importorskip("torchvision.transforms")
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    scaled = transforms.ToTensor()(images[0, 0, :, :, None])[None]
    normalized = transforms.Normalize([0.5], [0.5])(scaled)
    for input_range, expected in (((0, 1), scaled), ((-1, 1), normalized), ([-1.0, 1.0], normalized)):
        assert torch.equal(as_input(images, 255, input_range, torch.device("cpu")), expected)
