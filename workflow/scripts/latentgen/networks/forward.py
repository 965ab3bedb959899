"""Passing many images through a network, where no gradient is needed."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MOST_ITEMS = 1024
"""Items per block at most: more are no faster."""

CACHE_BYTES = 2**22
"""Size of a block's largest map that still stays in a processor's cache. Convolutions were 2.3 times slower
with maps of 50 MB, which go to memory and back between any two layers."""


def items_per_block(network: nn.Module, inputs: Tensor) -> int:
    """Return how many items to pass through a network at a time to be fast, and to bound the memory.

    Parameters
    ----------
    network : nn.Module
        On the device of the inputs. One item is passed through it in eval mode.
    inputs : Tensor, N × …
        What goes in; at least one item.
    """
    if inputs.device.type != "cpu":
        return MOST_ITEMS
    largest = inputs[0].numel()

    def compare(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    was_training = network.training
    with ExitStack() as hooks, torch.inference_mode():
        for module in network.modules():
            hooks.callback(module.register_forward_hook(compare).remove)
        network.eval()(inputs[:1])
    network.train(was_training)
    return max(1, min(MOST_ITEMS, CACHE_BYTES // (largest * inputs.element_size())))


def as_input(
    images: np.ndarray[Any, Any], max_value: int, input_range: Sequence[float], device: torch.device
) -> Tensor:
    """Return uint8 images (N, C, H, W) as the float32 tensor that a network sees, scaled to `input_range`.

    Channels-last: for one channel this is the same memory, for more it is what convolutions are fast on.
    """
    low, high = input_range
    scaled = torch.from_numpy(images).to(device).to(torch.float32, memory_format=torch.channels_last)
    return scaled.mul_((high - low) / max_value).add_(low)
