"""A data set of one's own: arrays in .npz or .npy files, a folder of images by class, or a Python function.

    latentgen check-data data/mine.npz         check it, and print what a study file must say of it
    latentgen check-data my_data:load size=12  the same of what a function returns

Arrays are called train_images, train_labels, test_images and test_labels (and class_names, if there are any):
uint8 images, items × height × width (× channels, 1 or 3), and integer labels from 0 up. A folder of images
holds train/CLASS/… and test/CLASS/… Where nothing is said of training and test (arrays images and labels, or
folders CLASS/…), a fifth of each class is held out for testing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.datasets import Dataset, DatasetInfo, Images, IntArray, in_range
from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import load

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
WHOLE = ("images", "labels")
"""Arrays that may stand for these four: they are divided here."""
TRUE_LABELS = "train_true_labels"
"""An array that may be there as well: then train_labels are those given, and some of them are wrong."""
HELD_OUT = 5
"""One of so many items of a class is for testing, where the data set is divided here."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
"""Files that count as images."""


def own_info(
    name: str,
    *,
    path: str | None = None,
    function: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    shape: Sequence[int],
    classes: int,
    train: int,
    test: int,
    labels: str = "true",
) -> DatasetInfo:
    """Return what a study file says of a data set of one's own, with the way to read it.

    Parameters
    ----------
    name : str
    path : str
        File or folder; or
    function, arguments : str, mapping
        Import path of a function that returns the arrays, and what it is called with.
    shape : (int, int, int)
        Channels, height and width of an image.
    classes, train, test : int
        How many classes, training items and test items there are.
    labels : {"true", "given", "both"}
        What the training labels are (`latentgen.study.dataset_settings.OwnData`).
    """

    def read(info: DatasetInfo, _folder: Path, _fetch: bool) -> Dataset:
        truth_known = labels != "given"
        if function is not None:
            dataset = call_own_data(info.name, function, arguments or {}, truth_known)
        else:
            dataset = read_own_data(info.name, path or "", truth_known)
        found = (dataset.image_shape, dataset.n_classes, len(dataset.train_labels), len(dataset.test_labels))
        told = (info.shape, info.n_classes, info.n_train, info.n_test)
        if found != told or labels_of(dataset) != labels:
            raise LatentgenError(
                f"The study file says other things of {dataset.source} than it holds. It must say:\n"
                f"{as_settings(dataset, arguments or {})}"
            )
        return dataset

    channels, height, width = shape
    return DatasetInfo(name, (channels, height, width), classes, train, test, read)


def labels_of(dataset: Dataset) -> str:
    """Return what a study file must say of a data set's training labels."""
    if dataset.given_labels is None:
        return "true"
    return "both" if dataset.truth_known else "given"


def read_own_data(name: str, path: str | Path, truth_known: bool = True) -> Dataset:
    """Read a data set of one's own.

    Parameters
    ----------
    name : str
    path : str or Path
    truth_known : bool
        Whether train_labels are to be taken as true where no others are there.

    Raises
    ------
    LatentgenError
        If it is missing, damaged, or not as described above.
    """
    path = Path(path)
    if not path.exists():
        raise LatentgenError(f"{path} does not exist. The path is relative to the folder of the Snakefile.")
    if path.is_dir() and not any((path / f"{part}.npy").exists() for part in ("train_images", "images")):
        arrays, names = _image_folders(path)
    else:
        arrays, names = _arrays(path)
    return _checked(name, arrays, names, str(path), truth_known)


def call_own_data(
    name: str, function: str, arguments: Mapping[str, Any], truth_known: bool = True
) -> Dataset:
    """Return the data set whose arrays a function of one's own returns, by name, in a dict.

    Raises
    ------
    LatentgenError
        If it cannot be imported or called, or returns something else.
    """
    try:
        found = load(function)(**arguments)
    except LatentgenError:
        raise
    except Exception as error:  # code of others can raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise LatentgenError(f"{function}({given}) ends with {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping):
        raise LatentgenError(
            f"{function} returns a {type(found).__name__}; it must return a dict with {', '.join(ARRAYS)}."
        )
    arrays = {part: np.asarray(found[part]) for part in (*ARRAYS, *WHOLE, TRUE_LABELS) if part in found}
    return _checked(name, arrays, tuple(map(str, found.get("class_names", ()))), function, truth_known)


def _checked(
    name: str, arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...], path: str, truth_known: bool
) -> Dataset:
    if set(WHOLE) <= set(arrays) and not set(ARRAYS) & set(arrays):
        arrays = _divided(arrays, path)
    missing = [part for part in ARRAYS if part not in arrays]
    if missing:
        raise LatentgenError(
            f"{path} lacks {', '.join(missing)}. It must give {', '.join(ARRAYS)}; or {' and '.join(WHOLE)}, "
            "of which a fifth is then held out for testing."
        )
    images = {split: _images(arrays[f"{split}_images"], f"{split}_images in {path}") for split in _SPLITS}
    if images["train"].shape[1:] != images["test"].shape[1:]:
        shapes = " and ".join(str(of.shape[1:]) for of in images.values())
        raise LatentgenError(f"Training and test images in {path} have different shapes: {shapes}.")
    all_labels = {
        part: _integers(arrays[part], f"{part} in {path}")
        for part in ("train_labels", "test_labels", TRUE_LABELS)
        if part in arrays
    }
    most = max((int(array.max()) for array in all_labels.values() if array.size), default=-1)
    n_classes = len(names) if names else most + 1
    if n_classes > len(all_labels["train_labels"]):
        raise LatentgenError(
            f"{path} has labels up to {n_classes - 1}, but only {len(all_labels['train_labels'])} training "
            "items: every class needs one."
        )
    labels = {
        split: _labels(arrays[f"{split}_labels"], len(images[split]), n_classes, f"{split}_labels in {path}")
        for split in _SPLITS
    }
    given = None
    if TRUE_LABELS in arrays:
        given, truth_known = labels["train"], True
        where = f"{TRUE_LABELS} in {path}"
        labels["train"] = _labels(arrays[TRUE_LABELS], len(images["train"]), n_classes, where)
    elif not truth_known:
        given = labels["train"]
    absent = np.setdiff1d(np.arange(n_classes), labels["train"])
    if n_classes < 2 or len(absent):
        found = (
            f"no training item of class {', '.join(map(str, absent[:10]))}" if len(absent) else "one class"
        )
        raise LatentgenError(f"{path} has {found}: every one of two classes or more needs training items.")
    return Dataset(
        name,
        images["train"],
        labels["train"],
        images["test"],
        labels["test"],
        np.arange(len(labels["train"])),
        np.arange(len(labels["test"])),
        class_names=names or tuple(map(str, range(n_classes))),
        max_value=255,
        source=path,
        checksums={part: _md5(arrays[part]) for part in (*ARRAYS, TRUE_LABELS) if part in arrays},
        given_labels=given,
        truth_known=truth_known,
    )


_SPLITS = ("train", "test")


def _divided(arrays: Mapping[str, NDArray[Any]], path: str) -> dict[str, NDArray[Any]]:
    """Hold out a fifth of each class for testing: drawn at random, but always the same."""
    images, labels = arrays["images"], _integers(arrays["labels"], f"labels in {path}")
    if images.ndim == 0 or len(images) != len(labels):
        raise LatentgenError(
            f"There are {len(labels)} labels in {path}, and {len(np.atleast_1d(images))} images."
        )
    rng = np.random.default_rng(0)
    classes = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    test = np.sort(
        np.concatenate([items[: len(items) // HELD_OUT] for items in classes] or [np.empty(0, int)])
    )
    if not len(test):
        raise LatentgenError(
            f"{path} has fewer than {HELD_OUT} items of every class: none can be held out for testing. "
            f"Divide them yourself: {', '.join(ARRAYS)}, or folders train/CLASS/ and test/CLASS/."
        )
    train = np.setdiff1d(np.arange(len(labels)), test)
    parts = {"train": train, "test": test}
    return {f"{split}_{what}": arrays[what][parts[split]] for split in _SPLITS for what in WHOLE}


def _arrays(path: Path) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    wanted = (*ARRAYS, *WHOLE, TRUE_LABELS, "class_names")
    try:
        if path.is_dir():
            files = {part: path / f"{part}.npy" for part in wanted}
            found = {part: np.load(file, allow_pickle=False) for part, file in files.items() if file.exists()}
        else:
            with np.load(path, allow_pickle=False) as archive:
                found = {part: archive[part] for part in wanted if part in archive}
        if not all(isinstance(array, np.ndarray) for array in found.values()):
            raise ValueError("it holds other things than arrays")
        names = tuple(map(str, np.ravel(found["class_names"]))) if "class_names" in found else ()
    except Exception as error:  # a damaged file can raise anything
        raise LatentgenError(
            f"{path} cannot be read as NumPy arrays ({error}). It is damaged, or holds Python objects, which "
            "are never read: save plain arrays, with numpy.savez."
        ) from error
    return found, names


def _image_folders(path: Path) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    parts = {f"{split}_": path / split for split in _SPLITS} if (path / "train").is_dir() else {"": path}
    names = sorted(folder.name for folder in next(iter(parts.values())).glob("[!.]*/"))
    if not names:
        raise LatentgenError(
            f"{path} holds neither arrays (train_images.npy) nor folders train/CLASS/ or CLASS/ with images."
        )
    strange = sorted(folder.name for folder in (path / "test").glob("[!.]*/") if folder.name not in names)
    if strange:
        raise LatentgenError(f"{path}/test has classes that {path}/train has not: {', '.join(strange)}.")
    arrays: dict[str, NDArray[Any]] = {}
    first: tuple[Path, tuple[int, ...]] | None = None
    for part, folder in parts.items():
        images, labels = [], []
        for label, name in enumerate(names):
            for file in sorted((folder / name).glob("*")):
                if file.suffix.lower() not in SUFFIXES:
                    continue
                image = _decoded(file)
                first = first or (file, image.shape)
                if image.shape != first[1]:
                    raise LatentgenError(
                        f"Images must all be of one size and colour mode: {file} is {_size(image.shape)}, "
                        f"{first[0]} is {_size(first[1])}. Convert them first."
                    )
                images.append(image)
                labels.append(label)
        if not images:
            raise LatentgenError(f"{folder} holds no images in folders CLASS/ ({', '.join(SUFFIXES)}).")
        arrays |= {f"{part}images": np.stack(images), f"{part}labels": np.array(labels)}
    return arrays, tuple(names)


def _decoded(file: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LatentgenError(f"{file} cannot be read as an image ({error}). Replace or delete it.") from error


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} × {shape[0]}, {'colour' if len(shape) == 3 else 'grey'}"


def _images(array: NDArray[Any], where: str) -> Images:
    """Check images and return them as items × channels × height × width."""
    if array.dtype != np.uint8:
        raise LatentgenError(
            f"{where} are {array.dtype}; images must be uint8, from 0 to 255. To convert numbers from 0 to "
            "1: (255 * images).round().astype('uint8')."
        )
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape or array.shape[3] not in (1, 3):
        raise LatentgenError(
            f"{where} have shape {array.shape}; it must be items × height × width, or items × height × width "
            "× channels, 1 or 3."
        )
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def _integers(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise LatentgenError(
            f"{where} are {array.dtype} of shape {array.shape}; labels must be a list of integers from 0 up."
        )
    return array


def _labels(array: NDArray[Any], items: int, n_classes: int, where: str) -> IntArray:
    if len(array) != items:
        raise LatentgenError(f"There are {len(array)} {where}, and {items} images.")
    return in_range(array, n_classes, where)


def _md5(array: NDArray[Any]) -> str:
    return hashlib.md5(np.ascontiguousarray(array).tobytes(), usedforsecurity=False).hexdigest()


def as_settings(dataset: Dataset, arguments: Mapping[str, Any] | None = None) -> str:
    """Return what a study file must say of a data set, in YAML."""
    key = "path" if Path(dataset.source).exists() else "function"
    called_with = ", ".join(f"{name}: {json.dumps(value)}" for name, value in (arguments or {}).items())
    return "\n".join(
        [
            "  - dataset:",
            f"      name: {dataset.name}",
            "      own:",
            f"        {key}: {dataset.source}",
            *([f"        arguments: {{{called_with}}}"] if called_with else []),
            f"        shape: [{', '.join(map(str, dataset.image_shape))}]",
            f"        classes: {dataset.n_classes}",
            f"        train: {len(dataset.train_labels)}",
            f"        test: {len(dataset.test_labels)}",
            *([f"        labels: {labels_of(dataset)}"] if labels_of(dataset) != "true" else []),
        ]
    )
