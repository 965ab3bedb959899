"""The multilayer perceptron."""

from typing import Literal

from pydantic import Field

from latentgen.networks.base import INPUT, ImageShape
from latentgen.networks.layer_specs import Flatten, Linear, ReLU
from latentgen.networks.layered import LayeredNetwork, Part
from latentgen.settings import PositiveInt


class MLP(LayeredNetwork):
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""

    architecture: Literal["MLP"]
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""
    widths: tuple[PositiveInt, ...] = Field(default=(128, 512, 2048, 2048), min_length=1)
    """Width of each hidden layer. The papers' network is 128, 512, 2048, 2048."""

    def parts(self, image_shape: ImageShape) -> list[Part]:
        """Return flatten, then linear and ReLU per width."""
        hidden = [Part(f"fc{number}", (Linear(width), ReLU())) for number, width in enumerate(self.widths, 1)]
        return [Part(INPUT, (Flatten(),)), *hidden]
