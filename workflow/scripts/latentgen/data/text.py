"""Text as token ids: a word tokenizer, its vocabulary from training texts, sequences of equal length."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PADDING, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unk>")
"""Meanings of the ids 0 and 1: padding, and any word that is not in the vocabulary."""

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, each punctuation mark being one; `don't` is one word."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def vocabulary_from(texts: Iterable[str], size: int | None = None) -> list[str]:
    """Return `SPECIAL` and the most frequent words; equally frequent ones in alphabetical order.

    Parameters
    ----------
    texts : iterable of str
        The training texts; words that occur only in test texts are unknown.
    size : int, optional
        Number of ids; by default those of all words that occur twice or more.
    """
    counts = Counter(word for text in texts for word in words(text))
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    if size is None:
        return [*SPECIAL, *(word for word in ordered if counts[word] > 1)]
    return [*SPECIAL, *ordered[: size - len(SPECIAL)]]


def encode(texts: Sequence[str], vocabulary: Sequence[str], length: int) -> NDArray[np.int32]:
    """Return token ids, texts × length: longer texts are truncated, shorter ones padded with `PADDING`."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    ids = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(ids, texts, strict=True):
        known = [numbers.get(word, UNKNOWN) for word in words(text)[:length]]
        row[: len(known)] = known
    return ids
