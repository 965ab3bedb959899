"""Custom networks whose results could not be trusted are refused by the trial pass."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from latentgen.errors import LatentgenError
from latentgen.networks.activations import MANTISSA_BITS, _storable
from latentgen.networks.forward import as_input
from latentgen.networks.measured import TRIED
from latentgen.networks.trial import measure
from latentgen.study.config import read_study
from latentgen.tables.named_settings import settings_in_names

SHAPE, CLASSES = (1, 4, 4), 5


class Net(nn.Module):
    """Flatten, linear, ReLU, linear; with something else in between."""

    def __init__(self, between=None, **named):
        super().__init__()
        self.first = nn.Linear(16, 8)
        self.between = between or nn.Identity()
        for name, module in named.items():
            setattr(self, name, module)
        self.out = nn.Linear(8, CLASSES)

    def forward(self, x):
        hidden = self.between(torch.relu(self.first(x.flatten(1))))
        for name, module in self.named_children():
            if name not in ("first", "between", "out"):
                hidden = module(hidden)
        return self.out(hidden)


class Noise(nn.Module):
    """Adds numbers that a function draws."""

    def __init__(self, draw, train_only=False):
        super().__init__()
        self.draw, self.train_only = draw, train_only

    def forward(self, x):
        return x if self.train_only and not self.training else x + self.draw(x)


class Tied(nn.Module):
    """A readout whose weights are an earlier layer's too."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(16, 16)
        self.out = nn.Linear(16, 16, bias=False)
        self.out.weight = self.first.weight

    def forward(self, x):
        return self.out(torch.relu(self.first(x.flatten(1))))


def weight_norm():
    net = Net()
    parametrizations.weight_norm(net.out)
    return net


def by_numpy(x):
    return torch.from_numpy(np.random.standard_normal(x.shape).astype(np.float32))


def by_python(x):
    return random.random()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Net().bfloat16(), r"first\.weight is bfloat16, and weights must be float32"),
        (weight_norm, r"out\.weight is computed from out\.parametrizations"),
        (lambda: Net(input=nn.Identity()), "a module named input, which is the name of the raw input here"),
        (lambda: Net(readout=nn.Linear(8, 8)), "a module named readout, which is the name of the final"),
        (
            lambda: Net(readout_input=nn.ReLU()),
            "a module named readout_input, which is the name of the input",
        ),
        (lambda: Net(nn.BatchNorm1d(8, track_running_stats=False)), "depend on the other images in a batch"),
        (lambda: Net(Noise(by_numpy)), "differ between two passes over the same images, in eval mode"),
        (lambda: Net(Noise(by_python)), "differ between two passes over the same images, in eval mode"),
        (
            lambda: Net(Noise(torch.randn_like)),
            "differ between two passes over the same images, in eval mode",
        ),
        (lambda: Net(Noise(by_numpy, train_only=True)), "with the same torch seed, in train mode"),
    ],
)
def test_a_network_whose_results_cannot_be_trusted_is_refused(build, said):
    with pytest.raises(LatentgenError, match=said):
        measure(build, SHAPE, CLASSES, None, None)


def test_a_tied_readout_is_refused():
    with pytest.raises(LatentgenError, match="its readout, out, shares its weights with first"):
        measure(Tied, SHAPE, 16, None, None)


class UsedTwice(Net):
    """A readout whose weights a function uses as well."""

    def forward(self, x):
        hidden = torch.relu(self.first(x.flatten(1)))
        return self.out(hidden + torch.nn.functional.linear(hidden, self.out.weight)[:, :1])


class Cosine(nn.Linear):
    """A readout that computes with the directions of its rows alone."""

    def forward(self, x):
        return torch.nn.functional.linear(x, torch.nn.functional.normalize(self.weight), self.bias)


def cosine():
    net = Net()
    net.out = Cosine(8, CLASSES)
    return net


@pytest.mark.parametrize("build", [UsedTwice, cosine])
def test_a_readout_that_does_not_do_what_its_weights_say_is_refused(build):
    with pytest.raises(LatentgenError, match="with other weights in out, the network does not return"):
        measure(build, SHAPE, CLASSES, None, None)


class Counting(nn.Module):
    """Changes what it does from pass to pass in training, by a count that no checkpoint holds."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, x):
        self.passes += self.training
        return x / (1 + self.passes)


def test_what_changes_from_pass_to_pass_must_be_in_buffers():
    with pytest.raises(LatentgenError, match=r"with the same torch seed, in train mode.*register_buffer"):
        measure(lambda: Net(Counting()), SHAPE, CLASSES, None, None)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Net(nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5))),
        lambda: Net(nn.LayerNorm(8)),
        lambda: Net(Noise(torch.randn_like, train_only=True)),
    ],
)
def test_what_can_be_repeated_is_fine(build):
    assert measure(build, SHAPE, CLASSES, None, None)["readout"] == "out"


def test_a_readout_of_that_name_is_fine():
    class Named(Net):
        def __init__(self):
            super().__init__()
            self.readout = self.out
            del self.out

        def forward(self, x):
            return self.readout(torch.relu(self.first(x.flatten(1))))

    assert measure(Named, SHAPE, CLASSES, None, None)["readout"] == "readout"


def test_the_trial_leaves_the_weights_as_they_were():
    nets = []

    def build():
        nets.append(Net())
        return nets[-1]

    measure(build, SHAPE, CLASSES, None, None)
    one, other = (net.state_dict() for net in nets)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_rounding_would_make_infinite_is_refused(sign):
    def stored(mantissa_bits):
        largest = sign * torch.full((2, 3), torch.finfo(torch.float32).max)
        return _storable(largest, torch.float32, mantissa_bits, "Layer fc1")

    with pytest.raises(LatentgenError, match="mantissa_bits: 23"):
        stored(13)
    assert np.isfinite(stored(MANTISSA_BITS)).all()


def test_a_layer_whose_name_looks_like_an_edit_is_relabelled():
    names = settings_in_names((), ("relabel_masc_look_at_2", "velpic_at_40"), ()).interventions
    assert names["relabel_masc_look_at_2"] == {
        "edit": "relabel", "layer": "look_at_2", "labels_from": "MASC",
    }  # fmt: skip
    assert names["velpic_at_40"]["at_epoch"] == 40


@pytest.mark.parametrize(
    ("layer", "name"), [("block.0", "relabel_masc_block_0"), ("Block", "relabel_masc_block"), ("fc1", None)]
)
def test_any_layer_can_be_relabelled_by(study, layer, name):
    pair = study["pairs"][0]
    pair["interventions"] = [{"edit": "relabel", "layer": layer}]
    if name:  # of a custom network: its layers are not known before its trial pass
        pair["model"] = {"architecture": "own", "path": "nets:Net"}
    runs = read_study(study).runs
    expected = name or "relabel_masc_fc1"
    assert {run.spec.intervention for run in runs.values()} == {"none", expected}
    assert {run.relabel_layers[0] for run in runs.values() if run.relabel} == {layer}


def test_two_layers_of_one_name_are_refused(study):
    study["pairs"][0]["model"] = {"architecture": "own", "path": "nets:Net"}
    study["pairs"][0]["interventions"] = [
        {"edit": "relabel", "layer": layer} for layer in ("block.0", "block_0")
    ]
    with pytest.raises(LatentgenError, match="relabel_masc_block_0"):
        read_study(copy.deepcopy(study))


def test_large_networks_are_planned(study):
    """ResNet-18 at 224 × 224 takes 1.8 · 10⁹ multiply-adds."""
    study["pairs"][0]["model"] = {
        "architecture": "own",
        "path": "nets:Net",
        "measured": {
            "widths": {"readout_input": 512},
            "readout": "fc",
            "multiply_adds": 1_819_000_000,
            "largest_output": 802_816,
            "weight_bytes": 46_800_000,
        },
    }
    assert read_study(study).runs


def test_two_pairs_whose_layers_share_a_name_are_refused(study):
    """Tables look up the layer by the name of the intervention."""
    pairs = [copy.deepcopy(study["pairs"][0]) for _ in range(2)]
    for pair, name, layer in zip(pairs, ("one", "two"), ("block.0", "block_0"), strict=True):
        pair["model"] = {"architecture": "own", "path": "nets:Net", "name": name}
        pair["interventions"] = [{"edit": "relabel", "layer": layer}]
    with pytest.raises(LatentgenError, match=r"block\.0 and block_0.*relabel_masc_block_0"):
        read_study(study | {"pairs": pairs})
    pairs[1]["interventions"][0]["layer"] = "block.0"
    assert read_study(study | {"pairs": pairs}).runs


def test_examples_of_one_channel_reach_a_network_as_torch_lays_them_out():
    """A tensor of one channel can be both plain and channels-last; what a convolution makes of it is not."""

    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 3, 3), nn.Linear(3 * 36, 4)

        def forward(self, x):
            x = self.conv(x)
            return self.out(x.view(len(x), -1))

    images = np.arange(TRIED * 64, dtype=np.uint8).reshape(TRIED, 1, 8, 8)
    seen = as_input(images, 255, (-1.0, 1.0), torch.device("cpu"))
    assert measure(Viewing, (1, 8, 8), 4, None, None, examples=seen)["readout"] == "out"
