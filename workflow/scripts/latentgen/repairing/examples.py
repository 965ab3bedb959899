"""The caller's input, checked and in one form: network, examples, labels, held-out examples, checkpoints."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from latentgen.errors import LatentgenError
from latentgen.networks.examples import Examples as Inputs
from latentgen.networks.examples import StoredExamples, spans, taken
from latentgen.networks.forward import MOST_ITEMS
from latentgen.repairing.features import Anatomy, all_finite, examine
from latentgen.repairing.torch_data import of_dataset
from latentgen.training.given_weights import put_weights, read_weights

FEW_HELD_OUT = 200
"""Fewer held-out examples than this make the choice less accurate (by 1.5 points at 200)."""

MOST_SHARED = 0.05
"""Largest fraction of held-out examples that may also be training examples."""

AS_GIVEN = "as given"
"""Name of the network among its checkpoints."""

State = Mapping[str, Tensor] | str | Path


@dataclass(frozen=True)
class Examples:
    """Inputs (N × …, float32 or int64; in memory or in their file) and labels (N, int64, 0 … C − 1)."""

    inputs: Inputs
    labels: Tensor


@dataclass(frozen=True)
class Given:
    """The caller's input.

    Attributes
    ----------
    network : nn.Module
        The caller's own; it is never changed.
    anatomy : Anatomy
        Its layers and its readout.
    train : Examples
        Its training examples.
    classes : tuple
        The caller's names of the classes, in the order of the network's outputs.
    held_out : Examples or None
        Examples with noisy labels that it was not trained on.
    checkpoints : dict of str to state dict or file
        Earlier weights, by name, in order.
    """

    network: nn.Module
    anatomy: Anatomy
    train: Examples
    classes: tuple[Any, ...]
    held_out: Examples | None
    checkpoints: dict[str, State]

    @property
    def n_classes(self) -> int:
        """Number of the network's outputs."""
        return self.anatomy.n_outputs

    def networks(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the network and then, one after the other, copies of it with a checkpoint's weights."""
        yield AS_GIVEN, self.network
        for name, state in self.checkpoints.items():
            yield name, with_weights(self.network, state, name)


def take(
    network: nn.Module,
    inputs: Any,
    labels: Any,
    held_out: Any,
    layers: Sequence[str] | None,
    checkpoints: Mapping[Any, State] | Sequence[State] | None,
) -> Given:
    """Check the caller's input and bring it into one form (parameters as in `latentgen.audit`).

    Raises
    ------
    LatentgenError
        If an argument is not as `latentgen.audit` describes it.
    """
    _check_network(network)
    inputs, labels = _with_labels(inputs, labels, "inputs")
    rows = as_inputs(inputs, "inputs")
    anatomy = examine(network, rows, layers)
    codes, classes = encode_labels(labels, anatomy.n_outputs)
    train = _paired(rows, codes, "")
    kept = None
    if held_out is not None:
        pair: Any = (held_out, None) if isinstance(held_out, Dataset) else held_out
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise LatentgenError("held_out must be a pair, (inputs, labels), or a torch data set.")
        held_inputs, held_labels = _with_labels(pair[0], pair[1], "held-out inputs")
        held_rows = as_inputs(held_inputs, "held-out inputs")
        kept = _paired(held_rows, encode_labels(held_labels, anatomy.n_outputs, classes)[0], "held-out ")
        _check_held_out(train, kept)
    return Given(network, anatomy, train, classes, kept, _by_name(checkpoints))


def _check_network(network: Any) -> None:
    if not isinstance(network, nn.Module):
        raise LatentgenError(f"network is a {type(network).__name__}; give the torch.nn.Module itself.")
    if isinstance(network, torch.jit.ScriptModule):
        raise LatentgenError(
            "network is compiled by TorchScript, which hides its layers. Give the torch.nn.Module from which "
            "it was made."
        )
    kinds = {tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()}
    if other := kinds - {torch.float32}:
        raise LatentgenError(
            f"The network's weights are {', '.join(map(str, other))}. Give network.float(): everything is "
            "computed in float32."
        )


def _with_labels(inputs: Any, labels: Any, what: str) -> tuple[Any, Any]:
    """Return inputs and labels; a torch data set is read, and has labels of its own."""
    inputs, own = of_dataset(inputs, what)
    labels = own if labels is None else labels
    if labels is None:
        raise LatentgenError(f"The {what} have no labels. Give some, or a torch data set that has them.")
    return inputs, labels


def as_inputs(inputs: Any, what: str) -> Inputs:
    """Return inputs as a tensor: float32, or int64 for token ids. Those in a file stay there.

    Raises
    ------
    LatentgenError
        If they are bytes, objects, or not finite.
    """
    if isinstance(inputs, StoredExamples):
        return inputs
    try:
        tensor = inputs.detach() if isinstance(inputs, Tensor) else torch.as_tensor(np.array(inputs))
    except (TypeError, ValueError) as error:
        raise LatentgenError(f"{what} must be one array or tensor: examples × … ({error}).") from error
    if tensor.ndim < 2:
        raise LatentgenError(f"{what} have shape {tuple(tensor.shape)}; they must be examples × ….")
    if tensor.dtype == torch.uint8:
        raise LatentgenError(
            f"{what} are bytes (uint8). Scale them as in training, for instance to float32 between 0 and 1: "
            "inputs.astype('float32') / 255."
        )
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise LatentgenError(f"{what} are {tensor.dtype}; they must be floating point, or integers (tokens).")
    tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64)
    if tensor.is_floating_point() and not all_finite(tensor):
        raise LatentgenError(f"{what} contain NaN or infinite values. Replace or remove these examples.")
    return tensor


def encode_labels(
    labels: Any, n_outputs: int, classes: Sequence[Any] | None = None
) -> tuple[Tensor, tuple[Any, ...]]:
    """Return labels as indices of the network's outputs, and the names of the classes.

    Parameters
    ----------
    labels : array, tensor, list or pandas Series
        Integers 0 … C − 1 are the indices already. Names are taken in alphabetical order, as
        torchvision's ``ImageFolder`` does; categories of a pandas Categorical in their own order.
    n_outputs : int
        Number of the network's outputs.
    classes : sequence, optional
        Names of the classes, if already known.

    Raises
    ------
    LatentgenError
        If labels are missing, of another kind, or do not match the outputs.
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(getattr(labels, "dtype", None), pd.CategoricalDtype):
        classes = tuple(pd.Categorical(labels).categories) if classes is None else classes
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise LatentgenError(f"labels have shape {array.shape}; give a list with one label for each example.")
    if pd.isna(array).any():
        raise LatentgenError(f"{int(pd.isna(array).sum())} labels are missing. Remove these examples.")
    if np.issubdtype(array.dtype, np.integer) and (classes is None or list(classes) == [*range(n_outputs)]):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= n_outputs:
            advice = "Subtract 1 from the labels." if (low, high) == (1, n_outputs) else "Number them alike."
            raise LatentgenError(
                f"labels are from {low} to {high}; the network has outputs 0 to {n_outputs - 1}. {advice}"
            )
        return torch.from_numpy(array.astype(np.int64)), tuple(range(n_outputs))
    if classes is None:
        if not all(isinstance(label, str) for label in array.tolist()):
            raise LatentgenError(f"labels are {array.dtype}; they must be integers or strings.")
        classes = tuple(sorted(set(array.tolist())))
    if len(classes) != n_outputs:
        raise LatentgenError(
            f"labels have {len(classes)} classes, but the network has {n_outputs} outputs. Give integers, or "
            "a pandas Categorical whose categories are in the order of the outputs."
        )
    codes = pd.Categorical(array, categories=list(classes)).codes
    if (codes < 0).any():
        strange = sorted({str(label) for label in array[codes < 0]})
        raise LatentgenError(f"these labels are not among the classes: {', '.join(strange[:5])}.")
    return torch.from_numpy(codes.astype(np.int64)), tuple(classes)


def _paired(inputs: Inputs, labels: Tensor, what: str) -> Examples:
    if len(inputs) != len(labels):
        raise LatentgenError(f"There are {len(inputs)} {what}inputs and {len(labels)} {what}labels.")
    if not what and len(labels.bincount().nonzero()) < 2:
        raise LatentgenError("All labels are of one class; there must be at least two classes.")
    return Examples(inputs, labels)


def _check_held_out(train: Examples, held_out: Examples) -> None:
    shape, expected = (tuple(part.inputs[:1].shape[1:]) for part in (held_out, train))
    if shape != expected:
        raise LatentgenError(f"Held-out inputs have shape {shape} each, the others {expected}.")
    trained_on = set(_digests(train.inputs))
    shared = sum(digest in trained_on for digest in _digests(held_out.inputs))
    if shared > MOST_SHARED * len(held_out.labels):
        raise LatentgenError(
            f"{shared} of {len(held_out.labels)} held-out examples are among the training examples. Held-out "
            "examples must be ones that the network was never trained on: on others it seems right whatever "
            "it memorized."
        )
    if len(held_out.labels) < FEW_HELD_OUT:
        warnings.warn(
            f"There are only {len(held_out.labels)} held-out examples, so the choice is uncertain. "
            "1,000 are enough.",
            stacklevel=4,
        )


def _digests(inputs: Inputs) -> Iterator[int]:
    for block in taken(inputs, spans(len(inputs), MOST_ITEMS)):
        yield from (hash(row.tobytes()) for row in block.cpu().numpy())


def _by_name(checkpoints: Mapping[Any, State] | Sequence[State] | None) -> dict[str, State]:
    if checkpoints is None:
        return {}
    if isinstance(checkpoints, str | Path) or (
        isinstance(checkpoints, Mapping) and any(isinstance(state, Tensor) for state in checkpoints.values())
    ):
        raise LatentgenError("checkpoints must be a list, or a dict by epoch. Put a single one in a list.")
    pairs = checkpoints.items() if isinstance(checkpoints, Mapping) else enumerate(checkpoints, 1)
    return {f"epoch {key}" if isinstance(key, int) else str(key): state for key, state in pairs}


def with_weights(network: nn.Module, state: State, name: str) -> nn.Module:
    """Return a copy of a network with other weights: a state dict, or a file of tensors only.

    Raises
    ------
    LatentgenError
        If they cannot be read or do not fit.
    """
    weights = dict(state) if isinstance(state, Mapping) else read_weights(state)
    copied = copy.deepcopy(network)
    put_weights(copied, weights, f"checkpoint {name}" if isinstance(state, Mapping) else str(state))
    return copied
