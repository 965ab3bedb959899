"""What networks are built from, beyond torch's own modules; apart from `models`, which needs no torch."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization that can also normalize every image by itself (see `single_images`)."""

    alone = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel of N × C × H × W."""
        if self.training and self.alone:  # what a batch of one image does, for many at once
            return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return super().forward(x)


class Renorm(nn.Module):
    """Scale each feature so that the sum of its magnitudes over the batch is at most 3, in eval mode too.

    The published dropout networks do this after dropout. Their outputs depend on which items share a batch.
    """

    alone = False

    def forward(self, x: Tensor) -> Tensor:
        """Scale the columns of items × features."""
        rows = x.reshape(1, -1) if self.alone else x
        return torch.renorm(rows, p=1, dim=1, maxnorm=3).reshape(x.shape)


class Dropout(nn.Sequential):
    """Dropout, with or without `Renorm` after it."""

    def __init__(self, share: float, renorm: bool = False) -> None:
        super().__init__(nn.Dropout(share), *([Renorm()] if renorm else []))


class Inner(nn.Sequential):
    """First half of a residual block: 3 × 3 convolution, batch normalization, ReLU."""

    def __init__(self, channels: int, next_channels: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(channels, next_channels, 3, stride, padding=1, bias=False),
            BatchNorm(next_channels),
            nn.ReLU(),
        )


class Outer(nn.Module):
    """Second half of a residual block: convolution and batch normalization, plus the block's input, ReLU."""

    def __init__(self, channels: int, next_channels: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(next_channels, next_channels, 3, padding=1, bias=False), BatchNorm(next_channels)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != next_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, next_channels, 1, stride, bias=False), BatchNorm(next_channels)
            )

    def forward(self, x: Tensor, block_input: Tensor) -> Tensor:
        """Return the output of the block."""
        return torch.relu(self.main(x) + self.shortcut(block_input))


class Residual(nn.Sequential):
    """A chain of modules in which every `Outer` also receives what the `Inner` before it received."""

    def __init__(self, modules: "OrderedDict[str, nn.Module]") -> None:
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Pass images through the chain."""
        block_input = x
        for module in self:
            x = module(x, block_input) if isinstance(module, Outer) else module(x)
            if not isinstance(module, Inner):
                block_input = x
        return x


@contextmanager
def single_images(network: nn.Module) -> Iterator[None]:
    """Let a network treat each image of a batch as the published probing code does: as a batch of its own.

    That code leaves the network in train mode, so batch normalization uses the statistics of the one image;
    only with dropout does it switch to eval mode. Images still go through in large batches: that is the same,
    and hundreds of times as fast. Running statistics are left as they are, and so is the mode, at the end.
    """
    was_training = network.training
    has_dropout = any(isinstance(module, nn.Dropout) for module in network.modules())
    told = [module for module in network.modules() if isinstance(module, BatchNorm | Renorm)]
    network.train(not has_dropout)
    for module in told:
        module.alone = True
    try:
        yield
    finally:
        for module in told:
            module.alone = False
        network.train(was_training)


def depends_on_batch(network: nn.Module) -> bool:
    """Whether, in eval mode, the output for an item depends on the others in its batch."""
    return any(isinstance(module, Renorm) for module in network.modules())
