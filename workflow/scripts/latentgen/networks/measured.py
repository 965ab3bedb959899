"""Networks whose layers, widths and costs are measured by a trial pass."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from latentgen.data.inputs import KINDS, InputShape
from latentgen.errors import LatentgenError
from latentgen.networks.base import INPUT, Network
from latentgen.networks.layer_choice import LayerChoices
from latentgen.settings import NotBoolean, Settings

if TYPE_CHECKING:
    from torch import nn


Count = Annotated[int, Field(ge=0), NotBoolean]
"""A measured count; unlike a user's number, it may have any size."""


TRIED = 4
"""Number of examples for the trial pass: the first two are passed through the network, all four show whether
outputs depend on other examples."""

LAST = "(last)"
"""Stands for the last layer that could be the readout, in place of its name."""


class Measured(Settings):
    """Results of a network's trial pass."""

    widths: dict[str, Count]
    """Width of each probed output and of `readout_input`, in the order of the forward pass."""
    probed: tuple[str, ...] = ()
    """Names of the probed outputs; by default all of these."""
    notes: tuple[str, ...] = ()
    """Defaults chosen for the user, in words."""
    readout: str | None
    """Name of the final linear layer, if it has one."""
    multiply_adds: Count
    """Multiply-adds in a forward pass of one image, without the readout."""
    largest_output: Count
    """Size of the largest intermediate output for one image, in values."""
    weight_bytes: Count
    """Size of its weights."""


class MeasuredNetwork(Network, ABC):
    """A network that is measured by a trial pass, as it is not described here.

    A trial pass imports torch and may run custom code. It is done once, before a study runs, and its result
    is stored. Reading a study does neither, and never runs code that an archive names.
    """

    TAKES: ClassVar = KINDS

    readout: str | None = LAST
    """Name of its final linear layer (an nn.Linear, or a 1 × 1 convolution of averages); by default the last
    one. null: the network is trained and probed, and nothing is transferred or edited."""
    layers: LayerChoices | None = None
    """Layers to probe: names of its modules, patterns, or patterns with pooling, such as
    `{match: "blocks.{*}", pool: [cls, mean]}`. In patterns, `{*}` stands for one level of a name, and `*`,
    `?` and `[…]` match any characters, including dots. `input` is the raw pixels or numbers (for tokens: how
    often each occurs), `readout_input` the input of the readout. By default the network's blocks (the most
    frequent of its outermost repeated parts; without any, its immediate parts) and `readout_input`; outputs
    of more than 20,000 values, and those for each token of a sequence, are averaged over positions."""
    measured: Measured | None = None
    """Result of the trial pass. Omit this: it is set when the study runs."""

    @property
    def is_known(self) -> bool:
        """Whether the trial pass was done."""
        return self.measured is not None

    @property
    def convolutional(self) -> bool:
        """Whether it uses channels-last memory: only if its code is known to support that."""
        return True

    @property
    def is_deep(self) -> bool:
        """Whether figures by depth are drawn by default: yes."""
        return True

    @property
    def has_readout(self) -> bool:
        """Whether it has a readout that can be edited."""
        return self.readout is not None

    @property
    def wanted_readout(self) -> str | None:
        """The given name of its readout, if any."""
        return None if self.readout == LAST else self.readout

    @property
    def readout_name(self) -> str:
        """Name of the final linear layer among the network's weights."""
        return self._measured.readout or ""

    @property
    def _measured(self) -> Measured:
        if self.measured is None:
            raise LatentgenError(
                f"The layers of {self.description} are not known yet: start the study (make figures STUDY=…)."
            )
        return self.measured

    @abstractmethod
    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network as its own code builds it."""

    def hidden_widths(self, input_shape: InputShape) -> dict[str, int]:
        """Width of every layer that is probed, without `input`, and of the readout's input."""
        return {layer: width for layer, width in self._measured.widths.items() if layer != INPUT}

    def probed_layers(self, input_shape: InputShape) -> dict[str, int]:
        """Width of each probed output; the readout's input only if requested."""
        widths = self._measured.widths
        return {name: widths[name] for name in self._measured.probed or widths}

    @property
    def notes(self) -> tuple[str, ...]:
        """Defaults chosen by the trial pass, in words."""
        return self.measured.notes if self.measured else ()

    def multiply_adds(self, input_shape: InputShape) -> int:
        """Those of its linear layers and convolutions."""
        return self._measured.multiply_adds

    def largest_output(self, input_shape: InputShape) -> int:
        """As measured by the trial pass."""
        return self._measured.largest_output

    def weight_bytes(self, input_shape: InputShape, n_classes: int) -> int:
        """Size of its weights."""
        return self._measured.weight_bytes

    def build(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network, wrapped so that its layers, input and readout have names."""
        from latentgen.networks.adapted import Adapted, find_readout

        body = self.make_body(input_shape, n_classes)
        readout = find_readout(body, self.wanted_readout, n_classes) if self.has_readout else None
        return Adapted(body, readout, self.convolutional, input_shape)
