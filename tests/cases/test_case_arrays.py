"""Arrays as people have them: each case is read exactly, or refused with the conversion that fits it."""

import pickle

import h5py
import numpy as np
import pytest
import yaml

from latentgen.data.custom import check, custom_info, read_custom_data
from latentgen.data.custom_sources.checks import checked_dataset
from latentgen.data.custom_sources.raw import RawData
from latentgen.errors import LatentgenError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 12, 12), np.uint8)
LABELS = np.arange(40) % 3


@pytest.fixture
def save(tmp_path):
    def saved(name="mine.npz", **arrays):
        with (tmp_path / name).open("wb") as file:
            np.savez(file, **arrays)
        return tmp_path / name

    return saved


def notes(path):
    return [line.removeprefix("# Note: ") for line in check(str(path)).splitlines() if "# Note" in line]


def refused(path):
    with pytest.raises(LatentgenError) as caught:
        read_custom_data("mine", path)
    return str(caught.value)


def all_labels(dataset):
    """Return the labels of all images in the order of IMAGES."""
    number = {image.tobytes(): position for position, image in enumerate(IMAGES)}
    labels = np.full(len(IMAGES), -1)
    for split in ("train", "test"):
        for image, label in zip(
            getattr(dataset, f"{split}_inputs"), getattr(dataset, f"{split}_labels"), strict=True
        ):
            labels[number[image.tobytes()]] = label
    return labels


class Test16Labels:
    """Labels in other forms (cleanlab #245, #23)."""

    @pytest.mark.parametrize(
        "labels",
        [
            LABELS.astype(">i4"), LABELS.astype(np.int8), LABELS.astype(np.uint8), LABELS.astype(np.uint64),
            LABELS[:, None], LABELS.astype(float), LABELS.astype(np.float16),
        ],
        ids=["big-endian", "int8", "uint8", "uint64", "column", "float64", "float16"],
    )  # fmt: skip
    def test_whole_numbers_are_taken(self, save, labels):
        assert np.array_equal(
            all_labels(read_custom_data("mine", save(images=IMAGES, labels=labels))), LABELS
        )

    def test_true_and_false_are_two_classes(self, save):
        path = save(images=IMAGES, labels=LABELS == 1)
        assert np.array_equal(all_labels(read_custom_data("mine", path)), LABELS == 1)
        assert any("are bool; they are taken as whole numbers" in note for note in notes(path))

    @pytest.mark.parametrize("kind", ["U", "S", "column"])
    def test_names_become_classes(self, save, kind):
        names = np.array(["cat", "dog", "eel"])[LABELS]
        names = names[:, None] if kind == "column" else names.astype(kind)
        dataset = read_custom_data("mine", save(images=IMAGES, labels=names))
        assert dataset.class_names == ("cat", "dog", "eel")
        assert np.array_equal(all_labels(dataset), LABELS)

    def test_numbers_as_text_are_in_the_order_of_numbers(self, save):
        labels = np.array([str(number) for number in (2, 10, 9)])[LABELS]
        assert read_custom_data("mine", save(images=IMAGES, labels=labels)).class_names == ("2", "9", "10")

    def test_class_names_give_names_their_order(self, save):
        names = ["eel", "cat", "dog"]
        path = save(images=IMAGES, labels=np.array(names)[LABELS], class_names=names)
        dataset = read_custom_data("mine", path)
        assert dataset.class_names == tuple(names)
        assert np.array_equal(all_labels(dataset), LABELS)
        said = refused(save(images=IMAGES, labels=np.array([*names[:2], "cow"])[LABELS], class_names=names))
        assert "labels in" in said
        assert "names that are not in class_names: cow" in said

    def test_a_test_label_without_training_label_is_named(self, save):
        names = np.array(["cat", "dog", "eel"])
        said = refused(
            save(
                train_images=IMAGES[:20], train_labels=names[LABELS[:20] % 2],
                test_images=IMAGES[20:], test_labels=names[LABELS[20:]],
            )
        )  # fmt: skip
        assert "test_labels in" in said
        assert "names that are not in the training labels: eel" in said

    @pytest.mark.parametrize(
        ("labels", "said", "convert"),
        [
            (LABELS + 1, "they are 1, 2, 3. They begin at 1", "labels - 1"),
            (10 * LABELS, "they are 0, 10, 20. Numbers in between", "numpy.searchsorted(values, labels)"),
            (np.uint8(255) * (LABELS == 1), "they are 0, 255", "numpy.searchsorted(values, labels)"),
            (np.where(LABELS == 1, 1, -1), "they are -1, 1", "(labels + 1) // 2"),
            (np.eye(3)[LABELS], "They are one-hot", "labels.argmax(axis=1)"),
            (np.eye(3, dtype=bool)[LABELS], "They are one-hot", "labels.argmax(axis=1)"),
        ],
    )
    def test_other_numbers_are_refused_with_a_conversion_that_works(self, save, labels, said, convert):
        message = refused(save(images=IMAGES, labels=labels))
        assert said in message
        assert convert in message
        converted = eval(convert, {"numpy": np, "labels": labels, "values": np.unique(labels)})
        assert set(all_labels(read_custom_data("mine", save(images=IMAGES, labels=converted)))) == set(
            range(len(np.unique(converted)))
        )

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            (np.where(np.arange(40) == 5, -1, LABELS), "Negative: 1 in labels. If these examples"),
            (LABELS / 2, "are float64 and not all whole numbers"),
            (np.where(LABELS == 0, np.nan, LABELS), "are float64 and not all whole numbers"),
            (RNG.random((40, 3)), "labels must be a list with one number, or one name, for"),
            (LABELS.astype("M8[D]"), "are datetime64[D]; labels must be whole numbers from 0 up, or names"),
            (np.full(40, 2**63, np.uint64), "they are not class numbers"),
        ],
    )  # fmt: skip
    def test_what_is_no_label_is_refused(self, save, labels, said):
        message = refused(save(images=IMAGES, labels=labels))
        assert said in message
        assert "argmax" not in message


class TestClassNames:
    """Class names: bytes, duplicates, one text, Unicode forms that look alike."""

    def test_bytes_are_text(self, save):
        path = save(images=IMAGES, labels=LABELS, class_names=np.array([b"cat", b"dog", "é".encode()]))
        assert read_custom_data("mine", path).class_names == ("cat", "dog", "é")

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (["cat", "dog", "cat"], "each name may be given once; given more than once: cat"),
            (["caf\u00e9", "cafe\u0301", "x"], "given more than once"),
            ("cat,dog,eel", "must be a list of names, one for each class; it is one value, 'cat,dog,eel'"),
            (["cat", " ", "dog"], "the name of class 1 is empty"),
            ([["cat", "dog", "eel"]], "must be a list of names, one for each class; it is of shape (1, 3)"),
            ([b"\xff", b"a", b"b"], "are not all text in UTF-8"),
            (["cat", "dog"], "from 0 to 1, as there are 2 class_names; the largest label is 2"),
            (["cat", "dog", "eel", "fox"], "no training example of class fox"),
        ],
    )
    def test_others_are_refused(self, save, names, said):
        assert said in refused(save(images=IMAGES, labels=LABELS, class_names=names))


class Test18Containers:
    """Files of other kinds (importance-reweighting #1): none is called damaged that is not."""

    def test_other_files_are_named_with_what_is_read(self, tmp_path):
        with h5py.File(tmp_path / "data.h5", "w") as file:
            file["images"] = IMAGES
        (tmp_path / "data.pkl").write_bytes(pickle.dumps({"images": [1]}))
        (tmp_path / "data.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(128))
        (tmp_path / "data.npz.gz").write_bytes(b"\x1f\x8b\x08\0")
        for name, kind in (
            ("data.h5", "an HDF5 file"),
            ("data.pkl", "a file that can contain code, which is never run here"),
            ("data.mat", "a MATLAB file"),
            ("data.npz.gz", "a gzip archive"),
        ):
            said = refused(tmp_path / name)
            assert (
                f"{name} is {kind}. latentgen reads .npz files, folders of .npy files, and folders of images"
                in said
            )
            assert "give `function` instead of `path`" in said
            assert "damaged" not in said
            assert "allow_pickle" not in said

    def test_one_npy_file(self, tmp_path):
        np.save(tmp_path / "single.npy", IMAGES)
        said = refused(tmp_path / "single.npy")
        assert "is a single array" in said
        assert "put them into one folder, as images.npy and labels.npy" in said

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (
                ("Images", "Labels"),
                "holds Images, Labels. It must hold train_images, .* Rename Images to images",
            ),
            (("x_train", "y_train"), "holds x_train, y_train.* Rename x_train to train_images, y_train to"),
            (("pixels", "classes"), "holds classes, pixels. It must hold train_images"),
        ],
    )
    def test_arrays_of_other_names(self, save, names, said):
        with pytest.raises(LatentgenError, match=said):
            read_custom_data("mine", save(**dict(zip(names, (IMAGES, LABELS), strict=True))))

    @pytest.mark.parametrize(
        "array", [np.array([{}] * 40), np.array([IMAGES[0], IMAGES[1, :5]] * 20, object)]
    )
    def test_python_objects_are_never_advised_to_be_read(self, save, array):
        said = refused(save(images=array, labels=LABELS))
        assert "holds Python objects, which are never read" in said
        assert "allow_pickle" not in said

    def test_a_truncated_archive(self, save):
        path = save(images=IMAGES, labels=LABELS)
        path.write_bytes(path.read_bytes()[:-40])
        assert "It is truncated or damaged" in refused(path)

    def test_a_zip_of_images(self, tmp_path):
        import zipfile

        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            archive.writestr("cat/0.png", b"")
        assert "zip archive without arrays. If it holds images by class, unpack it" in refused(
            tmp_path / "images.zip"
        )

    def test_two_data_sets_in_one_file(self, save):
        said = refused(save(images=IMAGES, labels=LABELS, train_images=IMAGES, train_labels=LABELS))
        assert "has train_images, train_labels and also images, labels, so it is not clear which" in said

    def test_what_is_not_read_is_noted(self, save):
        assert "Not read: meta." in notes(save(images=IMAGES, labels=LABELS, meta=np.zeros(3)))


def test_true_labels_beside_undivided_data_are_refused(save):
    """They were dropped without a word."""
    said = refused(save(images=IMAGES, labels=LABELS, train_true_labels=LABELS))
    assert "has images, labels and train_true_labels" in said
    assert "divide the data yourself" in said


def test_given_labels_that_are_divided_are_pointed_out(save, caplog):
    read_custom_data("mine", save(images=IMAGES, labels=LABELS), truth_known=False)
    assert "wrong ones among them count as true" in caplog.text


class TestImages:
    """The conversion in a message fits the array at hand: no wrap-around, no token ids called images."""

    FLOAT = RNG.random((40, 12, 12))

    @pytest.mark.parametrize(
        ("images", "convert"),
        [
            (FLOAT, "(255 * images).round().astype('uint8')"),
            (FLOAT.astype(np.float32), "(255 * images).round().astype('uint8')"),
            (2 * FLOAT - 1, "((images + 1) * 127.5).round().astype('uint8')"),
            (IMAGES.astype(float), "images.astype('uint8')"),
            (IMAGES + 0.25 * (IMAGES < 255), "images.round().astype('uint8')"),
            (IMAGES.astype(int), "images.astype('uint8')"),
            (IMAGES > 127, "images.astype('uint8') * 255"),
            (IMAGES.astype(np.uint16) * 257, "(images // 257).astype('uint8')"),
            (IMAGES.astype(np.uint16) * 256 + 9, "(images * (255 / 65535)).round().astype('uint8')"),
            (IMAGES.astype(np.int32) * 16 + 3, "(images * (255 / 4095)).round().astype('uint8')"),
            (np.repeat(IMAGES[:, None], 3, 1), "images.transpose(0, 2, 3, 1)"),
            (IMAGES[:, None], "images.transpose(0, 2, 3, 1)"),
            (np.repeat(IMAGES[..., None], 4, 3) | [0, 0, 0, 255], "images[..., :3]"),
            (np.moveaxis(IMAGES, 0, -1), "numpy.moveaxis(images, -1, 0)"),
            (np.moveaxis(np.repeat(IMAGES[..., None], 3, -1), 0, -1), "numpy.moveaxis(images, -1, 0)"),
            (IMAGES.reshape(40, -1), "images.reshape(-1, 12, 12)"),
            (np.repeat(IMAGES.reshape(40, -1), 3, 1), "images.reshape(-1, 12, 12, 3)"),
        ],
    )  # fmt: skip
    def test_the_conversion_works(self, save, images, convert):
        images = images.astype(np.uint8) if images.dtype == int and images.ndim == 4 else images
        said = refused(save(images=images, labels=LABELS))
        assert convert in said
        converted = eval(convert, {"numpy": np, "images": images})
        dataset = read_custom_data("mine", save(images=converted, labels=LABELS))
        assert dataset.input_shape[1:] == (12, 12)
        scaled = images.astype(float)
        if converted.shape == images.shape:  # a change of values: brightness keeps its order
            pairs = np.corrcoef(scaled.ravel(), converted.astype(float).ravel())
            assert pairs[0, 1] > 0.99

    @pytest.mark.parametrize(
        ("images", "said", "never"),
        [
            (RNG.integers(0, 30_000, (40, 64)), "If rows are features, call the arrays vectors", "astype"),
            (RNG.integers(0, 30_000, (40, 12, 12)) * 1000, "Values this large are hardly pixels", "astype"),
            (RNG.standard_normal((40, 12, 12)) * 3, "seem to be standardized: undo that first", "astype"),
            (np.where(IMAGES == 3, np.nan, IMAGES), "values that are NaN or infinite", "astype"),
            (IMAGES.astype(np.int16) - 7, "Pixels cannot be negative", "astype"),
            (IMAGES.astype(complex), "are complex128; images must be uint8", "astype"),
            (np.zeros((40, 12, 12, 2), np.uint8), "channels, 1 or 3", "transpose"),
            (np.zeros((40, 12, 12, 4), np.uint8), "transparent pixels in the fourth channel", ":3"),
            (np.zeros((40, 12, 12, 3, 2), np.uint8), "it must be examples × height × width", "astype"),
        ],
    )
    def test_without_a_conversion_none_is_named(self, save, images, said, never):
        message = refused(save(images=images, labels=LABELS))
        assert said in message
        assert never not in message

    def test_dark_images_are_pointed_out(self, save):
        assert any("of 255: the images are nearly black" in note for note in notes(
            save(images=IMAGES // 16, labels=LABELS)
        ))  # fmt: skip


class Test20ClassSizes:
    """Classes of unequal size (cleanlab #41)."""

    def test_they_are_taken_and_counted(self, save):
        labels = (np.arange(40) < 5).astype(int)
        said = check(str(save(images=IMAGES, labels=labels)))
        assert '#   class 0: "0", 28 training and 7 test images' in said
        assert '#   class 1: "1", 4 training and 1 test images' in said

    def test_a_class_too_small_to_be_tested_is_noted(self, save):
        labels = (np.arange(40) < 1).astype(int)
        assert "No test images of class 1: test accuracy does not cover it." in notes(
            save(images=IMAGES, labels=labels)
        )

    def test_one_class_and_one_example_each_are_refused(self, save):
        assert "has only one class" in refused(save(images=IMAGES, labels=np.zeros(40, int)))
        said = refused(save(images=IMAGES, labels=np.arange(40)))
        assert "fewer than 5 examples of every class" in said

    def test_of_a_thousand_classes_a_few_are_listed(self, save):
        images = RNG.integers(0, 256, (5000, 6, 6), np.uint8)
        said = check(str(save(images=images, labels=np.arange(5000) % 1000)))
        assert "and 980 more classes; all have 4 to 4 training and 1 to 1 test images" in said
        assert said.count("\n") < 40


def test_21_copies_across_the_splits_are_counted(save):
    """Equal images in training and test (ciFAIR)."""
    test = np.concatenate([IMAGES[:7], 255 - IMAGES[:13]])
    path = save(train_images=IMAGES, train_labels=LABELS, test_images=test, test_labels=LABELS[:20])
    assert any(note.startswith("7 of 20 test images are copies of a training image") for note in notes(path))


@pytest.mark.parametrize(
    "name",
    ["my set #2.npz", "run: final.npz", "[a].npz", "{x}.npz", "null", "it's.npz", '"q".npz', "1.5",
     "a\tb.npz", "é.npz", "*a.npz", "- a.npz", "!x.npz", "%x", "mine.npz"],
)  # fmt: skip
def test_strange_file_names_read_back_from_the_printed_block(save, tmp_path, monkeypatch, name):
    """Names that mean something in YAML are quoted."""
    monkeypatch.chdir(tmp_path)
    save(name, images=IMAGES, labels=LABELS)
    (entry,) = yaml.safe_load(check(name))
    assert entry["dataset"]["name"] == "mine"
    own = entry["dataset"]["own"]
    assert own["path"] == name
    info = custom_info("mine", **own)
    assert len(info.read(info, tmp_path, False).train_labels) == own["train"]


class TestMissing:
    """A custom path that is missing, or begins with ~."""

    def test_the_message_names_where_it_was_looked_for(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        said = refused("data/none.npz")
        assert f"data/none.npz does not exist: there is nothing at {tmp_path}/data/none.npz" in said

    def test_the_home_folder_is_understood(self, save, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        save("mine.npz", images=IMAGES, labels=LABELS)
        assert len(read_custom_data("mine", "~/mine.npz").train_labels) == 34
        assert "path: ~/mine.npz" in check("~/mine.npz")
        assert f"there is nothing at {tmp_path}/none.npz" in refused("~/none.npz")


def test_arrays_of_a_function_may_be_lists():
    """Text in an object array, as pandas has it, and plain lists."""
    raw = RawData(
        {"images": IMAGES, "labels": np.array([["cat", "dog", "eel"][one] for one in LABELS], object)},
        ["cat", "dog", "eel"],
    )
    assert np.array_equal(all_labels(checked_dataset("mine", raw, "m:f", True)), LABELS)
