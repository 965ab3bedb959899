"""The modules of the built-in transformer for text."""

import torch
from torch import Tensor, nn

from latentgen.data.inputs import Tokens
from latentgen.networks.attention import Block, start_small
from latentgen.networks.pooling import pooled
from latentgen.networks.tokens import token_mask


class TextTransformer(nn.Module):
    """Embedded tokens and learned positions, blocks, normalization, the mean over tokens, readout.

    Padding is neither attended to nor averaged. If the next tokens are classes, nothing is averaged, and
    there are logits for each token. Weights are initialized as in the vision transformer.
    """

    def __init__(
        self,
        shape: Tokens,
        n_classes: int,
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        dropout: float,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.padding, self.causal, self.next_token = shape.padding, causal, shape.next_token
        self.embed = nn.Embedding(shape.vocabulary, dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.length, dim))
        self.pos_drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, n_classes)
        for parameter in (self.embed.weight, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02, a=-0.04, b=0.04)
        start_small(self)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of N × tokens: N × classes, or N × tokens × classes."""
        mask = token_mask(ids, self.padding)
        seen = mask.clone()
        seen[:, 0] = True  # attention over no token is NaN
        seen = seen[:, None, None]
        if self.causal:
            seen = seen & torch.ones(2 * ids.shape[1:], dtype=torch.bool, device=ids.device).tril()
        x = self.pos_drop(self.embed(ids) + self.pos_embed[:, : ids.shape[1]])
        for block in self.blocks:
            x = block(x, seen)
        x = self.norm(x)
        logits: Tensor = self.head(x if self.next_token else pooled(x, "mean", mask))
        return logits
