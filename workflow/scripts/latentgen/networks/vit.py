"""A small vision transformer, with the usual names (Dosovitskiy et al., 2021)."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from latentgen.data.inputs import InputShape, image_shape
from latentgen.networks.measured import MeasuredNetwork
from latentgen.settings import BelowOne, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from torch import nn


class ViT(MeasuredNetwork):
    """A vision transformer with pre-normalization, GELU and a class token."""

    TAKES: ClassVar = ("images",)

    architecture: Literal["ViT"]
    """A vision transformer; its layers are patch_embed, blocks.0, blocks.1, …, norm."""
    patch: PositiveInt = 4
    """Side of a patch in pixels, a divisor of the image's sides."""
    dim: PositiveInt = 64
    """Width of a token."""
    depth: PositiveInt = 4
    """Number of blocks."""
    heads: PositiveInt = 4
    """Attention heads of a block; they must divide `dim`."""
    mlp_ratio: PositiveFloat = 2.0
    """Width of a block's hidden layer, in multiples of `dim`."""
    dropout: BelowOne = 0.0
    """Probability that a value is dropped after embedding, attention and hidden layer."""
    head: Literal["cls", "mean"] = "cls"
    """Input of the readout: the class token, or the mean of the patches' tokens."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim: {self.heads} does not divide {self.dim}")
        return self

    @property
    def import_path(self) -> str:
        """Where its code is."""
        return "latentgen.networks.vit_modules:VisionTransformer"

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the network.

        Raises
        ------
        LatentgenError
            If the patch size does not divide the image's sides.
        """
        from latentgen.networks.vit_modules import VisionTransformer

        return VisionTransformer(
            image_shape(input_shape),
            n_classes,
            patch=self.patch,
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            hidden=round(self.mlp_ratio * self.dim),
            dropout=self.dropout,
            head=self.head,
        )
