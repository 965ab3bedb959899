"""Settings of the built-in transformers."""

from abc import ABC
from typing import Self

from pydantic import model_validator

from latentgen.networks.measured import MeasuredNetwork
from latentgen.settings import BelowOne, PositiveFloat, PositiveInt


class TransformerSettings(MeasuredNetwork, ABC):
    """Settings of transformers of images and of text."""

    dim: PositiveInt = 64
    """Width of a token."""
    depth: PositiveInt
    """Number of blocks."""
    heads: PositiveInt = 4
    """Attention heads of a block; they must divide `dim`."""
    mlp_ratio: PositiveFloat = 2.0
    """Width of a block's hidden layer, in multiples of `dim`."""
    dropout: BelowOne = 0.0
    """Probability that a value is dropped after embedding, attention and hidden layer."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim: {self.heads} does not divide {self.dim}")
        return self

    @property
    def hidden(self) -> int:
        """Width of a block's hidden layer."""
        return round(self.mlp_ratio * self.dim)
