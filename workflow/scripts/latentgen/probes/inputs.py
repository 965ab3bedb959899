"""Check activations and labels for probes, convert them to tensors, and rescale very small or large rows."""

import warnings
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from latentgen.errors import LatentgenError

Array: TypeAlias = np.ndarray[Any, Any] | Tensor

SAFE_EXPONENT = 24
"""Rows whose largest entry is between 2⁻²⁴ and 2²⁴ need no rescaling: their squares, and sums of squares, are
accurate enough in float32."""


class InputError(LatentgenError, ValueError):
    """Activations, labels or parameters have values or a shape that a probe cannot use."""


class InputTypeError(LatentgenError, TypeError):
    """Activations or labels are of a type that a probe cannot use."""


def not_fitted(probe: object) -> LatentgenError:
    """Return the error for a probe that is used before `fit`, also a scikit-learn `NotFittedError`."""
    from sklearn.exceptions import NotFittedError  # takes a second to import

    kind = type("NotFittedError", (LatentgenError, NotFittedError), {})
    error: LatentgenError = kind(f"This {type(probe).__name__} is not fitted yet. Call fit first.")
    return error


def as_features(X: Any) -> Tensor:
    """Return activations like `as_rows`, also from lists, data frames and arrays of integers or objects.

    Raises
    ------
    LatentgenError
        If X is not a matrix of real numbers with at least one row and one column.
    """
    if isinstance(X, Tensor):
        return as_rows(X)
    if hasattr(X, "tocsr"):
        raise InputTypeError("Sparse data is not supported. Pass a dense array, such as X.toarray().")
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise InputError(f"Complex data not supported; found an array of {array.dtype}.")
    if array.dtype.kind in "Obiu":
        try:
            array = array.astype(np.float64)
        except TypeError as error:
            raise InputTypeError(f"Activations must be numbers: {error}.") from None
        except ValueError as error:
            raise InputError(f"Activations must be numbers: {error}.") from None
    if array.ndim != 2:
        raise InputError(
            f"Expected a 2D array, examples × features, got one of shape {array.shape}. Reshape your data: "
            "X.reshape(-1, 1) if it has a single feature, X.reshape(1, -1) if it is a single sample."
        )
    n, d = array.shape
    if n == 0 or d == 0:
        raise InputError(
            f"Found array with {n} sample(s) and {d} feature(s) (shape={array.shape}) while a minimum of 1 "
            "is required."
        )
    return as_rows(array)


def as_rows(X: Array) -> Tensor:
    """Return activations as a tensor of float32 or float64, sharing memory where that is possible.

    Raises
    ------
    LatentgenError
        If X is not a matrix of floating-point numbers with at least one row and one column.
    """
    if not isinstance(X, Tensor):
        X = _tensor(np.asarray(X))
    if X.ndim != 2 or 0 in X.shape or not X.is_floating_point():
        raise InputError(
            f"Activations must be a matrix of floating-point numbers, examples × features, and not empty; "
            f"found {X.dtype} of shape {tuple(X.shape)}. Flatten spatial maps and convert integers first."
        )
    # Half precision is for storage: float32 represents all its numbers exactly.
    return X.detach() if X.dtype in (torch.float32, torch.float64) else X.detach().to(torch.float32)


def as_labels(y: Array, X: Tensor, n_classes: int | None) -> tuple[Tensor, int]:
    """Return labels as int64 on the device of X, and the number of classes.

    Raises
    ------
    LatentgenError
        If there is not one integer label in 0 … n_classes - 1 for each row of X.
    """
    if not isinstance(y, Tensor):
        y = _tensor(np.asarray(y))
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"Labels must be integers, found {y.dtype}. Convert them, as in y.astype(int).")
    _check_length(tuple(y.shape), X)
    labels = y.to(device=X.device, dtype=torch.int64)
    low, high = int(labels.min()), int(labels.max())
    if n_classes is None:
        n_classes = high + 1
    if low < 0 or high >= n_classes:
        raise InputError(
            f"Labels must be in 0 … {n_classes - 1} for {n_classes} classes; found {low} … {high}. "
            "Give the right n_classes or renumber the labels."
        )
    return labels, n_classes


def as_classes(y: Any, X: Tensor, n_classes: int | None) -> tuple[Tensor, np.ndarray[Any, Any]]:
    """Return for each row of X the position of its label among the classes, and the classes, sorted.

    Parameters
    ----------
    y : array, tensor or sequence, n
        Labels of any kind that can be sorted, strings too.
    X : Tensor, n × d
    n_classes : int, optional
        The classes are then 0 … n_classes - 1, whether or not they have examples.

    Raises
    ------
    LatentgenError
        If y is not one class label for each row of X.
    """
    if n_classes is not None:
        labels, n_classes = as_labels(y, X, n_classes)
        return labels, np.arange(n_classes)
    if y is None:
        raise InputError("A probe requires y to be passed, but the target y is None.")
    array = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        message = "A column-vector y was passed when a 1d array was expected. Use y.ravel()."
        warnings.warn(message, DataConversionWarning, stacklevel=4)
        array = array[:, 0]
    _check_length(array.shape, X)
    if array.dtype.kind in "fc" and not (np.isfinite(array) & (array == np.floor(array.real))).all():
        raise InputError(
            "Unknown label type: continuous. Labels must be classes; found numbers that are not whole, or "
            "NaN or infinity."
        )
    try:
        classes, positions = np.unique(array, return_inverse=True)
    except TypeError as error:  # labels of several types
        raise InputTypeError(f"Labels must all be of one kind: {error}.") from None
    return torch.from_numpy(positions.astype(np.int64)).to(X.device), classes


def _check_length(shape: tuple[int, ...], X: Tensor) -> None:
    if shape != tuple(X.shape[:1]):
        raise InputError(
            f"There must be one label for each example: found labels of shape {shape} "
            f"and {len(X)} examples. Check that both come from the same split."
        )


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    if array.dtype.kind == "f" and (array.dtype.itemsize > 8 or not array.dtype.isnative):
        array = array.astype(np.float64)
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():
        # Torch warns that it can write to read-only arrays. Nothing here writes to its input.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        try:
            return torch.from_numpy(array)
        except TypeError:
            raise InputError(f"Found an array of {array.dtype}, which are not plain numbers.") from None


def check_finite(X: Tensor) -> None:
    """Refuse activations that contain NaN or infinity (`LatentgenError`)."""
    if not bool(X.isfinite().all()):
        raise InputError(describe_non_finite(X))


def describe_non_finite(X: Tensor) -> str:
    """Return the message for activations that are not finite, or whose squares are not."""
    finite = X.isfinite().all(dim=1)
    if bool(finite.all()):
        return "Activations are so large that their squares overflow float64. Rescale them."
    return (
        f"{int((~finite).sum())} of {len(X)} rows of activations contain NaN or infinity. "
        "The network has probably diverged, or its activations overflowed float16: "
        "check the loss, or store activations as float32."
    )


def row_exponents(X: Tensor) -> Tensor:
    """Return for each row the power of two to divide it by, so that its squares neither over- nor underflow.

    Returns
    -------
    Tensor, n, int64
        Zero for rows of zeros, and for those that need no rescaling.

    Raises
    ------
    LatentgenError
        If X contains NaN or infinity.
    """
    largest = torch.maximum(X.amax(dim=1), -X.amin(dim=1))
    if not bool(largest.isfinite().all()):
        raise InputError(describe_non_finite(X))
    exponents = torch.frexp(largest).exponent.to(torch.int64)
    return exponents.where(exponents.abs() > SAFE_EXPONENT, 0)


def divided(X: Tensor, exponents: Tensor) -> Tensor:
    """Return rows divided by powers of two: exact, and the same tensor if all exponents are zero."""
    if not bool(exponents.any()):
        return X
    half = exponents // 2  # 2⁻ᵉ itself may overflow or underflow
    two = torch.tensor(2.0, dtype=X.dtype, device=X.device)
    scaled: Tensor = X * two.pow(-half)[:, None] * two.pow(half - exponents)[:, None]
    return scaled


def unit_rows(X: Tensor) -> Tensor:
    """Return rows divided by their norms, however small or large; rows of zeros stay zero."""
    X = divided(X, row_exponents(X))
    lengths = torch.linalg.vector_norm(X, dim=1, keepdim=True)
    units: Tensor = X / lengths.where(lengths > 0, 1.0)
    return units
