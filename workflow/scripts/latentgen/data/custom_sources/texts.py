"""Text of custom data as token ids, by the built-in word tokenizer or one of the tokenizers library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.text import PADDING, encode, vocabulary_from, words
from latentgen.errors import LatentgenError

LONGEST, MOST_WORDS = 512, 20_000
"""Default maxima of the tokens in a text and the words in a vocabulary."""
SHORT_ENOUGH = 0.95
"""Fraction of the texts that are not truncated, unless a study file gives their length."""


@dataclass(frozen=True)
class TextForm:
    """Tokenization of text.

    Attributes
    ----------
    length : int, optional
        Tokens of each text; longer texts are truncated. By default, 95 % of the training texts are not.
    vocabulary : int, optional
        Number of ids; by default those of all words that occur twice or more, 20,000 at most.
    tokenizer : str, optional
        File of the tokenizers library, such as ``tokenizer.json``; the built-in word tokenizer by default.
    """

    length: int | None = None
    vocabulary: int | None = None
    tokenizer: str | None = None


def as_ids(parts: dict[str, list[str]], form: TextForm) -> tuple[dict[str, NDArray[Any]], list[str], int]:
    """Return token ids of the texts of each part, the vocabulary, and the id of the padding.

    The first part is for training; it determines length and vocabulary.
    """
    train = next(iter(parts.values()))
    if form.tokenizer is not None:
        return _by_file(parts, form, form.tokenizer)
    vocabulary = vocabulary_from(train, form.vocabulary)[: form.vocabulary or MOST_WORDS]
    length = form.length or _usual_length([len(words(text)) for text in train])
    ids: dict[str, NDArray[Any]] = {
        split: encode(texts, vocabulary, length) for split, texts in parts.items()
    }
    return ids, vocabulary, PADDING


def _usual_length(lengths: Sequence[int]) -> int:
    return int(np.clip(np.ceil(np.quantile(lengths, SHORT_ENOUGH)), 1, LONGEST))


def _by_file(
    parts: dict[str, list[str]], form: TextForm, path: str
) -> tuple[dict[str, NDArray[Any]], list[str], int]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise LatentgenError(
            "tokenizer: the tokenizers library is not installed. Install it: python -m pip install "
            "tokenizers (in the environment that runs the workflow)."
        ) from error
    try:
        tokenizer = Tokenizer.from_file(path)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        encoded = {
            split: [one.ids for one in tokenizer.encode_batch(texts)] for split, texts in parts.items()
        }
    except Exception as error:  # the library raises a bare Exception
        raise LatentgenError(
            f"tokenizer: {path} cannot be used with the tokenizers library ({error}). Save it again."
        ) from error
    length = form.length or _usual_length([len(ids) for ids in next(iter(encoded.values()))])
    names = [tokenizer.id_to_token(number) or "" for number in range(tokenizer.get_vocab_size())]
    known = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>", "<|padding|>"))
    padding = next((number for number in known if number is not None), len(names))
    filled = {}
    for split, rows in encoded.items():
        filled[split] = np.full((len(rows), length), padding, np.int32)
        for row, ids in zip(filled[split], rows, strict=True):
            row[: min(len(ids), length)] = ids[:length]
    return filled, names if padding < len(names) else [*names, "<pad>"], padding
