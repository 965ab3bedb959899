"""Descriptions of layers without torch, for planning and for building networks.

Planning reads widths, costs and sizes of weights in every process of a workflow, so it must not import torch
(seconds each time). A description is therefore a plain value with output shape, number of operations and size
of weights, which imports torch only to build its module.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from latentgen.data.inputs import Tokens

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
"""Channels, height, width; or the width alone (of tokens, their number)."""

NUMBER_BYTES = 4
"""Bytes of a float32."""
COUNTER_BYTES = 8
"""Bytes of a batch normalization's counter of batches."""


class LayerSpec(ABC):
    """A layer; by default one without weights and products that keeps the shape."""

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the output for one image, given that of the input."""
        return shape

    def multiply_adds(self, shape: Shape) -> int:
        """Multiply-adds for one image."""
        return 0

    def weight_bytes(self, shape: Shape) -> int:
        """Size of the weights, and of the running statistics if it has any."""
        return 0

    @abstractmethod
    def module(self, shape: Shape) -> "nn.Module":
        """Return the torch module."""


@dataclass(frozen=True)
class Convolution(LayerSpec):
    """A convolution with a square kernel."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return channels, height and width; 0 where the kernel does not fit."""
        return (self.channels, *_window_counts(shape[1:], self.kernel, self.stride, self.padding))

    def multiply_adds(self, shape: Shape) -> int:
        """One kernel for each number of the output."""
        return prod(self.output_shape(shape)) * self.kernel**2 * shape[0]

    def weight_bytes(self, shape: Shape) -> int:
        """Kernels and biases."""
        return NUMBER_BYTES * self.channels * (self.kernel**2 * shape[0] + self.bias)

    def module(self, shape: Shape) -> "nn.Module":
        """Return `nn.Conv2d`."""
        from torch import nn

        return nn.Conv2d(shape[0], self.channels, self.kernel, self.stride, self.padding, bias=self.bias)


@dataclass(frozen=True)
class BatchNorm(LayerSpec):
    """Batch normalization of maps."""

    def weight_bytes(self, shape: Shape) -> int:
        """Weight, bias, running mean and variance of every channel, and the number of batches."""
        return 4 * NUMBER_BYTES * shape[0] + COUNTER_BYTES

    def module(self, shape: Shape) -> "nn.Module":
        """Return `latentgen.networks.blocks.BatchNorm`."""
        from latentgen.networks.blocks import BatchNorm as BatchNormModule

        return BatchNormModule(shape[0])


@dataclass(frozen=True)
class MaxPool(LayerSpec):
    """Max pooling over square windows."""

    kernel: int
    stride: int
    padding: int = 0

    def output_shape(self, shape: Shape) -> Shape:
        """Return channels, height and width; 0 where the window does not fit."""
        return (shape[0], *_window_counts(shape[1:], self.kernel, self.stride, self.padding))

    def module(self, shape: Shape) -> "nn.Module":
        """Return `nn.MaxPool2d`."""
        from torch import nn

        return nn.MaxPool2d(self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class AveragePool(LayerSpec):
    """The average over height and width."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return one number for each channel."""
        return (shape[0], 1, 1)

    def module(self, shape: Shape) -> "nn.Module":
        """Return `nn.AdaptiveAvgPool2d`."""
        from torch import nn

        return nn.AdaptiveAvgPool2d(1)


@dataclass(frozen=True)
class Flatten(LayerSpec):
    """All values of an image in a row."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return the width."""
        return (prod(shape),)

    def module(self, shape: Shape) -> "nn.Module":
        """Return `nn.Flatten`."""
        from torch import nn

        return nn.Flatten()


@dataclass(frozen=True)
class TokenCounts(LayerSpec):
    """How often each token of a vocabulary occurs in a sequence, without padding."""

    tokens: Tokens

    def output_shape(self, shape: Shape) -> Shape:
        """Return the size of the vocabulary."""
        return (self.tokens.vocabulary,)

    def module(self, shape: Shape) -> "nn.Module":
        """Return `latentgen.networks.tokens.BagOfWords`."""
        from latentgen.networks.tokens import BagOfWords

        return BagOfWords(self.tokens.vocabulary, self.tokens.padding)


@dataclass(frozen=True)
class Linear(LayerSpec):
    """A linear layer."""

    width: int
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return the width."""
        return (self.width,)

    def multiply_adds(self, shape: Shape) -> int:
        """One for each weight."""
        return prod(shape) * self.width

    def weight_bytes(self, shape: Shape) -> int:
        """Weights and biases."""
        return NUMBER_BYTES * self.width * (prod(shape) + self.bias)

    def module(self, shape: Shape) -> "nn.Module":
        """Return `nn.Linear`."""
        from torch import nn

        return nn.Linear(prod(shape), self.width, self.bias)


@dataclass(frozen=True)
class ReLU(LayerSpec):
    """Negative numbers become 0."""

    def module(self, shape: Shape) -> "nn.Module":
        """Return `nn.ReLU`."""
        from torch import nn

        return nn.ReLU()


@dataclass(frozen=True)
class Dropout(LayerSpec):
    """Dropout, optionally followed by the papers' renorm."""

    rate: float
    renorm: bool = False

    def module(self, shape: Shape) -> "nn.Module":
        """Return `latentgen.networks.blocks.Dropout`."""
        from latentgen.networks.blocks import Dropout as DropoutModule

        return DropoutModule(self.rate, self.renorm)


def _window_counts(size: Shape, kernel: int, stride: int, padding: int) -> Shape:
    """Return the number of windows that fit along each side."""
    return tuple(max(0, (side + 2 * padding - kernel) // stride + 1) for side in size)
