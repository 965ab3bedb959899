"""Text as token ids: words, with a vocabulary from training texts, or characters of a given alphabet."""

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


def character_ids(text: str, alphabet: str) -> NDArray[np.int32]:
    """Return the ids of characters in an alphabet, whose last character stands for all others.

    Letters are in lower case, and every digit is 0.
    """
    simpler = re.sub(r"[0-9]", "0", text.lower())
    numbers = {character: number for number, character in enumerate(alphabet)}
    return np.array([numbers.get(character, len(alphabet) - 1) for character in simpler], np.int32)
