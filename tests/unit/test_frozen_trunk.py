"""Frozen first layers are computed once, and the rest gets the same weights as in the whole network."""

from dataclasses import replace

import pytest
import torch
from test_training import DATA, N_CLASSES, SHAPE
from torch import nn

from latentgen.networks.adapted import Adapted
from latentgen.networks.architectures import make_network
from latentgen.training import frozen_trunk, steps
from latentgen.training.frozen_trunk import without_trunk
from latentgen.training.parameter_groups import parameter_groups, train_mode
from latentgen.training.plan import TrainingPlan
from trainings import train_here

MLP = {"architecture": "MLP", "widths": [24, 12]}
CNN = {"architecture": "CNN"}
VIT = {"architecture": "ViT", "patch": 2, "dim": 12, "depth": 3, "heads": 3}
TIMM = {
    "architecture": "timm",
    "network": "resnet10t",
    "arguments": {"channels": [4, 4, 8, 8], "stem_width": 4},
}
CONVNEXT = {
    "architecture": "timm",
    "network": "convnext_atto",
    "arguments": {"depths": [1, 1, 1, 1], "dims": [4, 4, 8, 8], "patch_size": 1},
}
"""Its body has a module called stages."""
EPOCHS = 3


def frozen(*matches):
    return [{"match": match, "frozen": True, "learning_rate": None} for match in matches]


def except_readout(readout):
    return [{"match": f"{readout}.*", "frozen": False, "learning_rate": 0.02}, *frozen("*")]


def settings(groups, **changes):
    return {
        "optimizer": {"name": "SGD", "learning_rate": 0.02, "momentum": 0.9}, "batch_size": 16,
        "shuffle": True, "max_epochs": EPOCHS, "stop": None, "checkpoints": [0, EPOCHS], "seed": 3,
        "groups": groups, **changes,
    }  # fmt: skip


def rest_of(model, groups, data=DATA, **changes):
    network = make_network(model, tuple(data.train_inputs.shape[1:]), N_CLASSES).to(data.train_inputs.dtype)
    parameter_groups(network, 0.02, special=groups)
    rest, data = without_trunk(network, data, TrainingPlan(**settings(groups, **changes)))
    return network, rest, data


TORCHVISION = {"architecture": "torchvision", "network": "shufflenet_v2_x0_5"}
TIMM_VIT = {
    "architecture": "timm",
    "network": "vit_tiny_patch16_224",
    "arguments": {"img_size": 8, "patch_size": 4, "embed_dim": 12, "depth": 3, "num_heads": 3},
}
CASES = [
    (MLP, frozen("fc1.*"), 24),
    (MLP, except_readout("readout"), 12),
    (CNN, frozen("block1.*"), None),
    (VIT, frozen("patch_embed.*", "cls_token", "pos_embed", "blocks.0.*"), 17 * 12),
    (VIT, except_readout("head"), 12),
    (TIMM, except_readout("fc"), 8),
    (CONVNEXT, except_readout("head.fc"), 8),
]


@pytest.mark.parametrize(("model", "groups", "width"), CASES)
def test_weights_and_counts_are_those_of_the_whole_network(model, groups, width, monkeypatch):
    network, rest, data = rest_of(model, groups)
    assert rest is not network
    assert width is None or data.train_inputs[0].numel() == width
    once, saved = train_here(make_network(model, SHAPE, N_CLASSES), DATA, **settings(groups))
    monkeypatch.setattr(steps, "without_trunk", lambda network, data, plan: (network, data))
    always, expected = train_here(make_network(model, SHAPE, N_CLASSES), DATA, **settings(groups))
    assert saved[EPOCHS].keys() == expected[EPOCHS].keys()
    for name, weights in expected[EPOCHS].items():
        torch.testing.assert_close(saved[EPOCHS][name], weights, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(saved[0][name], saved[EPOCHS][name]) for name in saved[0])
    for one, other in zip(once.history, always.history, strict=True):
        assert (one.test_correct, one.train_corrupted_correct) == (
            other.test_correct,
            other.train_corrupted_correct,
        )


@pytest.mark.parametrize(
    ("model", "groups", "shape"),
    [
        ({"architecture": "ResNet18"}, frozen("l[012]*"), None),
        (TIMM, frozen("conv1.*", "bn1.*", "layer[12].*"), (4, 1, 1)),
        (TIMM, frozen("conv1.*", "bn1.*", "layer1.*", "layer2.0.conv1.*"), (4, 2, 2)),
        (TIMM_VIT, frozen("patch_embed.*", "cls_token", "pos_embed", "blocks.[01].*"), (5, 12)),
        (CONVNEXT, frozen("stem.*", "stages.[01].*"), (4, 4, 4)),
        (TORCHVISION, frozen("conv1.*", "stage[23].*"), (96, 1, 1)),
    ],
)
def test_the_rest_has_the_logits_and_gradients_of_the_whole_network(model, groups, shape):
    inputs = {split: getattr(DATA, split).double() for split in ("train_inputs", "test_inputs")}
    if model is TORCHVISION:
        inputs = {split: grey.repeat(1, 3, 1, 1) for split, grey in inputs.items()}
    network, rest, data = rest_of(model, groups, replace(DATA, **inputs))
    assert rest is not network
    assert shape is None or data.train_inputs.shape[1:] == shape
    found = []
    for part, x in ((network, inputs["train_inputs"]), (rest, data.train_inputs)):
        train_mode(part)
        logits = part(x[:5])
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        found.append((logits, *torch.autograd.grad(logits.square().sum(), trained)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_frozen_layers_are_passed_once():
    network = make_network(MLP, SHAPE, N_CLASSES)
    passed = []
    network.get_submodule("fc1.0").register_forward_hook(
        lambda _module, inputs, _output: passed.append(len(inputs[0]))
    )
    train_here(network, DATA, **settings(frozen("fc1.*")))
    everything = len(DATA.corrupted_labels) + len(DATA.test_labels)
    assert sum(passed) <= everything + 8  # and a few to find out what is frozen


@pytest.mark.parametrize(
    ("model", "groups", "changes"),
    [
        (MLP, (), {}),
        (MLP, frozen("fc2.*"), {}),  # fc1 before it is trained
        (MLP, frozen("fc1.*"), {"augment": {"crop": 1, "flip": False, "cutout": 0, "mixup": 0.0}}),
        (MLP, frozen("fc1.*"), {"precision": "bfloat16"}),
    ],
)
def test_what_changes_during_training_is_no_trunk(model, groups, changes):
    network, rest, data = rest_of(model, groups, **changes)
    assert (rest, data) == (network, DATA)


def test_the_trunk_ends_before_a_dropout_that_draws_at_every_step():
    _, _, data = rest_of(VIT | {"dropout": 0.1}, except_readout("head"))  # the one after the positions
    assert data.train_inputs.shape[1:] == (12, 4, 4)


def test_outputs_that_are_too_large_are_not_held(monkeypatch):
    monkeypatch.setattr(
        frozen_trunk, "IN_MEMORY", 24 * 4 * (len(DATA.corrupted_labels) + len(DATA.test_labels)) - 1
    )
    network, rest, _ = rest_of(MLP, frozen("fc1.*"))
    assert rest is network


def test_looking_for_the_trunk_changes_nothing():
    class Counted(nn.Module):
        """Frozen batch statistics without parameters would change in train mode."""

        def __init__(self):
            super().__init__()
            self.flatten, self.norm = nn.Flatten(), nn.BatchNorm1d(64, affine=False)
            self.hidden, self.head = nn.Linear(64, 8), nn.Linear(8, N_CLASSES)

        def forward(self, x):
            return self.head(self.hidden(self.norm(self.flatten(x))))

    network = Adapted(Counted(), "head", channels_last=False)
    before = {name: of.clone() for name, of in network.state_dict().items()}
    state = torch.get_rng_state()
    parameter_groups(network, 0.02, special=frozen("hidden.*"))
    data = replace(DATA, train_inputs=DATA.train_inputs + 3)
    rest, _ = without_trunk(network, data, TrainingPlan(**settings(frozen("hidden.*"))))
    assert rest is network
    assert all(torch.equal(before[name], of) for name, of in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
