"""Pool the output of a layer: its first tensor, over tokens or positions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latentgen.networks.layer_choice import Pool


def first_tensor(output: Any) -> Tensor | None:
    """Return a module's output, or the first tensor in it (a tuple, a dictionary); None if there is none."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = output.values()
    elif not isinstance(output, tuple | list):
        return None
    return next((tensor for part in output if (tensor := first_tensor(part)) is not None), None)


def channels_first(output: Tensor, examples: Tensor) -> Tensor:
    """Return a map of N × height × width × channels, as in Swin, with its channels first, as usual in torch.

    It is recognized by the proportions of the images that the network was given (`examples`, N × channels ×
    height × width). Any other output is returned itself.
    """
    if output.ndim != 4 or examples.ndim != 4:
        return output
    height, width = examples.shape[2:]
    first, second, third = output.shape[1:]
    is_last = first * width == second * height and second * width != third * height
    return output.movedim(3, 1) if is_last else output


def pooled(output: Tensor, pool: Pool, mask: Tensor | None = None) -> Tensor:
    """Return the pooled output of a layer: N × units.

    Parameters
    ----------
    output : Tensor
        N × units, N × tokens × units, or N × channels × height × width.
    pool : str
        As in `latentgen.networks.layer_choice.LayerPattern`; outputs N × units are not changed.
    mask : Tensor, bool N × tokens, optional
        Tokens of the input that are not padding. If there is one vector for each token, padding is excluded
        from means and maxima, is never the last token, and is 0 in flattened outputs.
    """
    if mask is not None and output.ndim == 3 and output.shape[:2] == mask.shape:
        return _pooled_tokens(output, pool, mask)
    if pool == "flatten" or output.ndim == 2:
        return output.flatten(1)
    if pool == "cls":
        return output[:, 0]
    if pool == "last":
        return output[:, -1]
    positions = (1,) if output.ndim == 3 else tuple(range(2, output.ndim))
    return output.mean(positions) if pool == "mean" else output.amax(positions)


def _pooled_tokens(output: Tensor, pool: Pool, mask: Tensor) -> Tensor:
    kept = mask.unsqueeze(2)
    counts = kept.sum(1).to(output.dtype)
    if pool == "cls":
        return output[:, 0]
    if pool == "last":
        places = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask, places, 0).amax(1)
        return output[torch.arange(len(output), device=mask.device), last]
    if pool == "max":  # 0 if everything is padding, like the mean
        return output.masked_fill(~kept, -torch.inf).amax(1).masked_fill(counts == 0, 0)
    zeroed = output.masked_fill(~kept, 0)
    return zeroed.flatten(1) if pool == "flatten" else zeroed.sum(1) / counts.clamp(min=1)
