"""Images in other sizes and colours: planned and made alike, for built-in and custom data sets."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from latentgen.data.custom import check, info_of, read_custom_data
from latentgen.data.custom_sources.reading import Reading
from latentgen.data.registry import load_dataset
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError
from latentgen.networks.forward import black_pixel, dataset_inputs
from latentgen.study.config import read_study

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"channels": 3}, (3, 8, 8)),
        ({"resize": 12}, (1, 12, 12)),
        ({"resize": (12, 9)}, (1, 12, 9)),
        ({"crop": 6}, (1, 6, 6)),
        ({"crop": (6, 5)}, (1, 6, 5)),
        ({"pad": 2}, (1, 12, 12)),
        ({"channels": 3, "resize": 16, "crop": 14, "pad": 1}, (3, 16, 16)),
    ],
)
def test_what_is_planned_is_made(digits, changes, shape):
    info = info_of("digits", None, changes)
    assert info.shape == shape
    dataset = info.read(info, None, False)
    assert dataset.input_shape == shape
    assert dataset.max_value == 16
    assert dataset.train_inputs.max() <= 16
    assert len(dataset.test_inputs) == len(digits.test_inputs)


def test_crop_keeps_the_centre_and_pad_adds_black(digits):
    cropped = Reshaping(crop=(4, 6)).dataset(digits)
    assert np.array_equal(cropped.train_inputs, digits.train_inputs[:, :, 2:6, 1:7])
    padded = Reshaping(pad=3).dataset(digits)
    assert np.array_equal(padded.train_inputs[:, :, 3:-3, 3:-3], digits.train_inputs)
    assert padded.train_inputs.sum() == digits.train_inputs.sum()
    both = Reshaping(crop=4, pad=2).dataset(digits)
    assert np.array_equal(both.test_inputs[:, :, 2:-2, 2:-2], digits.test_inputs[:, :, 2:6, 2:6])


def test_grey_gets_three_equal_channels_and_colour_its_luma(digits):
    three = Reshaping(channels=3).dataset(digits).train_inputs
    assert all(np.array_equal(three[:, [channel]], digits.train_inputs) for channel in range(3))
    colour = RNG.integers(256, size=(5, 6, 3)).astype(np.uint8)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(Reshaping(channels=1).picture(colour) - luma).max() <= 1


def test_the_shorter_side_is_resized_and_proportions_are_kept():
    image = np.full((20, 30), 7, np.uint8)
    assert Reshaping(resize=10).picture(image).shape == (10, 15)
    assert (Reshaping(resize=10).picture(image) == 7).all()
    image[:, 15:] = 200
    halves = Reshaping(resize=(4, 4)).picture(image)
    assert (halves[:, 0] == 7).all()
    assert (halves[:, 3] == 200).all()


@pytest.fixture
def folder(tmp_path):
    for number in range(20):
        name = tmp_path / "cats" / "ab"[number % 2] / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        size = (10 + number, 12) if number % 3 else (16, 10 + number, 3)
        Image.fromarray(RNG.integers(256, size=size).astype(np.uint8)).save(name)
    return tmp_path / "cats"


def test_folders_of_unequal_images_are_read_with_resize_and_crop(folder):
    with pytest.raises(LatentgenError, match=r"same size: .* Set resize, or resize and crop"):
        read_custom_data("cats", folder)
    with pytest.raises(LatentgenError, match=r"same colour mode: .* set channels"):
        read_custom_data("cats", folder, reading=Reading(Reshaping(resize=8, crop=8)))
    dataset = read_custom_data("cats", folder, reading=Reading(Reshaping(3, 8, 8)))
    assert dataset.input_shape == (3, 8, 8)
    with pytest.raises(LatentgenError, match="same size"):
        read_custom_data("cats", folder, reading=Reading(Reshaping(channels=3, resize=8)))
    with pytest.raises(LatentgenError, match=r"\.png: crop: 14 × 14 is more than the"):
        read_custom_data("cats", folder, reading=Reading(Reshaping(channels=3, crop=14)))


def test_deep_grey_images_are_reshaped_too(tmp_path):
    for number in range(12):
        name = tmp_path / "ab"[number % 2] / f"{number}.png"
        name.parent.mkdir(exist_ok=True)
        pixels = RNG.integers(256, size=(9 + number, 9)).astype(np.uint8)
        Image.fromarray(pixels.astype(np.uint16) * 257 if number % 3 else pixels).save(name)
    dataset = read_custom_data("deep", tmp_path, reading=Reading(Reshaping(crop=9)))
    assert dataset.input_shape == (1, 9, 9)
    assert dataset.train_inputs.max() > 200


def test_the_check_prints_a_block_that_reads_back(folder):
    (pair,) = yaml.safe_load(check(str(folder), {"channels": 1, "resize": [6, 8]}))
    dataset = pair["dataset"]
    own = dataset.pop("own")
    assert own["shape"] == [1, 6, 8]
    assert dataset == {"name": "mine", "channels": 1, "resize": [6, 8]}
    info = info_of("mine", own, {"channels": 1, "resize": (6, 8)})
    assert info.read(info, None, False).input_shape == (1, 6, 8)
    with pytest.raises(
        LatentgenError, match=r"no arguments \(size\) except channels, resize, crop, pad, targets, length"
    ):
        check(str(folder), {"size": 3})


def study_of(**dataset):
    return {
        "study": "shapes",
        "seeds": [1],
        "noise": [{"kind": "symmetric", "p": [0.4]}],
        "pairs": [
            {
                "dataset": {"name": "digits", **dataset},
                "model": {"architecture": "MLP", "widths": [4], "layers": ["input", "fc1"]},
                "training": {
                    "optimizer": {"name": "SGD", "learning_rate": 0.01}, "batch_size": 10, "max_epochs": 2
                },
            }
        ],
    }  # fmt: skip


def test_a_study_plans_with_the_new_shape_and_names_it():
    changed = study_of(train_items=100, channels=3, resize=[12, 10], crop=10, pad=1)
    (run,) = read_study(changed).runs.values()
    assert run.spec.dataset == "digits_100_channels3_resize12x10_crop10_pad1"
    assert run.layers["input"] == 3 * 12 * 12
    (run,) = read_study(study_of()).runs.values()
    assert run.spec.dataset == "digits"
    assert run.pair.dataset.model_dump() == {
        "own": None, "name": "digits", "train_items": None, "test_items": None, "input_range": (-1.0, 1.0)
    }, "study files that do not use the new keys have the settings that they had"  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crop": 9}, "crop: 9 × 9 is more than the 8 × 8 there are"),
        ({"channels": 2}, "channels"),
        ({"resize": 0}, "resize"),
        ({"normalize": "imagenet"}, "has 3 channels, but the images have 1"),
        ({"normalize": {"mean": [0.5, 0.5], "std": [1]}}, "one number for each channel"),
        ({"normalize": "training", "input_range": [0, 1]}, "either input_range or normalize"),
    ],
)
def test_what_cannot_be_is_refused_when_the_study_is_read(changes, said):
    with pytest.raises(LatentgenError, match=said):
        read_study(study_of(**changes))


def test_images_are_normalized_by_channel(digits):
    colour = Reshaping(channels=3).dataset(digits)
    given = read_study(study_of(channels=3, normalize="imagenet")).pairs[0].dataset.normalization
    seen = dataset_inputs(colour, "test", (-1, 1), CPU, given)
    pixels = colour.test_inputs / 16
    mean, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(
        seen, (pixels - mean[:, None, None]) / spread[:, None, None], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(black_pixel(colour, (-1, 1), CPU, given)[:, 0, 0], -mean / spread, rtol=1e-5)
    own = dataset_inputs(digits, "train", (-1, 1), CPU, "training")
    assert abs(float(own.mean())) < 1e-5
    assert abs(float(own.std()) - 1) < 1e-4
