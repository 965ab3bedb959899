"""Data sets in the study file: which one, which part of it, and how its pixels are scaled."""

import re
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from latentgen.data.custom import custom_info
from latentgen.data.datasets import DatasetInfo
from latentgen.data.registry import DATASETS, dataset_info
from latentgen.runtime.import_paths import ImportPath
from latentgen.settings import CodeFiles, NotBoolean, PositiveInt, Settings
from latentgen.study.error_messages import WORDS, nearest
from latentgen.study.runs import NAME


def _known_dataset(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"not a built-in data set; {nearest(name, list(DATASETS))}")
    return name


Pixel = Annotated[float, NotBoolean]


class CustomData(Settings):
    """Where a custom data set is, and what it holds, as `latentgen check-data PATH` prints it."""

    path: str | None = None
    """A .npz file, a folder of .npy files, or a folder of images by class. A relative path starts at the
    folder of the Snakefile; `~` is your home folder."""
    function: ImportPath | None = None
    """Instead of a path: module:name of a function that returns these arrays in a dict; modules are also
    searched in the folder of the Snakefile."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the function, by name."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: when their content changes,
    what used the code is rerun."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels, height and width of an image."""
    classes: Annotated[int, Field(ge=2)]
    """Number of classes."""
    train: PositiveInt
    """Number of training examples."""
    test: PositiveInt
    """Number of test examples."""
    labels: Literal["true", "given", "both"] = "true"
    """What train_labels are. `true`: taken as true. `given`: some are wrong, and which ones is not known.
    `both`: the same, with train_true_labels besides. The latter two are for noise of the kind `given`."""

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if (self.path is None) == (self.function is None):
            raise ValueError("give either a path or a function, not both")
        if self.arguments and self.function is None:
            raise ValueError("arguments need a function; there is none")
        if self.files and self.function is None:
            raise ValueError("files are those that a function reads; there is none")
        return self

    @property
    def import_path(self) -> str | None:
        """Its function."""
        return self.function


class DatasetChoice(Settings):
    """A data set, or a fixed part of one, and how its pixels are scaled."""

    own: CustomData | None = None
    """A custom data set; omit it to use a built-in one."""
    name: str
    """Name of a built-in data set, or a name of your choice for a custom one."""
    train_items: PositiveInt | None = None
    """Use this many training examples, always the same ones; all if omitted."""
    test_items: PositiveInt | None = None
    """Use this many test examples, always the same ones; all if omitted."""
    held_out: Annotated[float, Field(ge=0, le=0.5, exclude_if=lambda fraction: not fraction), NotBoolean] = (
        0.0
    )
    """Fraction of these training examples that is corrupted alike and never trained on: such held-out noisy
    labels choose layers for `audit`, `repair` and in the tables, and can stop training early."""
    input_range: tuple[Pixel, Pixel] = (-1.0, 1.0)
    """What the smallest and the largest pixel value become. The papers scale to (-1, 1), and Tiny ImageNet to
    (0, 1)."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str, given: ValidationInfo) -> str:
        if "own" not in given.data:  # a mistake in it is reported already
            return name
        if given.data["own"] is None:
            return _known_dataset(name)
        if name in DATASETS:
            raise ValueError("this is the name of a built-in data set; choose another one")
        if not re.fullmatch(NAME, name):
            raise ValueError(WORDS["string_pattern_mismatch"])
        return name

    @field_validator("train_items", "test_items")
    @classmethod
    def _has_that_many(cls, wanted: int | None, given: ValidationInfo) -> int | None:
        if wanted is not None and {"name", "own"} <= set(given.data):
            info = _info(given.data["name"], given.data["own"])
            there = info.n_train if given.field_name == "train_items" else info.n_test
            if wanted > there:
                raise ValueError(f"{info.name} has only {there}")
        return wanted

    @field_validator("held_out")
    @classmethod
    def _leaves_some_on_both_sides(cls, fraction: float, given: ValidationInfo) -> float:
        if fraction and {"name", "own", "train_items"} <= set(given.data):
            count = given.data["train_items"] or _info(given.data["name"], given.data["own"]).n_train
            if not round(fraction * count):
                raise ValueError(f"of {count} training examples that is none; choose a larger fraction")
        return fraction

    @field_validator("input_range")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] >= ends[1]:
            raise ValueError("must be two numbers, the second one larger")
        return ends

    @property
    def info(self) -> DatasetInfo:
        """Facts of the whole data set, known before any of it is read."""
        return _info(self.name, self.own)

    @property
    def label_kind(self) -> str:
        """What the training labels are: true, given or both."""
        return self.own.labels if self.own else "true"

    @property
    def dataset_id(self) -> str:
        """Name of exactly these examples, in file names, run names and tables."""
        part = f"_{self.train_items}" if self.train_items else ""
        part += f"x{self.test_items}" if self.test_items else ""
        return self.name + part + (f"_held{100 * self.held_out:g}".replace(".", "_") if self.held_out else "")

    @property
    def megabytes(self) -> int:
        """Memory needed to read the whole data set, with a margin, in MB."""
        return 500 + 4 * (self.info.n_train + self.info.n_test) * prod(self.info.shape) // 10**6

    @property
    def n_train(self) -> int:
        """Number of training examples, without those that are held out."""
        return (self.train_items or self.info.n_train) - self.n_held_out

    @property
    def n_held_out(self) -> int:
        """Number of training examples that are not trained on."""
        return round(self.held_out * (self.train_items or self.info.n_train))

    @property
    def n_test(self) -> int:
        """Number of test examples."""
        return self.test_items or self.info.n_test

    @property
    def n_items(self) -> int:
        """All examples: for training, for testing, and held out."""
        return self.n_train + self.n_test + self.n_held_out


def _info(name: str, own: CustomData | None) -> DatasetInfo:
    return custom_info(name, **own.model_dump()) if own else dataset_info(name)


def one_data_set_per_name(pairs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the pairs of a study; refuse two data sets of one name, which would share one file.

    The range of inputs may differ: it is not part of the file.

    Raises
    ------
    ValueError
        If two pairs have data sets of the same `dataset_id` that are not the same examples.
    """
    known: dict[str, tuple[int, DatasetChoice]] = {}
    for number, dataset in enumerate(pair.dataset for pair in pairs):
        first, same = known.setdefault(dataset.dataset_id, (number, dataset))
        if dataset.model_dump(exclude={"input_range"}) != same.model_dump(exclude={"input_range"}):
            raise ValueError(
                f"pairs {first} and {number} have different data sets, and both are called "
                f"{dataset.dataset_id} in file names; give one of them another name"
            )
    return pairs
