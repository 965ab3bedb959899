"""Blocks of transformers, with the usual names."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head self-attention.

    Parameters
    ----------
    dim, heads : int
        Width of a token, and number of heads.
    dropout : float
        Probability that a value of the result is dropped.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return N × tokens × dim.

        The mask, bool N × heads × tokens × tokens or broadcast to it, is true where a token (the first of
        these dimensions) attends to another one.
        """
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, mask)
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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return N × tokens × dim."""
        x = x + self.attn(self.norm1(x), mask)
        transformed: Tensor = x + self.mlp(self.norm2(x))
        return transformed


def start_small(network: nn.Module) -> None:
    """Initialize linear layers from a normal distribution with standard deviation 0.02, biases with zero.

    The distribution is truncated at two standard deviations.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
            nn.init.zeros_(module.bias)
