"""Networks start from given weights, and parts of them are frozen or trained at another rate."""

import pytest
import torch
from safetensors.torch import save_file
from test_training import DATA, N_CLASSES, SHAPE

from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.study.training_check import check_trainings
from latentgen.training.initial_weights import start_from
from latentgen.training.parameter_groups import parameter_groups
from trainings import train_here

MLP = {"architecture": "MLP", "widths": [32, 16]}


@pytest.fixture
def pretrained(tmp_path):
    """Return the weights of another network, as a file whose names have a prefix, and more in it."""
    weights = make_network(MLP, SHAPE, 7, seed=9).state_dict()
    path = tmp_path / "pretrained.safetensors"
    save_file({f"trunk.{name}": of.clone() for name, of in weights.items()} | {"extra": torch.zeros(3)}, path)
    return path, weights


def test_all_but_a_new_readout_is_taken_from_the_file(pretrained):
    path, weights = pretrained
    network = make_network(MLP, SHAPE, N_CLASSES, seed=1)
    before = {name: of.clone() for name, of in network.state_dict().items()}
    start_from(network, path, prefix="trunk.", new_layer="readout")
    for name, of in network.state_dict().items():
        assert torch.equal(of, before[name] if name.startswith("readout.") else weights[name])


@pytest.mark.parametrize(("save", "name"), [(save_file, "halves.safetensors"), (torch.save, "halves.pt")])
def test_weights_in_half_precision_are_converted(pretrained, tmp_path, save, name):
    _, weights = pretrained
    halves = {name: of.bfloat16() for name, of in weights.items()}
    save(halves, tmp_path / name)
    network = make_network(MLP, SHAPE, 7, seed=1)
    start_from(network, tmp_path / name)
    for name, of in network.state_dict().items():
        assert torch.equal(of, halves[name].float())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prefix": "trunk."}, r"readout\.weight is 7 × 16 and must be 4 × 16"),
        ({"new_layer": "readout"}, r"lacks fc1\.0\.weight, 32 × 64"),
        ({"prefix": "other.", "new_layer": "readout"}, r"lacks fc1\.0\.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(pretrained, options, said):
    network = make_network(MLP, SHAPE, N_CLASSES, seed=1)
    with pytest.raises(LatentgenError, match=said):
        start_from(network, pretrained[0], **options)


def test_convolutions_of_colour_images_are_used_on_grey_ones_as_set(tmp_path):
    model = {"architecture": "ViT", "patch": 2, "dim": 8, "depth": 1, "heads": 2}
    colour = make_network(model, (3, 8, 8), N_CLASSES, seed=9)
    save_file(
        {name: of.contiguous() for name, of in colour.state_dict().items()}, tmp_path / "colour.safetensors"
    )
    grey, more = (make_network(model, (channels, 8, 8), N_CLASSES, seed=1) for channels in (1, 6))
    with pytest.raises(
        LatentgenError, match=r"patch_embed\.weight is 8 × 3 × 2 × 2 and must be 8 × 1 × 2 × 2"
    ):
        start_from(grey, tmp_path / "colour.safetensors")
    start_from(grey, tmp_path / "colour.safetensors", channels="sum")
    start_from(more, tmp_path / "colour.safetensors", channels="repeat")
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = colour.eval()(images.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey.eval()(images), expected)
        torch.testing.assert_close(more.eval()(images.expand(-1, 6, -1, -1)), expected)


def rates(special):
    network = make_network(MLP, SHAPE, N_CLASSES)
    groups = parameter_groups(network, 0.1, special=special)
    names = {id(of): name for name, of in network.named_parameters()}
    return {names[id(of)]: group.learning_rate for group in groups for of in group.parameters}


def test_groups_are_frozen_or_have_a_rate_of_their_own_and_the_first_that_matches_counts():
    frozen = {"match": "fc1.*", "learning_rate": None, "frozen": True}
    faster = {"match": "*.weight", "learning_rate": 0.5, "frozen": False}
    assert rates([frozen, faster]) == {
        "fc2.0.weight": 0.5, "fc2.0.bias": 0.1, "readout.weight": 0.5, "readout.bias": 0.1,
    }  # fmt: skip
    with pytest.raises(LatentgenError, match=r"'fc9\.\*' matches no parameter; the nearest are fc2"):
        rates([frozen | {"match": "fc9.*"}])
    with pytest.raises(LatentgenError, match="all parameters are frozen"):
        rates([frozen | {"match": "*"}])


def test_a_group_is_trained_as_torch_does():
    special = [
        {"match": "fc1.*", "learning_rate": None, "frozen": True},
        {"match": "readout.*", "learning_rate": 0.2, "frozen": False},
    ]
    network = make_network(MLP, SHAPE, N_CLASSES, seed=5)
    train_here(
        network, DATA, optimizer={"name": "SGD", "learning_rate": 0.05, "momentum": 0.9}, batch_size=103,
        shuffle=False, max_epochs=3, stop=None, checkpoints=[3], seed=5, groups=special,
    )  # fmt: skip
    expected = make_network(MLP, SHAPE, N_CLASSES, seed=5)
    rest = {"params": expected.fc2.parameters()}
    head = {"params": expected.readout.parameters(), "lr": 0.2}
    optimizer = torch.optim.SGD([rest, head], 0.05, 0.9)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(expected(DATA.train_inputs), DATA.corrupted_labels).backward()
        optimizer.step()
    for name, of in network.state_dict().items():
        torch.testing.assert_close(of, expected.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused_before_a_study_starts(study, tmp_path, pretrained):
    pair = study["pairs"][0]
    path, _ = pretrained
    pair["initial_weights"] = {"file": str(path), "prefix": "trunk."}
    read = read_study(study)
    check_trainings(read)
    (run, *_) = read.runs.values()
    assert run.start == {"new_layer": "readout", "prefix": "trunk."}
    pair["initial_weights"]["channels"] = "sum"
    assert next(iter(read_study(study).runs.values())).start == {**run.start, "channels": "sum"}
    pair["initial_weights"]["readout"] = "given"
    with pytest.raises(LatentgenError, match=r"(?s)digits-mlp: The weights in .* readout\.weight is 7 × 16"):
        check_trainings(read_study(study))
    pair["initial_weights"] = {"file": str(tmp_path / "none.pt")}
    with pytest.raises(LatentgenError, match=r"none\.pt does not exist"):
        check_trainings(read_study(study))
    pair["initial_weights"] = {"file": "weights.bin"}
    with pytest.raises(LatentgenError, match=r"initial_weights\.file: must end with \.safetensors"):
        read_study(study)
    del pair["initial_weights"]
    pair["training"]["groups"] = [{"match": "head.*", "frozen": True}]
    with pytest.raises(LatentgenError, match=r"training\.groups: 'head\.\*' matches no parameter"):
        check_trainings(read_study(study))
    pair["training"]["groups"] = [{"match": "fc1.*"}]
    with pytest.raises(LatentgenError, match=r"groups\[0\]: give either learning_rate or frozen: true"):
        read_study(study)
