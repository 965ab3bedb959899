"""Activations of a stored layer, whole or in parts: the same examples in the same order."""

import h5py
import numpy as np
import pytest
import torch

from latentgen.networks.activation_files import create
from latentgen.probes.stored import StoredLayer, groups, joined
from latentgen.probes.subspaces import class_subspaces

N_CLASSES, WIDTH, SIZES = 5, 12, {"train": 3000, "test": 1100}


@pytest.fixture
def layer(numbers, tmp_path):
    """Return a stored layer of some chunks, and labels of which the fourth does not occur."""
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        for split, size in SIZES.items():
            X = numbers.normal(size=(size, WIDTH)).astype("float32")
            create(file, f"0/fc/{split}", X.shape, "float32")[...] = X
        labels = numbers.integers(N_CLASSES, size=SIZES["train"])
        labels[labels == 3] = 0
        yield file["0/fc"], labels


def bytes_of(examples):
    return examples * WIDTH * 4


@pytest.mark.parametrize("examples", [1, 1500, 3000, 4000, None])
def test_groups_of_classes_hold_every_example_once_in_its_order(layer, examples):
    stored, labels = layer
    data = StoredLayer(stored, torch.device("cpu"), None if examples is None else bytes_of(examples))
    found = list(data.class_groups(labels, N_CLASSES))
    assert [c for group in found for c in range(N_CLASSES)[group.classes]] == list(range(N_CLASSES))
    for group in found:
        for c in range(N_CLASSES)[group.classes]:
            X = group.X[group.labels == c - group.classes.start]
            np.testing.assert_array_equal(X, stored["train"][...][labels == c])
    if examples is not None:
        most = max(np.bincount(labels).max(), examples // 2)
        assert all(len(group.X) <= most for group in found)
        assert len(found) > 1


class CountsReads:
    """A stored split that counts the examples that are read."""

    def __init__(self, stored):
        self._stored, self.n_read = stored, 0

    def __getattr__(self, name):
        return getattr(self._stored, name)

    def __len__(self):
        return len(self._stored)

    def __getitem__(self, rows):
        self.n_read += rows.stop - rows.start
        return self._stored[rows]


class Splits(dict):
    """Stored splits by name, as in a file."""

    file: h5py.File


def test_the_stored_examples_are_read_once_however_many_groups_there_are(layer):
    stored, labels = layer
    splits = Splits(train=CountsReads(stored["train"]), test=stored["test"])
    splits.file = stored.file
    data = StoredLayer(splits, torch.device("cpu"), 1)
    assert len(list(data.class_groups(labels, N_CLASSES))) > 2
    assert splits["train"].n_read == SIZES["train"]


@pytest.mark.parametrize("examples", [1, 3000, None])
def test_blocks_hold_every_example_once_in_its_order(layer, examples):
    stored, _ = layer
    data = StoredLayer(stored, torch.device("cpu"), None if examples is None else bytes_of(examples))
    for split, size in SIZES.items():
        assert sum(map(len, data.blocks(split))) == size
        np.testing.assert_array_equal(torch.cat(list(data.blocks(split))), stored[split][...])
        some = np.array([0, 1, 7, size - 2])
        np.testing.assert_array_equal(torch.cat(list(data.blocks(split, some))), stored[split][...][some])


def test_chosen_examples_come_in_as_few_blocks_as_have_room(layer):
    stored, _ = layer
    data = StoredLayer(stored, torch.device("cpu"), bytes_of(2000))
    assert len(list(data.blocks("train"))) == 3
    some = np.arange(0, SIZES["train"], 4)
    assert [len(block) for block in data.blocks("train", some)] == [len(some)]


def test_tensors_are_joined_up_to_a_number_of_rows():
    parts = [torch.arange(n) for n in (2, 3, 9, 1, 4, 2)]
    together = list(joined(parts, 5))
    assert [len(block) for block in together] == [5, 9, 5, 2]
    assert torch.equal(torch.cat(together), torch.cat(parts))
    assert list(joined([], 5)) == []


def test_a_layer_that_fits_is_read_once(layer):
    data = StoredLayer(layer[0], torch.device("cpu"), bytes_of(sum(SIZES.values())))
    assert not data.is_in_parts
    assert data.whole("train") is data.whole("train")


def test_subspaces_on_disk_are_those_in_memory(layer):
    stored, labels = layer
    X = torch.from_numpy(stored["train"][...])
    found = class_subspaces(X, labels, N_CLASSES, variance=0.8)
    assert any(subspace.complement is not None for subspace in found)
    data = StoredLayer(stored, torch.device("cpu"), 1)
    for subspace, on_disk in zip(found, data.kept(found), strict=True):
        assert torch.equal(on_disk.basis, subspace.basis)
        assert (on_disk.complement is None) == (subspace.complement is None)
        if subspace.complement is not None:
            assert torch.equal(on_disk.complement, subspace.complement)
        assert on_disk.components_for(0.5) == subspace.components_for(0.5)


def test_a_full_disk_is_an_error_that_says_so(layer, monkeypatch):
    stored, labels = layer
    found = class_subspaces(torch.from_numpy(stored["train"][...]), labels, N_CLASSES, variance=0.8)
    monkeypatch.setattr("latentgen.probes.stored.TemporaryFile", lambda dir: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        StoredLayer(stored, torch.device("cpu"), 1).kept(found)
    with pytest.raises(OSError, match="No space left"):
        list(StoredLayer(stored, torch.device("cpu"), 1).class_groups(labels, N_CLASSES))


def test_groups_are_as_large_as_they_may_be():
    assert list(groups([0, 3, 3, 3, 10, 1, 0], 6)) == [slice(0, 3), slice(3, 4), slice(4, 5), slice(5, 7)]
