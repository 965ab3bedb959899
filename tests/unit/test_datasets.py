"""Datasets: found wherever they are, refused unless official, and the same subsets everywhere."""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from dataclasses import fields, replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from official_formats import idx, jpeg, python2_pickle
from PIL import Image

from latentgen.data.datasets import Dataset, read_dataset, subset, write_dataset
from latentgen.data.inputs import Tokens
from latentgen.data.registry import DATASETS, dataset_info, load_dataset
from latentgen.data.sources.mnist import IDX_FILES, IDX_MD5
from latentgen.errors import LatentgenError


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def assert_equal(one, other):
    for field in fields(Dataset):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_facts_are_known_without_heavy_imports():
    code = (
        "import sys, latentgen.data.registry as d; assert d.DATASETS['mnist'].shape == (1, 28, 28); "
        "print(sorted({'torch', 'torchvision', 'sklearn', 'pandas', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", DATASETS)
def test_what_can_be_read_here_is_as_announced(name):
    info = DATASETS[name]
    try:
        dataset = load_dataset(name, fetch=False)
    except LatentgenError as error:
        pytest.skip(str(error).splitlines()[0])
    assert dataset.name == info.name == name
    of_tokens = isinstance(info.shape, Tokens)
    shape = (info.shape.length,) if of_tokens else info.shape
    assert dataset.train_inputs.shape == (info.n_train, *shape)
    assert dataset.test_inputs.shape == (info.n_test, *shape)
    assert dataset.train_inputs.dtype == dataset.test_inputs.dtype == (np.int32 if of_tokens else np.uint8)
    assert dataset.train_labels.shape == (info.n_train,)
    assert dataset.test_labels.shape == (info.n_test,)
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int64
    assert set(dataset.train_labels) == set(dataset.test_labels) == set(range(info.n_classes))
    assert dataset.n_classes == info.n_classes
    assert dataset.input_shape == info.shape
    largest = info.shape.vocabulary - 1 if of_tokens else dataset.max_value
    assert dataset.train_inputs.max() == largest
    assert dataset.test_inputs.max() == largest or of_tokens  # rare words need not occur in both
    assert dataset.source


def test_an_unknown_dataset_is_refused_with_the_nearest_name():
    with pytest.raises(LatentgenError, match=r"no data set 'fashion-mnist'\. Did you mean fashion_mnist"):
        dataset_info("fashion-mnist")


class TestDigits:
    def test_the_split_is_fixed(self):
        digits = load_dataset("digits")
        # Computed once: another split would make every result of the default study another one.
        assert md5(digits.train_index.astype("<i8").tobytes()) == "782de74c1997ead83a6dff8e6050a26a"
        assert sorted([*digits.train_index, *digits.test_index]) == list(range(1797))

    def test_examples_are_those_of_scikit_learn(self):
        from sklearn.datasets import load_digits

        bunch, digits = load_digits(), load_dataset("digits")
        assert np.array_equal(digits.test_inputs[:, 0], bunch.images[digits.test_index])
        assert np.array_equal(digits.train_labels, bunch.target[digits.train_index])

    def test_other_digits_are_refused(self):
        info = replace(DATASETS["digits"], md5={"images": "", "labels": ""})
        with pytest.raises(LatentgenError, match="differ from the expected ones"):
            info.read(info, None, False)


# --- idx files ---------------------------------------------------------------------------------------


@pytest.fixture
def stand_in():
    """Return a small dataset in the format of MNIST, and the contents of its files."""
    rng = np.random.default_rng(0)
    contents = {
        IDX_FILES["train_images"]: idx(rng.integers(0, 256, (30, 28, 28), np.uint8)),
        IDX_FILES["train_labels"]: idx(rng.integers(0, 10, 30, np.uint8)),
        IDX_FILES["test_images"]: idx(rng.integers(0, 256, (20, 28, 28), np.uint8)),
        IDX_FILES["test_labels"]: idx(rng.integers(0, 10, 20, np.uint8)),
    }
    checksums = {file: md5(content) for file, content in contents.items()}
    return replace(DATASETS["mnist"], n_train=30, n_test=20, md5=checksums, torchvision=""), contents


def put(folder, contents, compress=False):
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        if compress:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file).write_bytes(content)


class TestIdxDatasets:
    @pytest.mark.parametrize("compress", [False, True])
    @pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw", "downloads/mnist/MNIST/raw"])
    def test_found_in_every_place(self, tmp_path, stand_in, place, compress):
        info, contents = stand_in
        put(tmp_path / place, contents, compress)
        dataset = info.read(info, tmp_path, False)
        pixels = np.frombuffer(contents[IDX_FILES["train_images"]][16:], np.uint8)
        assert np.array_equal(dataset.train_inputs, pixels.reshape(30, 1, 28, 28))
        assert dataset.test_labels.tolist() == list(contents[IDX_FILES["test_labels"]][8:])
        assert dataset.source == str(tmp_path / place)
        assert dataset.checksums == info.md5

    def test_found_in_the_folder_of_the_environment(self, tmp_path, stand_in, monkeypatch):
        info, contents = stand_in
        put(tmp_path, contents)
        monkeypatch.setenv("LATENTGEN_DATA_DIR", str(tmp_path))
        monkeypatch.setitem(DATASETS, "mnist", info)
        assert load_dataset("mnist").source == str(tmp_path)

    def test_right_files_are_preferred_to_wrong_ones_of_the_same_name(self, tmp_path, stand_in):
        info, contents = stand_in
        put(tmp_path / "mnist", {file: b"something else" for file in contents})
        put(tmp_path, contents, compress=True)
        assert info.read(info, tmp_path, False).source == str(tmp_path)

    def test_when_absent_the_message_says_where_it_was_sought_and_how_to_get_it(self, tmp_path, stand_in):
        info, contents = stand_in
        contents.pop(IDX_FILES["test_labels"])
        put(tmp_path, contents)
        with pytest.raises(LatentgenError) as caught:
            info.read(info, tmp_path, True)
        message = str(caught.value)
        assert all(str(tmp_path / place) in message for place in info.locations)
        assert all(way in message for way in info.how_to_get)
        assert "LATENTGEN_DATA_DIR" in message
        assert IDX_FILES["test_labels"] in message

    def test_what_torchvision_fetches_is_found_and_nothing_half_fetched_stays(
        self, tmp_path, stand_in, monkeypatch
    ):
        info, contents = stand_in
        info = replace(info, torchvision="MNIST")
        torchvision = SimpleNamespace(datasets=SimpleNamespace())
        monkeypatch.setitem(sys.modules, "torchvision", torchvision)
        monkeypatch.setitem(sys.modules, "torchvision.datasets", torchvision.datasets)

        def fetch(root, download):
            assert download
            put(root / "MNIST" / "raw", contents)

        def fetch_half(root, download):
            fetch(root, download)
            raise RuntimeError("Error downloading\nit")

        torchvision.datasets.MNIST = fetch_half
        with pytest.raises(
            LatentgenError, match=r"downloading it failed \(RuntimeError: Error downloading it"
        ):
            info.read(info, tmp_path, True)
        assert not list(tmp_path.rglob("*ubyte"))
        torchvision.datasets.MNIST = fetch
        with pytest.raises(LatentgenError, match="not allowed"):
            info.read(info, tmp_path, False)
        assert info.read(info, tmp_path, True).source == str(tmp_path / "downloads/mnist/MNIST/raw")

    def test_a_read_only_folder_is_not_reported_as_missing_data(self, tmp_path, stand_in, monkeypatch):
        """A shared data folder is often read-only: what is missing, and how to get it, comes first."""
        info, _ = stand_in
        monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(datasets=SimpleNamespace()))
        monkeypatch.setitem(sys.modules, "torchvision.datasets", SimpleNamespace())

        def forbid(path):
            raise LatentgenError(f"{path} may not be written (Read-only file system).")

        monkeypatch.setattr("latentgen.data.sources.files.atomic_path", forbid)
        with pytest.raises(LatentgenError, match=r"^mnist was not found\. Looked for") as caught:
            replace(info, torchvision="MNIST").read(replace(info, torchvision="MNIST"), tmp_path, True)
        message = str(caught.value)
        assert all(str(tmp_path / place) in message for place in info.locations)
        assert "it could not be downloaded: " in message
        assert "may not be written (Read-only file system). To get it, do one of these:" in message

    def test_files_of_the_other_dataset_are_named(self, tmp_path, stand_in, monkeypatch):
        info, contents = stand_in
        put(tmp_path, contents)
        monkeypatch.setitem(IDX_MD5, "mnist", info.md5)
        fashion = replace(DATASETS["fashion_mnist"], locations=("",))
        with pytest.raises(LatentgenError, match="belongs to mnist"):
            fashion.read(fashion, tmp_path, False)

    @pytest.mark.parametrize("compress", [False, True])
    def test_a_file_cut_short_is_refused(self, tmp_path, stand_in, compress):
        info, contents = stand_in
        put(tmp_path, contents, compress)
        path = tmp_path / (IDX_FILES["train_images"] + ".gz" * compress)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(LatentgenError, match="truncated") as caught:
            info.read(info, tmp_path, False)
        assert str(path) in str(caught.value)

    def test_a_changed_byte_is_refused(self, tmp_path, stand_in):
        info, contents = stand_in
        contents[IDX_FILES["test_labels"]] = contents[IDX_FILES["test_labels"]][:-1] + b"\x0b"
        put(tmp_path, contents)
        with pytest.raises(LatentgenError, match="instead of"):
            info.read(info, tmp_path, False)

    def test_another_number_of_examples_is_refused(self, tmp_path, stand_in):
        info, contents = stand_in
        put(tmp_path, contents)
        info = replace(info, n_test=21)
        with pytest.raises(LatentgenError, match=r"shape \(20, 28, 28\); mnist has 21 of"):
            info.read(info, tmp_path, False)


# --- CIFAR -------------------------------------------------------------------------------------------


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request):
    """Return a small dataset in the format of CIFAR, its files, and its arrays as they should be read."""
    rng = np.random.default_rng(0)
    info = DATASETS[request.param]
    batches = 5 if info.name == "cifar10" else 1
    labels = [rng.permutation(info.n_classes).tolist() for _ in range(batches + 1)]
    pixels = [rng.integers(0, 256, (info.n_classes, 3072), np.uint8) for _ in labels]
    names = [b"class %d" % number for number in range(info.n_classes)]
    if info.name == "cifar10":
        meta = {b"num_cases_per_batch": 10, b"label_names": names, b"num_vis": 3072}
        files = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    else:
        meta = {b"fine_label_names": names, b"coarse_label_names": [b"all"]}
        files = ["train", "test", "meta"]
    key = b"labels" if info.name == "cifar10" else b"fine_labels"
    batches = [
        {
            b"batch_label": b"one of them",
            b"data": data,
            key: of_batch,
            b"filenames": [b"a.png"] * len(of_batch),
        }
        for data, of_batch in zip(pixels, labels, strict=True)
    ]
    contents = dict(zip(files, map(python2_pickle, [*batches, meta]), strict=True))
    checksums = {file: md5(content) for file, content in contents.items()}
    n_train = info.n_classes * (len(labels) - 1)
    info = replace(info, n_train=n_train, n_test=info.n_classes, md5=checksums, torchvision="")
    return info, contents, np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


def put_tar(path, folder, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for file, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


class TestCifar:
    def test_found_in_every_place(self, tmp_path, cifar):
        info, contents, images, labels = cifar
        for number, place in enumerate(info.locations):
            folder = tmp_path / str(number)
            if place.endswith(".tar.gz"):
                put_tar(folder / place, "cifar", contents | {"readme.html": b""})
            else:
                put(folder / place, contents)
            dataset = info.read(info, folder, False)
            assert np.array_equal(dataset.train_inputs, images[: info.n_train])
            assert np.array_equal(dataset.test_inputs, images[info.n_train :])
            assert np.array_equal(dataset.train_labels, labels[: info.n_train])
            assert np.array_equal(dataset.test_labels, labels[info.n_train :])
            assert dataset.class_names[:2] == ("class 0", "class 1")
            assert dataset.source == str(folder / place)
            assert dataset.checksums == info.md5

    def test_when_absent_the_message_says_where_it_was_sought_and_how_to_get_it(self, tmp_path, cifar):
        info, *_ = cifar
        with pytest.raises(LatentgenError) as caught:
            info.read(info, tmp_path, True)
        assert all(str(tmp_path / place) in str(caught.value) for place in info.locations)
        assert all(way in str(caught.value) for way in info.how_to_get)

    def test_a_file_too_few_is_refused(self, tmp_path, cifar):
        info, contents, *_ = cifar
        file = list(contents)[-2]
        contents.pop(file)
        put(tmp_path / info.name, contents)
        with pytest.raises(LatentgenError, match=f"lacks {file}"):
            info.read(info, tmp_path, False)

    def test_other_files_are_refused(self, tmp_path, cifar):
        info, contents, *_ = cifar
        file = next(iter(contents))
        put(tmp_path / info.name, contents | {file: contents[file][:-1]})
        with pytest.raises(LatentgenError, match=f"the checksums of {file} are not those of the official"):
            info.read(info, tmp_path, False)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, "is not cifar"),
            ({b"data": np.zeros((3, 3072), np.uint8)}, "images of shape"),
            ({b"data": [1, 2]}, "is not cifar"),
            ({b"labels": [99] * 10, b"fine_labels": [100] * 100}, "labels, and some may be no class"),
            ({b"labels": ["a"] * 10, b"fine_labels": ["a"] * 100}, "is not cifar"),
        ],
    )
    def test_right_checksums_do_not_excuse_wrong_contents(self, tmp_path, cifar, change, message):
        info, contents, *_ = cifar
        file = list(contents)[-2]
        batch = pickle.loads(contents[file], encoding="bytes")
        contents[file] = python2_pickle(batch | change if change else {})
        put(tmp_path / info.name, contents)
        info = replace(info, md5={file: md5(content) for file, content in contents.items()})
        with pytest.raises(LatentgenError, match=message):
            info.read(info, tmp_path, False)

    def test_the_checksums_are_those_torchvision_knows(self):
        from torchvision.datasets import CIFAR10, CIFAR100

        for info, official in ((DATASETS["cifar10"], CIFAR10), (DATASETS["cifar100"], CIFAR100)):
            meta = [(official.meta["filename"], official.meta["md5"])]
            assert info.md5 == dict([*official.train_list, *official.test_list, *meta])


# --- Tiny ImageNet -----------------------------------------------------------------------------------


@pytest.fixture
def tiny():
    """Return a small dataset in the format of Tiny ImageNet, and its files."""
    rng = np.random.default_rng(0)
    wnids = ["n02", "n01", "n03"]  # the official list is not sorted either
    contents = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in wnids).encode(),
        "words.txt": b"n01\tcat, house cat\nn02\tdog\nn09\tno class of ours\nn03\tpond\n",
        "val/val_annotations.txt": "".join(
            f"val_{number}.JPEG\t{wnid}\t0\t0\t62\t62\n" for number, wnid in enumerate(wnids)
        ).encode(),
    }
    files = [f"train/{wnid}/images/{wnid}_{number}.JPEG" for wnid in wnids for number in range(12)]
    for file in [*files, *(f"val/images/val_{number}.JPEG" for number in range(3))]:
        pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
        contents[file] = jpeg(pixels[..., 0] if file.endswith("_1.JPEG") else pixels)
    return replace(DATASETS["tiny_imagenet"], n_classes=3, n_train=36, n_test=3), contents


def put_all(place, contents):
    if place.suffix == ".zip":
        place.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(place, "w") as archive:
            for file, content in contents.items():
                archive.writestr(f"tiny-imagenet-200/{file}", content)
    else:
        for file, content in contents.items():
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_bytes(content)


class TestTinyImagenet:
    def test_found_in_every_place(self, tmp_path, tiny):
        info, contents = tiny
        read = []
        for number, place in enumerate(info.locations):
            put_all(tmp_path / str(number) / place, contents)
            read.append(info.read(info, tmp_path / str(number), False))
        for dataset in read[1:]:
            assert_equal(replace(dataset, source=read[0].source), read[0])

    def test_classes_and_images_are_in_the_order_of_their_names(self, tmp_path, tiny):
        info, contents = tiny
        put_all(tmp_path / "tiny-imagenet-200", contents)
        dataset = info.read(info, tmp_path, False)
        assert dataset.class_names == ("cat", "dog", "pond")
        assert dataset.train_labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12
        assert dataset.test_labels.tolist() == [1, 0, 2]
        files = sorted(file for file in contents if file.startswith("train"))
        for image, file in zip(dataset.train_inputs, files, strict=True):
            official = Image.open(io.BytesIO(contents[file])).convert("RGB")
            assert np.array_equal(image.transpose(1, 2, 0), np.asarray(official))
        assert set(dataset.checksums) == {
            "wnids.txt", "words.txt", "val/val_annotations.txt", "train images", "val images"
        }  # fmt: skip

    def test_the_order_is_that_of_torchvision(self, tmp_path, tiny):
        from torchvision.datasets import ImageFolder

        info, contents = tiny
        put_all(tmp_path / "tiny-imagenet-200", contents)
        official = ImageFolder(str(tmp_path / "tiny-imagenet-200" / "train"))
        dataset = info.read(info, tmp_path, False)
        assert dataset.train_labels.tolist() == official.targets
        for image, (photograph, _) in zip(dataset.train_inputs, official, strict=True):
            assert np.array_equal(image.transpose(1, 2, 0), np.asarray(photograph))

    def test_when_absent_the_message_says_where_it_was_sought_and_how_to_get_it(self, tmp_path, tiny):
        info, _ = tiny
        with pytest.raises(LatentgenError, match=r"it cannot be downloaded automatically") as caught:
            info.read(info, tmp_path, True)
        assert all(str(tmp_path / place) in str(caught.value) for place in info.locations)
        assert info.how_to_get[0] in str(caught.value)

    def test_its_archive_or_lists_are_inputs_since_no_checksums_are_published(self, tmp_path, tiny):
        info, contents = tiny
        with pytest.raises(LatentgenError, match="tiny_imagenet was not found"):
            info.input_files(info, tmp_path)
        put_all(tmp_path / "tiny-imagenet-200.zip", contents)
        assert info.input_files(info, tmp_path) == [tmp_path / "tiny-imagenet-200.zip"]
        put_all(tmp_path / "tiny-imagenet-200", contents)
        files = {
            str(file.relative_to(tmp_path / "tiny-imagenet-200")) for file in info.input_files(info, tmp_path)
        }
        assert files == {"wnids.txt", "words.txt", "val/val_annotations.txt"}

    @pytest.mark.parametrize("place", ["tiny-imagenet-200", "tiny-imagenet-200.zip"])
    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("train/n02/images/n02_7.JPEG", None, "n02_7.JPEG cannot be read"),
            ("train/n02/images/n02_7.JPEG", b"no image", "n02_7.JPEG is not a JPEG"),
            ("val/images/val_1.JPEG", jpeg(np.zeros((64, 32), np.uint8)), "val_1.JPEG has 64 × 32 pixels"),
            ("words.txt", None, "words.txt cannot be read"),
            ("wnids.txt", b"n01\nn02\n", "names 2 classes; tiny_imagenet has 3"),
            ("val/val_annotations.txt", b"val_0.JPEG\tn01\t", "test images of shape"),
            ("val/val_annotations.txt", b"\n\xff\n" * 3, "test images of shape"),
            ("val/val_annotations.txt", b"../../val_0.JPEG\tn01\n" * 3, "test images of shape"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, tmp_path, tiny, place, file, content, message):
        info, contents = tiny
        contents[file] = content
        put_all(
            tmp_path / place, {file: content for file, content in contents.items() if content is not None}
        )
        with pytest.raises(LatentgenError, match=message):
            info.read(info, tmp_path, False)


# --- Subsets and files -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


class TestSubset:
    def test_the_same_examples_everywhere_in_the_order_of_the_source(self, digits):
        small = subset(digits, 12, 20)
        assert small.train_index.tolist() == [
            129,
            450,
            575,
            611,
            837,
            885,
            1000,
            1116,
            1287,
            1549,
            1616,
            1751,
        ]
        positions = [digits.train_index.tolist().index(item) for item in small.train_index]
        assert positions == sorted(positions)
        assert np.array_equal(small.train_inputs, digits.train_inputs[positions])
        assert np.array_equal(small.train_labels, digits.train_labels[positions])
        assert small.test_inputs.shape == (20, 1, 8, 8)
        assert small.test_index.shape == small.test_labels.shape == (20,)

    def test_nothing_asked_nothing_dropped(self, digits):
        assert_equal(subset(digits), digits)
        assert_equal(subset(digits, 1437, 360), digits)

    @pytest.mark.parametrize("items", [10, 11, 100])
    def test_every_class_is_kept(self, digits, items):
        rare = replace(digits, train_labels=np.where(digits.train_index % 700 == 0, 1, 0))
        assert set(subset(rare, items).train_labels) == {0, 1}
        assert set(subset(digits, items).train_labels) == set(range(10))

    def test_fewer_examples_than_classes(self, digits):
        assert len(set(subset(digits, 3).train_labels)) == 3

    def test_small_ones_are_part_of_larger_ones(self, digits):
        kept = [set(subset(digits, items).train_index) for items in (5, 10, 50, 500)]
        assert kept[0] < kept[1] < kept[2] < kept[3]

    def test_it_is_a_random_draw(self, digits):
        counts = Counter(subset(digits, 700).train_labels.tolist())
        assert all(40 < counts[label] < 100 for label in range(10))
        assert np.corrcoef(subset(digits, 700).train_index, np.arange(700))[0, 1] > 0.99

    @pytest.mark.parametrize("items", [0, -1, 361])
    def test_more_than_there_are_or_none_is_refused(self, digits, items):
        with pytest.raises(LatentgenError, match=f"{items} test examples of digits .* from 1 to 360"):
            subset(digits, test_items=items)


class TestFiles:
    def test_what_is_read_is_what_was_written(self, tmp_path, digits):
        write_dataset(tmp_path / "digits.h5", digits)
        assert_equal(read_dataset(tmp_path / "digits.h5"), digits)

    @pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
    def test_one_split_alone(self, tmp_path, digits, split, other):
        write_dataset(tmp_path / "digits.h5", digits)
        read = read_dataset(tmp_path / "digits.h5", split)
        for part in ("inputs", "labels", "index"):
            assert np.array_equal(getattr(read, f"{split}_{part}"), getattr(digits, f"{split}_{part}"))
            assert len(getattr(read, f"{other}_{part}")) == 0

    def test_damaged_pixels_are_noticed(self, tmp_path, digits):
        path = tmp_path / "digits.h5"
        write_dataset(path, digits)
        content = bytearray(path.read_bytes())
        at = content.find(digits.train_inputs[700:702].tobytes())
        assert at > 0
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(LatentgenError, match="damaged"):
            read_dataset(path)

    def test_another_file_is_refused(self, tmp_path, digits):
        path = tmp_path / "digits.h5"
        write_dataset(path, digits)
        with h5py.File(path, "a") as file:
            del file["test_labels"]
        with pytest.raises(LatentgenError, match="is not a data set"):
            read_dataset(path)
