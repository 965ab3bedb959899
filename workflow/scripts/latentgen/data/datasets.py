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

from latentgen.data.inputs import (
    KINDS,
    InputKind,
    Inputs,
    InputShape,
    Tokens,
    examples_per_input,
    kind_of,
)
from latentgen.data.spool import rows_of
from latentgen.data.stored_inputs import read_inputs, write_inputs
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
        If the next tokens are classes, (N·L,): those of the first sequence, then those of the second, ….
    train_index, test_index : int64 array (N,)
        Position of each input in its source: 0 … N - 1, unless `subset` drew some of them.
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
    next_token : bool
        Whether the class of each token is the token after it (`latentgen.data.next_tokens`).
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
    next_token: bool = False

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> InputShape:
        """Shape of an example."""
        shape = self.train_inputs.shape[1:]
        if not self.vocabulary:
            return shape
        return Tokens(shape[0], self.vocabulary, self.padding, self.next_token)


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
    token_names : tuple of str
        Names of all tokens, if they are few.
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
    token_names: tuple[str, ...] = ()
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
    subset is contained in any larger one. If the next tokens are classes, whole sequences are drawn.

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
    train_labels, test_labels = (
        _by_input(dataset, labels) for labels in (dataset.train_labels, dataset.test_labels)
    )
    kept = _draw(train_labels, train_items, what)
    n_train = len(kept) - held_out if held_out else None
    train = kept[_draw(train_labels[kept], n_train, f"of {len(kept)} {what}")]
    given = dataset.given_labels
    test = _draw(test_labels, test_items, f"test examples of {dataset.name}")
    return replace(
        dataset,
        train_inputs=rows_of(dataset.train_inputs, train),
        train_labels=train_labels[train].ravel(),
        train_index=dataset.train_index[train],
        given_labels=None if given is None else given[train],
        held_out=_apart(dataset, np.setdiff1d(kept, train)) if held_out else None,
        test_inputs=rows_of(dataset.test_inputs, test),
        test_labels=test_labels[test].ravel(),
        test_index=dataset.test_index[test],
    )


def _by_input(dataset: Dataset, labels: IntArray) -> IntArray:
    """Return labels (N,); if the next tokens are classes, those of each sequence: N × L."""
    per_input = examples_per_input(dataset.input_shape)
    return labels if per_input == 1 else labels.reshape(-1, per_input)


def _draw(labels: IntArray, count: int | None, what: str) -> IntArray:
    if count is None:
        return np.arange(len(labels))
    if not 1 <= count <= len(labels):
        raise LatentgenError(f"{count} {what} were requested; choose a number from 1 to {len(labels)}.")
    order = fixed_order(len(labels))
    if labels.ndim > 1:  # a sequence has many classes
        return np.sort(order[:count])
    first_of_class = np.sort(np.unique(labels[order], return_index=True)[1])
    order = np.concatenate([order[first_of_class], np.delete(order, first_of_class)])
    return np.sort(order[:count])


def _apart(dataset: Dataset, rows: IntArray) -> HeldOut:
    given = None if dataset.given_labels is None else dataset.given_labels[rows]
    inputs = rows_of(dataset.train_inputs, rows)
    labels = _by_input(dataset, dataset.train_labels)[rows].ravel()
    return HeldOut(inputs, labels, dataset.train_index[rows], given)


def with_held_out(dataset: Dataset) -> tuple[Dataset, NDArray[np.bool_]]:
    """Return a data set with its held-out examples back in place, and a mask of them among its labels."""
    held_out = dataset.held_out
    if held_out is None:
        return dataset, np.zeros(len(dataset.train_labels), bool)
    order = np.argsort(np.concatenate([dataset.train_index, held_out.index]), kind="stable")

    def joined(train: NDArray[Any] | None, apart: NDArray[Any] | None) -> Any:
        return None if train is None or apart is None else np.concatenate([train, apart])[order]

    labels = [_by_input(dataset, dataset.train_labels), _by_input(dataset, held_out.labels)]

    whole = replace(
        dataset,
        train_inputs=joined(dataset.train_inputs, held_out.inputs),
        train_labels=joined(*labels).ravel(),
        train_index=joined(dataset.train_index, held_out.index),
        given_labels=joined(dataset.given_labels, held_out.given_labels),
        held_out=None,
    )
    return whole, np.repeat(order >= len(dataset.train_index), examples_per_input(dataset.input_shape))


def fixed_order(count: int) -> IntArray:
    """Return a random order of examples, from raw bits, which are the same in every NumPy release."""
    return np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(count), kind="stable")


# --- Files ----------------------------------------------------------------------------------------


def write_dataset(path: str | Path, dataset: Dataset) -> None:
    """Write ``results/datasets/{dataset}.h5``."""
    with write_h5(path) as file:
        for split, (inputs, labels, index) in _splits(dataset).items():
            write_inputs(file, f"{split}_{kind_of(dataset.input_shape)}", inputs)
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
        if dataset.next_token:
            file.attrs["next_token"] = True
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


def _read_split(file: "h5py.File", split: str, kind: InputKind, wanted: bool) -> dict[str, NDArray[Any]]:
    """Return inputs, labels and index of a split; empty if it is not wanted."""
    name, rows = f"{split}_{kind}", slice(None) if wanted else slice(0)
    shape = file[name].shape[1:]
    seen = Tokens(shape[0], 0) if kind == "tokens" else shape
    return {
        "inputs": read_inputs(file, name, seen) if wanted else file[name][:0],
        "labels": file[f"{split}_labels"][rows],
        "index": file[f"{split}_index"][rows],
    }


def _read_held_out(file: "h5py.File", kind: InputKind) -> HeldOut | None:
    if "held_out_labels" not in file:
        return None
    given = file["held_out_given_labels"][...] if "held_out_given_labels" in file else None
    return HeldOut(**_read_split(file, "held_out", kind, wanted=True), given_labels=given)


def read_dataset(path: str | Path, split: str | None = None) -> Dataset:
    """Read a file of `write_dataset`; large inputs are mapped (`latentgen.data.stored_inputs`).

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
            kind = next((kind for kind in KINDS if f"train_{kind}" in file), KINDS[0])
            arrays = {
                f"{part}_{what}": array
                for part in ("train", "test")
                for what, array in _read_split(file, part, kind, split in (None, part)).items()
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
                held_out=_read_held_out(file, kind) if split is None else None,
                vocabulary=int(file.attrs.get("vocabulary", 0)),
                padding=int(file.attrs["padding"]) if "padding" in file.attrs else None,
                next_token=bool(file.attrs.get("next_token", False)),
            )
        except (KeyError, OSError) as error:
            raise DamagedFileError(path, f"is not a data set or is damaged ({error})") from error
