"""Networks that are a chain of described layers, given as a list of parts.

One description gives the modules, the shapes and the operations, so a study is planned without torch, whose
import takes longer than the rest of a plan. Other networks are measured by a trial pass.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from latentgen.data.inputs import InputShape, Tokens, raw_width
from latentgen.networks.base import INPUT, READOUT, Network
from latentgen.networks.layer_specs import Dropout, LayerSpec, Linear, ReLU, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Part:
    """A named part of a network: layers, one after the other."""

    name: str
    specs: tuple[LayerSpec, ...]
    named_layer: bool = True
    """Whether its output can be probed."""

    def module(self, shape: Shape) -> "nn.Module":
        """Return its layers in a sequence, given the shape of the input; a single layer as it is."""
        from torch import nn

        modules = self.modules(shape)
        return modules[0] if len(modules) == 1 else nn.Sequential(*modules)

    def modules(self, shape: Shape) -> list["nn.Module"]:
        """Return the torch module of each layer."""
        modules = []
        for spec in self.specs:
            modules.append(spec.module(shape))
            shape = spec.output_shape(shape)
        return modules

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the output for one image, given that of the input."""
        for spec in self.specs:
            shape = spec.output_shape(shape)
        return shape


class LayeredNetwork(Network, ABC):
    """A network given by its parts, from input to output, without the readout."""

    @abstractmethod
    def parts(self, input_shape: InputShape) -> list[Part]:
        """Return the parts of the network before its readout; the first is called `input`."""

    @property
    def readout_bias(self) -> bool:
        """Whether the readout has a bias."""
        return True

    def hidden_widths(self, input_shape: InputShape) -> dict[str, int]:
        """Width of every part that is a named layer."""
        widths: dict[str, int] = {}
        for part, shape in self._with_shapes(input_shape):
            if part.named_layer and part.name != INPUT:
                widths[part.name] = prod(part.output_shape(shape))
        return widths

    def layer_shapes(self, input_shape: InputShape) -> dict[str, Shape]:
        """Output shape of every named part for one image."""
        return {
            part.name: part.output_shape(shape)
            for part, shape in self._with_shapes(input_shape)
            if part.named_layer
        }

    def multiply_adds(self, input_shape: InputShape) -> int:
        """Sum over the layers."""
        return sum(spec.multiply_adds(shape) for spec, shape in self._layers(input_shape))

    def largest_output(self, input_shape: InputShape) -> int:
        """Size of the input, or of the largest output of a layer."""
        outputs = (prod(spec.output_shape(shape)) for spec, shape in self._layers(input_shape))
        return max(raw_width(input_shape), *outputs)

    def weight_bytes(self, input_shape: InputShape, n_classes: int) -> int:
        """Sum over the layers and the readout."""
        last = (list(self.hidden_widths(input_shape).values())[-1],)
        return self._readout(n_classes).weight_bytes(last) + sum(
            spec.weight_bytes(shape) for spec, shape in self._layers(input_shape)
        )

    def build(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the parts by name, and the readout."""
        from torch import nn

        modules: OrderedDict[str, nn.Module] = OrderedDict()
        shape: Shape = ()
        for part, shape in self._with_shapes(input_shape):
            modules[part.name] = part.module(shape)
            shape = part.output_shape(shape)
        modules[READOUT] = self._readout(n_classes).module(shape)
        return self._chain(modules)

    def _readout(self, n_classes: int) -> Linear:
        return Linear(n_classes, self.readout_bias)

    def _chain(self, modules: "OrderedDict[str, nn.Module]") -> "nn.Module":
        from torch import nn

        return nn.Sequential(modules)

    def _with_shapes(self, input_shape: InputShape) -> Iterator[tuple[Part, Shape]]:
        """Yield every part with the shape of its input."""
        shape: Shape = (input_shape.length,) if isinstance(input_shape, Tokens) else input_shape
        for part in self.parts(input_shape):
            yield part, shape
            shape = part.output_shape(shape)

    def _layers(self, input_shape: InputShape) -> Iterator[tuple[LayerSpec, Shape]]:
        """Yield every layer with the shape of its input."""
        for part, shape in self._with_shapes(input_shape):
            for spec in part.specs:
                yield spec, shape
                shape = spec.output_shape(shape)


class DropoutNetwork(LayeredNetwork, ABC):
    """A convolutional network that may have dropout; the output of a layer's dropout is `{layer}_dropout`."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a unit is dropped, after each fully connected hidden layer (in ResNet-18, which has
    none, after average pooling). The papers' dropout networks have 0.2 in CNN, 0.5 in AlexNet."""
    renorm: bool = False
    """After dropout, also scale each feature so that the sum of its magnitudes over the batch is at most 3,
    in eval mode too: an oddity of the papers' dropout networks. It makes outputs depend on the batch."""

    @model_validator(mode="after")
    def _renorm_needs_dropout(self) -> Self:
        if self.renorm and not self.dropout:
            raise ValueError("renorm is part of the dropout networks: set dropout too")
        return self

    @property
    def convolutional(self) -> bool:
        """Whether channels-last is faster: yes."""
        return True

    def _dropout_after(self, layer: str) -> list[Part]:
        return [Part(f"{layer}_dropout", (Dropout(self.dropout, self.renorm),))] if self.dropout else []

    def _fully_connected(self, widths: Mapping[str, int]) -> list[Part]:
        """Return hidden layers with ReLU, each followed by its dropout, if there is dropout."""
        parts = []
        for layer, width in widths.items():
            parts += [Part(layer, (Linear(width), ReLU())), *self._dropout_after(layer)]
        return parts
