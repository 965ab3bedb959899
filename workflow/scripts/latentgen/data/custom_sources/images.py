"""Check arrays of images in custom data; other arrays are refused with a fitting conversion."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.datasets import Images
from latentgen.errors import LatentgenError


def as_images(array: NDArray[Any], what: str, n_labels: int) -> Images:
    """Return images as examples × channels × height × width.

    Parameters
    ----------
    array : array
        uint8 images, examples × height × width (× channels, 1 or 3).
    what : str
        Their name in messages.
    n_labels : int
        Number of labels.

    Raises
    ------
    LatentgenError
        If it is any other array; the message has the conversion, if there is one.
    """
    _check_layout(array, what, n_labels)
    if array.dtype != np.uint8:
        raise LatentgenError(
            f"{what} are {_kind(array)}; images must be uint8, from 0 to 255. {_conversion(array)}"
        )
    if len(array) != n_labels:
        raise LatentgenError(f"There are {len(array)} {what}, and {n_labels} labels.")
    return np.ascontiguousarray((array if array.ndim == 4 else array[..., None]).transpose(0, 3, 1, 2))


def _kind(array: NDArray[Any]) -> str:
    if array.dtype.kind not in "biuf" or not array.size:
        return str(array.dtype)
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size < array.size:
        return f"{array.dtype} with {array.size - finite.size} values that are NaN or infinite"
    return f"{array.dtype} from {array.min():g} to {array.max():g}"


def _check_layout(array: NDArray[Any], what: str, n_labels: int) -> None:
    """Refuse arrays whose axes are not those of images."""
    shape = array.shape
    if 0 not in shape and (array.ndim == 3 or (array.ndim == 4 and shape[3] in (1, 3))):
        if len(array) != n_labels and shape[-1] == n_labels:
            raise LatentgenError(
                f"{what} have shape {shape} for {n_labels} labels: the examples must come first. Convert "
                "them with numpy.moveaxis(images, -1, 0)."
            )
        return
    way_out = ""
    if array.ndim == 4 and 0 not in shape:
        if shape[0] != n_labels and shape[3] == n_labels:
            way_out = " The examples come last: convert them with numpy.moveaxis(images, -1, 0)."
        elif shape[1] in (1, 3):
            way_out = " The channels come second: convert them with images.transpose(0, 2, 3, 1)."
        elif shape[3] == 4 and array.dtype == np.uint8:
            opaque = bool((array[..., 3] == 255).all())
            way_out = (
                " The fourth channel is opaque everywhere: omit it with images[..., :3]."
                if opaque
                else " There are transparent pixels in the fourth channel: put the images onto a background "
                "first."
            )
    elif array.ndim == 2 and 0 not in shape:
        way_out = _unflattened(array)
    raise LatentgenError(
        f"{what} have shape {shape}; it must be examples × height × width, or examples × height × width × "
        f"channels, 1 or 3.{way_out}"
    )


def _unflattened(array: NDArray[Any]) -> str:
    """Return the conversion of rows to images, if they have the pixels of square ones."""
    width = array.shape[1]
    grey, colour = round(width**0.5), round((width / 3) ** 0.5)
    pixels = array.dtype == np.uint8 or array.dtype.kind == "f"
    if pixels and grey**2 == width and grey > 1:
        return f" If a row is one grey image, convert them with images.reshape(-1, {grey}, {grey})."
    if pixels and 3 * colour**2 == width and colour > 1:
        return (
            f" If a row is one colour image, convert them with images.reshape(-1, {colour}, {colour}, 3), "
            f"or, if the channels come first as in CIFAR, images.reshape(-1, 3, {colour}, "
            f"{colour}).transpose(0, 2, 3, 1)."
        )
    return (
        " If rows are features, call the arrays vectors (train_vectors, test_vectors); if they are token "
        "ids, tokens (train_tokens, test_tokens)."
    )


def _conversion(array: NDArray[Any]) -> str:
    """Return the conversion of values to 0 … 255, as far as it can be inferred from them."""
    kind, low, high = array.dtype.kind, 0.0, 0.0
    if kind not in "biuf":
        return "Save them as numbers."
    if kind == "f" and not np.isfinite(array).all():
        return "Replace or remove these values first."
    low, high = float(array.min()), float(array.max())
    if kind == "b":
        return "Convert them with images.astype('uint8') * 255."
    if kind == "f":
        whole = bool((array == np.round(array)).all())
        if low >= 0 and 1 < high <= 255:
            return f"Convert them with images{'' if whole else '.round()'}.astype('uint8')."
        if low >= 0 and high <= 1:
            return "Convert numbers from 0 to 1 with (255 * images).round().astype('uint8')."
        if -1 <= low < 0 and high <= 1:
            return "Convert numbers from -1 to 1 with ((images + 1) * 127.5).round().astype('uint8')."
        if low < 0:
            return "They seem to be standardized: undo that first (images * std + mean)."
    if low < 0:
        return "Pixels cannot be negative: scale all images in the same way to 0 to 255 first."
    if high <= 1:
        return (
            "If 1 is white, convert them with (255 * images).astype('uint8'); if it is one step of 255, "
            "with images.astype('uint8')."
        )
    if high <= 255:
        return "Convert them with images.astype('uint8'), which is exact."
    if kind == "u" and array.dtype.itemsize == 2 and not (array % 257).any():
        return "Convert them with (images // 257).astype('uint8'), which is exact."
    if high <= 65535:
        largest = 2 ** int(high).bit_length() - 1
        return (
            f"If they are pixels with values up to {largest}, convert them with (images * (255 / "
            f"{largest})).round().astype('uint8')."
        )
    return "Values this large are hardly pixels; if they are, scale all images in the same way to 0 to 255."
