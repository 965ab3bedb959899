"""The modules of the built-in vision transformer."""

import torch
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.attention import Block, start_small


class VisionTransformer(nn.Module):
    """Patches as tokens, a class token before them, learned positions, blocks, normalization, readout.

    Linear layers are initialized from a normal distribution with standard deviation 0.02, truncated at two
    standard deviations; biases with zero.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        n_classes: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        dropout: float,
        head: str,
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        if height % patch or width % patch:
            raise LatentgenError(
                f"patch: {patch} must divide the sides of the images, {height} × {width}. "
                f"Choose one of {', '.join(map(str, _common_divisors(height, width)))}."
            )
        self.head_sees = head
        self.patch_embed = nn.Conv2d(channels, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (height // patch) * (width // patch), dim))
        self.pos_drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, n_classes)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04)
        start_small(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of N × C × H × W."""
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], 1)
        x = self.pos_drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        logits: Tensor = self.head(x[:, 0] if self.head_sees == "cls" else x[:, 1:].mean(1))
        return logits


def _common_divisors(height: int, width: int) -> list[int]:
    return [side for side in range(2, min(height, width) + 1) if height % side == 0 == width % side]
