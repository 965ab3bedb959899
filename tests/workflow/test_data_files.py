"""Files that data sets and labels are read from are inputs of their rules: a change reruns what used them."""

import copy

import numpy as np
import pytest
from PIL import Image

from latentgen.data.datasets import Dataset, write_dataset
from latentgen.data.labels import read_labels
from studies import TINY_STUDY

RNG = np.random.default_rng(0)
DATASET = "results/datasets/mine.h5"


def custom_study(path):
    study = copy.deepcopy(TINY_STUDY)
    study["pairs"] = study["pairs"][:1]
    own = {"path": path, "shape": [1, 4, 5], "classes": 3, "train": 48, "test": 12}
    study["pairs"][0]["dataset"] = {"name": "mine", "own": own}
    return study


def images(count=60):
    return RNG.integers(256, size=(count, 4, 5)).astype(np.uint8)


def write_arrays(folder):
    folder.mkdir()
    np.save(folder / "images.npy", images())
    np.save(folder / "labels.npy", np.arange(60) % 3)
    return lambda: np.save(folder / "images.npy", images())


def write_pictures(folder):
    for number in range(60):
        file = folder / "abc"[number % 3] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images(1)[0]).save(file)
    return lambda: Image.fromarray(images(1)[0]).save(folder / "b/4.png")


def write_file_with_braces(path):
    def save():
        with path.open("wb") as file:
            np.savez(file, images=images(), labels=np.arange(60) % 3)

    save()
    return save


@pytest.mark.parametrize(
    ("path", "write"),
    [("arrays", write_arrays), ("pictures", write_pictures), ("{x}.npz", write_file_with_braces)],
)
def test_a_changed_file_is_noticed_and_is_another_entry_of_the_cache(empty_copy, tmp_path, path, write):
    cache = tmp_path / "cache"
    cache.mkdir()
    change = write(empty_copy.folder / path)
    empty_copy.write_study(custom_study(path))
    options = ("--cache", "prepare_dataset")
    empty_copy.run(DATASET, *options, SNAKEMAKE_OUTPUT_CACHE=str(cache))
    assert empty_copy.planned(DATASET) == {}
    first = (empty_copy.folder / DATASET).read_bytes()
    change()
    assert empty_copy.planned(DATASET) == {"prepare_dataset": 1}
    empty_copy.run(DATASET, *options, SNAKEMAKE_OUTPUT_CACHE=str(cache))
    assert (empty_copy.folder / DATASET).read_bytes() != first
    assert len(list(cache.glob("*.h5"))) == 2


def test_missing_data_is_reported_readably_and_only_where_it_is_needed(empty_copy):
    write_arrays(empty_copy.folder / "arrays")
    empty_copy.write_study(custom_study("arrays"))
    labels = "results/tiny/labels/mine/symmetric0.40/1.h5"
    empty_copy.run(labels)
    (empty_copy.folder / "arrays").rename(empty_copy.folder / "moved")
    assert empty_copy.planned(labels) == {}, "what was read from it is there"
    (empty_copy.folder / DATASET).unlink()
    missing = f"arrays does not exist: there is nothing at {empty_copy.folder}/arrays."
    done = empty_copy.snakemake(DATASET)
    assert done.returncode != 0
    assert missing in done.stdout + done.stderr
    assert "MissingInputException" not in done.stdout + done.stderr
    assert missing in empty_copy.run("--dry-run", DATASET), "the plan and its cost are shown all the same"


def test_changed_human_labels_are_noticed(empty_copy):
    import torch

    study = copy.deepcopy(TINY_STUDY)
    study |= {"noise": [{"kind": "human", "variant": "worse_label"}], "pairs": study["pairs"][:1]}
    study["pairs"][0]["dataset"] = "cifar10"
    empty_copy.write_study(study)
    true = np.arange(30) % 10
    pixels = RNG.integers(256, size=(30, 3, 32, 32)).astype(np.uint8)
    dataset = Dataset(
        "cifar10", pixels, true, pixels, true, np.arange(30), np.arange(30), tuple("abcdefghij"), 255, "", {}
    )
    write_dataset(empty_copy.folder / "results/datasets/cifar10.h5", dataset)
    labels = "results/tiny/labels/cifar10/human1.00/1.h5"

    def answer(shift):
        path = empty_copy.folder / "data/CIFAR-10_human.pt"
        path.parent.mkdir(exist_ok=True)
        torch.save({"clean_label": true, "worse_label": np.roll(true, shift)}, path)

    done = empty_copy.snakemake(labels)
    assert done.returncode != 0
    assert "data/CIFAR-10_human.pt does not exist. It is part of CIFAR-N" in done.stdout + done.stderr
    for shift in (1, 2):
        answer(shift)
        assert empty_copy.planned(labels) == {"corrupt_labels": 1}
        empty_copy.run(labels)
        assert np.array_equal(read_labels(empty_copy.folder / labels).corrupted, np.roll(true, shift))
    assert empty_copy.planned(labels) == {}


def test_every_file_that_a_job_reads_is_an_input_or_fixed():
    """A script opens no path that Snakemake does not know: none but its inputs and params."""
    from project_copy import PROJECT

    for script in sorted((PROJECT / "workflow/scripts").glob("*.py")):
        text = script.read_text()
        known = {"prepare_dataset.py"}  # official files: their checksums are part of the code
        assert "data_dir(" not in text or script.name in known, script.name
