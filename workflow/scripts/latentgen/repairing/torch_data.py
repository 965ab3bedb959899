"""Examples and labels of a torch data set, such as torchvision's ``ImageFolder``."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from latentgen.errors import LatentgenError

READS = 8
"""How often the first example is read, to see whether transforms are random. A random flip shows in all but 1
of 128 cases."""


def of_dataset(data: Any, what: str) -> tuple[Any, Any]:
    """Return the inputs of a torch data set, and its labels if its items have any.

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
        If it is a data loader, its items are of another kind, or two reads of one differ.
    """
    if isinstance(data, DataLoader):
        raise LatentgenError(f"{what} are a DataLoader, which may shuffle them. Give its data set: .dataset.")
    if not isinstance(data, Dataset):
        return data, None
    if not hasattr(data, "__len__"):
        raise LatentgenError(f"{what} are a data set without a length. Give an array or a tensor.")
    _refuse_random(data, what)
    items = [data[place] for place in range(len(data))]
    if not isinstance(items[0], tuple | list):
        return _stacked(items, what), None
    inputs, *others = zip(*items, strict=True)
    labels = _named(others[0], getattr(data, "classes", None)) if others else None
    return _stacked(inputs, what), labels


def _refuse_random(data: Any, what: str) -> None:
    if not len(data):
        raise LatentgenError(f"{what} are an empty data set.")
    first, *others = (_input(data[0]) for _ in range(READS))
    if any(not np.array_equal(first, other) for other in others):
        raise LatentgenError(
            f"{what} differ each time they are read: their transforms are random. Use those of evaluation, "
            "without augmentation."
        )


def _input(item: Any) -> Any:
    return np.asarray(item[0] if isinstance(item, tuple | list) else item)


def _stacked(inputs: Any, what: str) -> Tensor:
    if not isinstance(inputs[0], Tensor | np.ndarray):
        raise LatentgenError(
            f"{what} are {type(inputs[0]).__name__}s. Let the transforms end as in training, in tensors "
            "(ToTensor)."
        )
    shapes = {tuple(one.shape) for one in inputs}
    if len(shapes) > 1:
        raise LatentgenError(
            f"{what} have different shapes: {', '.join(map(str, sorted(shapes)[:3]))}. Resize or pad them as "
            "in training."
        )
    return torch.stack([torch.as_tensor(one) for one in inputs])


def _named(labels: Any, classes: Any) -> Any:
    plain = [label.item() if isinstance(label, Tensor | np.generic) else label for label in labels]
    if isinstance(classes, list | tuple) and all(isinstance(label, int) for label in plain):
        return pd.Categorical.from_codes(np.array(plain), categories=pd.Index(classes))
    return plain
