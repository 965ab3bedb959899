"""Data sets: examples with their true labels, subsets, and their common file format.

`latentgen.data.sources` has a module for each source of built-in data sets, and `latentgen.data.registry`
lists them. Custom data sets are in `latentgen.data.custom`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.inputs import KINDS, Inputs, InputShape, Tokens, kind_of
from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.runtime.files import put, read_h5, write_h5

if TYPE_CHECKING:
    import h5py

Images = NDArray[np.uint8]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """Held-out training examples: inputs, labels, index and given labels as in `Dataset`."""

    inputs: Inputs
    labels: IntArray
    index: IntArray
    given_labels: IntArray | None = None


@dataclass(frozen=True)
class Dataset:
    """Training and test examples with their true labels.

    Attributes
    ----------
    name : str
    train_inputs, test_inputs : array (N, …)
        Images, uint8 (N, C, H, W); vectors, floating-point (N, d); or token ids, int32 (N, L).
    train_labels, test_labels : int64 array (N,)
    train_index, test_index : int64 array (N,)
        Position of each example in its source: 0 … N - 1, unless `subset` drew some of them.
    class_names : tuple of str
    max_value : int
        Largest possible value of a pixel: 255, or 16 in ``digits``; 0 if examples are not images.
    source : str
        Origin of the data.
    checksums : dict
        MD5 of the content of each file read (or of each array, if there are no files).
    given_labels : int64 array (N,), optional
        Training labels as given, some of which may be wrong.
    truth_known : bool
        Whether `train_labels` are true; if not, they equal `given_labels`.
    held_out : HeldOut, optional
        Training examples that are not trained on (`subset`).
    vocabulary : int
        Size of the vocabulary of tokens; 0 without tokens.
    padding : int, optional
        The token that pads short sequences, if there is one.
    """

    name: str
    train_inputs: Inputs
    train_labels: IntArray
    test_inputs: Inputs
    test_labels: IntArray
    train_index: IntArray
    test_index: IntArray
    class_names: tuple[str, ...]
    max_value: int
    source: str
    checksums: dict[str, str]
    given_labels: IntArray | None = None
    truth_known: bool = True
    held_out: HeldOut | None = None
    vocabulary: int = 0
    padding: int | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> InputShape:
        """Shape of an example."""
        shape = self.train_inputs.shape[1:]
        return Tokens(shape[0], self.vocabulary, self.padding) if self.vocabulary else shape


def no_input_files(info: "DatasetInfo", folder: Path) -> list[Path]:
    """Return no files: those of most built-in data sets are verified by checksums that never change."""
    return []


@dataclass(frozen=True)
class DatasetInfo:
    """The facts known about a data set before it is read.

    Attributes
    ----------
    name : str
    shape : tuple of int, or Tokens
        Shape of an example.
    n_classes, n_train, n_test : int
    read : function (DatasetInfo, Path, bool) -> Dataset
        Reads it from the data folder; the flag is whether it may be downloaded if it is missing.
    md5 : mapping
        The required checksums of the files.
    locations : tuple of str
        Where to look for it, relative to the data folder unless absolute.
    torchvision : str
        The torchvision class that downloads the data set.
    how_to_get : tuple of str
        Ways to get the data set, for the message if it is not found.
    class_names : tuple of str
        Names of the classes, if they are known before the data is read.
    input_files : function (DatasetInfo, Path) -> list of Path
        Files whose change requires reading the data set again.
    """

    name: str
    shape: InputShape
    n_classes: int
    n_train: int
    n_test: int
    read: Callable[["DatasetInfo", Path, bool], Dataset]
    md5: Mapping[str, str] = field(default_factory=dict)
    locations: tuple[str, ...] = ()
    torchvision: str = ""
    how_to_get: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    input_files: Callable[["DatasetInfo", Path], list[Path]] = no_input_files


def check_labels(labels: NDArray[Any], n_classes: int, what: str) -> IntArray:
    """Return integer labels as int64.

    Parameters
    ----------
    labels : integer array (N,)
    n_classes : int
    what : str
        Name of the labels in the message.

    Raises
    ------
    LatentgenError
        If a label is not in 0 … `n_classes` - 1.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(wrong):
        raise LatentgenError(
            f"{what} must be from 0 to {n_classes - 1}; {len(wrong)} are not, the first of them at index "
            f"{wrong[0]}: {labels[wrong[0]]}."
        )
    return labels.astype(np.int64)


# --- Subsets --------------------------------------------------------------------------------------

SPLIT_SEED = 20250131
"""Seed of every fixed draw of examples. All results depend on it: never change it."""


def subset(
    dataset: Dataset, train_items: int | None = None, test_items: int | None = None, held_out: int = 0
) -> Dataset:
    """Return a subset of a data set, drawn at random but the same on every machine.

    Examples stay in the order of the source. Every class is kept if the subset is large enough, and a smaller
    subset is contained in any larger one.

    Parameters
    ----------
    dataset : Dataset
    train_items, test_items : int, optional
        Number of training and test examples to keep; all by default.
    held_out : int
        Number of these training examples to hold out from training.

    Raises
    ------
    LatentgenError
        If there are not that many examples, or none would be left.
    """
    what = f"training examples of {dataset.name}"
    kept = _draw(dataset.train_labels, train_items, what)
    n_train = len(kept) - held_out if held_out else None
    train = kept[_draw(dataset.train_labels[kept], n_train, f"of {len(kept)} {what}")]
    given = dataset.given_labels
    test = _draw(dataset.test_labels, test_items, f"test examples of {dataset.name}")
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[train],
        train_labels=dataset.train_labels[train],
        train_index=dataset.train_index[train],
        given_labels=None if given is None else given[train],
        held_out=_apart(dataset, np.setdiff1d(kept, train)) if held_out else None,
        test_inputs=dataset.test_inputs[test],
        test_labels=dataset.test_labels[test],
        test_index=dataset.test_index[test],
    )


def _draw(labels: IntArray, count: int | None, what: str) -> IntArray:
    if count is None:
        return np.arange(len(labels))
    if not 1 <= count <= len(labels):
        raise LatentgenError(f"{count} {what} were requested; choose a number from 1 to {len(labels)}.")
    order = fixed_order(len(labels))
    first_of_class = np.sort(np.unique(labels[order], return_index=True)[1])
    order = np.concatenate([order[first_of_class], np.delete(order, first_of_class)])
    return np.sort(order[:count])


def _apart(dataset: Dataset, rows: IntArray) -> HeldOut:
    inputs, labels, index = (
        getattr(dataset, f"train_{what}")[rows] for what in ("inputs", "labels", "index")
    )
    given = dataset.given_labels
    return HeldOut(inputs, labels, index, None if given is None else given[rows])


def with_held_out(dataset: Dataset) -> tuple[Dataset, NDArray[np.bool_]]:
    """Return a data set with its held-out examples back in place, and a mask of them."""
    held_out = dataset.held_out
    if held_out is None:
        return dataset, np.zeros(len(dataset.train_labels), bool)
    order = np.argsort(np.concatenate([dataset.train_index, held_out.index]), kind="stable")

    def joined(train: NDArray[Any] | None, apart: NDArray[Any] | None) -> Any:
        return None if train is None or apart is None else np.concatenate([train, apart])[order]

    whole = replace(
        dataset,
        train_inputs=joined(dataset.train_inputs, held_out.inputs),
        train_labels=joined(dataset.train_labels, held_out.labels),
        train_index=joined(dataset.train_index, held_out.index),
        given_labels=joined(dataset.given_labels, held_out.given_labels),
        held_out=None,
    )
    return whole, order >= len(dataset.train_index)


def fixed_order(count: int) -> IntArray:
    """Return a random order of examples, from raw bits, which are the same in every NumPy release."""
    return np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(count), kind="stable")


# --- Files ----------------------------------------------------------------------------------------

_CHUNK_BYTES = 2**20


def write_dataset(path: str | Path, dataset: Dataset) -> None:
    """Write ``results/datasets/{dataset}.h5``."""
    with write_h5(path) as file:
        for split, (inputs, labels, index) in _splits(dataset).items():
            # Not compressed: zstd would shrink MNIST and Fashion-MNIST from 47 MB to 10 and 27 MB, but every
            # training would read them in 0.05 s instead of 0.01 s (lzf 0.11 s, gzip 0.15 s), and only with a
            # plugin. Photographs hardly shrink. The chunks exist for the checksums.
            rows = min(len(inputs), max(1, _CHUNK_BYTES // inputs[0].nbytes))
            file.create_dataset(
                f"{split}_{kind_of(dataset.input_shape)}",
                data=inputs,
                chunks=(rows, *inputs.shape[1:]),
                fletcher32=True,
            )
            put(file, f"{split}_labels", labels)
            put(file, f"{split}_index", index)
        if dataset.given_labels is not None:
            put(file, "given_labels", dataset.given_labels)
        if dataset.held_out is not None and dataset.held_out.given_labels is not None:
            put(file, "held_out_given_labels", dataset.held_out.given_labels)
        if dataset.vocabulary:
            file.attrs["vocabulary"] = dataset.vocabulary
        if dataset.padding is not None:
            file.attrs["padding"] = dataset.padding
        file.attrs["truth_known"] = dataset.truth_known
        file.attrs["name"] = dataset.name
        file.attrs["class_names"] = json.dumps(dataset.class_names)
        file.attrs["max_value"] = dataset.max_value
        file.attrs["source"] = dataset.source
        file.attrs["checksums"] = json.dumps(dataset.checksums)


def _splits(dataset: Dataset) -> dict[str, tuple[Inputs, IntArray, IntArray]]:
    splits = {
        "train": (dataset.train_inputs, dataset.train_labels, dataset.train_index),
        "test": (dataset.test_inputs, dataset.test_labels, dataset.test_index),
    }
    if (held_out := dataset.held_out) is not None:
        splits["held_out"] = held_out.inputs, held_out.labels, held_out.index
    return splits


def _read_held_out(file: "h5py.File") -> HeldOut | None:
    if "held_out_labels" not in file:
        return None
    kind = next(kind for kind in KINDS if f"held_out_{kind}" in file)
    names = {"inputs": kind, "labels": "labels", "index": "index"}
    arrays = {what: file[f"held_out_{name}"][...] for what, name in names.items()}
    given = file["held_out_given_labels"][...] if "held_out_given_labels" in file else None
    return HeldOut(**arrays, given_labels=given)


def read_dataset(path: str | Path, split: str | None = None) -> Dataset:
    """Read a file of `write_dataset`.

    Parameters
    ----------
    path : str or Path
    split : {"train", "test"}, optional
        Read only this split; the other one is empty, and held-out examples are left out.

    Raises
    ------
    LatentgenError
        If the file is missing, unfinished, damaged or not a data set.
    """
    with read_h5(path) as file:
        try:
            kind = next((kind for kind in KINDS if f"train_{kind}" in file), "images")
            arrays = {
                f"{part}_{what}": file[f"{part}_{name}"][() if split in (None, part) else slice(0)]
                for part in ("train", "test")
                for what, name in (("inputs", kind), ("labels", "labels"), ("index", "index"))
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
                held_out=_read_held_out(file) if split is None else None,
                vocabulary=int(file.attrs.get("vocabulary", 0)),
                padding=int(file.attrs["padding"]) if "padding" in file.attrs else None,
            )
        except (KeyError, OSError) as error:
            raise DamagedFileError(path, f"is not a data set or is damaged ({error})") from error
