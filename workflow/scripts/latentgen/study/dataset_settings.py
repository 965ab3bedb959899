"""Data sets in the study file: name, subset, and scaling of inputs."""

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from latentgen.data.custom import info_of
from latentgen.data.custom_sources.tables import is_table
from latentgen.data.custom_sources.tars import SUFFIXES as TARS
from latentgen.data.datasets import DatasetInfo
from latentgen.data.inputs import InputKind, examples_per_input, image_shape, input_bytes, kind_of
from latentgen.data.registry import DATASETS
from latentgen.data.reshaping import Reshaping
from latentgen.runtime.import_paths import ImportPath
from latentgen.settings import (
    Arguments,
    CodeFiles,
    NonNegativeInt,
    NotBoolean,
    PositiveFloat,
    PositiveInt,
    Settings,
    left_out_if,
)
from latentgen.study.error_messages import WORDS, nearest
from latentgen.study.runs import NAME

IN_FILES_MEGABYTES = 3000
"""Memory that a data set takes at most while it is read, if large arrays are in files then."""


def _known_dataset(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"not a built-in data set; {nearest(name, list(DATASETS))}")
    return name


Side = PositiveInt
Pixel = Annotated[float, NotBoolean]


class TableColumns(Settings):
    """Columns of a table, if they do not have the usual names."""

    inputs: str | None = None
    """Column of the examples: text, images or lists of numbers."""
    labels: str | None = None
    """Column of the labels."""


class CustomData(Settings):
    """Location and content of a custom data set, as printed by `latentgen check-data PATH`."""

    path: str | None = None
    """A .npz file, a folder of .npy files, a folder of images by class, or tables of text, images or vectors
    (CSV, JSON lines, Parquet): a file, or a folder in Hugging Face's format. A relative path starts at the
    folder of the Snakefile; `~` is your home folder."""
    function: ImportPath | None = None
    """Instead of a path: import path, module:name, of a function that returns these arrays in a dict; modules
    may be in the folder of the Snakefile."""
    arguments: Arguments
    """Arguments of the function, by name."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: if their content changes,
    everything that used the code is rerun."""
    kind: Annotated[InputKind, left_out_if("images")] = "images"
    """Kind of examples: `images`, uint8; `vectors` of numbers, not converted; or `tokens`, sequences of token
    ids."""
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=3)]
    """Channels, height and width of an image; length of a vector, or of a sequence of tokens."""
    vocabulary: Annotated[PositiveInt | None, left_out_if(None)] = None
    """For tokens: the number of ids; all ids are smaller than this."""
    padding: Annotated[NonNegativeInt | None, left_out_if(None)] = None
    """For tokens: the id that pads short sequences, if there is one. It is left out of means over tokens and
    of the bag of words, and masked in attention."""
    tokenizer: Annotated[str | None, left_out_if(None)] = None
    """For text in a table: a file of the tokenizers library (`tokenizer.json`). By default, tokens are
    words, in lower case, and punctuation marks; the vocabulary is the most frequent ones in the training
    texts."""
    columns: Annotated[TableColumns | None, left_out_if(None)] = None
    """For tables: names of the columns, if they are not detected."""
    classes: Annotated[int, Field(ge=2)]
    """Number of classes."""
    train: PositiveInt
    """Number of training examples."""
    test: PositiveInt
    """Number of test examples."""
    labels: Literal["true", "given", "both"] = "true"
    """Kind of train_labels. `true`: taken as true. `given`: some are wrong, and it is not known which.
    `both`: the same, but with train_true_labels. The latter two are for noise of the kind `given`."""

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if (self.path is None) == (self.function is None):
            raise ValueError("give either a path or a function, not both")
        if self.arguments and self.function is None:
            raise ValueError("arguments need a function; there is none")
        if self.files and self.function is None:
            raise ValueError("files are those that a function reads; there is none")
        return self

    @model_validator(mode="after")
    def _has_a_shape_of_its_kind(self) -> Self:
        wanted = {"images": "channels, height and width", "vectors": "one number", "tokens": "one number"}
        if len(self.shape) != (3 if self.kind == "images" else 1):
            raise ValueError(f"shape: for {self.kind}, it must be {wanted[self.kind]}")
        if self.kind != "tokens":
            if self.vocabulary is not None or self.padding is not None:
                raise ValueError(f"vocabulary and padding are for tokens, not for {self.kind}")
        elif self.vocabulary is None:
            raise ValueError("tokens need a vocabulary: the number of ids")
        elif self.padding is not None and self.padding >= self.vocabulary:
            raise ValueError("padding must be one of the ids, smaller than vocabulary")
        return self

    @property
    def import_path(self) -> str | None:
        """Its function."""
        return self.function


class ChannelMoments(Settings):
    """Mean and standard deviation of each channel, where 1 is the largest pixel value."""

    mean: Annotated[tuple[Pixel, ...], Field(min_length=1)]
    """Mean of each channel."""
    std: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """Standard deviation of each channel."""

    @model_validator(mode="after")
    def _are_of_the_same_channels(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have one number for each channel")
        return self


CHANNEL_MOMENTS = {
    "imagenet": ChannelMoments(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
}
"""Means and standard deviations by name: those of ImageNet, which torchvision's networks expect."""


class DatasetChoice(Settings):
    """A data set, or a fixed subset of one, and the scaling of its inputs."""

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
    """Fraction of these training examples that are corrupted like the rest but never trained on. Their noisy
    labels choose layers for `audit`, `repair` and in the tables, and can stop training early."""
    channels: Annotated[Literal[1, 3] | None, left_out_if(None)] = None
    """Convert images to grey, or give grey ones three equal channels."""
    resize: Annotated[Side | tuple[Side, Side] | None, left_out_if(None)] = None
    """Resize images (bilinear, with antialiasing): length of the shorter side, or `[height, width]`."""
    crop: Annotated[Side | tuple[Side, Side] | None, left_out_if(None)] = None
    """After that, keep the centre of images: side of a square, or `[height, width]`."""
    pad: Annotated[PositiveInt | None, left_out_if(None)] = None
    """After that, add this many black pixels on each side of images. 2 turns 28 × 28 pixels into 32 × 32."""
    targets: Annotated[Literal["next_token"] | None, left_out_if(None)] = None
    """`next_token`, for sequences of tokens: each position is an example, and its class is the next token.
    The network must be a causal language model, such as `Transformer` with `causal: true`. Sequences lose
    their last token; noise changes targets only. `train_items`, `test_items` and `batch_size` count
    sequences."""
    input_range: tuple[Pixel, Pixel] = (-1.0, 1.0)
    """Values that the smallest and the largest pixel value are scaled to. The papers use (-1, 1), and (0, 1)
    for Tiny ImageNet."""
    normalize: Annotated[Literal["imagenet", "training"] | ChannelMoments | None, left_out_if(None)] = None
    """Subtract a mean and divide by a standard deviation, instead of `input_range`. `training`: those of each
    channel of images, or each component of vectors, over the training examples. `imagenet`: ImageNet's, which
    most pretrained networks expect. Or `{mean: […], std: […]}` for each channel; 1 is the largest pixel
    value."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str, given: ValidationInfo) -> str:
        if "own" not in given.data:  # an error in it is already reported
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
            info = _info(given.data)
            there = info.n_train if given.field_name == "train_items" else info.n_test
            if wanted > there:
                raise ValueError(f"{info.name} has only {there}")
        return wanted

    @field_validator("held_out")
    @classmethod
    def _leaves_some_on_both_sides(cls, fraction: float, given: ValidationInfo) -> float:
        if fraction and {"name", "own", "train_items"} <= set(given.data):
            count = given.data["train_items"] or _info(given.data).n_train
            if not round(fraction * count):
                raise ValueError(f"is less than one of {count} training examples; choose a larger fraction")
        return fraction

    @field_validator("input_range")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] >= ends[1]:
            raise ValueError("must be two numbers, the second larger than the first")
        return ends

    @field_validator("normalize")
    @classmethod
    def _fits(cls, normalize: Any, given: ValidationInfo) -> Any:
        if normalize is None or not {"name", "own", *RESHAPING} <= set(given.data):
            return normalize
        try:
            shape = _info(given.data).shape
        except ValueError:  # reported for the whole block
            return normalize
        kind = kind_of(shape)
        if kind == "tokens" or (kind == "vectors" and normalize != "training"):
            allowed = "; choose training" if kind == "vectors" else ""
            raise ValueError(f"{kind} cannot be normalized in this way{allowed}")
        if given.data.get("input_range") != (-1.0, 1.0):
            raise ValueError("give either input_range or normalize, not both")
        moments = CHANNEL_MOMENTS.get(normalize, normalize) if isinstance(normalize, str) else normalize
        channels = len(moments.mean) if isinstance(moments, ChannelMoments) else None
        if channels and channels != image_shape(shape)[0]:
            raise ValueError(f"has {channels} channels, but the images have {image_shape(shape)[0]}")
        return normalize

    @model_validator(mode="after")
    def _can_be_reshaped(self) -> Self:
        try:
            _ = self.info
        except ValueError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def normalization(self) -> Literal["training"] | dict[str, list[float]] | None:
        """Normalization of inputs, as plain values (`latentgen.networks.forward.dataset_inputs`)."""
        if self.normalize is None or self.normalize == "training":
            return self.normalize
        moments = CHANNEL_MOMENTS["imagenet"] if self.normalize == "imagenet" else self.normalize
        return moments.model_dump(mode="json")

    @cached_property
    def info(self) -> DatasetInfo:
        """Facts about the whole data set, known before it is read."""
        return _info(dict(self))

    @property
    def label_kind(self) -> str:
        """Kind of training labels: true, given or both."""
        return self.own.labels if self.own else "true"

    @cached_property
    def dataset_id(self) -> str:
        """Name of this set of examples in file names, run names and tables."""
        part = f"_{self.train_items}" if self.train_items else ""
        part += f"x{self.test_items}" if self.test_items else ""
        part += f"_held{100 * self.held_out:g}".replace(".", "_") if self.held_out else ""
        return self.name + part + Reshaping(**self.reshaping).suffix

    @property
    def megabytes(self) -> int:
        """Memory needed to read the whole data set, with a margin, in MB.

        Built-in data sets, folders of images or arrays, and tar files are read into files where they are
        large.
        """
        needed = 500 + (self.info.n_train + self.info.n_test) * input_bytes(self.info.shape) // 10**6
        place = None if self.own is None or self.own.path is None else Path(self.own.path).expanduser()
        in_files = self.own is None or (place is not None and not place.suffix and not is_table(place))
        in_files = in_files or (place is not None and place.name.lower().endswith(TARS))
        return min(needed, IN_FILES_MEGABYTES) if in_files else needed

    @property
    def reshaping(self) -> dict[str, Any]:
        """Changes to images when they are read, as plain values."""
        return _reshaping(dict(self))

    @property
    def n_train(self) -> int:
        """Number of training examples, without held-out ones."""
        return self.n_train_inputs * self.per_input

    @property
    def n_held_out(self) -> int:
        """Number of held-out training examples."""
        return self.n_held_out_inputs * self.per_input

    @property
    def n_test(self) -> int:
        """Number of test examples."""
        return (self.test_items or self.info.n_test) * self.per_input

    @property
    def per_input(self) -> int:
        """Number of examples in an input of the network: 1, or the positions of a sequence."""
        return examples_per_input(self.info.shape)

    @property
    def n_train_inputs(self) -> int:
        """Number of images, vectors or sequences that are trained on."""
        return (self.train_items or self.info.n_train) - self.n_held_out_inputs

    @property
    def n_held_out_inputs(self) -> int:
        """Number of images, vectors or sequences that are held out."""
        return round(self.held_out * (self.train_items or self.info.n_train))

    @property
    def n_items(self) -> int:
        """All examples: for training, for testing, and held out."""
        return self.n_train + self.n_test + self.n_held_out


RESHAPING = tuple(field.name for field in fields(Reshaping))


def _reshaping(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in RESHAPING if given.get(name) is not None}


def _info(given: Mapping[str, Any]) -> DatasetInfo:
    own = given["own"]
    return info_of(given["name"], own and own.model_dump(), _reshaping(given))


SCALING = {"input_range", "normalize"}
"""Settings that do not affect a data set's file."""


def one_data_set_per_name(pairs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the pairs of a study; refuse two data sets of one name, which would share one file.

    The scaling of inputs may differ, since it does not affect the file.

    Raises
    ------
    ValueError
        If two pairs have different data sets with the same `dataset_id`.
    """
    known: dict[str, tuple[int, DatasetChoice]] = {}
    for number, dataset in enumerate(pair.dataset for pair in pairs):
        first, same = known.setdefault(dataset.dataset_id, (number, dataset))
        if dataset.model_dump(exclude=SCALING) != same.model_dump(exclude=SCALING):
            raise ValueError(
                f"pairs {first} and {number} have different data sets, and both are called "
                f"{dataset.dataset_id} in file names; give one of them another name"
            )
    return pairs
