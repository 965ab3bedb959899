"""The multilayer perceptron."""

from typing import ClassVar, Literal

from pydantic import Field

from latentgen.data.inputs import KINDS, InputShape, Tokens
from latentgen.networks.base import INPUT
from latentgen.networks.layer_specs import Flatten, Linear, ReLU, TokenCounts
from latentgen.networks.layered import LayeredNetwork, Part
from latentgen.settings import PositiveInt


class MLP(LayeredNetwork):
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""

    TAKES: ClassVar = KINDS

    architecture: Literal["MLP"]
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""
    widths: tuple[PositiveInt, ...] = Field(default=(128, 512, 2048, 2048), min_length=1)
    """Width of each hidden layer. The papers' network is 128, 512, 2048, 2048."""

    def parts(self, input_shape: InputShape) -> list[Part]:
        """Return flatten (for tokens, the bag of words), then linear and ReLU for each width."""
        flat = TokenCounts(input_shape) if isinstance(input_shape, Tokens) else Flatten()
        hidden = [Part(f"fc{number}", (Linear(width), ReLU())) for number, width in enumerate(self.widths, 1)]
        return [Part(INPUT, (flat,)), *hidden]
