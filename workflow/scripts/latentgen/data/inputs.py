"""Kinds of examples: images, vectors of numbers, and sequences of token ids."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

from numpy.typing import NDArray

InputKind = Literal["images", "vectors", "tokens"]
KINDS: tuple[InputKind, ...] = get_args(InputKind)

Inputs = NDArray[Any]
"""Examples of a data set: uint8 N × C × H × W, floating-point N × d, or int32 N × L."""


@dataclass(frozen=True)
class Tokens:
    """Shape of an example that is a sequence of token ids."""

    length: int
    """Tokens in a sequence, including padding."""
    vocabulary: int
    """Ids are smaller than this."""
    padding: int | None = None
    """The id that pads short sequences; None if there is none."""
    next_token: bool = False
    """Whether the class of each token is the next one: every position of a sequence is then an example."""


InputShape = tuple[int, ...] | Tokens
"""Shape of one example: channels, height and width of an image; the length of a vector; or `Tokens`."""


def kind_of(shape: InputShape) -> InputKind:
    """Return the kind of examples of a shape."""
    if isinstance(shape, Tokens):
        return "tokens"
    return "vectors" if len(shape) == 1 else "images"


def image_shape(shape: InputShape) -> tuple[int, int, int]:
    """Return channels, height and width of images.

    Raises
    ------
    ValueError
        If the examples are not images.
    """
    if isinstance(shape, Tokens) or len(shape) != 3:
        raise ValueError(f"images are needed; these are {shape_in_words(shape)}")
    channels, height, width = shape
    return channels, height, width


def examples_per_input(shape: InputShape) -> int:
    """Return how many examples an input of a network has: one for each token if the next tokens are classes.

    Labels and activations then have a row for each position, sequence after sequence.
    """
    return shape.length if isinstance(shape, Tokens) and shape.next_token else 1


def raw_width(shape: InputShape) -> int:
    """Return the width of the raw input as a layer: its number of values, or the size of the vocabulary."""
    return shape.vocabulary if isinstance(shape, Tokens) else prod(shape)


def input_bytes(shape: InputShape) -> int:
    """Return the bytes of an example as the input of a network: float32 numbers, or int64 ids."""
    return 8 * shape.length if isinstance(shape, Tokens) else 4 * prod(shape)


IN_MEMORY = 10**9
"""Bytes of a split's inputs, as a network takes them, that are held in memory at most."""


def is_in_memory(n: int, shape: InputShape) -> bool:
    """Whether so many examples are held in memory as a network takes them, which is fastest.

    More of them stay in their file and in its type, and are read and converted batch by batch. This is the
    one place that decides it.
    """
    return n * input_bytes(shape) <= IN_MEMORY


def shape_in_words(shape: InputShape) -> str:
    """Return the kind and size of examples in words, for messages."""
    if isinstance(shape, Tokens):
        return f"sequences of {shape.length} token ids below {shape.vocabulary}"
    if len(shape) == 1:
        return f"vectors of {shape[0]} numbers"
    return f"images of {' × '.join(map(str, shape))}"
