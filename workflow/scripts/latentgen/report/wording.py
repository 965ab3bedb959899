"""Numbers and lists in words."""

from collections.abc import Mapping
from typing import Any

import pandas as pd


def listed(words: Any) -> str:
    """Join words as in a sentence: a, b and c."""
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, thing: str) -> str:
    """Write a number of things, in the plural where there are several."""
    several = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{count} {thing if count == 1 else several}"


def percent(share: float) -> str:
    """Write a share in per cent, without the sign."""
    return f"{100 * share:.1f}".replace("-", "−")


def with_layer(best: tuple[str, float] | None) -> str:
    """Write an accuracy with the layer that it is of, which goes without saying for the readout."""
    if best is None:
        return "–"
    layer, accuracy = best
    return percent(accuracy) + (f" ({layer})" if layer != "readout" else "")


def general(value: float) -> str:
    """Write a number with three digits; nothing for one that is missing."""
    return "" if pd.isna(value) else f"{value:.3g}"


def signed(share: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def in_points(row: Mapping[Any, Any]) -> str:
    """Write a difference with its interval, in percentage points."""
    return f"{signed(row['difference'])} [{signed(row['low'])}, {signed(row['high'])}]"
