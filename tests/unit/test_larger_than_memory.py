"""Examples that are read from their file as they are needed give the bits that examples in memory give."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from latentgen.data import inputs as data_inputs
from latentgen.data import stored_inputs
from latentgen.data.datasets import Dataset, read_dataset, subset, write_dataset
from latentgen.data.labels import Labels
from latentgen.data.noise.registry import corrupt
from latentgen.errors import DamagedFileError
from latentgen.interventions.edits import data_for_vectors
from latentgen.networks import examples, ranges
from latentgen.networks.activations import layer_activations, write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint
from latentgen.networks.examples import StoredExamples, taken
from latentgen.networks.forward import dataset_inputs
from latentgen.networks.ranges import Range
from latentgen.training.data import training_data, training_identity
from trainings import train_here

CPU = torch.device("cpu")
RNG = np.random.default_rng(3)
N, N_CLASSES = 70, 4
KINDS = {
    "grey": RNG.integers(256, size=(N, 1, 8, 8), dtype=np.uint8),
    "colour": RNG.integers(256, size=(N, 3, 8, 8), dtype=np.uint8),
    "float16": RNG.normal(size=(N, 7)).astype(np.float16),
    "float32": RNG.normal(size=(N, 7)).astype(np.float32),
    "float64": RNG.normal(size=(N, 7)),
    "tokens": RNG.integers(9, size=(N, 5)).astype(np.int32),
}
AUGMENTED = {"crop": 1, "flip": True, "cutout": 3, "mixup": 0.5}


def made(kind):
    """Return a data set of a kind, with held-out examples."""
    labels = RNG.integers(N_CLASSES, size=N)
    arrays = KINDS[kind]
    whole = Dataset(
        "made", arrays[:50], labels[:50], arrays[50:], labels[50:], np.arange(50), np.arange(20),
        tuple("abcd"), 255 if arrays.dtype == np.uint8 else 0, "here", {},
        vocabulary=9 if kind == "tokens" else 0,
    )  # fmt: skip
    return subset(whole, held_out=10)


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Return a function that writes a data set and reads it twice: into memory, and mapped."""

    def read(kind):
        write_dataset(tmp_path / "made.h5", made(kind))
        in_memory = read_dataset(tmp_path / "made.h5")
        monkeypatch.setattr(data_inputs, "IN_MEMORY", 0)
        monkeypatch.setattr(examples, "READ_BYTES", 700)  # several batches at a time, or a part of one
        return in_memory, read_dataset(tmp_path / "made.h5")

    return read


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_keeps_its_type_in_one_piece_that_can_be_mapped(both, kind, tmp_path):
    in_memory, mapped = both(kind)
    for split in ("train", "test"):
        one, other = (getattr(data, f"{split}_inputs") for data in (in_memory, mapped))
        assert isinstance(other, np.memmap)
        assert not isinstance(one, np.memmap)
        assert one.dtype == other.dtype == KINDS[kind].dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(in_memory.held_out.inputs, mapped.held_out.inputs)
    with h5py.File(tmp_path / "made.h5") as file:
        stored = next(file[name] for name in file if name.startswith("train_") and file[name].ndim > 1)
        assert stored.chunks is None
        assert stored.id.get_offset()


def test_a_mapped_data_set_that_is_damaged_is_noticed(both, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_inputs, "CHECKED_BYTES", 1000)  # several blocks, the last one smaller
    _, mapped = both("colour")
    path = tmp_path / "made.h5"
    content = bytearray(path.read_bytes())
    content[content.find(mapped.train_inputs[-1].tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="damaged"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("kind", "normalize"),
    [
        *((kind, None) for kind in KINDS),
        *((kind, "training") for kind in KINDS if kind != "tokens"),
        ("colour", {"mean": [0.4] * 3, "std": [0.2] * 3}),
    ],
)
def test_what_a_network_sees_is_the_same(both, kind, normalize):
    data = both(kind)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for split in ("train", "test", "held_out"):
        mapped = dataset_inputs(data[1], split, (-1, 1), CPU, normalize)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(data_inputs, "IN_MEMORY", 10**9)
            expected = dataset_inputs(data[0], split, (-1, 1), CPU, normalize)
        assert isinstance(mapped, StoredExamples)
        assert len(mapped) == len(expected)
        for rows in (slice(2, 9), slice(0, 1), order[order < len(mapped)][:5]):
            assert torch.equal(mapped[rows], expected[rows])
            assert mapped[rows].stride() == expected[rows].stride()
            assert mapped[rows].dtype == expected[rows].dtype


def test_a_range_of_what_does_not_fit_is_not_held_either(both, monkeypatch):
    _, mapped = both("float32")
    monkeypatch.setattr(ranges, "CHUNK_ITEMS", 8)
    monkeypatch.setattr(data_inputs, "IN_MEMORY", 40 * 7 * 4 - 1)
    parts = [dataset_inputs(mapped, "train", (-1, 1), CPU, part=Range(position, 2)) for position in (0, 1)]
    assert all(isinstance(part, StoredExamples) for part in parts)
    whole = dataset_inputs(mapped, "train", (-1, 1), CPU)
    assert torch.equal(torch.cat([part[:] for part in parts]), whole[:])


@pytest.mark.parametrize("order", [None, torch.randperm(40, generator=torch.Generator().manual_seed(2))])
def test_batches_come_in_order_whatever_is_read_at_a_time(both, order):
    in_memory, mapped = both("colour")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_inputs, "IN_MEMORY", 10**9)
        expected = dataset_inputs(in_memory, "train", (0, 1), CPU)
    stored = dataset_inputs(mapped, "train", (0, 1), CPU)
    for size in (1, 3, 16, 100):
        spans = [slice(start, start + size) for start in range(3, 40, size)]
        batches = list(taken(stored, spans, order))
        assert len(batches) == len(spans)
        for batch, other in zip(batches, taken(expected, spans, order), strict=True):
            assert torch.equal(batch, other)


def test_a_reader_that_fails_says_so(both):
    _, mapped = both("grey")
    stored = dataset_inputs(mapped, "train", (0, 1), CPU)
    with pytest.raises(IndexError):
        list(taken(stored, [slice(0, 3)], torch.tensor([1, 2, 99])))


@pytest.mark.parametrize(
    ("kind", "model", "changed"),
    [
        ("grey", {"architecture": "CNN"}, {}),
        ("grey", {"architecture": "CNN"}, {"shuffle": False}),
        ("colour", {"architecture": "CNN"}, {"augment": AUGMENTED, "accumulate": 2}),
        ("float16", {"architecture": "MLP", "widths": [9, 8]}, {}),
        ("tokens", {"architecture": "Transformer", "dim": 8, "depth": 1, "heads": 2}, {}),
    ],
)
def test_training_gives_the_same_bits(both, kind, model, changed):
    datasets = both(kind)
    plan = {
        "optimizer": {"name": "SGD", "learning_rate": 0.05, "momentum": 0.9},
        "batch_size": 8,
        "shuffle": True,
        "max_epochs": 3,
        "stop": None,
        "checkpoints": (1,),
        "seed": 5,
        "patience": 2,
        "stop_by": "held_out",
    }
    found = []
    for dataset, limit in zip(datasets, (10**9, 0), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(data_inputs, "IN_MEMORY", limit)
            data = training_data(dataset, labels_of(dataset), (-1, 1), CPU)
        assert isinstance(data.train_inputs, StoredExamples) == (limit == 0)
        network = make_network(model, dataset.input_shape, N_CLASSES, seed=5)
        result, _ = train_here(network, data, **plan | changed)
        history = [replace(record, seconds=0) for record in result.history]
        found.append((history, network.state_dict(), training_identity({}, dataset, labels_of(dataset), CPU)))
    (one, weights, identity), (other, mapped_weights, mapped_identity) = found
    assert one == other
    assert identity == mapped_identity
    assert all(torch.equal(weights[name], mapped_weights[name]) for name in weights)


def labels_of(dataset):
    corrupted = corrupt(dataset.train_labels, N_CLASSES, "symmetric", 0.4, seed=1)
    return Labels(corrupted.true, corrupted.corrupted, corrupted.redrawn, held_out=dataset.held_out.labels)


def test_activations_are_the_same(both, tmp_path):
    datasets = both("colour")
    network = make_network({"architecture": "CNN"}, datasets[0].input_shape, N_CLASSES, seed=1)
    save_checkpoint(tmp_path / "checkpoints", "run", 0, network)
    paths = checkpoint_paths(tmp_path / "checkpoints")
    found = []
    for dataset, limit in zip(datasets, (10**9, 0), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(data_inputs, "IN_MEMORY", limit)
            inputs = {s: dataset_inputs(dataset, s, (-1, 1), CPU) for s in ("train", "test", "held_out")}
        with h5py.File(tmp_path / f"{limit}.h5", "w") as file:
            write_activations(file, network, paths, inputs, ["fc1", "fc2"])
            found.append({name: file[f"0/{name}"][...] for name in ("fc1/train", "fc2/test", "fc2/held_out")})
        found[-1]["alone"] = layer_activations(network, inputs["train"], "fc2").numpy()
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name])


def test_a_part_of_mapped_examples_stays_mapped(both):
    _, mapped = both("grey")
    data = training_data(mapped, labels_of(mapped), (-1, 1), CPU)
    half = data_for_vectors(data, 0.5, seed=3)
    assert isinstance(half.train_inputs, StoredExamples)
    assert len(half.train_inputs) == 20
    rows = [int((data.train_inputs[:] == row).flatten(1).all(1).nonzero()) for row in half.train_inputs[:]]
    assert torch.equal(half.corrupted_labels, data.corrupted_labels[rows])
