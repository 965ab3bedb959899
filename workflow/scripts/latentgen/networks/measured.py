"""Networks whose layers, widths and costs are found by a trial pass."""

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
"""A count that was measured: unlike a number that a user gives, it may be of any size."""


TRIED = 4
"""How many examples a network is tried with: the first two go through it, all four show whether they mix."""

LAST = "(last)"
"""In place of the readout's name: the last layer that could be one."""


class Measured(Settings):
    """What a trial pass found about a network."""

    widths: dict[str, Count]
    """Width of all that is probed, and of `readout_input`, in the order of the forward pass."""
    probed: tuple[str, ...] = ()
    """Names of what is probed; all of these if left out."""
    notes: tuple[str, ...] = ()
    """What was decided for the user, in words."""
    readout: str | None
    """Name of the final linear layer, if it has one."""
    multiply_adds: Count
    """Multiplications, each with its addition, in a forward pass of one image; the readout left out."""
    largest_output: Count
    """Size of the largest intermediate output for one image, in numbers."""
    weight_bytes: Count
    """Size of its weights."""


class MeasuredNetwork(Network, ABC):
    """A network that is measured by a trial pass, since it is not described here.

    A trial pass imports torch and may run custom code. It is made once, when a study is about to run, and its
    result is stored. Reading a study needs neither, and never runs code that an archive names.
    """

    TAKES: ClassVar = KINDS

    readout: str | None = LAST
    """Name of its final linear layer (an nn.Linear, or a 1 × 1 convolution of averages); the last one if left
    out. null: the network is trained and probed, and nothing is transferred or edited."""
    layers: LayerChoices | None = None
    """Layers to probe: names of its modules, patterns, or patterns with pools, as in
    `{match: "blocks.{*}", pool: [cls, mean]}`. In patterns, `{*}` stands for one level of a name, and `*`,
    `?` and `[…]` for anything, dots too. `input` is the raw pixels or numbers (of tokens: how often each
    occurs), `readout_input` what the readout sees. If left out: the network's blocks (the most frequent of
    its outermost repeated parts; without any, its immediate parts) and `readout_input`; outputs of more than
    20,000 numbers, and those for each token of a sequence, are averaged over positions."""
    measured: Measured | None = None
    """Result of the trial pass. Leave this out: it is filled in when the study runs."""

    @property
    def is_known(self) -> bool:
        """Whether the trial pass was made."""
        return self.measured is not None

    @property
    def convolutional(self) -> bool:
        """Whether it runs in channels-last memory: only if its code is known to support that."""
        return True

    @property
    def is_deep(self) -> bool:
        """Whether its layers are worth a figure by depth: yes."""
        return True

    @property
    def has_readout(self) -> bool:
        """Whether it has a readout that can be edited."""
        return self.readout is not None

    @property
    def wanted_readout(self) -> str | None:
        """Name that was given to its readout, if one was."""
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
        """Return the network as its own code makes it."""

    def hidden_widths(self, input_shape: InputShape) -> dict[str, int]:
        """Width of every layer that is probed, without `input`, and of the readout's input."""
        return {layer: width for layer, width in self._measured.widths.items() if layer != INPUT}

    def probed_layers(self, input_shape: InputShape) -> dict[str, int]:
        """Width of all that is to be probed: the readout's input only if it is asked for."""
        widths = self._measured.widths
        return {name: widths[name] for name in self._measured.probed or widths}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the trial pass decided, in words."""
        return self.measured.notes if self.measured else ()

    def multiply_adds(self, input_shape: InputShape) -> int:
        """Those of its linear layers and convolutions."""
        return self._measured.multiply_adds

    def largest_output(self, input_shape: InputShape) -> int:
        """As the trial pass found it."""
        return self._measured.largest_output

    def weight_bytes(self, input_shape: InputShape, n_classes: int) -> int:
        """Size of its weights."""
        return self._measured.weight_bytes

    def build(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network, wrapped so that its layers and ends are found by name."""
        from latentgen.networks.adapted import Adapted, find_readout

        body = self.make_body(input_shape, n_classes)
        readout = find_readout(body, self.wanted_readout, n_classes) if self.has_readout else None
        return Adapted(body, readout, self.convolutional, input_shape)
