"""What every source of custom data returns: arrays by name, before they are checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
UNDIVIDED = ("images", "labels")
"""Arrays that may replace these four: a part of each class is then held out for testing."""
TRUE_LABELS = "train_true_labels"
"""An optional array: then train_labels are the given ones, and some of them are wrong."""
CLASS_NAMES = "class_names"
WANTED = (*ARRAYS, *UNDIVIDED, TRUE_LABELS)


@dataclass(frozen=True)
class RawData:
    """Arrays as they were read.

    Attributes
    ----------
    arrays : dict of arrays
        By the names above.
    class_names : object
        Names of the classes, as they were read; None if there are none.
    notes : list of str
        What a user should know: whatever was converted or skipped. Checks add to it.
    """

    arrays: dict[str, NDArray[Any]]
    class_names: Any = None
    notes: list[str] = field(default_factory=list)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort class names: by number if all are whole numbers, else alphabetically."""
    names = sorted(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (len(name.lstrip("0")), name.lstrip("0")))
    return names


def listed(names: list[str], most: int = 5) -> str:
    """Join names, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
