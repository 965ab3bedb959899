"""Examples and labels of a torch data set, such as torchvision's ``ImageFolder``."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from latentgen.errors import LatentgenError
from latentgen.runtime.memory import explain_out_of_memory

READS = 8
"""How often the first example is read, to see whether transforms are random. A random flip shows in all but 1
of 128 cases."""


def of_dataset(data: Any, what: str) -> tuple[Any, Any]:
    """Return the inputs of a torch data set, and its labels if it has any.

    Parameters
    ----------
    data : Dataset or anything else
        A data set of inputs, or of pairs (input, label), with a length. Anything else is returned as it is,
        without labels.
    what : str
        What it is, for messages.

    Returns
    -------
    inputs : Tensor, N × …
        In memory.
    labels : list or pandas Categorical, or None
        By name, if the data set has ``classes``, as those of torchvision have.

    Raises
    ------
    LatentgenError
        If it is a data loader, its inputs are not tensors of one shape, or two reads of one differ.
    """
    if isinstance(data, DataLoader):
        raise LatentgenError(f"{what} are a DataLoader, which may shuffle them. Give its data set: .dataset.")
    if not isinstance(data, Dataset):
        return data, None
    if not hasattr(data, "__len__"):
        raise LatentgenError(f"{what} are a data set without a length. Give an array or a tensor.")
    if not len(data):
        raise LatentgenError(f"{what} are an empty data set.")
    _refuse_random(data, what)
    with explain_out_of_memory(f"Reading the {what}", "take a part of them (torch.utils.data.Subset)"):
        inputs, labels = _read(data, what)
    return inputs, _named(labels, getattr(data, "classes", None)) if labels else None


def _refuse_random(data: Any, what: str) -> None:
    first, *others = (np.asarray(_divided(data[0])[0]) for _ in range(READS))
    if any(not np.array_equal(first, other) for other in others):
        raise LatentgenError(
            f"{what} differ each time they are read: their transforms are random. Use those of evaluation, "
            "without augmentation."
        )


def _divided(example: Any) -> tuple[Any, list[Any]]:
    """Return the input of an example, and its label in a list if it has one."""
    return (example[0], list(example[1:2])) if isinstance(example, tuple | list) else (example, [])


def _read(data: Any, what: str) -> tuple[Tensor, list[Any]]:
    first, _ = _divided(data[0])
    if not isinstance(first, Tensor | np.ndarray):
        raise LatentgenError(
            f"{what} are {type(first).__name__}s. Let the transforms end in tensors, as in training "
            "(ToTensor)."
        )
    first, labels = torch.as_tensor(first), []
    inputs = first.new_empty((len(data), *first.shape))
    for place in range(len(data)):
        one, label = _divided(data[place])
        if one.shape != first.shape:
            raise LatentgenError(
                f"{what} have different shapes, such as {tuple(first.shape)} and {tuple(one.shape)}. "
                "Resize or pad them as in training."
            )
        inputs[place] = torch.as_tensor(one)
        labels += label
    return inputs, labels


def _named(labels: Any, classes: Any) -> Any:
    plain = [label.item() if isinstance(label, Tensor | np.generic) else label for label in labels]
    if isinstance(classes, list | tuple) and all(isinstance(label, int) for label in plain):
        return pd.Categorical.from_codes(np.array(plain), categories=pd.Index(classes))
    return plain
