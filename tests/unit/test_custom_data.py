"""One's own data: read from arrays and folders of images, or refused in words."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from latentgen.cli.arguments import values
from latentgen.data.custom import custom_info, read_custom_data
from latentgen.data.custom_sources.raw import ARRAYS
from latentgen.data.study_block import settings_block
from latentgen.errors import LatentgenError

RNG = np.random.default_rng(0)


@pytest.fixture
def arrays():
    return {
        "train_images": RNG.integers(256, size=(12, 4, 5)).astype(np.uint8),
        "train_labels": np.arange(12) % 3,
        "test_images": RNG.integers(256, size=(6, 4, 5)).astype(np.uint8),
        "test_labels": np.arange(6) % 2,
    }


@pytest.fixture
def save(tmp_path):
    def saved(arrays, name="mine.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return saved


def write_images(folder, colour=False):
    for split, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((4, 5, 3) if colour else (4, 5), 100 * label + number, np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def test_arrays_are_read_as_they_are(arrays, save):
    dataset = read_custom_data("mine", save(arrays))
    assert dataset.input_shape == (1, 4, 5)
    assert (dataset.train_inputs[:, 0] == arrays["train_images"]).all()
    assert (dataset.test_labels == arrays["test_labels"]).all()
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.checksums.keys() == set(ARRAYS)


def test_a_folder_of_npy_files_is_the_same(arrays, save, tmp_path):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    one, other = read_custom_data("mine", save(arrays)), read_custom_data("mine", tmp_path)
    assert one.checksums == other.checksums


def test_colour_comes_last_in_arrays_and_first_in_the_data_set(arrays, save):
    arrays["train_images"] = RNG.integers(256, size=(12, 4, 5, 3)).astype(np.uint8)
    arrays["test_images"] = RNG.integers(256, size=(6, 4, 5, 3)).astype(np.uint8)
    dataset = read_custom_data("mine", save(arrays))
    assert dataset.input_shape == (3, 4, 5)
    assert dataset.train_inputs[7, 2, 3, 4] == arrays["train_images"][7, 3, 4, 2]


@pytest.mark.parametrize("colour", [False, True])
def test_a_folder_of_images_by_class(tmp_path, colour):
    write_images(tmp_path, colour)
    dataset = read_custom_data("pets", tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.input_shape == (3 if colour else 1, 4, 5)
    assert dataset.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.train_inputs[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]


def test_what_is_not_divided_has_a_fifth_of_each_class_held_out(tmp_path, save):
    images = np.arange(33, dtype=np.uint8)[:, None, None] * np.ones((4, 5), np.uint8)
    labels = np.repeat([0, 1, 2], [20, 10, 3])
    dataset = read_custom_data("mine", save({"images": images, "labels": labels}))
    assert np.bincount(dataset.test_labels).tolist() == [4, 2], "a class of three has none to spare"
    parts = [dataset.train_inputs[:, 0, 0, 0], dataset.test_inputs[:, 0, 0, 0]]
    assert sorted(np.concatenate(parts)) == list(range(33)), "every item is in one part"
    for part, of_part in zip(parts, (dataset.train_labels, dataset.test_labels), strict=True):
        assert of_part.tolist() == labels[part].tolist()
    assert parts[1].tolist() not in ([0, 1, 2, 3, 20, 21], [16, 17, 18, 19, 28, 29]), "drawn at random"
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays/images.npy", images)
    np.save(tmp_path / "arrays/labels.npy", labels)
    again = read_custom_data("mine", tmp_path / "arrays")
    assert again.checksums == dataset.checksums, "the same each time"
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / f"folders/{'abc'[label]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02}.png")
    of_folders = read_custom_data("mine", tmp_path / "folders")
    assert of_folders.class_names == ("a", "b", "c")
    assert of_folders.checksums == dataset.checksums


def change(**changes):
    return lambda arrays: arrays | changes


def whole(labels):
    return lambda arrays: {"images": arrays["test_images"], "labels": labels}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (change(train_images=np.zeros((12, 4, 5))), r"are float64 from 0 to 0; images must be uint8"),
        (change(train_images=np.zeros((12, 20), np.uint8)), r"\(12, 20\); it must be examples × height"),
        (change(train_images=np.zeros((12, 4, 5, 2), np.uint8)), r"channels, 1 or 3"),
        (change(test_images=np.zeros((6, 5, 4), np.uint8)), r"different shapes: \(1, 4, 5\) and \(1, 5, 4\)"),
        (change(train_labels=np.arange(11) % 3), r"There are 12 train_images in .*, and 11 labels"),
        (change(train_labels=np.arange(12) / 2), r"train_labels in .* are float64 and not all whole numbers"),
        (change(train_labels=np.eye(12, dtype=int)), r"labels must be a list .* one-hot: .*argmax"),
        (change(train_labels=np.arange(12) % 3 - 1), r"they are -1, 0, 1\. Negative: 4 in train_labels"),
        (change(train_labels=np.zeros(12, int), test_labels=np.zeros(6, int)), "has only one class"),
        (change(train_labels=np.arange(12) % 3 * 2), r"they are 0, 1, 2, 4\. Numbers in between are missing"),
        (change(test_labels=np.arange(6)), r"no training example of class 3, 4, 5"),
        (change(class_names=np.array(["a", "b"])), r"from 0 to 1, .* 2 class_names; the largest label is 2"),
        (change(train_labels=np.array([{}] * 12)), r"holds Python objects, which are never read"),
        (lambda arrays: {"train_images": arrays["train_images"]}, "lacks train_labels, test_images, test_l"),
        (whole(labels=[0, 1]), "There are 6 images in .*, and 2 labels"),
        (whole(labels=np.arange(6)), "fewer than 5 examples of every class"),
    ],
)  # fmt: skip
def test_arrays_that_are_not_as_they_must_be_are_refused(arrays, save, changed, said):
    with pytest.raises(LatentgenError, match=said):
        read_custom_data("mine", save(changed(arrays)))


def test_an_archive_cut_at_any_length_is_refused(arrays, save):
    path = save(arrays)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(LatentgenError, match=str(path)):
            read_custom_data("mine", path)


def test_an_archive_with_any_byte_changed_is_refused_or_read_as_some_data(arrays, save):
    path = save(arrays)
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            read_custom_data("mine", path)
        except LatentgenError as error:
            said = str(error)
        else:
            continue
        assert str(path) in said


def test_images_of_unequal_size_are_named(tmp_path):
    write_images(tmp_path)
    odd = tmp_path / "train/dog/1.png"
    Image.new("L", (9, 4)).save(odd)
    with pytest.raises(
        LatentgenError, match=r"the same size: .*dog/1\.png has 9 × 4 pixels, .*cat/0\.png 5 × 4"
    ):
        read_custom_data("pets", tmp_path)
    odd.write_bytes(b"no image")
    with pytest.raises(LatentgenError, match=r"dog/1\.png cannot be read as an image"):
        read_custom_data("pets", tmp_path)


def test_a_file_whose_name_is_no_text_is_named_in_text(tmp_path):
    folder = tmp_path / "\udcff"
    folder.mkdir()
    (folder / "0.apng").write_bytes(b"")
    with pytest.raises(LatentgenError) as refusal:
        read_custom_data("mine", tmp_path)
    assert r"\udcff" in str(refusal.value).encode().decode()


def test_folders_without_what_is_needed_are_refused(tmp_path):
    with pytest.raises(LatentgenError, match="does not exist"):
        read_custom_data("pets", tmp_path / "none")
    with pytest.raises(LatentgenError, match=r"neither arrays \(train_images\.npy\) nor folders"):
        read_custom_data("pets", tmp_path)
    (tmp_path / "only/cat").mkdir(parents=True)
    with pytest.raises(
        LatentgenError, match=r"only: these class folders hold no images: cat\. No folder here holds any"
    ):
        read_custom_data("pets", tmp_path / "only")
    write_images(tmp_path)
    (tmp_path / "test/cow").mkdir()
    with pytest.raises(LatentgenError, match="train does not have: cow"):
        read_custom_data("pets", tmp_path)


def test_a_study_file_that_disagrees_with_the_data_gets_the_correct_block(arrays, save):
    path = save(arrays)
    info = custom_info("mine", path=str(path), shape=(1, 4, 5), classes=4, train=12, test=6)
    with pytest.raises(LatentgenError, match="classes: 3\n"):
        info.read(info, None, False)
    right = custom_info("mine", path=str(path), shape=(1, 4, 5), classes=3, train=12, test=6)
    assert settings_block(right.read(right, None, False)).endswith("train: 12\n        test: 6")


def test_no_file_that_holds_code_is_run(tmp_path):
    """A pickle that would write a file when loaded is refused, and nothing is written."""
    witness = tmp_path / "witness"
    payload = f"cposix\nsystem\n(S'touch {witness}'\ntR.".encode()
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ARRAYS:
            archive.writestr(f"{name}.npy", payload)
    with pytest.raises(LatentgenError):
        read_custom_data("mine", path)
    (tmp_path / "bare.npz").write_bytes(payload)
    with pytest.raises(LatentgenError):
        read_custom_data("mine", tmp_path / "bare.npz")
    assert not witness.exists()


def test_the_command_says_mistakes_without_a_trace(tmp_path):
    command = [sys.executable, "-m", "latentgen", "check-data", str(tmp_path / "none.npz")]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 1
    assert done.stderr.startswith("latentgen: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ("items", "items is not NAME=VALUE"),
        ("items=[1", r"items: \[1 cannot be read as a value \(ParserError\)"),
        ("day=2026-11-30", r"day must be text, a finite number, .*; quote a date"),
        ("size=.nan", "size must be text, a finite number, "),
    ],
)
def test_arguments_on_the_command_line_are_those_of_a_study_file(given, refusal):
    with pytest.raises(LatentgenError, match=refusal):
        values([given])
    assert values(["items=300", "names=[a, b]", "day='2026-11-30'"]) == {
        "items": 300, "names": ["a", "b"], "day": "2026-11-30",
    }  # fmt: skip
