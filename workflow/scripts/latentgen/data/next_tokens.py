"""Next tokens as classes: every position of a sequence is an example, and its class is the token after it.

The example (sequence, position) is all tokens up to that position. Sequences lose their last token, which has
no next one; labels are those of all positions, sequence after sequence. Noise is applied to labels only: the
tokens that a network reads stay as they are.
"""

from dataclasses import replace

import numpy as np

from latentgen.data.datasets import Dataset, IntArray
from latentgen.data.inputs import Inputs, InputShape, Tokens, shape_in_words
from latentgen.errors import LatentgenError

MOST_CLASSES = 4096
"""Largest vocabulary: a probe has a subspace for each class, and each class needs examples."""


def next_token_shape(shape: InputShape) -> Tokens:
    """Return the shape of sequences whose next tokens are the classes.

    Raises
    ------
    ValueError
        If the examples are not sequences of equal length, or the vocabulary is too large.
    """
    if not isinstance(shape, Tokens):
        raise ValueError(f"targets: next_token needs sequences of tokens, not {shape_in_words(shape)}")
    if shape.padding is not None:
        raise ValueError(
            "targets: next_token needs sequences without padding; join the texts, and cut them into parts of "
            "equal length"
        )
    if shape.vocabulary > MOST_CLASSES:
        raise ValueError(
            f"targets: next_token makes each token a class, {MOST_CLASSES} at most; the vocabulary has "
            f"{shape.vocabulary}. Use fewer words, or characters"
        )
    if shape.length < 2:
        raise ValueError("targets: next_token needs sequences of at least two tokens")
    return replace(shape, length=shape.length - 1, next_token=True)


def next_tokens(dataset: Dataset) -> Dataset:
    """Return a data set of sequences with their next tokens as labels; other labels are dropped.

    Parameters
    ----------
    dataset : Dataset
        Token ids N × (L + 1); afterwards N × L, with N·L labels.

    Raises
    ------
    LatentgenError
        As `next_token_shape`.
    """
    if dataset.next_token:
        return dataset
    try:
        shape = next_token_shape(dataset.input_shape)
    except ValueError as error:
        raise LatentgenError(f"{dataset.name}: {error}.") from None
    return replace(
        dataset,
        train_inputs=_inputs(dataset.train_inputs),
        train_labels=_labels(dataset.train_inputs),
        test_inputs=_inputs(dataset.test_inputs),
        test_labels=_labels(dataset.test_inputs),
        class_names=tuple(map(str, range(shape.vocabulary))),
        given_labels=None,
        truth_known=True,
        next_token=True,
    )


def _inputs(ids: Inputs) -> Inputs:
    return np.ascontiguousarray(ids[:, :-1])


def _labels(ids: Inputs) -> IntArray:
    return ids[:, 1:].ravel().astype(np.int64)
