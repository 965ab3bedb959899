"""Audit and repair of torch data sets, and of networks that return their logits in different forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from latentgen import audit, repair
from latentgen.errors import LatentgenError
from latentgen.repairing.features import logits_of
from latentgen.repairing.torch_data import of_dataset

TO_TENSOR = transforms.ToTensor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Grey images of two classes, cats darker than dogs."""
    path, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name, darkest in (("cat", 0), ("dog", 100)):
        (path / name).mkdir()
        for number in range(30):
            pixels = rng.integers(darkest, darkest + 150, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{number:02}.png")
    return path


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


def test_a_data_set_gives_the_same_as_its_arrays(folder, network):
    data = ImageFolder(folder, TO_TENSOR)
    inputs = torch.stack([image for image, _ in data])
    names = [data.classes[label] for label in data.targets]
    train, held_out = list(range(0, 60, 2)), list(range(1, 60, 2))
    with pytest.warns(UserWarning, match="only 30 held-out"):
        found = audit(network, Subset(data, train), held_out=Subset(data, held_out))
    labels = torch.tensor(data.targets)
    with pytest.warns(UserWarning, match="only 30 held-out"):
        expected = audit(network, inputs[train], labels[train], (inputs[held_out], labels[held_out]))
    pd.testing.assert_frame_equal(found.table, expected.table)
    by_name = audit(network, data)
    assert by_name.table["given"].tolist() == names
    assert by_name.classes == ("cat", "dog")
    pd.testing.assert_frame_equal(by_name.table, audit(network, inputs, names).table)


def test_labels_beside_a_data_set_are_taken_in_place_of_its_own(folder, network):
    data = ImageFolder(folder, TO_TENSOR)
    other = ["cat"] * 10 + ["dog"] * 50
    assert audit(network, data, other).table["given"].tolist() == other
    assert audit(network, TensorDataset(torch.rand(60, 108)), other).table["given"].tolist() == other


def test_a_network_is_repaired_with_data_sets(network):
    X = torch.randn(600, 108)
    data = TensorDataset(X, (X[:, 0] > 0).long())
    fixed = repair(network, Subset(data, range(300)), held_out=Subset(data, range(300, 600)))
    assert fixed.gain.value > 0.1


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class Unequal(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, place):
        return torch.zeros(1 + place, 4), 0


RANDOM = transforms.Compose([transforms.RandomHorizontalFlip(), TO_TENSOR])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda path: ImageFolder(path, RANDOM), "transforms are random. Use those of evaluation"),
        (lambda path: ImageFolder(path), r"are Images. Let the transforms end in tensors.*ToTensor"),
        (
            lambda path: DataLoader(ImageFolder(path, TO_TENSOR)),
            r"a DataLoader.*Give its data set: \.dataset",
        ),
        (lambda _: TensorDataset(torch.rand(0, 4)), "an empty data set"),
        (lambda _: Stream(), "without a length"),
        (lambda _: Unequal(), r"different shapes, such as \(1, 4\) and \(2, 4\). Resize or pad"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_refused(made, message, folder):
    torch.manual_seed(0)
    with pytest.raises(LatentgenError, match=message):
        of_dataset(made(folder), "inputs")


def test_inputs_without_labels_are_refused(network):
    with pytest.raises(LatentgenError, match="inputs have no labels"):
        audit(network, torch.rand(10, 108))
    with pytest.raises(LatentgenError, match="held-out inputs have no labels"):
        audit(network, torch.rand(10, 108), np.arange(10) % 2, TensorDataset(torch.rand(5, 108)))


def test_logits_are_found_by_their_name():
    logits = torch.rand(3, 2)
    assert logits_of({"loss": torch.zeros(()), "logits": logits}) is logits


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda network: network.append(nn.Linear(2, 1)), "one output for two classes. Put a module around"),
        (lambda network: network.append(nn.Linear(2, 1)).append(nn.Flatten(0)), "one output for two classes"),
        (lambda network: network.bfloat16(), r"weights are torch.bfloat16. Give network.float\(\)"),
        (torch.jit.script, "TorchScript, which hides its layers"),
        (lambda network: network.append(nn.Unflatten(1, (1, 2))), r"a tensor of shape \(2, 1, 2\); it must"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused(changed, message, network):
    with pytest.raises(LatentgenError, match=message):
        audit(changed(network), torch.rand(10, 108), np.arange(10) % 2)
