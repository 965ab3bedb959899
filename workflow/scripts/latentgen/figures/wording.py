"""Numbers and lists in words."""

from math import floor
from typing import Any

import pandas as pd


def listed(words: Any) -> str:
    """Join words as in a sentence: a, b and c."""
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last


def plural(count: int, noun: str) -> str:
    """Write a number of things: 1 seed, 3 seeds."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


def percent(fraction: float) -> str:
    """Write a fraction in percent, without the percent sign."""
    return f"{100 * fraction:.1f}".replace("-", "−")


def percent_at_least(fraction: float) -> str:
    """Write a fraction in percent, rounded down: below 1 it never reads as 100."""
    return f"{floor(1000 * fraction + 1e-9) / 10:.1f}"


def three_digits(value: float) -> str:
    """Write a number with three digits; an empty text for a missing one."""
    return "" if pd.isna(value) else f"{value:.3g}"
