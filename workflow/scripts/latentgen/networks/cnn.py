"""The papers' convolutional network."""

from typing import ClassVar, Literal

from latentgen.data.inputs import InputShape
from latentgen.networks.base import INPUT
from latentgen.networks.layer_specs import Convolution, Flatten, MaxPool, ReLU
from latentgen.networks.layered import DropoutNetwork, Part


class CNN(DropoutNetwork):
    """The papers' convolutional network; its layers are flatten, fc1, fc2, fc3.

    Three blocks of two 3 × 3 convolutions and 2 × 2 max pooling, three fully connected layers of 250, and a
    readout without bias.
    """

    PUBLISHED_SEED: ClassVar = 0
    RESEEDS_IN_CONSTRUCTOR: ClassVar = True
    CHANNELS: ClassVar = (16, 32, 64)
    LINEAR: ClassVar = {"fc1": 250, "fc2": 250, "fc3": 250}

    architecture: Literal["CNN"]
    """The papers' convolutional network; its layers are flatten, fc1, fc2, fc3."""

    @property
    def readout_bias(self) -> bool:
        """Whether the readout has a bias: no."""
        return False

    def parts(self, input_shape: InputShape) -> list[Part]:
        """Return blocks of 16, 32 and 64 channels, flatten, and 250–250–250."""
        blocks = [
            Part(
                f"block{number}",
                (
                    *(Convolution(channels, 3, padding=1), ReLU()),
                    *(Convolution(channels, 3, padding=1), ReLU()),
                    MaxPool(2, 2),
                ),
                named_layer=False,
            )
            for number, channels in enumerate(self.CHANNELS, 1)
        ]
        return [
            Part(INPUT, ()),
            *blocks,
            Part("flatten", (Flatten(),)),
            *self._fully_connected(self.LINEAR),
        ]
