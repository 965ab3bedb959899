"""A small transformer that classifies text or next tokens, with the usual names (Vaswani et al., 2017)."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from latentgen.data.inputs import InputKind, InputShape, Tokens
from latentgen.errors import LatentgenError
from latentgen.networks.transformer_settings import TransformerSettings
from latentgen.settings import PositiveInt, left_out_if

if TYPE_CHECKING:
    from torch import nn


class Transformer(TransformerSettings):
    """A transformer for text with pre-normalization and GELU; the readout's input is the mean over tokens.

    If the next tokens are classes, the readout's input is each token.
    """

    TAKES: ClassVar[tuple[InputKind, ...]] = ("tokens",)

    architecture: Literal["Transformer"]
    """A transformer for text; its layers are embed, blocks.0, blocks.1, …, norm."""
    depth: PositiveInt = 2
    """Number of blocks."""
    causal: Annotated[bool, left_out_if(False)] = False
    """Whether a token attends only to itself and to earlier ones, as a language model requires."""

    @property
    def import_path(self) -> str:
        """Where its code is."""
        return "latentgen.networks.transformer_modules:TextTransformer"

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network."""
        from latentgen.networks.transformer_modules import TextTransformer

        assert isinstance(input_shape, Tokens)
        if input_shape.next_token and not self.causal:
            raise LatentgenError("it sees the tokens that it is to predict. Set model.causal: true")
        return TextTransformer(
            input_shape, n_classes, self.dim, self.depth, self.heads, self.hidden, self.dropout, self.causal
        )
