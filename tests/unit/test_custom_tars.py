"""Tar files of the WebDataset format: what is in them, or a refusal that names the member."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from latentgen.data.custom import check, custom_files, read_custom_data
from latentgen.data.custom_sources import decoding
from latentgen.data.custom_sources.decoding import in_parallel
from latentgen.data.custom_sources.image_folder import read_image_folder
from latentgen.data.custom_sources.reading import Reading
from latentgen.data.custom_sources.tar_contents import read_tars
from latentgen.data.custom_sources.tars import is_tar
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError

NUMBERS = np.random.default_rng(0)
AS_IT_IS = Reshaping()


def pixels(height=5, width=6, colour=True):
    return NUMBERS.integers(256, size=(height, width, 3) if colour else (height, width)).astype(np.uint8)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_tar(path, members, mode="w"):
    """Write members (name and content) in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def examples(images, labels, start=0):
    for number, (image, label) in enumerate(zip(images, labels, strict=True), start):
        yield f"{number:05}.png", png(image)
        yield f"{number:05}.cls", str(label).encode()


@pytest.fixture
def images():
    return [pixels() for _ in range(12)]


def test_files_of_two_parts_are_read_in_their_order(tmp_path, images):
    labels = [2, 0, 1, 1, 2, 0, 0, 1, 2, 0, 1, 2]
    write_tar(tmp_path / "d/mine-train-000001.tar", examples(images[4:8], labels[4:8]))
    write_tar(tmp_path / "d/mine-train-000000.tar", examples(images[:4], labels[:4]))
    write_tar(tmp_path / "d/mine-val-000000.tar.gz", examples(images[8:], labels[8:]), "w:gz")
    dataset = read_custom_data("mine", tmp_path / "d")
    np.testing.assert_array_equal(dataset.train_inputs.transpose(0, 2, 3, 1), images[:8])
    np.testing.assert_array_equal(dataset.test_inputs.transpose(0, 2, 3, 1), images[8:])
    assert dataset.train_labels.tolist() == labels[:8]
    assert dataset.test_labels.tolist() == labels[8:]
    assert dataset.class_names == ("0", "1", "2")
    assert [file.name for file in custom_files(tmp_path / "d")] == [
        "mine-train-000000.tar", "mine-train-000001.tar", "mine-val-000000.tar.gz"
    ]  # fmt: skip


def test_one_file_is_the_data_that_folders_would_be(tmp_path, images):
    """Names as labels, members in folders, parts of an example that are not read."""
    names = ["cat", "dog"] * 6
    members = []
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        key = f"all/{number:03}"
        of_json = json.dumps({"label": name, "width": 6}).encode()
        members += [(f"{key}.txt", b"a caption"), (f"{key}.PNG", png(image)), (f"{key}.json", of_json)]
        file = tmp_path / "folders" / name / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    raw = read_tars(write_tar(tmp_path / "one.tar", members), AS_IT_IS)
    assert raw.notes == ["Not read: members that end in .txt."]
    by_class = np.argsort(raw.arrays["labels"], kind="stable")
    folders = read_image_folder(tmp_path / "folders")
    np.testing.assert_array_equal(raw.arrays["images"][by_class], folders.arrays["images"])
    said = check(str(tmp_path / "one.tar"))
    assert "9 training" in said or "10 training" in said
    assert '"cat"' in said


def test_images_of_unequal_size_are_named_and_can_be_resized(tmp_path, images):
    images[7] = pixels(9, 9)
    path = write_tar(tmp_path / "one.tar", examples(images, [0, 1] * 6))
    with pytest.raises(LatentgenError, match=r"00007\.png in .*one\.tar has 9 × 9 pixels, 00000\.png"):
        read_tars(path, AS_IT_IS)
    dataset = read_custom_data("mine", path, reading=Reading(Reshaping(resize=4, crop=4)))
    assert dataset.train_inputs.shape[1:] == (3, 4, 4)


def test_grey_and_colour_are_refused_by_name(tmp_path, images):
    images[3] = pixels(colour=False)
    with pytest.raises(LatentgenError, match=r"00000\.png in .* is colour, 00003\.png in .* is grey"):
        read_tars(write_tar(tmp_path / "one.tar", examples(images, [0, 1] * 6)), AS_IT_IS)


WRONG = {
    "a damaged image": ([("1.png", png(pixels())[:60]), ("1.cls", b"0")], r"1\.png in .* cannot be read as"),
    "an empty image": ([("1.png", b""), ("1.cls", b"0")], r"1\.png in .* cannot be read as an image"),
    "no label": ([("1.png", png(pixels())), ("2.png", png(pixels()))], r"1 in .*one\.tar has no label"),
    "a label that is no label": ([("1.png", png(pixels())), ("1.cls", b"\xff")], "1 in .* has no label"),
    "a label in broken JSON": ([("1.png", png(pixels())), ("1.json", b"{")], "1 in .* has no label"),
    "a list in JSON": ([("1.png", png(pixels())), ("1.json", b"[1]")], "1 in .* has no label"),
    "no image": ([("1.cls", b"0"), ("1.txt", b"")], r"1 in .* has 1\.cls, 1\.txt: an example must have one"),
    "two images": (
        [("1.a.png", png(pixels())), ("1.b.png", png(pixels())), ("1.cls", b"0")],
        r"1 in .* has 1\.a\.png, 1\.b\.png, 1\.cls: an example must have one image",
    ),
    "twice the same": (
        [("1.png", png(pixels())), ("1.png", png(pixels())), ("1.cls", b"0")],
        "an example must have one image",
    ),
    "apart": (
        [("1.png", png(pixels())), ("2.png", png(pixels())), ("1.cls", b"0"), ("2.cls", b"0")],
        "1 in .* has no label",
    ),
    "nothing": ([], "there are no images in it"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_example_is_refused_by_name(tmp_path, what):
    members, message = WRONG[what]
    with pytest.raises(LatentgenError, match=message):
        read_tars(write_tar(tmp_path / "one.tar", members), AS_IT_IS)


def test_a_damaged_file_is_refused(tmp_path, images):
    path = write_tar(tmp_path / "one.tar", examples(images, [0, 1] * 6))
    content = path.read_bytes()
    with tarfile.open(path) as archive:
        between = archive.getmembers()[4].offset  # two whole examples, and no end
    for broken in (content[:between], content[: between + 600], b"\x00" * 100, b"nothing of that kind" * 100):
        path.write_bytes(broken)
        with pytest.raises(LatentgenError, match=r"one\.tar"):
            read_tars(path, AS_IT_IS)
    zipped = write_tar(tmp_path / "one.tar.gz", examples(images, [0, 1] * 6), "w:gz")
    content = zipped.read_bytes()
    for end in (-200, 10, 6, 3, 2):
        zipped.write_bytes(content[:end])
        with pytest.raises(LatentgenError, match="truncated or damaged"):
            read_tars(zipped, AS_IT_IS)


def test_a_huge_member_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("latentgen.data.custom_sources.tar_contents.LARGEST_MEMBER", 10)
    with pytest.raises(LatentgenError, match="it is no image"):
        read_tars(write_tar(tmp_path / "one.tar", [("1.png", b"0" * 11)]), AS_IT_IS)


def test_links_and_folders_in_a_file_are_not_followed(tmp_path, images):
    path = tmp_path / "one.tar"
    write_tar(path, examples(images, [0, 1] * 6))
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.DIRTYPE):
            entry = tarfile.TarInfo("99999.png")
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    assert len(read_tars(path, AS_IT_IS).arrays["images"]) == 12


def test_parts_follow_from_names(tmp_path, images):
    folder = tmp_path / "d"
    for name in ("train-0.tar", "extra-0.tar"):
        write_tar(folder / name, examples(images, [0, 1] * 6))
    with pytest.raises(LatentgenError, match="has tar files for train only"):
        read_tars(folder, AS_IT_IS)
    write_tar(folder / "validation/0.tar", examples(images, [0, 1] * 6))
    raw = read_tars(folder, AS_IT_IS)
    assert sorted(raw.arrays) == ["test_images", "test_labels", "train_images", "train_labels"]
    assert raw.notes == ["Not read, since it is neither for training nor for testing: extra-0.tar."]


def test_a_folder_of_images_with_a_tar_file_beside_it_stays_one(tmp_path):
    (tmp_path / "d/train/cat").mkdir(parents=True)
    write_tar(tmp_path / "d/original.tar", [])
    assert not is_tar(tmp_path / "d")
    assert is_tar(tmp_path / "d/original.tar")


def test_items_are_decoded_in_their_order_and_few_are_ahead(monkeypatch):
    monkeypatch.setattr(decoding, "MOST_THREADS", 3)
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    for done, (item, square) in enumerate(in_parallel(lambda item: item * item, items())):
        assert (item, square) == (done, done * done)
        assert len(taken) <= done + 3 * decoding.AHEAD + 2


def test_the_first_error_in_the_order_is_raised():
    def work(item):
        if item % 10 == 7:
            raise LatentgenError(str(item))
        return item

    found = in_parallel(work, range(100))
    assert [next(found)[0] for _ in range(7)] == list(range(7))
    with pytest.raises(LatentgenError, match=r"^7$"):
        next(found)
