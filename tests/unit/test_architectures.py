"""The networks: what they say of themselves against what is built, and that dropout can be reproduced."""

import copy

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from latentgen.errors import LatentgenError
from latentgen.networks.activations import captured, write_activations
from latentgen.networks.alexnet import AlexNet
from latentgen.networks.architectures import make_network
from latentgen.networks.blocks import BatchNorm, Renorm, single_images
from latentgen.networks.checkpoints import checkpoint_paths, load_network, save_checkpoint, save_weights
from latentgen.networks.cnn import CNN
from latentgen.networks.forward import as_input
from latentgen.networks.mlp import MLP
from latentgen.networks.resnet18 import ResNet18, stage_layers
from latentgen.study.config import read_study
from latentgen.training.data import TrainingData
from trainings import train_here

NETWORKS = [
    (MLP(architecture="MLP", widths=(7, 5)), (1, 9, 9)),
    (CNN(architecture="CNN"), (3, 32, 32)),
    (CNN(architecture="CNN", dropout=0.2, renorm=True), (1, 28, 28)),
    (AlexNet(architecture="AlexNet"), (3, 32, 32)),
    (AlexNet(architecture="AlexNet", variant="tiny_imagenet", dropout=0.5), (3, 64, 64)),
    (ResNet18(architecture="ResNet18"), (3, 32, 32)),
    (ResNet18(architecture="ResNet18", dropout=0.2), (1, 28, 28)),
]


def images(n, shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("settings", "shape"), NETWORKS)
def test_every_named_layer_has_the_width_it_says(settings, shape):
    network = make_network(settings.model_dump(), shape, 10).eval()
    widths = settings.layer_widths(shape)
    with captured(network, list(widths)) as outputs, torch.no_grad():
        logits = network(images(2, shape))
    assert {layer: output.shape[1] for layer, output in outputs.items()} == widths
    assert list(outputs) == list(widths), "from input to output"
    assert logits.shape == (2, 10)
    with torch.no_grad():
        torch.testing.assert_close(network.readout(outputs[list(widths)[-1]]), logits)
    assert set(settings.usual_layers(shape)) <= set(widths) - {"input"}


@pytest.mark.parametrize(("settings", "shape"), NETWORKS)
def test_the_stated_multiplications_are_those_of_the_modules(settings, shape):
    network = make_network(settings.model_dump(), shape, 10).eval()
    found = 0

    def count(module, _inputs, output):
        nonlocal found
        if module is not network.readout:
            found += output.shape[2:].numel() * module.weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(images(1, shape))
    assert settings.multiply_adds(shape) == found


def test_the_papers_widths():
    assert AlexNet(architecture="AlexNet").layer_widths((3, 32, 32)) == {
        "input": 3072, "flatten": 256, "fc1": 4096, "fc2": 4096,
    }  # fmt: skip
    tiny = AlexNet(architecture="AlexNet", variant="tiny_imagenet")
    assert tiny.hidden_widths((3, 64, 64))["flatten"] == 256
    assert ResNet18(architecture="ResNet18").probed_layers((3, 32, 32)) == {
        "l0": 16384, "l0_1": 16384, "l0_2": 16384, "l0_3": 16384,
        "l1": 16384, "l2": 8192, "l3": 4096, "l4": 2048, "bf_last": 512,
    }  # fmt: skip


def test_resnet18_is_torchvisions_with_another_stem():
    """Same weights in torchvision's network, whose stem is replaced by ours: the same outputs."""
    from torchvision.models import resnet18

    ours = make_network({"architecture": "ResNet18"}, (3, 32, 32), 10).eval()
    theirs = resnet18(num_classes=10).eval()
    theirs.conv1, theirs.bn1 = ours.l0[0], ours.l0[1]
    for stage in range(1, 5):
        halves = [getattr(ours, name) for name in stage_layers(stage)]
        for block, (inner, outer) in zip(
            getattr(theirs, f"layer{stage}"), [halves[:2], halves[2:]], strict=True
        ):
            block.conv1, block.bn1 = inner[0], inner[1]
            block.conv2, block.bn2 = outer.main[0], outer.main[1]
            if block.downsample is not None:
                block.downsample = outer.shortcut
    theirs.fc = ours.readout
    x = images(4, (3, 32, 32))
    with torch.inference_mode():
        torch.testing.assert_close(theirs(x), ours(x))


def test_single_images_are_batches_of_one_in_train_mode():
    network = make_network({"architecture": "ResNet18"}, (3, 16, 16), 10)
    for module in network.modules():  # as after some training
        if isinstance(module, BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
            module.running_mean.uniform_(-1, 1)
    x = images(6, (3, 32, 32))
    network.eval()
    before = copy.deepcopy(network.state_dict())
    with torch.inference_mode():
        with single_images(network):
            together = network(x)
        in_eval = network(x)
        assert not network.training
        assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
        network.train()
        one_by_one = torch.cat([network(image[None]) for image in x])
    torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, in_eval, rtol=0.1, atol=0.1)


def test_single_images_with_dropout_are_batches_of_one_in_eval_mode():
    network = make_network({"architecture": "CNN", "dropout": 0.2, "renorm": True}, (1, 8, 8), 10)
    nn.init.uniform_(network.fc1[0].weight, 0, 1)  # outputs large enough to be scaled
    x = images(6, (1, 8, 8)).abs()
    with torch.inference_mode():
        with single_images(network):
            together = network(x)
        network.eval()
        torch.testing.assert_close(together, torch.cat([network(image[None]) for image in x]))
        assert not torch.allclose(together, network(x)), "a batch is scaled by its sum"


def test_renorm_bounds_the_sum_of_a_feature_over_the_batch():
    x = torch.tensor([[1.0, 5.0], [1.0, -5.0]])
    torch.testing.assert_close(Renorm()(x), torch.tensor([[1.0, 1.5], [1.0, -1.5]]))


def training_of(settings, epochs=3, seed=1, **changes):
    """Train on random digits-like data; return the weights at every epoch."""
    shape = (1, 16, 16)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(40, *shape, generator=generator)
    y = torch.randint(0, 10, (40,), generator=generator)
    data = TrainingData(x, y, y, y < 0, x, y)
    _, weights = train_here(
        make_network(settings, shape, 10, seed),
        data,
        **{
            "optimizer": {"name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
            "batch_size": 16,
            "shuffle": False,
            "max_epochs": epochs,
            "stop": None,
            "checkpoints": range(epochs + 1),
            "seed": seed,
        }
        | changes,
    )
    return weights


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


DROPOUT_CNN = {"architecture": "CNN", "dropout": 0.5}


def test_dropout_follows_from_the_runs_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = training_of(DROPOUT_CNN)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    again = training_of(DROPOUT_CNN)
    assert same(first[3], again[3])
    assert not same(first[3], training_of({"architecture": "CNN"})[3]), "dropout does something"


def test_the_dropout_of_an_epoch_does_not_depend_on_those_before():
    """So that a training that resumes in the middle continues as if it had never stopped."""
    from latentgen.training.batches import dropout_stream

    device = torch.device("cpu")
    with dropout_stream(1, 2, device):
        second = torch.rand(3)
    with dropout_stream(1, 1, device):
        first = torch.rand(30)
    with dropout_stream(1, 2, device):
        assert torch.equal(torch.rand(3), second)
    assert not torch.equal(first[:3], second)


def test_checkpoints_hold_the_statistics_of_batch_normalization(tmp_path):
    settings, shape = {"architecture": "ResNet18"}, (1, 16, 16)
    weights = training_of(settings, epochs=1)
    assert not same({"m": weights[0]["l0.1.running_mean"]}, {"m": weights[1]["l0.1.running_mean"]})
    trained = make_network(settings, shape, 10)
    trained.load_state_dict(weights[1])
    save_checkpoint(tmp_path / "checkpoints", "run", 1, trained)
    loaded = make_network(settings, shape, 10, seed=9)
    load_network(loaded, checkpoint_paths(tmp_path / "checkpoints")[1])
    assert same(loaded.state_dict(), weights[1])


def test_activations_are_written_in_the_mode_that_is_asked_for(tmp_path):
    settings, shape = {"architecture": "ResNet18"}, (1, 28, 28)
    network = make_network(settings, shape, 10)
    save_weights(
        tmp_path / "w.safetensors", {k: v.contiguous().numpy() for k, v in network.state_dict().items()}
    )
    raw = np.random.default_rng(0).integers(0, 255, (5, *shape), dtype=np.uint8)
    x = as_input(raw, 255, (-1, 1), torch.device("cpu"))
    written = {}
    for mode in ("eval", "single_images"):
        with h5py.File(tmp_path / f"{mode}.h5", "w") as file:
            layers = ["input", "l1", "bf_last"]
            write_activations(file, network, {0: tmp_path / "w.safetensors"}, {"test": x}, layers, mode=mode)
            written[mode] = {layer: file[f"0/{layer}/test"][...] for layer in layers}
    with captured(network, ["bf_last"]) as outputs, torch.inference_mode():
        network.eval()(x)
        np.testing.assert_allclose(written["eval"]["bf_last"], outputs["bf_last"], rtol=1e-4, atol=1e-5)
        network.train()(x[:1])
        np.testing.assert_allclose(
            written["single_images"]["bf_last"][:1], outputs["bf_last"], rtol=1e-3, atol=1e-4
        )
    assert not np.allclose(written["eval"]["l1"], written["single_images"]["l1"], atol=0.1)
    np.testing.assert_allclose(written["eval"]["input"], x.flatten(1))


STUDY = {
    "study": "s",
    "seeds": [1],
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [
        {
            "dataset": "digits",
            "model": {"architecture": "CNN"},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.1},
                "batch_size": 32,
                "max_epochs": 1,
            },
        }
    ],
}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"architecture": "AlexNet"}, "images of 8 × 8 are too small for AlexNet"),
        ({"architecture": "CNN", "renorm": True}, "set dropout too"),
        ({"architecture": "CNN", "layers": ["fc1_dropout"]}, "no layer 'fc1_dropout'"),
        ({"architecture": "ResNet"}, "did you mean 'ResNet18'?"),
    ],
)
def test_a_model_that_cannot_be_is_refused_in_words(model, said):
    study = copy.deepcopy(STUDY)
    study["pairs"][0]["model"] = model
    with pytest.raises(LatentgenError) as refused:
        read_study(study)
    assert said in str(refused.value)


def test_the_raw_input_is_a_layer():
    study = copy.deepcopy(STUDY)
    study["pairs"][0]["model"] = {"architecture": "CNN", "layers": ["input", "fc3"]}
    (run,) = read_study(study).runs.values()
    assert run.layers == {"input": 64, "fc3": 250}
