"""What a classifier gets right, in more detail than one count, as short text.

Single examples have one bit each: with these, classifiers can be compared example by example without storing
their predictions. Counts by class, and confusion matrices, are numbers with spaces.
"""

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CONFUSED = 100
"""Classes up to which a confusion matrix is stored: it has their square of numbers."""


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


def by_class(predicted: NDArray[Any], labels: NDArray[Any], n_classes: int) -> dict[str, str]:
    """Return how many examples there are of each class, and how many of them are classified correctly.

    A label of -1 does not count.

    Returns
    -------
    dict of str to str
        ``class_correct`` and ``class_total``: C numbers each, with spaces between them.
    """
    counts = {"class_correct": labels[predicted == labels], "class_total": labels[labels >= 0]}
    return {name: _text(np.bincount(classes, minlength=n_classes)) for name, classes in counts.items()}


def confusion(predicted: NDArray[Any], labels: NDArray[Any], n_classes: int) -> str | None:
    """Return how many examples of each class are taken for which: a row per class, semicolons between them.

    None for more than `MOST_CONFUSED` classes.
    """
    if n_classes > MOST_CONFUSED:
        return None
    counts = np.bincount(labels * n_classes + predicted, minlength=n_classes**2)
    return ";".join(map(_text, counts.reshape(n_classes, n_classes)))


def _text(counts: Iterable[Any]) -> str:
    return " ".join(map(str, counts))
