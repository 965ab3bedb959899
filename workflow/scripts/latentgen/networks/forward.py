"""Pass many examples through a network, without gradients."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentgen.data.datasets import Dataset
from latentgen.data.inputs import Inputs, is_in_memory, kind_of
from latentgen.data.mapped import blocks_of
from latentgen.networks.examples import Examples, StoredExamples
from latentgen.networks.ranges import WHOLE, Range

Normalization = Literal["training"] | Mapping[str, Sequence[float]] | None
"""Normalization of inputs (`dataset_inputs`)."""

MOST_ITEMS = 1024
"""Largest number of examples per block: more are not faster."""

CACHE_BYTES = 2**22
"""Size of a block's largest map that still fits into a processor's cache. Convolutions were 2.3 times slower
with maps of 50 MB, which are moved to memory and back between any two layers."""


def items_per_block(network: nn.Module, inputs: Examples) -> int:
    """Return the number of examples to pass through a network at a time, for speed and bounded memory.

    Parameters
    ----------
    network : nn.Module
        On the device of the inputs. One example is passed through it in eval mode.
    inputs : Tensor or StoredExamples, N × …
        Inputs; at least one example.
    """
    if inputs.device.type != "cpu":
        return MOST_ITEMS
    first = inputs[:1]
    largest = first.numel()

    def compare(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    was_training = network.training
    with ExitStack() as hooks, torch.inference_mode():
        for module in network.modules():
            hooks.callback(module.register_forward_hook(compare).remove)
        network.eval()(first)
    network.train(was_training)
    return max(1, min(MOST_ITEMS, CACHE_BYTES // (largest * first.element_size())))


def dataset_inputs(
    dataset: Dataset,
    split: str,
    input_range: Sequence[float],
    device: torch.device,
    normalize: Normalization = None,
    part: Range = WHOLE,
) -> Examples:
    """Return a split of a data set, or a range of it, as inputs of a network.

    Parameters
    ----------
    dataset : Dataset
    split : {"train", "test", "held_out"}
    input_range : (float, float)
        Values that the smallest and the largest pixel are scaled to, unless images are normalized.
    device : torch.device
    normalize : "training" or mapping, optional
        Mean and standard deviation of each channel of images, in fractions of the largest pixel value, or
        ``training``: those of each channel or number over the training examples.
    part : Range, optional
        The examples to return; all by default.

    Returns
    -------
    Tensor or StoredExamples
        Float32 N × C × H × W or N × d, or token ids, int64 N × L: on the device, or, if they are too large to
        be held (`latentgen.data.inputs.is_in_memory`), converted when some are asked for.
    """
    inputs = dataset.train_inputs if split == "train" else dataset.test_inputs
    if split == "held_out":
        assert dataset.held_out is not None
        inputs = dataset.held_out.inputs
    held = is_in_memory(len(inputs), dataset.input_shape)  # as all of them are, which jobs request memory for
    inputs = inputs[part.examples(len(inputs))]
    seen = _as_seen(dataset, input_range, device, normalize)
    if not held:
        return StoredExamples(inputs, seen, device)
    return seen(torch.from_numpy(inputs if inputs.flags.writeable else inputs.copy()))


def black_pixel(
    dataset: Dataset, input_range: Sequence[float], device: torch.device, normalize: Normalization = None
) -> Tensor | None:
    """Return a black pixel as input of a network, C × 1 × 1; None if the examples are not images."""
    if kind_of(dataset.input_shape) != "images":
        return None
    black = torch.zeros(dataset.train_inputs[:1, :, :1, :1].shape, dtype=torch.uint8)
    return _as_seen(dataset, input_range, device, normalize)(black)[0]


def _as_seen(
    dataset: Dataset, input_range: Sequence[float], device: torch.device, normalize: Normalization
) -> Callable[[Tensor], Tensor]:
    """Return a function from examples in the type of their file to what a network sees, on the device.

    Each example becomes the same numbers whichever are beside it.
    """
    kind = kind_of(dataset.input_shape)
    if kind == "tokens":
        return lambda ids: ids.to(device, torch.int64, non_blocking=True)
    if kind == "images" and normalize is None:
        return lambda images: as_input(images, dataset.max_value, input_range, device)

    def numbers(inputs: Tensor) -> Tensor:
        if kind == "vectors":
            return inputs.to(device, torch.float32, non_blocking=True)
        return as_input(inputs, dataset.max_value, (0, 1), device)

    if normalize is None:
        return numbers
    if isinstance(normalize, Mapping):
        mean, spread = (np.array(normalize[key], dtype=np.float64) for key in ("mean", "std"))
    else:
        mean, spread = _training_moments(dataset)
    shape = (1, -1) + (1,) * (dataset.train_inputs.ndim - 2)
    center, scale = (
        torch.from_numpy(part.astype(np.float32)).to(device).view(shape) for part in (mean, spread)
    )
    # Not in place: the numbers may be the memory of the data set itself.
    return lambda inputs: numbers(inputs).sub(center).div_(scale)


def _training_moments(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel or number; a standard deviation of 0 becomes 1."""
    scale = dataset.max_value or 1
    if is_in_memory(len(dataset.train_inputs), dataset.input_shape):
        columns = np.moveaxis(dataset.train_inputs, 1, 0)
        mean = np.array([column.mean(dtype=np.float64) for column in columns]) / scale
        spread = np.array([column.std(dtype=np.float64) for column in columns]) / scale
    else:
        center = _mean_of(dataset.train_inputs, np.zeros(1), 1)
        mean, spread = center / scale, np.sqrt(_mean_of(dataset.train_inputs, center, 2)) / scale
    return mean, np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)


def _mean_of(inputs: Inputs, center: NDArray[np.float64], power: int) -> NDArray[np.float64]:
    """Return the mean of (inputs - center)^power of each channel or number, block by block."""
    total = np.zeros(inputs.shape[1])
    for block in blocks_of(inputs):
        columns = np.moveaxis(block, 1, 0).reshape(inputs.shape[1], -1)
        total += ((columns - center[:, None]) ** power).sum(1)
    mean: NDArray[np.float64] = total / (inputs.size // inputs.shape[1])
    return mean


def by_rows(x: Tensor) -> Tensor:
    """Return examples in torch's default memory layout, which custom networks may assume.

    Images with one channel have this layout and channels-last at the same time.
    """
    return x.contiguous().flatten().view(x.shape)


def as_input(
    images: np.ndarray[Any, Any] | Tensor, max_value: int, input_range: Sequence[float], device: torch.device
) -> Tensor:
    """Return uint8 images (N, C, H, W) as a float32 input of a network, scaled to `input_range`.

    The operations are those of torchvision's ``ToTensor`` and ``Normalize``, so all bits are equal. With
    other last bits, a training of the papers is at another accuracy after one epoch.

    It is channels-last: for one channel this is the same memory, for more it makes convolutions fast.
    """
    low, high = input_range
    moved = torch.as_tensor(images).to(device, non_blocking=True)
    scaled = moved.to(torch.float32, memory_format=torch.channels_last).div_(max_value)
    if (low, high) == (0, 1):
        return scaled
    return scaled.sub_(-low / (high - low)).div_(1 / (high - low))
