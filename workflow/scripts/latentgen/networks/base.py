"""The facts about a network that a study needs before it is built: its layers, their widths and its cost."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from latentgen.data.inputs import InputKind, InputShape, raw_width
from latentgen.networks.layer_choice import LayerChoices, Shape, expanded
from latentgen.settings import Settings

if TYPE_CHECKING:
    from torch import nn

INPUT, READOUT_INPUT, READOUT = "input", "readout_input", "readout"
"""Names of the raw input, the input of the final linear layer, and that layer."""


class Network(Settings, ABC):
    """An architecture's settings. torch is imported only to build the network."""

    PUBLISHED_SEED: ClassVar = 42
    """Seed of torch's generator in the papers' training scripts."""
    RESEEDS_IN_CONSTRUCTOR: ClassVar = False
    """Whether the papers' constructor seeds torch's generator, so that all its networks are equal."""

    TAKES: ClassVar[tuple[InputKind, ...]] = ("images",)
    """Kinds of examples that it can take."""

    architecture: str
    """Name of the architecture."""
    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")] | None = None
    """Name of the model in run names, tables and figures; by default the architecture in lower case."""
    layers: LayerChoices | None = None
    """Layers to probe: names, patterns, or patterns with pooling, such as
    `{match: "l*", pool: [mean, flatten]}`. By default those of the papers, without `input`, the raw
    pixels."""

    @property
    def model_name(self) -> str:
        """Name of the model in run names, tables and figures."""
        return self.name or self.architecture.lower()

    @property
    def is_known(self) -> bool:
        """Whether its layers are known yet; those of a custom network are not before its trial pass."""
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """Defaults chosen for the user, in words."""
        return ()

    @property
    def description(self) -> str:
        """Description of the network in a report."""
        return self.architecture

    @property
    def is_deep(self) -> bool:
        """Whether figures by depth are drawn by default: it is not one of the papers' networks, or pools."""
        return any(not isinstance(layer, str) for layer in self.layers or ())

    @property
    def has_readout(self) -> bool:
        """Whether it has a readout that can be edited."""
        return True

    @property
    def readout_name(self) -> str:
        """Name of the final linear layer among the network's weights."""
        return READOUT

    @property
    def convolutional(self) -> bool:
        """Whether the channels-last memory layout is faster (it is for convolutions on CPU and GPU)."""
        return False

    @abstractmethod
    def hidden_widths(self, input_shape: InputShape) -> dict[str, int]:
        """Width of every named hidden layer for examples of a shape, in order; the last feeds the readout."""

    @abstractmethod
    def multiply_adds(self, input_shape: InputShape) -> int:
        """Multiply-adds in a forward pass of one image, without the readout."""

    @abstractmethod
    def largest_output(self, input_shape: InputShape) -> int:
        """Size of the largest intermediate output for one image, in values."""

    @abstractmethod
    def weight_bytes(self, input_shape: InputShape, n_classes: int) -> int:
        """Size of a checkpoint."""

    @abstractmethod
    def build(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network: named layers are submodules, and `readout` is its final linear layer."""

    def layer_widths(self, input_shape: InputShape) -> dict[str, int]:
        """Width of every named layer: `input`, the raw input, and the hidden ones."""
        return {INPUT: raw_width(input_shape), **self.hidden_widths(input_shape)}

    def layer_shapes(self, input_shape: InputShape) -> dict[str, Shape]:
        """Output shape of every named layer for one image, if known."""
        return {layer: (width,) for layer, width in self.layer_widths(input_shape).items()}

    def usual_layers(self, input_shape: InputShape) -> tuple[str, ...]:
        """Layers that are probed by default: the hidden ones."""
        return tuple(self.hidden_widths(input_shape))

    def probed_layers(self, input_shape: InputShape) -> dict[str, int]:
        """Width of each probed output, from input to output, by its name (`networks.layer_choice`)."""
        wanted = self.layers or self.usual_layers(input_shape)
        return expanded(wanted, self.layer_shapes(input_shape)).widths
