"""Custom data sets: arrays in .npz or .npy files, a folder of images by class, or a Python function.

    latentgen check-data data/mine.npz         check it, and print its block for a study file
    latentgen check-data my_data:load size=12  the same for the result of a function

Arrays are named train_images, train_labels, test_images and test_labels (and optionally class_names): uint8
images, examples × height × width (× channels, 1 or 3), and labels, numbers from 0 up or names. Instead of
images there may be vectors (train_vectors, test_vectors: floating-point, examples × numbers) or tokens
(train_tokens, test_tokens: integers, examples × length; optionally with vocabulary and padding; without
labels, for targets: next_token). A folder of images contains train/CLASS/… and test/CLASS/… If the data is
not divided (arrays images and labels, or folders CLASS/…), a fifth of each class is held out for testing.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latentgen.data.custom_sources.arrays import array_files, is_array_folder, read_arrays
from latentgen.data.custom_sources.checks import checked_dataset
from latentgen.data.custom_sources.function import call_function
from latentgen.data.custom_sources.image_folder import UNCHANGED, image_files, read_image_folder
from latentgen.data.custom_sources.raw import RawData
from latentgen.data.custom_sources.reading import OPTIONS, Reading
from latentgen.data.custom_sources.tables import Columns, is_table, table_files
from latentgen.data.custom_sources.tar_contents import read_tars
from latentgen.data.custom_sources.tars import is_tar, tar_files
from latentgen.data.custom_sources.texts import TextForm
from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.inputs import InputKind, InputShape, Tokens, kind_of
from latentgen.data.next_tokens import next_token_shape
from latentgen.data.registry import dataset_info
from latentgen.data.reshaping import Reshaping
from latentgen.data.study_block import label_kind, settings_block
from latentgen.errors import LatentgenError

logger = logging.getLogger(__name__)

SHOWN_CLASSES = 20
"""Largest number of classes that the check lists."""


def custom_info(
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
    kind: InputKind = "images",
    vocabulary: int | None = None,
    padding: int | None = None,
    tokenizer: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    reshaping: Reshaping = UNCHANGED,
) -> DatasetInfo:
    """Return the facts that a study file states about a custom data set, and how to read it.

    Parameters
    ----------
    name : str
    path : str
        File or folder; or
    function, arguments : str, mapping
        Import path of a function that returns the arrays, and its arguments.
    shape : sequence of int
        Channels, height and width of an image; length of a vector, or of a sequence of tokens.
    classes, train, test : int
        Number of classes, training examples and test examples.
    labels : {"true", "given", "both"}
        What the training labels are (`latentgen.study.dataset_settings.CustomData`).
    kind : {"images", "vectors", "tokens"}
    vocabulary, padding : int, optional
        For tokens: the number of ids, and the id that pads short sequences.
    tokenizer, columns : str, mapping
        For tables: a tokenizer's file, and the names of columns (`Columns`).
    reshaping : Reshaping
        Changes to images; `shape` is their shape afterwards.
    """
    reading = Reading(
        reshaping,
        TextForm(shape[0] if kind == "tokens" else None, vocabulary, tokenizer),
        Columns(**(columns or {})),
    )
    read_length = shape[0] + bool(reshaping.targets)  # the last token only is a target
    tokens = Tokens(read_length, vocabulary or 0, padding) if kind == "tokens" else None
    stated_shape: InputShape = tokens or tuple(shape)
    if reshaping.targets:
        stated_shape = next_token_shape(stated_shape)

    def read(info: DatasetInfo, _folder: Path, _fetch: bool) -> Dataset:
        truth_known = labels != "given"
        if function is not None:
            dataset = reshaping.dataset(call_custom_data(info.name, function, arguments or {}, truth_known))
        else:
            dataset = read_custom_data(info.name, path or "", truth_known, reading)
        dataset = with_stated_tokens(dataset, info.shape)
        held = (dataset.input_shape, dataset.n_classes, len(dataset.train_inputs), len(dataset.test_inputs))
        stated = (info.shape, info.n_classes, info.n_train, info.n_test)
        if held != stated or label_kind(dataset) != labels:
            raise LatentgenError(
                f"The study file does not match {dataset.source}. Replace the block with:\n"
                f"{settings_block(dataset, function, arguments, reading)}"
            )
        return dataset

    return DatasetInfo(
        name,
        stated_shape,
        classes,
        train,
        test,
        read,
        input_files=lambda info, folder: [
            *(custom_files(path) if path else []),
            *([_existing(tokenizer)] if tokenizer else []),
        ],
    )


def info_of(
    name: str, own: Mapping[str, Any] | None = None, reshaping: Mapping[str, Any] | None = None
) -> DatasetInfo:
    """Return the facts known about a data set before it is read, and how to read it.

    Parameters
    ----------
    name : str
    own : mapping, optional
        The facts that a study file states about a custom data set (`custom_info`).
    reshaping : mapping, optional
        Changes to its images (`Reshaping`).

    Raises
    ------
    LatentgenError
        If there is no built-in data set of that name.
    ValueError
        If its examples cannot be changed in this way.
    """
    changes = Reshaping(**(reshaping or {}))
    if own:
        if changes.of_images and own.get("kind", "images") != "images":
            raise ValueError(f"{', '.join(changes.of_images)}: {name} has no images; leave this out")
        return custom_info(name, **own, reshaping=changes)
    return changes.info(dataset_info(name))


def with_stated_tokens(dataset: Dataset, stated: InputShape) -> Dataset:
    """Return tokens with the facts that only a study file states: padding, a larger vocabulary."""
    if not isinstance(stated, Tokens) or stated.vocabulary < dataset.vocabulary:
        return dataset
    padding = stated.padding if dataset.padding is None else dataset.padding
    names = tuple(map(str, range(stated.vocabulary))) if dataset.next_token else dataset.class_names
    return replace(dataset, vocabulary=stated.vocabulary, padding=padding, class_names=names)


def custom_files(path: str | Path) -> list[Path]:
    """Return all files that a custom data set is read from.

    Raises
    ------
    LatentgenError
        If there is nothing at the path.
    """
    place = _existing(path)
    if _is_of_arrays(place):
        return array_files(place)
    if is_tar(place):
        return tar_files(place)
    return table_files(place) if is_table(place) else image_files(place)


def _existing(path: str | Path) -> Path:
    place = Path(path).expanduser()
    if not place.exists():
        raise LatentgenError(
            f"{path} does not exist: there is nothing at {place.absolute()}. A relative path starts at the "
            "folder of the Snakefile."
        )
    return place


def read_custom_data(
    name: str, path: str | Path, truth_known: bool = True, reading: Reading | None = None
) -> Dataset:
    """Read a custom data set from files; conversions and skipped files are logged.

    Parameters
    ----------
    name : str
    path : str or Path
        A .npz file, a folder of .npy files, a folder of images by class, a table or a folder of tables, a tar
        file or a folder of tar files.
    truth_known : bool
        Whether train_labels are taken as true if there are no others.
    reading : Reading, optional
        The user's choices for reading examples.

    Raises
    ------
    LatentgenError
        If it is missing, damaged, or not as described above.
    """
    return _logged(*_read(name, path, truth_known, reading or Reading()))


def call_custom_data(
    name: str, function: str, arguments: Mapping[str, Any], truth_known: bool = True
) -> Dataset:
    """Return the data set whose arrays a custom function returns, by name, in a dict.

    Raises
    ------
    LatentgenError
        If it cannot be imported or called, or returns something else.
    """
    return _logged(*_call(name, function, arguments, truth_known))


def _read(name: str, path: str | Path, truth_known: bool, reading: Reading) -> tuple[Dataset, RawData]:
    place = _existing(path)
    if _is_of_arrays(place):
        raw = read_arrays(place)
        return reading.reshaping.dataset(checked_dataset(name, raw, str(path), truth_known)), raw
    if is_table(place):
        from latentgen.data.custom_sources.table_contents import read_tables  # imports pyarrow

        raw = read_tables(place, reading.columns, reading.text, reading.reshaping)
    elif is_tar(place):
        raw = read_tars(place, reading.reshaping)
    else:
        raw = read_image_folder(place, reading.reshaping)
    return checked_dataset(name, raw, str(path), truth_known), raw


def _is_of_arrays(place: Path) -> bool:
    return is_array_folder(place) if place.is_dir() else not (is_table(place) or is_tar(place))


def _call(
    name: str, function: str, arguments: Mapping[str, Any], truth_known: bool
) -> tuple[Dataset, RawData]:
    raw = call_function(function, arguments)
    return checked_dataset(name, raw, function, truth_known), raw


def _logged(dataset: Dataset, raw: RawData) -> Dataset:
    for note in raw.notes:
        logger.warning("%s: %s", dataset.source, note)
    return dataset


# --- The check of a data set, and the block of a study file ----------------------------------------


def check(path_or_import_path: str, options: Mapping[str, Any] | None = None) -> str:
    """Check a custom data set; return its description and the block that a study file needs.

    Parameters
    ----------
    path_or_import_path : str
        A file or folder, or the import path of a function, module:name.
    options : mapping, optional
        Arguments of the function; for a file or folder, how to read it (`Reading.of`).

    Returns
    -------
    str
        Lines of YAML: remarks on the data as comments, then the block.

    Raises
    ------
    LatentgenError
        If the data set cannot be used; the message says what to do.
    """
    options = options or {}
    is_function = ":" in path_or_import_path and not Path(path_or_import_path).expanduser().exists()
    if is_function:
        dataset, raw = _call("mine", path_or_import_path, options, True)
        block = settings_block(dataset, function=path_or_import_path, arguments=options)
    else:
        reading = _reading_of(path_or_import_path, options)
        dataset, raw = _read("mine", path_or_import_path, True, reading)
        block = settings_block(dataset, reading=reading)
    if kind_of(dataset.input_shape) == "tokens" and dataset.padding is None and not dataset.next_token:
        raw.notes.append(
            "No array padding: if an id pads short sequences, add it to the block (padding: 0); otherwise "
            "networks and probes take it for a word."
        )
    comments = [_summary(dataset), *_class_lines(dataset), *(f"Note: {note}" for note in raw.notes)]
    return "\n".join([*(f"# {' '.join(comment.splitlines())}" for comment in comments), block])


def _reading_of(path: str, options: Mapping[str, Any]) -> Reading:
    try:
        return Reading.of(options)
    except TypeError:
        raise LatentgenError(
            f"{path} is not a function, and takes no arguments ({', '.join(options)}) except "
            f"{', '.join(OPTIONS)}."
        ) from None


def _summary(dataset: Dataset) -> str:
    shape, kind = dataset.input_shape, kind_of(dataset.input_shape)
    if isinstance(shape, Tokens):
        padding = "" if shape.padding is None else f", {shape.padding} being padding"
        each = f"of {shape.length} tokens, ids below {shape.vocabulary}{padding}"
    elif kind == "vectors":
        each = f"of {shape[0]} numbers, {dataset.train_inputs.dtype}"
    else:
        channels, height, width = shape
        each = f"of {width} × {height} pixels, {'colour' if channels == 3 else 'grey'}"
    noun = "sequences" if kind == "tokens" else kind
    return (
        f"{dataset.source}: {len(dataset.train_inputs)} training and {len(dataset.test_inputs)} test {noun} "
        f"{each}, in {dataset.n_classes} classes"
    )


def _class_lines(dataset: Dataset) -> list[str]:
    """Return number, name and number of examples of each class."""
    noun = "images" if kind_of(dataset.input_shape) == "images" else "examples"
    train, test = (
        np.bincount(labels, minlength=dataset.n_classes)
        for labels in (dataset.train_labels, dataset.test_labels)
    )
    lines = [
        f"  class {number}: {json.dumps(name, ensure_ascii=False)}, {train[number]} training and "
        f"{test[number]} test {noun}"
        for number, name in enumerate(dataset.class_names[:SHOWN_CLASSES])
    ]
    if dataset.n_classes > SHOWN_CLASSES:
        lines.append(
            f"  … and {dataset.n_classes - SHOWN_CLASSES} more classes; all have {train.min()} to "
            f"{train.max()} training and {test.min()} to {test.max()} test {noun}"
        )
    return lines
