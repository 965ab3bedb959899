"""Which examples a classifier gets right, as short text: one bit for each example.

With these, classifiers can be compared example by example, without their predictions being stored.
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(correct: NDArray[np.bool_]) -> str:
    """Return which of n examples are classified correctly as base64 of n bits, the first example first."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")


def unpacked(text: str, total: int) -> NDArray[np.bool_]:
    """Return which of `total` examples are classified correctly, from what `packed` made.

    Raises
    ------
    ValueError
        If the text is not that of so many examples.
    """
    bits: NDArray[Any] = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if len(bits) != -(-total // 8):
        raise ValueError(f"{8 * len(bits)} bits do not hold {total} examples")
    return np.unpackbits(bits, count=total).astype(bool)
