"""A small vision transformer, with the usual names (Dosovitskiy et al., 2021)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from latentgen.data.inputs import InputShape, image_shape
from latentgen.networks.transformer_settings import TransformerSettings
from latentgen.settings import PositiveInt

if TYPE_CHECKING:
    from torch import nn


class ViT(TransformerSettings):
    """A vision transformer with pre-normalization, GELU and a class token."""

    TAKES: ClassVar = ("images",)

    architecture: Literal["ViT"]
    """A vision transformer; its layers are patch_embed, blocks.0, blocks.1, …, norm."""
    patch: PositiveInt = 4
    """Side of a patch in pixels, a divisor of the image's sides."""
    depth: PositiveInt = 4
    """Number of blocks."""
    head: Literal["cls", "mean"] = "cls"
    """Input of the readout: the class token, or the mean of the patches' tokens."""

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
            hidden=self.hidden,
            dropout=self.dropout,
            head=self.head,
        )
