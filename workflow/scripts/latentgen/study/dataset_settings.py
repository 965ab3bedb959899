"""Data sets in the study file: which one, which part of it, and how its pixels are scaled."""

import re
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from latentgen.data.custom import own_info
from latentgen.data.datasets import DATASETS, DatasetInfo, dataset_info
from latentgen.runtime.import_paths import ImportPath
from latentgen.settings import NotBoolean, PositiveInt, Settings
from latentgen.study.error_messages import WORDS, nearest
from latentgen.study.runs import NAME


def _known_dataset(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"no known dataset; {nearest(name, list(DATASETS))}")
    return name


Pixel = Annotated[float, NotBoolean]


class OwnData(Settings):
    """Where one's own data is, and what it holds, as `latentgen check-data PATH` prints it."""

    path: str | None = None
    """A .npz file, a folder of .npy files, or one of images by class; relative to the Snakefile's folder."""
    function: ImportPath | None = None
    """In place of a path: module:name of a function that returns these arrays in a dict; modules are looked
    for in the folder of the Snakefile too."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the function is called with, by name."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels, height and width of an image."""
    classes: Annotated[int, Field(ge=2)]
    """Number of classes."""
    train: PositiveInt
    """Number of training items."""
    test: PositiveInt
    """Number of test items."""
    labels: Literal["true", "given", "both"] = "true"
    """What train_labels are. `true`: taken as true. `given`: some are wrong, and which is not known. `both`:
    the same, and train_true_labels are there as well. The latter two are for noise of the kind `given`."""

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if (self.path is None) == (self.function is None):
            raise ValueError("needs a path or a function, and not both")
        if self.arguments and self.function is None:
            raise ValueError("arguments are those of a function; there is none")
        return self

    @property
    def import_path(self) -> str | None:
        """Its function."""
        return self.function


class DatasetChoice(Settings):
    """A data set, or a fixed part of one, and how its pixels are scaled."""

    own: OwnData | None = None
    """A data set of one's own; one of those that are known by name if left out."""
    name: str
    """Name of the data set: a known one, or one that you give your own."""
    train_items: PositiveInt | None = None
    """Take this many training items, always the same ones; all if left out."""
    test_items: PositiveInt | None = None
    """Take this many test items, always the same ones; all if left out."""
    input_range: tuple[Pixel, Pixel] = (-1.0, 1.0)
    """What pixel values 0 and maximum become. The papers scale to (-1, 1), and Tiny ImageNet to (0, 1)."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str, given: ValidationInfo) -> str:
        if "own" not in given.data:  # a mistake in it is told already
            return name
        if given.data["own"] is None:
            return _known_dataset(name)
        if name in DATASETS:
            raise ValueError("this is the name of another data set; choose one of your own")
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
                raise ValueError(f"{info.name} has only {there} of them")
        return wanted

    @field_validator("input_range")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] >= ends[1]:
            raise ValueError("must be two numbers, the second larger than the first")
        return ends

    @property
    def info(self) -> DatasetInfo:
        """Facts of the whole data set, known before any of it is read."""
        return _info(self.name, self.own)

    @property
    def dataset_id(self) -> str:
        """Name of exactly these items, in file names, run names and tables."""
        part = f"_{self.train_items}" if self.train_items else ""
        return self.name + part + (f"x{self.test_items}" if self.test_items else "")

    @property
    def megabytes(self) -> int:
        """Memory that reading the whole data set takes, with room to spare."""
        return 500 + 4 * (self.info.n_train + self.info.n_test) * prod(self.info.shape) // 10**6

    @property
    def n_train(self) -> int:
        """Number of training items."""
        return self.train_items or self.info.n_train

    @property
    def n_test(self) -> int:
        """Number of test items."""
        return self.test_items or self.info.n_test

    @property
    def n_items(self) -> int:
        """Training and test items together."""
        return self.n_train + self.n_test


def _info(name: str, own: OwnData | None) -> DatasetInfo:
    return own_info(name, **own.model_dump()) if own else dataset_info(name)
