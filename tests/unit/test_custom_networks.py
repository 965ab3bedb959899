"""Networks of one's own: measured by a trial, trained and probed as any, or refused in words."""

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

from latentgen.data.inputs import Tokens
from latentgen.errors import LatentgenError
from latentgen.networks import trial
from latentgen.networks.activations import captured
from latentgen.networks.adapted import Adapted
from latentgen.networks.architectures import make_network
from latentgen.networks.construction import construct_torchvision
from latentgen.networks.forward import as_input
from latentgen.networks.trial import measure
from latentgen.study.config import read_study

SHAPE, CLASSES = (1, 8, 8), 10


class Small(nn.Module):
    """Convolution, ReLU as a function, a view that needs plain memory, two linear layers."""

    def __init__(self, outputs=CLASSES, answer="logits", seeded=True):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Linear(256, 12), nn.ReLU())
        self.out = nn.Linear(12, outputs)
        self.answer = answer
        if answer == "unused":
            self.extra = nn.Conv2d(3, 3, 1, bias=False)
        if not seeded:
            self.out.bias.data[:] = torch.from_numpy(np.random.default_rng().random(outputs))

    def forward(self, x):
        if self.answer == "raises":
            raise KeyError("no such thing")
        x = torch.relu(self.conv(x)).view(len(x), -1)
        logits = self.out(torch.relu(self.block[0](x) - 0.1))
        return {"softmax": logits.softmax(1), "pair": (logits, x), "short": logits[:, :3]}.get(
            self.answer, logits
        )


def measured(patterns=None, readout=None, classes=CLASSES, **arguments):
    return measure(lambda: Small(**arguments), SHAPE, classes, patterns, readout)


def test_a_trial_finds_what_a_study_has_to_know():
    assert measured() == {
        "widths": {"conv": 256, "readout_input": 12},
        "probed": ["conv", "readout_input"],
        "notes": [],
        "shapes": {
            "input": (1, 8, 8),
            "conv": (4, 8, 8),
            "block.0": (12,),
            "readout_input": (12,),
        },
        "readout": "out",
        "multiply_adds": 64 * 4 * 9 + 256 * 12,
        "largest_output": 256,
        "weight_bytes": 4 * (4 * 9 + 4 + 256 * 12 + 12 + 12 * 10 + 10),
    }


def test_layers_are_chosen_by_pattern_in_the_order_of_the_pass():
    assert list(measured(["block.*", "input", "con?"])["widths"]) == [
        "input",
        "conv",
        "block.0",
        "readout_input",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patterns": ["convv"]}, "'convv' matches no layer; the nearest are conv"),
        ({"readout": "outt"}, "no nn.Linear 'outt'; the nearest are out"),
        ({"readout": "block.0"}, "has 12 outputs for 10 classes"),
        ({"outputs": 5}, "last nn.Linear, out, has 5 outputs for 10 classes"),
        ({"answer": "softmax"}, "differs from the output of its readout, out"),
        ({"answer": "pair"}, "returns a tuple"),
        ({"answer": "short"}, r"returns \(2, 3\); it must return \(2, 10\)"),
        ({"answer": "unused"}, "does not depend on 1 of its parameters .first: extra.weight"),
        ({"answer": "raises"}, r"cannot take images of 1 × 8 × 8 \(in eval mode\): KeyError"),
        ({"seeded": False}, "initial weights differ between calls .first: out.bias"),
    ],
)
def test_what_cannot_be_used_is_refused(changes, said):
    with pytest.raises(LatentgenError, match=said):
        measured(**changes)


@pytest.mark.parametrize("channels", [1, 3])
def test_own_code_gets_plain_memory_as_it_may_use_view(channels):
    body = Small()
    body.conv = nn.Conv2d(channels, 4, 3, padding=1)
    images = as_input(np.ones((2, channels, 8, 8), np.uint8), 255, (0, 1), torch.device("cpu"))
    with pytest.raises(RuntimeError, match="view size"):
        body(images)
    assert Adapted(body, "out", channels_last=False)(images).shape == (2, CLASSES)


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(LatentgenError, match=r"no nn\.Linear"):
        measure(lambda: nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten()), SHAPE, CLASSES, None, None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder that is worked in, with a module of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "nets_of_mine.py").write_text(
        "from torch import nn\n\n\n"
        "def two(width=6):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))\n\n\n"
        "number = 3\n\n\ndef text():\n    return 'no module'\n"
    )
    yield tmp_path
    sys.modules.pop("nets_of_mine", None)


OWN = {"architecture": "own", "path": "nets_of_mine:two"}


def test_reading_a_study_runs_no_custom_code_unless_asked(study, folder):
    study["pairs"][0]["model"] = OWN
    (run, *_) = read_study(study).runs.values()
    assert "nets_of_mine" not in sys.modules
    with pytest.raises(LatentgenError, match="not known yet: start the study"):
        _ = run.layers
    (run, *_) = read_study(study, run_own_code=True).runs.values()
    assert run.layers == {"0": 64, "1": 6, "readout_input": 6}
    assert run.spec.slug == "digits-two-symmetric0.00-seed1"


def test_what_was_found_is_kept_until_the_code_or_what_is_asked_changes(study, folder, monkeypatch):
    trials = []
    monkeypatch.setattr(trial, "measure", lambda *given: trials.append(1) or measure(*given))
    study["pairs"][0]["model"] = OWN
    for expected in (1, 1):
        read_study(study, run_own_code=True)
        assert len(trials) == expected
    assert read_study(study).pairs[0].model.is_known
    study["pairs"][0]["model"] = OWN | {"arguments": {"width": 5}}
    assert not read_study(study).pairs[0].model.is_known
    assert read_study(study, run_own_code=True).pairs[0].model.measured.widths["readout_input"] == 5
    with (folder / "nets_of_mine.py").open("a") as file:
        file.write("more = 1\n")
    assert not read_study(study).pairs[0].model.is_known


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"path": "nets_of_mine:too"}, r"pairs\[0\]\.model: .*has no 'too'; the nearest are two"),
        ({"path": "nets_of_mine"}, r"pairs\[0\]\.model\.path: must be an import path"),
        ({"path": "nets_of_mine:number"}, "nets_of_mine:number is neither a function nor a class"),
        ({"path": "nets_of_mine:text"}, "returns a str; it must be, or return, a torch.nn.Module"),
        ({"arguments": {"widht": 3}}, r"two\(widht=3\) fails with TypeError.*widht"),
        ({"layers": ["9"]}, "layers: '9' matches no layer"),
        ({"layers": ["1"]}, "needs the readout's input, readout_input, among the layers"),
        (
            {"architecture": "timm", "network": "resnet10"},
            "timm has no network 'resnet10'; the nearest are .*",
        ),
        ({"architecture": "torchvision", "network": "resnet19"}, "the nearest are resnet18"),
    ],
)
def test_a_study_says_what_is_wrong_with_a_network(study, folder, changes, said):
    model = OWN | changes
    if "network" in model:
        del model["path"]
    study["pairs"][0]["model"] = model
    with pytest.raises(LatentgenError, match=said):
        read_study(study, run_own_code=True)


def test_a_study_says_how_to_get_timm(study, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as where it is not installed
    study["pairs"][0]["model"] = {"architecture": "timm", "network": "resnet10t"}
    with pytest.raises(LatentgenError, match="python -m pip install timm"):
        read_study(study, run_own_code=True)


def test_timms_networks_are_measured_and_made_as_ones_own(study, folder):
    layers = ["layer?", "readout_input"]
    study["pairs"][0]["model"] = {"architecture": "timm", "network": "resnet10t", "layers": layers}
    (run, *_) = read_study(study, run_own_code=True).runs.values()
    assert run.layers == {"layer1": 64 * 4, "layer2": 128, "layer3": 256, "layer4": 512, "readout_input": 512}
    network = make_network(run.pair.model.model_dump(mode="json"), SHAPE, CLASSES, seed=4)
    with captured(network, [*run.layers, "readout"]) as outputs, torch.no_grad():
        logits = network.eval()(torch.rand(3, *SHAPE))
    assert torch.equal(outputs["readout"], logits)
    assert logits.shape == (3, CLASSES)
    assert {name: rows.shape[1] for name, rows in outputs.items()} == run.layers | {"readout": CLASSES}


def test_weights_keep_their_own_names_and_the_ends_have_ours(study, folder):
    study["pairs"][0]["model"] = OWN
    settings = read_study(study, run_own_code=True).pairs[0].model.model_dump(mode="json")
    network, again = (make_network(settings, SHAPE, CLASSES, seed=4) for _ in range(2))
    assert list(network.state_dict()) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    images = torch.rand(3, *SHAPE)
    with captured(network, ["input", "1", "readout_input", "readout"]) as outputs, torch.no_grad():
        logits = network(images)
    assert torch.equal(outputs["input"], images.flatten(1))
    assert torch.equal(outputs["readout_input"], outputs["1"].relu())
    assert torch.equal(outputs["readout"], logits)
    network.load_state_dict({name: weights + 1 for name, weights in again.state_dict().items()})
    assert torch.equal(network.get_submodule("readout").weight, again.get_submodule("readout").weight + 1)


def test_torchvisions_networks_are_measured_too():
    found = measure(
        lambda: construct_torchvision("resnet18", {}, 4), (3, 32, 32), 4, ["layer?.1", "avgpool"], None
    )
    assert found["readout"] == "fc"
    assert found["widths"] == {
        "layer1.1": 64 * 64, "layer2.1": 128 * 16, "layer3.1": 256 * 4, "layer4.1": 512,
        "avgpool": 512, "readout_input": 512,
    }  # fmt: skip


@pytest.mark.parametrize("architecture", ["ViT", "Transformer", "transformers"])
def test_a_copy_of_a_network_has_ends_of_its_own(architecture):
    """Whether it is copied or pickled: its `readout_input` sees its own passes."""
    shape = Tokens(length=8, vocabulary=20, padding=0)
    settings = {"architecture": architecture}
    if architecture == "transformers":
        small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        settings |= {"network": "bert", "arguments": small}
    network = make_network(settings, (1, 28, 28) if architecture == "ViT" else shape, CLASSES).eval()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 20, (3, 8), generator=generator)
    if architecture == "ViT":
        inputs = torch.rand((3, 1, 28, 28), generator=generator)
    expected = network(inputs)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        seen = []
        other.get_submodule("readout_input").register_forward_hook(
            lambda _module, _given, out, seen=seen: seen.append(out)
        )
        assert torch.equal(other(inputs), expected)
        assert len(seen) == 1
