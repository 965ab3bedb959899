"""Text as token ids: a word tokenizer, its vocabulary from training texts, sequences of one length."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PADDING, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unk>")
"""What ids 0 and 1 stand for: nothing, and any word that is not in the vocabulary."""

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, each punctuation mark being one; `don't` is one word."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def vocabulary_from(texts: Iterable[str], size: int | None = None) -> list[str]:
    """Return `SPECIAL` and the most frequent words; of equally frequent ones, the first in the alphabet.

    Parameters
    ----------
    texts : iterable of str
        Those of the training part: what is in the test part alone stays unknown.
    size : int, optional
        How many ids there are; by default those of all words that occur twice or more.
    """
    counts = Counter(word for text in texts for word in words(text))
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    if size is None:
        return [*SPECIAL, *(word for word in ordered if counts[word] > 1)]
    return [*SPECIAL, *ordered[: size - len(SPECIAL)]]


def encode(texts: Sequence[str], vocabulary: Sequence[str], length: int) -> NDArray[np.int32]:
    """Return token ids, texts × length: longer texts are cut off, shorter ones filled up with `PADDING`."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    ids = np.full((len(texts), length), PADDING, np.int32)
    for row, text in zip(ids, texts, strict=True):
        found = [numbers.get(word, UNKNOWN) for word in words(text)[:length]]
        row[: len(found)] = found
    return ids
