"""ResNet-18 for small images."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from latentgen.data.inputs import InputShape
from latentgen.networks.base import INPUT
from latentgen.networks.layer_specs import (
    AveragePool,
    BatchNorm,
    Convolution,
    Flatten,
    LayerSpec,
    MaxPool,
    ReLU,
    Shape,
)
from latentgen.networks.layered import DropoutNetwork, Part

if TYPE_CHECKING:
    from torch import nn


def convolution_with_norm(channels: int, kernel: int, stride: int = 1) -> tuple[LayerSpec, ...]:
    """Return a convolution that keeps the size (apart from its stride), and batch normalization."""
    return Convolution(channels, kernel, stride, padding=kernel // 2, bias=False), BatchNorm()


class FirstHalf(Part):
    """First half of a residual block: convolution, batch normalization, ReLU."""

    def module(self, shape: Shape) -> "nn.Module":
        """Return `latentgen.networks.blocks.FirstHalf`."""
        from latentgen.networks.blocks import FirstHalf as FirstHalfModule

        return FirstHalfModule(*self.modules(shape))


@dataclass(frozen=True)
class SecondHalf(LayerSpec):
    """Second half of a residual block: convolution and batch normalization, plus the block's input, ReLU."""

    block_channels: int
    """Channels of the block's input."""
    stride: int
    """Stride of the block's first half, and so of its shortcut."""

    def multiply_adds(self, shape: Shape) -> int:
        """Those of the convolution and of the shortcut, whose outputs have the same shape."""
        return sum(spec.multiply_adds(given) for spec, given in self._with_shapes(shape))

    def weight_bytes(self, shape: Shape) -> int:
        """Those of the convolution and of the shortcut."""
        return sum(spec.weight_bytes(given) for spec, given in self._with_shapes(shape))

    def module(self, shape: Shape) -> "nn.Module":
        """Return `latentgen.networks.blocks.SecondHalf`."""
        from torch import nn

        from latentgen.networks.blocks import SecondHalf as SecondHalfModule

        modules = [spec.module(given) for spec, given in self._with_shapes(shape)]
        return SecondHalfModule(
            nn.Sequential(*modules[:2]), nn.Sequential(*modules[2:]) if modules[2:] else nn.Identity()
        )

    def _with_shapes(self, shape: Shape) -> list[tuple[LayerSpec, Shape]]:
        """Return the layers with the shapes of their inputs: two, then those of the shortcut, if any."""
        channels, height, width = shape
        convolution, norm = convolution_with_norm(channels, 3)
        layers: list[tuple[LayerSpec, Shape]] = [(convolution, shape), (norm, shape)]
        if self.stride > 1 or channels != self.block_channels:
            shortcut, norm = convolution_with_norm(channels, 1, self.stride)
            block_input = (self.block_channels, height * self.stride, width * self.stride)
            layers += [(shortcut, block_input), (norm, shape)]
        return layers


class ResNet18(DropoutNetwork):
    """ResNet-18 for small images, as in the papers.

    Stem of 3 × 3 with 3 × 3 max pooling of stride 2, four stages of two blocks with 64, 128, 256 and 512
    channels, average pooling. Layers: `l0`, the stem; `l1` to `l4`, the stages; `l0_1`, `l0_2`, `l0_3`, the
    middle of stage 1's first block, its end, and the middle of the second block (`l1_1` … `l3_3` in the other
    stages); `bf_last`, the average. Maps are flattened, not averaged.
    """

    CHANNELS: ClassVar = (64, 128, 256, 512)

    architecture: Literal["ResNet18"]
    """ResNet-18 for small images; its layers are l0, l0_1, l0_2, l0_3, l1, l2, l3, l4, bf_last."""

    def parts(self, input_shape: InputShape) -> list[Part]:
        """Return the stem, sixteen halves of blocks, and the average."""
        channels = self.CHANNELS[0]
        stem = (*convolution_with_norm(channels, 3), ReLU(), MaxPool(3, 2, 1))
        parts = [Part(INPUT, ()), Part("l0", stem)]
        for stage, next_channels in enumerate(self.CHANNELS, 1):
            first, end, second, stage_end = stage_layers(stage)
            for half, block_end, stride in ((first, end, 1 if stage == 1 else 2), (second, stage_end, 1)):
                parts.append(FirstHalf(half, (*convolution_with_norm(next_channels, 3, stride), ReLU())))
                parts.append(Part(block_end, (SecondHalf(channels, stride),)))
                channels = next_channels
        return [*parts, Part("bf_last", (AveragePool(), Flatten())), *self._dropout_after("bf_last")]

    def usual_layers(self, input_shape: InputShape) -> tuple[str, ...]:
        """All except the inner layers of stages 2 to 4."""
        inside = {layer for stage in (2, 3, 4) for layer in stage_layers(stage)[:-1]}
        return tuple(layer for layer in self.hidden_widths(input_shape) if layer not in inside)

    def _chain(self, modules: "OrderedDict[str, nn.Module]") -> "nn.Module":
        from latentgen.networks.blocks import Residual

        return Residual(modules)


def stage_layers(stage: int) -> tuple[str, str, str, str]:
    """Return the names of a stage's layers: the middle and the end of its two blocks."""
    return f"l{stage - 1}_1", f"l{stage - 1}_2", f"l{stage - 1}_3", f"l{stage}"
