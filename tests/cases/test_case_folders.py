"""Folders of images as people have them: each case is read exactly, or refused with what to do.

The inputs are made here by a few lines each; docstrings name the public reports that a case follows.
"""

import numpy as np
import pytest
import yaml
from PIL import Image

from latentgen.data.custom import check, read_custom_data
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.errors import LatentgenError


def picture(number, size=(12, 12), channels=None):
    """Return random pixels, others for each number."""
    shape = size if channels is None else (*size, channels)
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def fill(folder, count=10, suffix="png", start=0, **options):
    """Write images into a class folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = Image.fromarray(picture(start + number))
        image.save(folder / f"{number:03}.{suffix}", **options)
    return folder


def fill_classes(folder, names=("cat", "dog"), count=10, start=0):
    for number, name in enumerate(names):
        fill(folder / name, count, start=start + 100 * number)
    return folder


def notes(folder):
    """Return what the check notes, a line each."""
    return [line.removeprefix("# Note: ") for line in check(str(folder)).splitlines() if "# Note" in line]


def block(folder):
    """Return what the printed block reads back as."""
    return yaml.safe_load(check(str(folder)))[0]["dataset"]["own"]


def pixels_by_label(dataset):
    """Return all images, training and test, as a set of label and bytes."""
    return {
        (int(label), image.tobytes())
        for split in ("train", "test")
        for image, label in zip(
            getattr(dataset, f"{split}_inputs"), getattr(dataset, f"{split}_labels"), strict=True
        )
    }


class Test01DeepGrey:
    """16-bit grey PNG files: 99.7 % of the pixels became 255 (Pillow #3011, #2574, #5991)."""

    def write(self, folder, pixels):
        for label, name in enumerate(("cat", "dog")):
            (folder / name).mkdir()
            for number in range(10):
                array = pixels(10 * label + number).astype(np.uint16)
                Image.fromarray(array).save(folder / name / f"{number}.png")

    def test_16_bits_are_refused_with_the_conversion(self, tmp_path):
        self.write(tmp_path, lambda n: picture(n).astype(int) * 256 + 7)
        with pytest.raises(LatentgenError, match=r"20 images have 16 bits, .* up to 65\d\d\d") as caught:
            read_custom_data("mine", tmp_path)
        assert "pixels * (255 / 65535)" in str(caught.value)

    def test_12_bits_in_16_are_named(self, tmp_path):
        self.write(tmp_path, lambda n: picture(n).astype(int) * 16 + 3)
        with pytest.raises(LatentgenError, match=r"They use 12 bits only \(0 to 4095\)") as caught:
            read_custom_data("mine", tmp_path)
        assert "pixels * (255 / 4095)" in str(caught.value)

    def test_the_conversion_it_names_works(self, tmp_path):
        self.write(tmp_path, lambda n: picture(n).astype(int) * 16 + 3)
        for file in tmp_path.rglob("*.png"):
            pixels = np.asarray(Image.open(file))
            Image.fromarray((pixels * (255 / 4095)).round().astype("uint8")).save(file)
        images = read_custom_data("mine", tmp_path).train_inputs.astype(int)
        nearest = [min(abs(image[0] - picture(n)).max() for n in range(20)) for image in images]
        assert max(nearest) <= 1, "every picture is there, but for rounding"

    def test_8_bits_times_257_are_exact_and_noted(self, tmp_path):
        self.write(tmp_path, lambda n: picture(n).astype(int) * 257)
        expected = {(n // 10, picture(n).tobytes()) for n in range(20)}
        assert pixels_by_label(read_custom_data("mine", tmp_path)) == expected
        assert any("divided by 257" in note and ": 20 images" in note for note in notes(tmp_path))


class Test02Formats:
    """Suffixes that were skipped without a word (vision #461, timm #1335)."""

    FORMATS = ("png", "tif", "tiff", "gif", "ppm", "bmp", "jp2", "tga", "webp", "avif", "jfif", "jpeg")

    def test_every_format_is_read(self, tmp_path):
        lossless = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}
        for label, name in enumerate(("cat", "dog")):
            for number, suffix in enumerate(self.FORMATS):
                (tmp_path / name).mkdir(exist_ok=True)
                image = Image.fromarray(picture(100 * label + number))
                image.save(tmp_path / name / f"{number}.{suffix}", **lossless.get(suffix, {}))
        dataset = read_custom_data("mine", tmp_path)
        assert len(dataset.train_labels) + len(dataset.test_labels) == 2 * len(self.FORMATS)
        read = pixels_by_label(dataset)
        exact = {
            (label, picture(100 * label + number).tobytes())
            for label in (0, 1)
            for number, suffix in enumerate(self.FORMATS)
            if suffix not in ("avif", "jfif", "jpeg")
        }
        assert exact <= read
        assert any("saved as colour but contain none" in note for note in notes(tmp_path))

    @pytest.mark.parametrize("quality", [10, 80])
    def test_grey_in_lossy_webp_is_grey_although_its_channels_are_rounded(self, tmp_path, quality):
        """WebP has no grey: it saves such images as colour, and its channels then differ by 1."""
        fill_classes(tmp_path)
        grey = {}
        for number in range(20):
            file = tmp_path / f"dog/{number:03}.webp"
            Image.fromarray(picture(500 + number)).save(file, quality=quality)
            channels = np.asarray(Image.open(file)).astype(int)
            assert np.ptp(channels, axis=2).max() <= 1
            grey[np.median(channels, axis=2).astype(np.uint8).tobytes()] = np.ptp(channels, axis=2).any()
        assert any(grey.values()), "some are rounded"
        read = pixels_by_label(read_custom_data("mine", tmp_path))
        assert {(1, image) for image in grey} <= read
        assert len(read) == 40
        said = " ".join(notes(tmp_path))
        assert (
            f"channels differ by 1 (of 255), as a lossy format without grey rounds: {sum(grey.values())}"
            in said
        )

    def test_what_is_no_image_is_counted_and_named(self, tmp_path):
        fill_classes(tmp_path)
        (tmp_path / "cat/x.heic").write_bytes(b"\0\0\0\x18ftypheic")
        (tmp_path / "dog/notes.txt").write_text("a dog")
        (note,) = (note for note in notes(tmp_path) if "Skipped" in note)
        assert "not images: 2 files" in note
        assert "cat/x.heic" in note
        assert "dog/notes.txt" in note

    def test_a_class_of_other_files_alone_names_them(self, tmp_path):
        fill_classes(tmp_path, ("cat",))
        (tmp_path / "dog").mkdir()
        (tmp_path / "dog/x.heic").write_bytes(b"\0\0\0\x18ftypheic")
        with pytest.raises(LatentgenError, match=r"hold no images: dog\..*Skipped.*dog/x\.heic"):
            read_custom_data("mine", tmp_path)


class Test04Orientation:
    """EXIF orientation: images lay on their side in silence (datasets #6252, sd-scripts #1316)."""

    @pytest.mark.parametrize("size", [(12, 12), (12, 16)])
    def test_it_is_applied_as_viewers_do_and_noted(self, tmp_path, size):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90° clockwise
        for label, name in enumerate(("left", "up")):
            (tmp_path / name).mkdir()
            for number in range(10):
                upright = picture(10 * label + number, size)
                if label == 0:
                    Image.fromarray(np.rot90(upright)).save(tmp_path / f"left/{number}.png", exif=exif)
                else:
                    Image.fromarray(upright).save(tmp_path / f"up/{number}.png")
        dataset = read_custom_data("mine", tmp_path)
        assert dataset.input_shape == (1, *size)
        expected = {(n // 10, picture(n, size).tobytes()) for n in range(20)}
        assert pixels_by_label(dataset) == expected
        assert any("EXIF orientation: 10 images" in note for note in notes(tmp_path))


def test_05_cmyk_is_converted_and_noted(tmp_path):
    """CMYK JPEG files (stylegan2-ada #46)."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            cmyk = Image.fromarray(picture(number, channels=3)).convert("CMYK")
            cmyk.save(tmp_path / name / f"{number}.jpg")
    assert read_custom_data("mine", tmp_path).input_shape == (3, 12, 12)
    assert any(note.startswith("Converted from CMYK") and ": 10 images" in note for note in notes(tmp_path))


def test_06_grey_among_colour_is_refused_with_both_names(tmp_path):
    """Grey and colour mixed (tflearn #177)."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for one in range(5):
            Image.fromarray(picture(10 * number + one, channels=3)).save(tmp_path / name / f"{one}.png")
    Image.fromarray(picture(0)).save(tmp_path / "dog/3.png")
    with pytest.raises(LatentgenError, match=r"cat/0\.png is colour, .*dog/3\.png is grey\. Convert"):
        read_custom_data("mine", tmp_path)


def test_08_files_of_systems_are_skipped_and_counted(tmp_path):
    """Hidden and system files beside images (vision #109), and folders that are no class."""
    fill_classes(tmp_path)
    for file in (".DS_Store", "cat/.DS_Store", "cat/._003.png", "dog/Thumbs.db", "dog/desktop.ini"):
        (tmp_path / file).write_bytes(b"\0\1\2")
    for folder in ("__MACOSX", ".ipynb_checkpoints", "cat/.ipynb_checkpoints"):
        fill(tmp_path / folder, 1)
    assert len(pixels_by_label(read_custom_data("mine", tmp_path))) == 20
    (note,) = (note for note in notes(tmp_path) if "Skipped" in note)
    assert "not images: 8 files or folders" in note
    assert "__MACOSX" in note
    assert ".DS_Store" in note


@pytest.mark.parametrize(
    "folder",
    ["__MACOSX", "__pycache__", "lost+found", "@eaDir", "$RECYCLE.BIN", "System Volume Information"],
)
def test_08_folders_of_systems_are_no_classes(tmp_path, folder):
    fill_classes(tmp_path)
    (tmp_path / folder).mkdir()
    dataset = read_custom_data("mine", tmp_path)
    assert folder not in dataset.class_names
    assert set(dataset.class_names) == {"cat", "dog"}


class Test10EmptyClasses:
    """Empty class folders (vision #8297, #4925)."""

    @pytest.mark.parametrize("root", ["", "train"])
    def test_an_empty_class_is_named(self, tmp_path, root):
        fill_classes(tmp_path / root)
        (tmp_path / root / "eel").mkdir()
        if root:
            fill_classes(tmp_path / "test", count=3)
        with pytest.raises(LatentgenError, match="these class folders hold no images: eel"):
            read_custom_data("mine", tmp_path)

    def test_a_class_without_test_images_is_noted(self, tmp_path):
        fill_classes(tmp_path / "train")
        fill(tmp_path / "test/cat", 3, start=500)
        assert read_custom_data("mine", tmp_path).test_labels.tolist() == [0, 0, 0]
        assert "No test images of class dog: test accuracy does not cover it." in notes(tmp_path)


class Test11SplitNames:
    """Other names of the splits (dinov2 #496, SQuant #3)."""

    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("Train", "Test"),
            ("training", "testing"),
            ("train", "val"),
            ("TRAIN", "valid"),
            ("train", "Validation"),
        ],
    )
    def test_they_are_understood(self, tmp_path, train, test):
        fill_classes(tmp_path / train)
        fill_classes(tmp_path / test, count=3, start=500)
        dataset = read_custom_data("mine", tmp_path)
        assert (len(dataset.train_labels), len(dataset.test_labels)) == (20, 6)
        assert any(f"the images in {test} are the test images" in note for note in notes(tmp_path)) is (
            test[:3].lower() == "val"
        )

    def test_of_three_the_validation_images_are_left_out_and_noted(self, tmp_path):
        for number, split in enumerate(("train", "val", "test")):
            fill_classes(tmp_path / split, count=5 - number, start=1000 * number)
        assert len(read_custom_data("mine", tmp_path).test_labels) == 6
        assert "Not read, since it is neither for training nor for testing: val." in notes(tmp_path)

    def test_what_is_missing_is_reported_as_it_is(self, tmp_path):
        fill_classes(tmp_path / "a/train")
        with pytest.raises(LatentgenError, match=r"train, but no test, val or validation\..*a/train"):
            read_custom_data("mine", tmp_path / "a")
        fill_classes(tmp_path / "b/test")
        with pytest.raises(LatentgenError, match="b has test, but no folder train"):
            read_custom_data("mine", tmp_path / "b")
        fill_classes(tmp_path / "c/train")
        fill_classes(tmp_path / "c/Train")
        fill_classes(tmp_path / "c/test")
        with pytest.raises(LatentgenError, match="Train and train: keep one of these folders"):
            read_custom_data("mine", tmp_path / "c")

    def test_a_class_may_be_called_train(self, tmp_path):
        fill_classes(tmp_path, ("car", "plane", "train"))
        assert read_custom_data("mine", tmp_path).class_names == ("car", "plane", "train")

    def test_folders_beside_train_alone_are_refused(self, tmp_path):
        """Whether `train` is a class or a split cannot be told."""
        fill_classes(tmp_path / "train")
        fill(tmp_path / "more")
        with pytest.raises(LatentgenError, match="a folder train and, beside it, more"):
            read_custom_data("mine", tmp_path)


class Test12Numbers:
    """Folders 0 … 11: class 2 was folder 10 (vision #714, DIGITS #665)."""

    @pytest.fixture
    def folder(self, tmp_path):
        return fill_classes(tmp_path, [str(number) for number in range(12)], count=5)

    def test_classes_are_in_the_order_of_their_numbers(self, folder):
        dataset = read_custom_data("mine", folder)
        assert dataset.class_names == tuple(str(number) for number in range(12))
        of_two = {(2, picture(200 + number).tobytes()) for number in range(5)}
        assert of_two <= pixels_by_label(dataset)
        assert '#   class 10: "10", 4 training and 1 test images' in check(str(folder))

    @pytest.mark.parametrize("pairs", [[["2", "7"]], [[2, 7]]])
    def test_a_pair_is_of_the_folders_it_names(self, folder, pairs):
        dataset = read_custom_data("mine", folder)
        labels = corrupt_dataset(dataset, kind="asymmetric", p=1, seed=1, pairs=pairs)
        assert (labels.corrupted[labels.true == 2] == 7).all()
        assert (labels.corrupted[labels.true == 10] == 10).all()

    def test_leading_zeros_and_other_names(self, tmp_path):
        fill_classes(tmp_path / "a", ["10", "09", "8"], count=5)
        assert read_custom_data("mine", tmp_path / "a").class_names == ("8", "09", "10")
        fill_classes(tmp_path / "b", ["10", "9", "x"], count=5)
        assert read_custom_data("mine", tmp_path / "b").class_names == ("10", "9", "x")


def test_14_images_in_subfolders_are_read_with_their_class(tmp_path):
    """Images below a class folder, as torchvision reads them (vision #80, #2605)."""
    from torchvision.datasets import ImageFolder

    fill_classes(tmp_path, count=5)
    fill(tmp_path / "cat/more", 6, start=50)
    fill(tmp_path / "cat/more/deep", 4, start=70)
    dataset = read_custom_data("mine", tmp_path)
    official = ImageFolder(str(tmp_path))
    expected = {(label, np.asarray(image.convert("L")).tobytes()) for image, label in official}
    assert pixels_by_label(dataset) == expected
    assert len(expected) == 20
    assert any(
        "read as part of their class folder: 10 images" in note and "cat/more" in note
        for note in notes(tmp_path)
    )


class TestUnicode:
    """Names that look alike: macOS and Linux encode é in different ways."""

    ONE, OTHER = "caf\u00e9", "cafe\u0301"

    def test_training_and_test_folders_are_matched(self, tmp_path):
        fill_classes(tmp_path / "train", (self.ONE, "tea"))
        fill_classes(tmp_path / "test", (self.OTHER, "tea"), count=3, start=500)
        dataset = read_custom_data("mine", tmp_path)
        assert dataset.class_names == (self.ONE, "tea")
        assert np.bincount(dataset.test_labels).tolist() == [3, 3]

    def test_two_of_them_are_refused(self, tmp_path):
        fill_classes(tmp_path, (self.ONE, self.OTHER))
        with pytest.raises(LatentgenError, match=r"two folders called .*differ only in the Unicode form"):
            read_custom_data("mine", tmp_path)


def test_a_link_to_a_folder_above_ends(tmp_path):
    fill_classes(tmp_path)
    (tmp_path / "cat/again").symlink_to(tmp_path / "cat")
    assert len(pixels_by_label(read_custom_data("mine", tmp_path))) == 20


def test_the_block_of_a_folder_reads_back(tmp_path):
    folder = fill_classes(tmp_path / "my pets #2: {x}")
    assert block(folder) == {"path": str(folder), "shape": [1, 12, 12], "classes": 2, "train": 16, "test": 4}
