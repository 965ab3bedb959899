"""The built-in ViT, Hugging Face's networks, readouts of other kinds, and none."""

import sys

import numpy as np
import pytest
import timm
import torch
from test_training import DATA, N_CLASSES, SHAPE
from torch import nn

from latentgen.data.inputs import Tokens
from latentgen.errors import LatentgenError
from latentgen.interventions.edits import edit_readout
from latentgen.interventions.transfer import count_correct, edited_readout
from latentgen.networks.activations import layer_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.custom import TransformersNetwork
from latentgen.networks.layer_choice import LayerPattern
from latentgen.networks.measured import Measured
from latentgen.networks.pooling import channels_first
from latentgen.networks.trial import measure
from latentgen.networks.vit import ViT
from latentgen.repairing.features import Layer, Reduce, examine
from latentgen.study.config import read_study
from trainings import train_here

VIT = {"architecture": "ViT", "patch": 2, "dim": 12, "depth": 3, "heads": 3}


def measured(model, shape, classes=10):
    return measure(lambda: model.make_body(shape, classes), shape, classes, None, None)


@pytest.mark.parametrize("head", ["cls", "mean"])
def test_the_vit_is_timms(head):
    torch.manual_seed(0)
    ours = ViT(**VIT, head=head).make_body((3, 8, 8), 5).eval()
    theirs = timm.models.VisionTransformer(
        img_size=8, patch_size=2, in_chans=3, num_classes=5, embed_dim=12, depth=3, num_heads=3, mlp_ratio=2,
        global_pool={"cls": "token", "mean": "avg"}[head], fc_norm=False,
    ).eval()  # fmt: skip
    names = {"patch_embed.": "patch_embed.proj.", ".mlp.0.": ".mlp.fc1.", ".mlp.3.": ".mlp.fc2."}
    weights = {}
    for name, tensor in ours.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        weights[name] = torch.randn_like(tensor) / 3
    theirs.load_state_dict(weights)
    ours.load_state_dict(dict(zip(ours.state_dict(), weights.values(), strict=True)))
    for module in theirs.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5  # timm has 1e-6
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


def test_costs_of_a_vit_count_its_attention():
    tokens, dim, hidden, patches = 50, 64, 128, 49
    block = tokens * dim * (3 * dim + dim + 2 * hidden) + 2 * tokens**2 * dim
    expected = patches * 16 * dim + 4 * block
    assert measured(ViT(architecture="ViT"), (1, 28, 28))["multiply_adds"] == expected


def test_a_vit_is_trained_and_edited():
    network = make_network(VIT, SHAPE, N_CLASSES, seed=1)
    result, _ = train_here(
        network, DATA, optimizer={"name": "AdamW", "learning_rate": 0.005, "betas": (0.9, 0.999)},
        batch_size=16, shuffle=True, max_epochs=40, stop=None, checkpoints=[40], seed=1,
    )  # fmt: skip
    assert result.history[-1].loss < result.history[1].loss - 0.1
    edit_readout(network, "velpic", DATA, "readout_input", 1)
    rows = network.get_submodule("readout").weight
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(N_CLASSES))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": 3}, r"patch: 3 must divide the sides of the images, 8 × 8\. Choose one of 2, 4, 8"),
        ({"heads": 5}, "heads must divide dim: 5 does not divide 12"),
    ],
)
def test_impossible_vits_are_refused_when_planning(study, changes, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study["pairs"][0]["model"] = VIT | changes
    with pytest.raises(LatentgenError, match=said):
        read_study(study, run_own_code=True)


class Convolutional(nn.Module):
    """Convolution, ReLU, average, and a 1 × 1 convolution as the readout."""

    def __init__(self, bias=True):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Conv2d(6, N_CLASSES, 1, bias=bias)

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


class Cosine(nn.Module):
    """A readout that compares directions."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU())
        self.classes = nn.Parameter(torch.randn(N_CLASSES, 6))

    def forward(self, x):
        normalize = nn.functional.normalize
        return 10 * normalize(self.features(x)) @ normalize(self.classes).T


HERE = {"architecture": "own", "path": "test_zoo_networks:Convolutional"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setitem(sys.modules, "test_zoo_networks", sys.modules[__name__])


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_1_by_1_is_a_readout(bias):
    network = make_network(HERE | {"arguments": {"bias": bias}}, SHAPE, N_CLASSES, seed=3)
    found = measure(lambda: Convolutional(bias), SHAPE, N_CLASSES, None, None)
    assert found["readout"] == "classifier"
    assert found["multiply_adds"] == 6 * 9 * 64
    assert found["widths"]["readout_input"] == 6
    X = layer_activations(network, DATA.train_inputs, "readout_input")
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        right = int((network(DATA.train_inputs).argmax(1) == DATA.true_labels).sum())
    labels = {"true": DATA.true_labels.numpy()}
    assert count_correct(weights, X.numpy(), labels, "classifier") == {"true": right}
    vectors = np.random.default_rng(0).standard_normal((N_CLASSES, 6))
    edited = edited_readout(weights, vectors, "zero", "classifier")
    assert edited["classifier.weight"].shape == (N_CLASSES, 6, 1, 1)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in edited.items()})
    with torch.no_grad():
        after = int((network(DATA.train_inputs).argmax(1) == DATA.true_labels).sum())
    assert count_correct(edited, X.numpy(), labels, "classifier") == {"true": after}
    edit_readout(network, "nearest_mean", DATA, "readout_input", 1)
    torch.testing.assert_close(network.body.classifier.weight.flatten(1).norm(dim=1), torch.ones(N_CLASSES))


def test_a_network_without_a_readout_is_probed_and_nothing_else(study, tmp_path, monkeypatch):
    with pytest.raises(LatentgenError, match=r"readout: null it is only probed|has 6 outputs for 4 classes"):
        measure(Cosine, SHAPE, N_CLASSES, None, None)
    found = measure(Cosine, SHAPE, N_CLASSES, None, None, probe_only=True)
    assert found["widths"] == {"features": 6}
    assert found["readout"] is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heads.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Cosine(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU())\n"
        "        self.classes = nn.Parameter(torch.randn(10, 6))\n\n"
        "    def forward(self, x):\n        normalize = nn.functional.normalize\n"
        "        return 10 * normalize(self.features(x)) @ normalize(self.classes).T\n"
    )
    study["pairs"][0]["model"] = {"architecture": "own", "path": "heads:Cosine", "readout": None}
    study["pairs"].append(study["pairs"][0] | {"model": {"architecture": "MLP"}})
    read = read_study(study, run_own_code=True)
    assert {run.pair.model.model_name: run.transfer is None for run in read.runs.values()} == {
        "cosine": True, "mlp": False,
    }  # fmt: skip
    assert "transfer-digits-cosine" not in read.drawings
    assert "transfer-digits-mlp" in read.drawings
    study["pairs"][0]["interventions"] = [{"edit": "velpic", "at_epoch": 10}]
    with pytest.raises(LatentgenError, match="velpic_at_10: with readout: null there is nothing to edit"):
        read_study(study, run_own_code=True)


SWIN = {
    "architecture": "own",
    "path": "torchvision.models.swin_transformer:SwinTransformer",
    "arguments": {
        "patch_size": [2, 2], "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": [2, 2],
        "num_classes": N_CLASSES,
    },
}  # fmt: skip


@pytest.mark.parametrize("sides", [(16, 16), (16, 32)])
def test_maps_with_channels_last_are_averaged_over_their_positions(sides):
    """Swin's maps are height × width × channels."""
    network = make_network(SWIN, (3, *sides), N_CLASSES, seed=1)
    body, images = network.body, torch.rand(5, 3, *sides)
    layers = [LayerPattern(match="features.1.0", pool=("mean", "max", "flatten")), "readout_input"]
    found = measure(lambda: body, (3, *sides), N_CLASSES, layers, None)
    assert found["widths"]["features.1.0:mean"] == found["widths"]["features.1.0:max"] == 12
    with torch.no_grad():
        maps = body.features[1][0](body.features[0](images))
    assert maps.shape == (5, sides[0] // 2, sides[1] // 2, 12)
    for pool, expected in (("mean", maps.mean((1, 2))), ("max", maps.amax((1, 2)))):
        torch.testing.assert_close(layer_activations(network, images, f"features.1.0:{pool}"), expected)
    by_name = {layer.name: layer for layer in examine(body, images, ["features.1.0"]).layers}
    assert by_name["features.1.0"].shape == (12, sides[0] // 2, sides[1] // 2)
    wide = Layer("any", "any", 1, (30, 8, 8), channels_last=True)
    features, positions = Reduce(wide)(torch.rand(1, 1, 1, 30).expand(2, 8, 8, 30)), 5 * 5
    assert features.shape == (2, 30 * positions)
    assert features.reshape(2, 30, positions).std(2).max() < 1e-6


def test_maps_with_channels_first_stay_as_they_are():
    for shape in ((7, 8, 8), (8, 8, 8), (6, 4, 4), (8, 6, 9), (6, 6, 3)):
        images = torch.rand(2, 3, 16, 16 * shape[2] // shape[1])
        assert channels_first(output := torch.rand(2, *shape), images) is output
    assert channels_first(output := torch.rand(2, 5, 5), torch.rand(2, 3, 16, 16)) is output
    assert channels_first(output := torch.rand(2, 5, 5, 4), torch.arange(20).reshape(2, 10)) is output


def test_frozen_parts_of_a_network_are_not_trained():
    network = make_network(VIT, SHAPE, N_CLASSES, seed=1)
    network.body.patch_embed.requires_grad_(False)
    before = {name: of.clone() for name, of in network.state_dict().items()}
    train_here(
        network, DATA, optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}, batch_size=16,
        shuffle=True, max_epochs=1, stop=None, checkpoints=[1], seed=1,
    )  # fmt: skip
    same = {name for name, of in network.state_dict().items() if torch.equal(of, before[name])}
    assert same == {"patch_embed.weight", "patch_embed.bias"}


HUGGING_FACE = {
    "architecture": "transformers",
    "network": "vit",
    "arguments": {
        "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 24,
        "patch_size": 2,
    },
}  # fmt: skip


def test_hugging_faces_classifiers_are_measured_trained_and_probed(tmp_path):
    transformers = pytest.importorskip("transformers")
    network = make_network(HUGGING_FACE, SHAPE, N_CLASSES, seed=1)
    found = measure(lambda: make_network(HUGGING_FACE, SHAPE, N_CLASSES).body, SHAPE, N_CLASSES, None, None)
    assert found["probed"] == ["vit.layers.0", "vit.layers.1", "vit.layers.2", "readout_input"]
    assert found["widths"]["vit.layers.0"] == 17 * 12
    block = 17 * 12 * (4 * 12 + 2 * 24) + 2 * 17**2 * 12
    assert found["multiply_adds"] == 16 * 4 * 12 + 3 * block
    result, _ = train_here(
        network, DATA, optimizer={"name": "AdamW", "learning_rate": 0.005, "betas": (0.9, 0.999)},
        batch_size=16, shuffle=True, max_epochs=2, stop=None, checkpoints=[2], seed=1,
    )  # fmt: skip
    assert result.history[2].loss < result.history[1].loss
    tokens = layer_activations(network, DATA.train_inputs, "vit.layers.2:cls")
    with torch.no_grad():
        expected = network.body.vit(DATA.train_inputs, output_hidden_states=True).hidden_states[3][:, 0]
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)
    transformers.ViTConfig(**HUGGING_FACE["arguments"]).save_pretrained(tmp_path / "my-vit")
    from_folder = {"architecture": "transformers", "network": str(tmp_path / "my-vit")}
    assert len(make_network(from_folder, SHAPE, N_CLASSES).body.vit.layers) == 3


def test_what_hugging_face_does_not_know_is_refused():
    pytest.importorskip("transformers")
    with pytest.raises(LatentgenError, match=r"'vitt' is neither a folder .* nor a model type"):
        make_network(HUGGING_FACE | {"network": "vitt"}, SHAPE, N_CLASSES)


def test_without_transformers_the_message_shows_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LatentgenError, match=r"not installed\. Install it"):
        make_network(HUGGING_FACE, SHAPE, N_CLASSES)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            {"architecture": "timm", "network": "resnet10t", "arguments": {"pretrained": True}},
            "initial_weights",
        ),
        (
            {"architecture": "torchvision", "network": "resnet18", "arguments": {"weights": "DEFAULT"}},
            "initial_weights",
        ),
        (
            {"architecture": "timm", "network": "vit_tiny_patch16_224", "arguments": {"depth": 1}},
            r"doesn't match model \(224\)\. Resize .*resize: 224, .*img_size",
        ),
        ({"architecture": "torchvision", "network": "resnet18"}, "channels: 3"),
    ],
)
def test_a_zoo_network_that_does_not_fit_is_refused_with_the_way_out(
    model, said, study, tmp_path, monkeypatch
):
    pytest.importorskip(model["architecture"])
    monkeypatch.chdir(tmp_path)
    study["pairs"][0]["model"] = model
    with pytest.raises(LatentgenError, match=said):
        read_study(study, run_own_code=True)


def test_a_classifier_of_text_on_images_is_refused_in_a_few_lines():
    pytest.importorskip("transformers")
    with pytest.raises(LatentgenError, match=r"bert\(.*fails with ValueError: Unrecognized") as refused:
        make_network(HUGGING_FACE | {"network": "bert", "arguments": {}}, SHAPE, N_CLASSES)
    assert len(str(refused.value)) < 700


def test_hugging_faces_text_classifiers_get_vocabulary_padding_and_mask():
    pytest.importorskip("transformers")
    arguments = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    shape = Tokens(9, 50, 0)
    model = TransformersNetwork(architecture="transformers", network="bert", arguments=arguments)
    found = measure(lambda: model.make_body(shape, 3), shape, 3, None, None)
    assert found["readout"] == "classifier"
    assert [name for name in found["widths"] if ":mean" in name] == [
        "bert.encoder.layer.0:mean",
        "bert.encoder.layer.1:mean",
    ]
    found.pop("shapes")
    measured = model.model_copy(update={"measured": Measured(**found)})
    network = measured.build(shape, 3).eval()
    ids = torch.randint(1, 50, (2, 9))
    ids[1, 4:] = 0
    with torch.no_grad():
        both, alone = network(ids), network(ids[1:, :4])
    assert torch.allclose(both[1], alone[0], atol=1e-5), "padding is not attended to"
