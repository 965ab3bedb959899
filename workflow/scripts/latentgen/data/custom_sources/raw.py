"""Arrays by name from a source of custom data, before they are checked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from latentgen.data.inputs import KINDS, InputKind
from latentgen.errors import LatentgenError


def arrays_of(kind: InputKind) -> tuple[str, ...]:
    """Return the names of the arrays of a data set whose examples are of a kind."""
    return (f"train_{kind}", "train_labels", f"test_{kind}", "test_labels")


def undivided_of(kind: InputKind) -> tuple[str, ...]:
    """Return the names of the two arrays of a data set that is not divided."""
    return (kind, "labels")


ARRAYS, UNDIVIDED = arrays_of("images"), undivided_of("images")
OTHER_KINDS = "For vectors and token ids, the names have vectors and tokens instead of images"
TRUE_LABELS = "train_true_labels"
"""An optional array: with it, train_labels are the given ones, some of which are wrong."""
CLASS_NAMES = "class_names"
VOCABULARY, PADDING = "vocabulary", "padding"
"""Optional arrays beside tokens: all words in the order of their ids, and the id that pads sequences."""
INPUTS = {name: kind for kind in KINDS for name in (f"train_{kind}", f"test_{kind}", kind)}
"""The kind of examples in each array, by its name."""
WANTED = (
    *dict.fromkeys(name for kind in KINDS for name in (*arrays_of(kind), *undivided_of(kind))),
    *(TRUE_LABELS, VOCABULARY, PADDING),
)


@dataclass(frozen=True)
class RawData:
    """Arrays as read from a source.

    Attributes
    ----------
    arrays : dict of arrays
        Arrays by the names above.
    class_names : object
        Names of the classes as read; None if there are none.
    notes : list of str
        Remarks for the user on conversions and skipped files. Checks add to them.
    files : list of Path
        The file of each image of a folder; empty for other sources.
    """

    arrays: dict[str, NDArray[Any]]
    class_names: Any = None
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def kind(self, source: str) -> InputKind:
        """Return the kind of examples; images if there are none.

        Raises
        ------
        LatentgenError
            If there are examples of several kinds.
        """
        kinds = {kind: name for name, kind in reversed(INPUTS.items()) if name in self.arrays}
        if len(kinds) > 1:
            raise LatentgenError(
                f"{source} has {' and '.join(sorted(kinds.values(), key=WANTED.index))}: keep one of these."
            )
        return next(iter(kinds), "images")


def in_order(names: Iterable[str]) -> list[str]:
    """Sort class names: by number if all are whole numbers, else alphabetically."""
    names = sorted(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (len(name.lstrip("0")), name.lstrip("0")))
    return names


def listed(names: list[str], most: int = 5) -> str:
    """Join names, and add the number of those left out."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
