"""The networks: what each is called, what its layers are named and how wide they are, and how it is built.

A model is one class here and one line in `Architecture`. The class describes itself without torch (a
study is planned without loading it) and imports it only to build.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter

from latentgen.randomness import Purpose, integer_seed
from latentgen.settings import Distinct, PositiveInt, Settings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

ImageShape = tuple[int, int, int]
"""Channels, height, width."""


class Network(Settings, ABC):
    """What every architecture must say of itself."""

    architecture: str
    """Which network it is."""
    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")] | None = None
    """Name of the model in run names, tables and figures; the architecture in lower case if left out."""
    layers: Annotated[tuple[str, ...], Field(min_length=1), Distinct] | None = None
    """Layers to probe; all of the network's named layers if left out."""

    @property
    def model_name(self) -> str:
        """The name this model goes by."""
        return self.name or self.architecture.lower()

    @property
    def convolutional(self) -> bool:
        """Whether the channels-last memory layout pays (it does for convolutions on CPU and GPU)."""
        return False

    @abstractmethod
    def layer_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every named layer for images of a shape, input to output; the last feeds the readout."""

    @abstractmethod
    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Multiplications, each with its addition, in a forward pass of one image; the readout left out."""

    @abstractmethod
    def largest_output(self, image_shape: ImageShape) -> int:
        """Most numbers that any part of the network answers to one image: what memory must hold."""

    @abstractmethod
    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return the network: named layers are submodules, and `readout` is its final linear layer."""

    def probed_layers(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every layer that is to be probed, input to output."""
        widths = self.layer_widths(image_shape)
        return {
            layer: width for layer, width in widths.items() if self.layers is None or layer in self.layers
        }


class MLP(Network):
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""

    architecture: Literal["MLP"]
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""
    widths: tuple[PositiveInt, ...] = Field(default=(128, 512, 2048, 2048), min_length=1)
    """Width of each hidden layer. The papers' network for 28 × 28 images is 128, 512, 2048, 2048."""

    def layer_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of each hidden layer, after its ReLU."""
        return {f"fc{number}": width for number, width in enumerate(self.widths, 1)}

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Products of neighbouring widths."""
        widths = [prod(image_shape), *self.widths]
        return sum(a * b for a, b in pairwise(widths))

    def largest_output(self, image_shape: ImageShape) -> int:
        """Flattened image or widest layer."""
        return max(prod(image_shape), *self.widths)

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return flatten, then linear and ReLU per width, then the readout with a bias."""
        from torch import nn

        modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        width = prod(image_shape)
        for layer, next_width in self.layer_widths(image_shape).items():
            modules[layer] = nn.Sequential(nn.Linear(width, next_width), nn.ReLU())
            width = next_width
        modules["readout"] = nn.Linear(width, n_classes)
        return nn.Sequential(modules)


class CNN(Network):
    """The papers' convolutional network; its layers are flatten, fc1, fc2, fc3.

    Three blocks of two 3 × 3 convolutions and a 2 × 2 maximum, three fully connected layers of 250, and a
    readout without bias.
    """

    CHANNELS: ClassVar = (16, 32, 64)

    architecture: Literal["CNN"]
    """The papers' convolutional network; its layers are flatten, fc1, fc2, fc3."""

    @property
    def convolutional(self) -> bool:
        """Whether channels-last pays: yes."""
        return True

    def layer_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of the flattened last block and of the three hidden layers, each after its ReLU."""
        _, height, width = image_shape
        return {
            "flatten": self.CHANNELS[-1] * (height // 8) * (width // 8),
            "fc1": 250,
            "fc2": 250,
            "fc3": 250,
        }

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Convolutions: pixels × 9 × channels in × channels out; then the linear layers."""
        channels, height, width = image_shape
        total = 0
        for next_channels in self.CHANNELS:
            total += height * width * 9 * (channels + next_channels) * next_channels
            channels, height, width = next_channels, height // 2, width // 2
        widths = list(self.layer_widths(image_shape).values())
        return total + sum(a * b for a, b in pairwise(widths))

    def largest_output(self, image_shape: ImageShape) -> int:
        """First convolution: channels double where pixels become a quarter."""
        _, height, width = image_shape
        return self.CHANNELS[0] * height * width

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return blocks of 16, 32 and 64 channels, flatten, 250–250–250 and the readout."""
        from torch import nn

        modules: OrderedDict[str, nn.Module] = OrderedDict()
        channels = image_shape[0]
        for block, next_channels in enumerate(self.CHANNELS, 1):
            modules[f"block{block}"] = nn.Sequential(
                nn.Conv2d(channels, next_channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(next_channels, next_channels, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            channels = next_channels
        modules["flatten"] = nn.Flatten()
        widths = list(self.layer_widths(image_shape).items())
        for (_, width), (layer, next_width) in pairwise(widths):
            modules[layer] = nn.Sequential(nn.Linear(width, next_width), nn.ReLU())
        modules["readout"] = nn.Linear(widths[-1][1], n_classes, bias=False)
        return nn.Sequential(modules)


Architecture = Annotated[MLP | CNN, Field(discriminator="architecture")]
"""All models there are."""


def make_network(
    settings: Mapping[str, Any], image_shape: ImageShape, n_classes: int, seed: int = 0
) -> "nn.Module":
    """Build the network that a study file describes; its initial weights follow from `seed` alone.

    torch's default initialization draws from the global generator, whose state is put back afterwards.

    Parameters
    ----------
    settings : mapping
        A model as in the study file, with the keys of `MLP`, `CNN`, …
    image_shape : (int, int, int)
        Channels, height, width.
    n_classes : int
    seed : int
        The run's seed.
    """
    import torch

    network_settings: Network = TypeAdapter(Architecture).validate_python(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(seed, Purpose.INITIAL_WEIGHTS))
        network = network_settings.build(image_shape, n_classes)
    if network_settings.convolutional:
        network = network.to(memory_format=torch.channels_last)
    return network


def as_input(
    images: "np.ndarray[Any, Any]", max_value: int, input_range: Sequence[float], device: "torch.device"
) -> "torch.Tensor":
    """Return uint8 images (N, C, H, W) as the float32 tensor that a network sees, scaled to `input_range`.

    Channels-last: for one channel this is the same memory, for more it is what convolutions are fast on.
    """
    import torch

    low, high = input_range
    scaled = torch.from_numpy(images).to(device).to(torch.float32, memory_format=torch.channels_last)
    return scaled.mul_((high - low) / max_value).add_(low)
