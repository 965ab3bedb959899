"""Data sets of vectors and of token ids: read, kept as they are, seen by networks and probes, or refused."""

import numpy as np
import pytest
import torch
from torch import nn

from latentgen.data.custom import check, custom_info, read_custom_data
from latentgen.data.datasets import read_dataset, subset, write_dataset
from latentgen.data.inputs import Tokens
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.errors import LatentgenError
from latentgen.jobs.resources import job_size
from latentgen.networks.activations import captured, layer_activations
from latentgen.networks.adapted import Adapted
from latentgen.networks.architectures import make_network
from latentgen.networks.forward import dataset_inputs
from latentgen.networks.layer_choice import LayerPattern
from latentgen.networks.pooling import pooled
from latentgen.networks.tokens import BagOfWords
from latentgen.networks.trial import measure
from latentgen.study.config import read_study
from latentgen.study.first_examples import first_examples

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")
VECTORS = RNG.normal(5, 3, (40, 6))
IDS = RNG.integers(1, 11, (40, 7))
IDS[:, 5:] = 0
IDS[3, 1:] = 0
LABELS = np.arange(40) % 2


@pytest.fixture
def save(tmp_path):
    def saved(kind, inputs, labels=LABELS, **more):
        path = tmp_path / "mine.npz"
        parts = {f"train_{kind}": inputs[:30], "train_labels": labels[:30]}
        np.savez(path, **parts, **{f"test_{kind}": inputs[30:], "test_labels": labels[30:]}, **more)
        return path

    return saved


def refused(path):
    with pytest.raises(LatentgenError) as error:
        read_custom_data("mine", path)
    return str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_are_kept_as_they_are(save, tmp_path, dtype):
    dataset = read_custom_data("mine", save("vectors", VECTORS.astype(dtype)))
    write_dataset(tmp_path / "mine.h5", dataset)
    again = read_dataset(tmp_path / "mine.h5")
    assert again.train_inputs.dtype == dtype
    assert (again.train_inputs == VECTORS[:30].astype(dtype)).all()
    assert again.input_shape == (6,)
    seen = dataset_inputs(again, "test", (-1, 1), CPU)
    assert seen.dtype == torch.float32
    assert torch.equal(seen, torch.from_numpy(VECTORS[30:].astype(dtype).astype(np.float32)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardization_is_fitted_on_the_training_part(save, dtype):
    inputs = VECTORS.astype(dtype)
    inputs[:, 4] = 7.0  # does not vary
    inputs[30:] += 100
    dataset = read_custom_data("mine", save("vectors", inputs))
    train, test = (dataset_inputs(dataset, part, (-1, 1), CPU, "training") for part in ("train", "test"))
    assert np.array_equal(dataset.train_inputs, inputs[:30]), "what was read stays as it is"
    mean, spread = inputs[:30].mean(0), inputs[:30].std(0)
    spread[4] = 1
    np.testing.assert_allclose(train, (inputs[:30] - mean) / spread, atol=1e-5)
    np.testing.assert_allclose(test, (inputs[30:] - mean) / spread, rtol=1e-5, atol=1e-4)


def test_of_a_part_its_own_training_examples_count(save):
    dataset = subset(read_custom_data("mine", save("vectors", VECTORS)), train_items=11)
    train = dataset_inputs(dataset, "train", (-1, 1), CPU, "training")
    np.testing.assert_allclose(train.mean(0), np.zeros(6), atol=1e-6)
    np.testing.assert_allclose(train.std(0, unbiased=False), np.ones(6), atol=1e-5)


def test_tokens_are_kept_with_their_vocabulary_and_padding(save, tmp_path):
    words = np.array(["<pad>", *"abcdefghijkl"])
    path = save("tokens", IDS.astype(np.uint16), vocabulary=words, padding=np.array(0))
    dataset = read_custom_data("mine", path)
    write_dataset(tmp_path / "mine.h5", dataset)
    again = read_dataset(tmp_path / "mine.h5", "train")
    assert again.input_shape == Tokens(7, 13, 0)
    assert again.train_inputs.dtype == np.int32
    assert (again.train_inputs == IDS[:30]).all()
    seen = dataset_inputs(again, "train", (-1, 1), CPU)
    assert seen.dtype == torch.int64


def test_what_is_not_divided_is_divided_for_every_kind(tmp_path):
    for kind, inputs in (("vectors", VECTORS), ("tokens", IDS)):
        np.savez(tmp_path / "mine.npz", **{kind: inputs, "labels": LABELS})
        dataset = read_custom_data("mine", tmp_path / "mine.npz")
        assert (len(dataset.train_inputs), len(dataset.test_inputs)) == (32, 8)
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / f"{kind}.npy", inputs)
        np.save(tmp_path / kind / "labels.npy", LABELS)
        assert read_custom_data("mine", tmp_path / kind).checksums == dataset.checksums


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("vectors", VECTORS[:, :, None], r"have shape (30, 6, 1); it must be examples × numbers"),
        ("vectors", np.where(VECTORS > 9, np.nan, VECTORS), "NaN or infinite, first at index"),
        ("vectors", VECTORS.astype(complex), "are complex128; vectors must be floating-point"),
        ("vectors", VECTORS * 1e300, "too large for float32"),
        ("vectors", VECTORS[:29], "There are 29 train_vectors"),
        ("tokens", VECTORS, "are float64; token ids must be integers from 0 up"),
        ("tokens", IDS - 1, "have ids from -1 up, but ids begin at 0. If -1 pads short sequences, add 1"),
        ("tokens", IDS * 10**7, "ids up to"),
        ("tokens", IDS[0], "it must be examples × token ids"),
    ],
)
def test_other_arrays_are_refused(save, kind, inputs, said):
    assert said in refused(save(kind, inputs))


def test_a_vocabulary_that_is_too_small_is_refused(save):
    words = np.array(list("abcde"))
    assert "vocabulary of 5 words, but token ids up to 10" in refused(save("tokens", IDS, vocabulary=words))
    assert "padding in" in refused(save("tokens", IDS, padding=np.array(50)))


def test_two_kinds_in_one_file_are_refused(save):
    said = refused(save("tokens", IDS, train_vectors=VECTORS))
    assert "has train_vectors and train_tokens: keep one of these" in said


def test_the_check_recognizes_each_kind_and_its_block_is_right(save):
    import yaml

    for kind, inputs, more in (
        ("vectors", VECTORS, {}),
        ("tokens", IDS, {"padding": np.array(0)}),
    ):
        path = save(kind, inputs, **more)
        said = check(str(path))
        (pair,) = yaml.safe_load(said)
        own = pair["dataset"]["own"]
        assert own["kind"] == kind
        info = custom_info("mine", **own)
        assert info.read(info, path, False).input_shape == info.shape
    assert own["vocabulary"] == 11
    assert own["padding"] == 0
    assert (
        "30 training and 10 test sequences of 7 tokens, ids below 11, 0 being padding, in 2 classes" in said
    )
    del own["padding"]
    assert "No array padding" in check(str(save("tokens", IDS)))


def test_padding_and_a_larger_vocabulary_may_be_stated(save):
    path = save("tokens", IDS)
    own = {"path": str(path), "kind": "tokens", "shape": [7], "classes": 2, "train": 30, "test": 10}
    info = custom_info("mine", **own, vocabulary=50, padding=0)
    assert info.read(info, path, False).input_shape == Tokens(7, 50, 0)
    small = custom_info("mine", **own, vocabulary=9)
    with pytest.raises(LatentgenError, match="vocabulary: 11"):
        small.read(small, path, False)


class Pooled(nn.Module):
    """A small classifier of token ids, as anyone might write it, that averages without the padding."""

    def __init__(self, vocabulary=11):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 5)
        self.fc = nn.Linear(5, 8)
        self.out = nn.Linear(8, 2)
        self.seen_mask = None

    def forward(self, input_ids, attention_mask=None):
        self.seen_mask = attention_mask
        x = torch.relu(self.fc(self.embedding(input_ids)))
        return self.out((x * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True))


def test_a_mask_reaches_the_network_and_the_pooling():
    body = Pooled()
    network = Adapted(body, "out", False, Tokens(7, 11, 0))
    ids = torch.from_numpy(IDS)
    layers = ["input", "embedding", "fc:mean", "embedding:mean", "fc:last", "readout_input"]
    with captured(network, layers) as outputs, torch.no_grad():
        network(ids)
    assert torch.equal(body.seen_mask, (ids != 0).long())
    one = body.embedding(ids[3, 0])
    assert torch.allclose(outputs["embedding:mean"][3], one)
    assert torch.equal(outputs["embedding"][3], torch.cat([one, torch.zeros(6 * 5)]))
    assert torch.allclose(outputs["fc:last"][3], body.fc(one), atol=1e-6)
    assert outputs["fc:mean"].shape == (40, 8)
    counts = np.stack([np.bincount(row[row != 0], minlength=11) for row in IDS])
    assert torch.equal(outputs["input"], torch.from_numpy(counts).float())
    assert torch.equal(layer_activations(network, ids, "input"), outputs["input"])


@pytest.mark.parametrize("pool", ["flatten", "mean", "max", "cls", "last"])
def test_every_pool_leaves_padding_out(pool):
    outputs = torch.rand(3, 4, 2) - 2
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
    found = pooled(outputs, pool, mask)
    changed = outputs.clone()
    changed[~mask] = 100.0
    if pool != "cls":  # the first token is what it is
        assert torch.equal(pooled(changed, pool, mask)[[0, 2]], found[[0, 2]])
    three, two = outputs[0, :3], outputs[2, 1:3]
    expected = {
        "flatten": (torch.cat([three.flatten(), torch.zeros(2)]), None),
        "mean": (three.mean(0), two.mean(0)),
        "max": (three.amax(0), two.amax(0)),
        "cls": (three[0], None),
        "last": (three[2], two[1]),
    }[pool]
    for row, right in zip((0, 2), expected, strict=True):
        assert right is None or torch.allclose(found[row], right)
    if pool in ("mean", "max", "flatten"):
        assert not found[1].any(), "of nothing but padding"


def test_a_bag_of_words_counts_without_padding():
    counts = BagOfWords(4, padding=0)(torch.tensor([[1, 3, 1, 0], [0, 0, 0, 2]]))
    assert counts.tolist() == [[0, 2, 0, 1], [0, 0, 1, 0]]
    assert BagOfWords(4)(torch.tensor([[1, 0]])).tolist() == [[1, 1, 0, 0]]


def test_a_trial_measures_networks_of_tokens_as_they_will_be_probed():
    layers = ["input", LayerPattern(match="embedding", pool=("flatten", "mean")), "readout_input"]
    found = measure(Pooled, Tokens(7, 11, 0), 2, layers, None)
    assert found["widths"] == {"input": 11, "embedding": 35, "embedding:mean": 5, "readout_input": 8}
    usual = measure(Pooled, Tokens(7, 11, 0), 2, None, None)
    assert usual["widths"] == {"embedding:mean": 5, "fc:mean": 8, "readout_input": 8}
    with pytest.raises(LatentgenError, match=r"cannot take sequences of 7 token ids up to \d+ \(in eval"):
        measure(lambda: Pooled(vocabulary=3), Tokens(7, 11, 0), 2, None, None)


def test_a_trial_takes_the_examples_it_is_given():
    rare = torch.full((4, 7), 2)
    assert (
        measure(lambda: Pooled(vocabulary=3), Tokens(7, 11, 0), 2, None, None, examples=rare)["readout"]
        == "out"
    )


@pytest.mark.parametrize(("kind", "width"), [("vectors", 6), ("tokens", 11)])
def test_an_mlp_takes_every_kind(save, kind, width):
    inputs, more = (VECTORS, {}) if kind == "vectors" else (IDS, {"padding": np.array(0)})
    dataset = read_custom_data("mine", save(kind, inputs, **more))
    network = make_network({"architecture": "MLP", "widths": [4]}, dataset.input_shape, 2)
    seen = dataset_inputs(dataset, "train", (-1, 1), CPU)
    raw = layer_activations(network, seen, "input")
    assert raw.shape == (30, width)
    if kind == "tokens":
        assert raw.sum() == (IDS[:30] != 0).sum()


def study_of(own, model, **more):
    return {
        "study": "kinds",
        "seeds": [1],
        "noise": [{"kind": "symmetric", "p": [0.4]}],
        "pairs": [
            {
                "dataset": {"name": "mine", "own": own, **more},
                "model": model,
                "training": {
                    "optimizer": {"name": "SGD", "learning_rate": 0.01}, "batch_size": 10, "max_epochs": 2
                },
            }
        ],
    }  # fmt: skip


OWN = {"path": "mine.npz", "classes": 2, "train": 30, "test": 10}
OF_VECTORS = OWN | {"kind": "vectors", "shape": [6]}
OF_TOKENS = OWN | {"kind": "tokens", "shape": [7], "vocabulary": 11}
MLP = {"architecture": "MLP", "widths": [4]}


def test_a_study_knows_widths_and_sizes_of_every_kind():
    for own, width in ((OF_VECTORS, 6), (OF_TOKENS, 11)):
        (run,) = read_study(study_of(own, MLP | {"layers": ["input", "fc1"]})).runs.values()
        assert run.layers == {"input": width, "fc1": 4}
        assert job_size("train", run).megabytes < 1000


@pytest.mark.parametrize(
    ("own", "model", "more", "said"),
    [
        (OF_VECTORS, {"architecture": "CNN"}, {}, "CNN takes images; mine has vectors of 6 numbers"),
        (
            OF_TOKENS,
            {"architecture": "torchvision", "network": "resnet18"},
            {},
            "torchvision takes images; mine has sequences of 7 token ids below 11",
        ),
        (OF_VECTORS | {"shape": [1, 2, 3]}, MLP, {}, "shape: for vectors, it must be one number"),
        (
            OF_TOKENS | {"kind": "images", "shape": [1, 2, 3]},
            MLP,
            {},
            "vocabulary and padding are for tokens",
        ),
        ({**OF_TOKENS, "vocabulary": None}, MLP, {}, "tokens need a vocabulary"),
        (OF_TOKENS | {"padding": 11}, MLP, {}, "padding must be one of the ids"),
        (OF_TOKENS, MLP, {"normalize": "training"}, "tokens cannot be normalized"),
        (OF_VECTORS, MLP, {"normalize": "imagenet"}, "vectors cannot be normalized in this way"),
        (OF_VECTORS, MLP, {"normalize": "training", "input_range": [0, 1]}, "input_range or normalize, not"),
    ],
)
def test_what_does_not_fit_together_is_refused(own, model, more, said):
    with pytest.raises(LatentgenError, match=said):
        read_study(study_of(own, model, **more))


def test_instance_noise_takes_vectors_and_refuses_tokens(save):
    dataset = read_custom_data("mine", save("vectors", VECTORS))
    labels = corrupt_dataset(dataset, kind="instance", p=0.4, seed=1)
    assert 0 < (labels.corrupted != labels.true).sum() < 30
    study = study_of(OF_TOKENS, MLP) | {"noise": [{"kind": "instance", "p": [0.4]}]}
    with pytest.raises(LatentgenError, match="instance noise needs images or vectors; mine has tokens"):
        read_study(study)


def test_custom_networks_are_tried_with_the_first_examples_of_the_data(save, tmp_path, monkeypatch):
    path = save("vectors", VECTORS)
    own = OF_VECTORS | {"path": str(path)}
    dataset = read_study(study_of(own, MLP)).pairs[0].dataset
    assert torch.equal(first_examples(dataset, 2), torch.from_numpy(VECTORS[:2]).float())
    normalized = read_study(study_of(own, MLP, normalize="training")).pairs[0].dataset
    mean, spread = VECTORS[:30].mean(0), VECTORS[:30].std(0)
    np.testing.assert_allclose(first_examples(normalized, 2), (VECTORS[:2] - mean) / spread, atol=1e-5)
    missing = read_study(study_of(OF_VECTORS | {"path": "none.npz"}, MLP)).pairs[0].dataset
    assert first_examples(missing, 2) is None


def test_the_layers_of_a_network_are_listed_for_every_kind():
    from latentgen.cli.layers import layer_shapes

    shapes, _ = layer_shapes("MLP", {"widths": [4]}, (6,), 2, None)
    assert shapes == {"input": (6,), "fc1": (4,)}
    shapes, _ = layer_shapes("MLP", {"widths": [4]}, Tokens(7, 11), 2, None)
    assert shapes == {"input": (11,), "fc1": (4,)}
    with pytest.raises(LatentgenError, match="CNN cannot take vectors of 6 numbers"):
        layer_shapes("CNN", {}, (6,), 2, None)


@pytest.mark.parametrize(("kind", "inputs"), [("vectors", VECTORS.astype(np.float32)), ("tokens", IDS)])
def test_audits_read_every_kind(save, kind, inputs):
    from latentgen.repairing.reading import read_examples

    read, labels = read_examples(save(kind, inputs))
    assert np.array_equal(read, inputs[:30])
    assert np.array_equal(labels, LABELS[:30])
