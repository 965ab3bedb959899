"""A small transformer that classifies text, with the usual names (Vaswani et al., 2017)."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from latentgen.data.inputs import InputKind, InputShape, Tokens
from latentgen.networks.measured import MeasuredNetwork
from latentgen.settings import BelowOne, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from torch import nn


class Transformer(MeasuredNetwork):
    """A transformer for text with pre-normalization and GELU; the readout's input is the mean over tokens."""

    TAKES: ClassVar[tuple[InputKind, ...]] = ("tokens",)

    architecture: Literal["Transformer"]
    """A transformer for text; its layers are embed, blocks.0, blocks.1, …, norm."""
    dim: PositiveInt = 64
    """Width of a token."""
    depth: PositiveInt = 2
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
    def import_path(self) -> str:
        """Where its code is."""
        return "latentgen.networks.transformer_modules:TextTransformer"

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network."""
        from latentgen.networks.transformer_modules import TextTransformer

        assert isinstance(input_shape, Tokens)
        hidden = round(self.mlp_ratio * self.dim)
        return TextTransformer(input_shape, n_classes, self.dim, self.depth, self.heads, hidden, self.dropout)
