"""Choose the layers of a network to probe, and the pooling of their outputs.

A probed output has the name of its layer, as in ``fc1``, followed by the pooling if there is any, as in
``blocks.2:mean``. Without pooling, the layer's output is flattened.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from math import prod
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag

from latentgen.settings import Distinct, Settings

Pool = Literal["flatten", "mean", "max", "cls", "last"]
FLATTEN: Pool = "flatten"
OF_TOKENS = ("cls", "last")
"""Pools that only apply to tokens."""

Shape = tuple[int, ...]
"""Output shape of a layer for one image: (units,), (tokens, units) or (channels, height, width)."""


class LayerPattern(Settings):
    """Layers to probe with chosen pooling."""

    match: str
    """Pattern of layer names; `{*}` stands for one level, and `*`, `?` and `[…]` match any characters,
    including dots."""
    pool: Annotated[
        tuple[Pool, ...],
        Field(min_length=1),
        Distinct,
        BeforeValidator(
            lambda given: (given,) if isinstance(given, str) else given,
            json_schema_input_type=Pool | tuple[Pool, ...],
        ),
    ] = (FLATTEN,)
    """Pooling of a layer's output, each probed separately: `flatten`, all values; `mean` or `max`, over the
    positions of a map (channels × height × width) or over tokens (tokens × units); `cls` and `last`, the
    first and the last token. A vector, or a map of one position, is probed once, as it is."""


LayerChoice = Annotated[
    Annotated[str, Tag("(name)")] | Annotated[LayerPattern, Tag("(pattern)")],
    Discriminator(lambda given: "(name)" if isinstance(given, str) else "(pattern)"),
]
"""A layer in a study file: its name or a pattern, or a pattern with pools."""

LayerChoices = Annotated[tuple[LayerChoice, ...], Field(min_length=1), Distinct]


class Probed(NamedTuple):
    """A probed output: a layer and its pooling."""

    layer: str
    pool: Pool = FLATTEN

    @property
    def name(self) -> str:
        """Its name in files and tables."""
        return self.layer if self.pool == FLATTEN else f"{self.layer}:{self.pool}"


def probed(name: str) -> Probed:
    """Return the layer and the pooling of a name."""
    for pool in get_args(Pool):
        if name.endswith(f":{pool}"):
            return Probed(name.removesuffix(f":{pool}"), pool)
    return Probed(name)


def matches(layer: str, pattern: str) -> bool:
    """Whether a layer matches a pattern, in which ``{*}`` is one level, and ``*`` any characters."""
    if layer == pattern:
        return True
    one_level = "\0"
    expression = translate(pattern.replace("{*}", one_level)).replace(re.escape(one_level), "[^.]+")
    return re.match(expression, layer) is not None


def pooled_shape(shape: Shape, pool: Pool) -> Shape | None:
    """Return the shape of a pooled output; None if the pooling does not apply.

    A vector stays as it is.
    """
    if pool == FLATTEN or len(shape) == 1:
        return (prod(shape),)
    if pool in OF_TOKENS:
        return (shape[1],) if len(shape) == 2 else None
    return (shape[1] if len(shape) == 2 else shape[0],)


class Expanded(NamedTuple):
    """The probed outputs of a network for the layers in a study file."""

    widths: dict[str, int]
    """Width of each probed output by its name, in the order of the network."""
    missing: list[str]
    """Names and patterns that match no layer."""
    impossible: list[str]
    """Poolings that do not apply to a layer, in words."""


def expanded(choices: Iterable[str | LayerPattern], shapes: Mapping[str, Shape]) -> Expanded:
    """Return the probed outputs for the layers in a study file.

    Parameters
    ----------
    choices : sequence of str or LayerPattern
        As in the study file.
    shapes : mapping of str to tuple
        Output shape of each layer for one image, in the order of the network.
    """
    wanted: dict[str, list[Pool]] = {layer: [] for layer in shapes}
    missing, impossible = [], []
    for choice in choices:
        match, pools = (choice, (FLATTEN,)) if isinstance(choice, str) else (choice.match, choice.pool)
        matching = [layer for layer in shapes if matches(layer, match)]
        if not matching:
            missing.append(match)
        for layer in matching:
            wanted[layer] += [_distinct(pool, shapes[layer]) for pool in pools]
    widths = {}
    for layer, pools_of_layer in wanted.items():
        for pool in dict.fromkeys(pools_of_layer):
            shape = pooled_shape(shapes[layer], pool)
            if shape is None:
                sides = " × ".join(map(str, shapes[layer]))
                impossible.append(f"'{pool}' is for tokens, but {layer} outputs a map of {sides}")
            else:
                widths[Probed(layer, pool).name] = shape[0]
    return Expanded(widths, missing, impossible)


def _distinct(pool: Pool, shape: Shape) -> Pool:
    """Return `FLATTEN` where pooling leaves all values, as of a vector or a map of one position."""
    return FLATTEN if pooled_shape(shape, pool) == pooled_shape(shape, FLATTEN) else pool
