"""Modules that the papers' networks are built from, beyond torch's own."""

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
        if self.training and self.alone:  # as a batch of one image, for many images at once
            return instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return super().forward(x)


class Renorm(nn.Module):
    """Scale each feature so that the sum of its magnitudes over the batch is at most 3, in eval mode too.

    The published dropout networks do this after dropout. Their outputs depend on which images share a batch.
    """

    alone = False

    def forward(self, x: Tensor) -> Tensor:
        """Scale the columns of images × features."""
        rows = x.reshape(1, -1) if self.alone else x
        return torch.renorm(rows, p=1, dim=1, maxnorm=3).reshape(x.shape)


class Dropout(nn.Sequential):
    """Dropout, with or without `Renorm` after it."""

    def __init__(self, rate: float, renorm: bool = False) -> None:
        super().__init__(nn.Dropout(rate), *([Renorm()] if renorm else []))


class FirstHalf(nn.Sequential):
    """First half of a residual block: convolution, batch normalization, ReLU."""


class SecondHalf(nn.Module):
    """Second half of a residual block: convolution and batch normalization, plus the block's input, ReLU.

    Parameters
    ----------
    main, shortcut : nn.Module
        Modules applied to the first half's output and the block's input before they are added.
    """

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Tensor, block_input: Tensor) -> Tensor:
        """Return the output of the block."""
        return torch.relu(self.main(x) + self.shortcut(block_input))


class Residual(nn.Sequential):
    """A chain of modules in which every `SecondHalf` also receives the input of the `FirstHalf` before it."""

    def __init__(self, modules: "OrderedDict[str, nn.Module]") -> None:
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Pass images through the chain."""
        block_input = x
        for module in self:
            x = module(x, block_input) if isinstance(module, SecondHalf) else module(x)
            if not isinstance(module, FirstHalf):
                block_input = x
        return x


@contextmanager
def single_images(network: nn.Module) -> Iterator[None]:
    """Make a network treat each image of a batch as a batch of its own, like the published probing code.

    That code leaves the network in train mode, so batch normalization uses the statistics of the single
    image; only with dropout does it switch to eval mode. Images still pass in large batches, which gives the
    same results and is hundreds of times as fast. Running statistics do not change, and the mode is restored.
    """
    was_training = network.training
    has_dropout = any(isinstance(module, nn.Dropout) for module in network.modules())
    affected = [module for module in network.modules() if isinstance(module, BatchNorm | Renorm)]
    network.train(not has_dropout)
    for module in affected:
        module.alone = True
    try:
        yield
    finally:
        for module in affected:
            module.alone = False
        network.train(was_training)


def depends_on_batch(network: nn.Module) -> bool:
    """Whether, in eval mode, the output for an image depends on the others in its batch (renorm)."""
    return any(isinstance(module, Renorm) for module in network.modules())
