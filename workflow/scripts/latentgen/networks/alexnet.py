"""AlexNet for small images."""

from typing import ClassVar, Literal

from latentgen.data.inputs import InputShape
from latentgen.networks.base import INPUT
from latentgen.networks.layer_specs import Convolution, Flatten, MaxPool, ReLU
from latentgen.networks.layered import DropoutNetwork, Part


class AlexNet(DropoutNetwork):
    """AlexNet for small images, as in the papers; its layers are flatten, fc1, fc2.

    Five convolutions, with 3 × 3 max pooling of stride 2 after the first, second and fifth, and two fully
    connected layers of 4,096.
    """

    POOLED: ClassVar = (1, 2, 5)
    """Convolutions that max pooling follows."""
    LINEAR: ClassVar = {"fc1": 4096, "fc2": 4096}

    architecture: Literal["AlexNet"]
    """AlexNet for small images; its layers are flatten, fc1, fc2."""
    variant: Literal["cifar", "tiny_imagenet"] = "cifar"
    """First two convolutions: `cifar`, for 32 × 32: 3 × 3 with stride 2, and 3 × 3; `tiny_imagenet`, for
    64 × 64: 11 × 11 with stride 4, and 5 × 5."""

    def parts(self, input_shape: InputShape) -> list[Part]:
        """Return five convolutions, flatten, and 4096–4096."""
        first = (
            (Convolution(64, 3, 2, 1), Convolution(192, 3, 1, 1))
            if self.variant == "cifar"
            else (Convolution(64, 11, 4, 2), Convolution(192, 5, 1, 2))
        )
        convolutions = (*first, *(Convolution(channels, 3, 1, 1) for channels in (384, 256, 256)))
        parts = [
            Part(
                f"conv{number}",
                (convolution, ReLU(), *([MaxPool(3, 2)] if number in self.POOLED else [])),
                named_layer=False,
            )
            for number, convolution in enumerate(convolutions, 1)
        ]
        return [
            Part(INPUT, ()),
            *parts,
            Part("flatten", (Flatten(),)),
            *self._fully_connected(self.LINEAR),
        ]
