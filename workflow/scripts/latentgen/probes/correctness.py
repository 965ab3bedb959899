"""The examples that a classifier gets right, as short text with one bit per example.

With it, classifiers can be compared example by example without storing their predictions.
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(correct: NDArray[np.bool_]) -> str:
    """Return which of n examples are classified correctly as base64 of n bits, the first example first."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")


def unpacked(text: str, total: int) -> NDArray[np.bool_]:
    """Return which of `total` examples are classified correctly, from the output of `packed`.

    Raises
    ------
    ValueError
        If the text is not for that number of examples.
    """
    bits: NDArray[Any] = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if len(bits) != -(-total // 8):
        raise ValueError(f"{8 * len(bits)} bits do not hold {total} examples")
    return np.unpackbits(bits, count=total).astype(bool)
