"""The modules of the built-in vision transformer."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from latentgen.errors import LatentgenError


class Attention(nn.Module):
    """Multi-head self-attention.

    Parameters
    ----------
    dim, heads : int
        Width of a token, and number of heads.
    dropout : float
        Probability that a number of the result is dropped.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return N × tokens × dim."""
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v)
        mixed: Tensor = self.drop(self.proj(attended.transpose(1, 2).reshape(n, tokens, dim)))
        return mixed


class Block(nn.Module):
    """A block with normalization first: attention and a hidden layer, each added to its input."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim), Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return N × tokens × dim."""
        x = x + self.attn(self.norm1(x))
        transformed: Tensor = x + self.mlp(self.norm2(x))
        return transformed


class VisionTransformer(nn.Module):
    """Patches as tokens, a class token before them, learned positions, blocks, normalization, readout.

    Linear layers start from a normal distribution with a standard deviation of 0.02, cut off at two of these;
    biases from zero.
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
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of N × C × H × W."""
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1)
        x = self.pos_drop(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        logits: Tensor = self.head(x[:, 0] if self.head_sees == "cls" else x[:, 1:].mean(1))
        return logits


def _common_divisors(height: int, width: int) -> list[int]:
    return [side for side in range(2, min(height, width) + 1) if height % side == 0 == width % side]
