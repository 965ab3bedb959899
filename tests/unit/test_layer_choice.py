"""Which layers are probed, how they are pooled, and what the tables say of it."""

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from latentgen.cli.layers import command
from latentgen.errors import LatentgenError
from latentgen.networks.activations import captured, layer_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.construction import construct_timm, construct_torchvision
from latentgen.networks.layer_choice import LayerPattern, expanded, matches, probed
from latentgen.networks.trial import measure
from latentgen.study.config import read_study
from latentgen.tables.facts import with_layer_facts

IMAGES = torch.rand((3, 3, 8, 8), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("layer", "pattern", "is_meant"),
    [
        ("blocks.2", "blocks.{*}", True),
        ("blocks.12", "blocks.{*}", True),
        ("blocks.2.mlp", "blocks.{*}", False),
        ("blocks.2.mlp", "blocks.*", True),
        ("blocks.2.mlp", "blocks.{*}.mlp", True),
        ("blocks.2.mlp", "{*}.{*}.{*}", True),
        ("blocks", "blocks.{*}", False),
        ("layer3", "layer?", True),
        ("layer3", "layer[12]", False),
        ("layer3", "layer3", True),
        ("layerx3", "layer.3", False),
    ],
)
def test_patterns(layer, pattern, is_meant):
    assert matches(layer, pattern) == is_meant


SHAPES = {"input": (3, 8, 8), "map": (16, 4, 4), "tokens": (5, 7), "vector": (9,)}


def test_pools_are_what_is_left_of_a_shape_and_vectors_stay_as_they_are():
    every = LayerPattern(match="*", pool=("flatten", "mean", "max"))
    assert expanded(["vector", every], SHAPES).widths == {
        "input": 192, "input:mean": 3, "input:max": 3, "map": 256, "map:mean": 16, "map:max": 16,
        "tokens": 35, "tokens:mean": 7, "tokens:max": 7, "vector": 9,
    }  # fmt: skip
    of_one_position = {"map": (16, 1, 1), "tokens": (1, 7)}
    assert expanded([every], of_one_position).widths == {"map": 16, "tokens": 7}
    of_tokens = LayerPattern(match="[tv]*", pool=("cls", "last"))
    assert expanded([of_tokens], SHAPES).widths == {"tokens:cls": 7, "tokens:last": 7, "vector": 9}
    assert expanded([LayerPattern(match="map", pool=("cls",)), "other"], SHAPES)[1:] == (
        ["other"],
        ["'cls' is for tokens, but map outputs a map of 16 × 4 × 4"],
    )
    assert [probed(name) for name in ("a.b:mean", "a.b", "a:b")] == [
        ("a.b", "mean"),
        ("a.b", "flatten"),
        ("a:b", "flatten"),
    ]


class Outputs(dict):
    """As Hugging Face's, which are dictionaries."""


class Tokens(nn.Module):
    """Patches as tokens, with parts that give tuples and dictionaries."""

    class Block(nn.Module):
        def __init__(self, as_what):
            super().__init__()
            self.linear, self.as_what = nn.Linear(12, 12), as_what

        def forward(self, x):
            x = x if torch.is_tensor(x) else x[0] if isinstance(x, tuple) else x["hidden"]
            x = x + torch.tanh(self.linear(x))
            return {"tensor": x, "tuple": (x, None), "dict": Outputs(none=None, hidden=x)}[self.as_what]

    def __init__(self):
        super().__init__()
        self.patches = nn.Unfold(2, stride=2)
        self.blocks = nn.ModuleList(self.Block(what) for what in ("tensor", "tuple", "dict"))
        self.head = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 10))

    def forward(self, x):
        x = self.patches(x).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x["hidden"][:, 0])


def test_of_tokens_in_tuples_and_dictionaries_the_first_tensor_is_pooled():
    pools = LayerPattern(match="blocks.{*}", pool=("cls", "last", "mean", "max"))
    found = measure(Tokens, (3, 8, 8), 10, [pools], None)
    assert found["widths"] == {
        **{f"blocks.{i}:{pool}": 12 for i in range(3) for pool in pools.pool},
        "readout_input": 12,
    }
    assert found["probed"] == list(found["widths"])[:-1]
    torch.manual_seed(0)
    network = Tokens().eval()
    with torch.no_grad():
        expected = network.patches(IMAGES).transpose(1, 2)
        for block in network.blocks:
            expected = expected + torch.tanh(block.linear(expected))
    with captured(network, ["blocks.2", *(f"blocks.2:{pool}" for pool in pools.pool)]) as outputs:
        network(IMAGES)
    torch.testing.assert_close(outputs["blocks.2"], expected.flatten(1))
    torch.testing.assert_close(outputs["blocks.2:cls"], expected[:, 0])
    torch.testing.assert_close(outputs["blocks.2:last"], expected[:, 15])
    torch.testing.assert_close(outputs["blocks.2:mean"], expected.mean(1))
    torch.testing.assert_close(outputs["blocks.2:max"], expected.max(1).values)


def test_of_maps_positions_are_pooled():
    network = make_network({"architecture": "ResNet18"}, (3, 16, 16), 10).eval()
    images = torch.rand(3, 3, 16, 16)
    maps = layer_activations(network, images, "l2").reshape(3, 128, 4, 4)
    torch.testing.assert_close(layer_activations(network, images, "l2:mean"), maps.mean((2, 3)))
    torch.testing.assert_close(layer_activations(network, images, "l2:max"), maps.amax((2, 3)))


def defaults(build, shape=(3, 32, 32)):
    return measure(build, shape, 10, None, None)


def test_by_default_the_blocks_are_probed():
    resnet = defaults(lambda: construct_torchvision("resnet18", {}, 10), (3, 64, 64))
    assert resnet["probed"] == [*(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)), "readout_input"]
    small = defaults(lambda: construct_torchvision("resnet18", {}, 10))
    assert small["probed"] == [name for name in resnet["probed"] if name != "layer4.1"]  # 1 × 1: its own mean
    zero_at_first = defaults(
        lambda: construct_timm("resnet10t", {"layers": [2, 2, 2, 2]}, 3, 10), (3, 64, 64)
    )
    assert zero_at_first["probed"] == resnet["probed"]  # the last normalization of its blocks starts at 0
    vit = defaults(lambda: construct_timm("vit_tiny_patch16_224", {"img_size": 32, "depth": 3}, 3, 10))
    assert vit["probed"] == ["blocks.0", "blocks.1", "blocks.2", "readout_input"]
    mixer = defaults(lambda: construct_timm("mixer_s32_224", {"img_size": 64}, 3, 10), (3, 64, 64))
    assert mixer["probed"] == [*(f"blocks.{i}" for i in range(8)), "readout_input"]
    assert mixer["notes"] == []
    tokens = defaults(Tokens, (3, 8, 8))
    assert tokens["probed"] == ["blocks.0", "blocks.1", "blocks.2", "readout_input"]


def test_wide_outputs_are_averaged_with_a_note():
    found = defaults(lambda: construct_torchvision("resnet18", {}, 10), (3, 128, 128))
    assert list(found["widths"].items())[:3] == [
        ("layer1.0:mean", 64), ("layer1.1:mean", 64), ("layer2.0:mean", 128),
    ]  # fmt: skip
    assert found["widths"]["layer3.0"] == 256 * 8 * 8
    assert found["notes"] == [
        "layer1.0, layer1.1, layer2.0, layer2.1 have more than 20,000 outputs, so the mean over positions is "
        "probed. To change this, set model.layers."
    ]


def test_by_default_neither_logits_nor_the_same_numbers_twice_are_probed():
    def build():
        same = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU())
        last = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        return nn.Sequential(same, nn.Identity(), last, nn.Sequential(nn.Linear(8, 10)))

    found = measure(build, (3, 8, 8), 10, None, None)
    assert found["probed"] == ["0", "readout_input"]
    assert "3" not in measure(build, (3, 8, 8), 10, ["*"], None)["probed"]


def test_a_pool_that_a_map_does_not_have_is_refused(study):
    cls = [LayerPattern(match="layer4", pool=("cls",))]
    said = r"layers: 'cls' is for tokens, but layer4 outputs a map of 512 × 1 × 1\. Use mean"
    with pytest.raises(LatentgenError, match=said):
        measure(lambda: construct_torchvision("resnet18", {}, 10), (3, 32, 32), 10, cls, None)
    wrong = [{"match": "l4", "pool": "cls"}, "nine"]
    study["pairs"][0]["model"] = {"architecture": "ResNet18", "layers": wrong}
    said = r"model\.layers: no layer 'nine'.*; 'cls' is for tokens, but l4 outputs"
    with pytest.raises(LatentgenError, match=said):
        read_study(study)
    study["pairs"][0]["model"]["layers"] = [{"match": "l4", "pool": ["average"]}]
    with pytest.raises(LatentgenError, match=r"layers\[0\]\.pool\[0\]: 'average' is not among the choices"):
        read_study(study)


def test_the_papers_networks_have_pools_and_patterns_too(study):
    study["pairs"][0]["model"] = {
        "architecture": "ResNet18", "layers": [{"match": "l[23]", "pool": ["mean", "flatten"]}, "bf_last"],
    }  # fmt: skip
    (run, *_) = read_study(study).runs.values()
    assert run.layers == {"l2:mean": 128, "l2": 512, "l3": 256, "bf_last": 512}


def test_tables_say_layer_and_pool():
    table = with_layer_facts(pd.DataFrame({"layer": ["fc1", "blocks.0:cls", "readout"]}))
    assert table["module"].tolist() == ["fc1", "blocks.0", "readout"]
    assert table["pool"].tolist() == ["flatten", "cls", "flatten"]


def test_the_command_lists_layers_and_marks_those_that_are_probed_by_default():
    said = CliRunner().invoke(command, ["timm:vit_tiny_patch16_224", "img_size=32", "depth=2"]).output
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines()}
    assert lines["blocks.0"] == ["960", "(5", "×", "192)", "probed"]
    assert lines["blocks.0.attn"] == ["960", "(5", "×", "192)"]
    assert lines["input"] == ["3072", "(3", "×", "32", "×", "32)"]
    assert lines["readout_input"] == ["192", "probed"]
