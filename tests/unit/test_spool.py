"""Arrays that are too large to be held are in files, and are the same."""

import numpy as np
import pytest
from PIL import Image

from latentgen.data import spool
from latentgen.data.custom import read_custom_data
from latentgen.data.datasets import subset, write_dataset
from latentgen.data.spool import Spool, room_for, rows_of

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(256, size=(30, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def nothing_held(monkeypatch):
    """Keep every array in a file."""
    monkeypatch.setattr(spool, "HELD_BYTES", 0)
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    monkeypatch.setattr("latentgen.data.custom_sources.arrays.HELD_BYTES", 0)


def test_room_is_in_memory_up_to_a_size(monkeypatch):
    assert not isinstance(room_for((3, 4), np.float32), np.memmap)
    monkeypatch.setattr(spool, "HELD_BYTES", 47)
    room = room_for((3, 4), np.float32)
    assert isinstance(room, np.memmap)
    assert room.shape == (3, 4)
    room[1] = 7
    assert room.sum() == 28


def test_rows_are_those_asked_for(nothing_held):
    rows = np.array([0, 3, 4, 29])
    chosen = rows_of(IMAGES, rows)
    assert isinstance(chosen, np.memmap)
    np.testing.assert_array_equal(chosen, IMAGES[rows])
    assert rows_of(IMAGES, np.arange(30)) is IMAGES


def test_small_arrays_of_any_size_and_type_are_kept(nothing_held):
    arrays = [
        RNG.integers(200, size=n).astype(kind) for n in (3, 999, 5000, 1) for kind in (np.uint8, np.uint16)
    ]
    keeper = Spool()
    kept = [keeper.keep(array) for array in arrays]
    for array, one in zip(arrays, kept, strict=True):
        assert one.dtype == array.dtype
        np.testing.assert_array_equal(one, array)


def test_a_full_disk_is_an_error(nothing_held, monkeypatch):
    with pytest.raises(OSError, match=r"space|large"):
        room_for((1 << 62,), np.uint8)


def write_arrays(folder):
    folder.mkdir()
    labels = np.arange(30) % 3
    np.save(folder / "train_images.npy", IMAGES[:24])
    np.save(folder / "train_labels.npy", labels[:24])
    np.save(folder / "test_images.npy", IMAGES[24:])
    np.save(folder / "test_labels.npy", labels[24:])


def write_images(folder):
    for number, image in enumerate(IMAGES):
        place = folder / f"class{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")


@pytest.mark.parametrize("write", [write_arrays, write_images])
def test_the_same_file_is_written_whatever_is_held(write, tmp_path, monkeypatch):
    write(tmp_path / "data")
    written = []
    for name in ("held", "in files"):
        data = subset(read_custom_data("mine", tmp_path / "data"), train_items=20, held_out=3)
        write_dataset(tmp_path / name, data)
        written.append((tmp_path / name).read_bytes())
        monkeypatch.setattr(spool, "HELD_BYTES", 0)
        monkeypatch.setattr("latentgen.data.custom_sources.arrays.HELD_BYTES", 0)
    assert written[0] == written[1]
    assert isinstance(data.train_inputs, np.memmap)
