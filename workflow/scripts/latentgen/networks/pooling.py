"""What is taken of a layer's output: its first tensor, and of that the numbers of a pool."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from latentgen.networks.layer_choice import Pool


def first_tensor(output: Any) -> Tensor | None:
    """Return a module's output, or the first tensor in it (a tuple, a dictionary); None without."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = output.values()
    elif not isinstance(output, tuple | list):
        return None
    return next((tensor for part in output if (tensor := first_tensor(part)) is not None), None)


def pooled(output: Tensor, pool: Pool) -> Tensor:
    """Return what a pool takes of a layer's output: N × units.

    Parameters
    ----------
    output : Tensor
        N × units, N × tokens × units, or N × channels × height × width.
    pool : str
        As in `latentgen.networks.layer_choice.LayerPattern`; a layer that gives N × units is taken as it is.
    """
    if pool == "flatten" or output.ndim == 2:
        return output.flatten(1)
    if pool == "cls":
        return output[:, 0]
    if pool == "last":
        return output[:, -1]
    positions = (1,) if output.ndim == 3 else tuple(range(2, output.ndim))
    return output.mean(positions) if pool == "mean" else output.amax(positions)
