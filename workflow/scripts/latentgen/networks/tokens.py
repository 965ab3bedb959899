"""Sequences of token ids in a network: the mask of padding, and how probes see tokens."""

import inspect
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.data.inputs import Tokens


class BagOfWords(nn.Module):
    """How often each token occurs in a sequence; padding is left out.

    Parameters
    ----------
    vocabulary : int
        Ids are smaller than this.
    padding : int, optional
        Id of the padding.
    """

    def __init__(self, vocabulary: int, padding: int | None = None) -> None:
        super().__init__()
        self.vocabulary, self.padding = vocabulary, padding

    def forward(self, ids: Tensor) -> Tensor:
        """Return N × vocabulary, float32, of ids N × L."""
        counts = torch.zeros(len(ids), self.vocabulary, device=ids.device)
        return counts.scatter_add_(1, ids, token_mask(ids, self.padding).to(counts))


class TokenInput(nn.Identity):
    """The input of a network of tokens: it passes ids on, and stores which of them are padding.

    When probed, its output is the bag of words, since ids have no numerical meaning. If the next tokens are
    classes, each position is an example (`latentgen.data.next_tokens`), and the output is one-hot: the token
    at that position.
    """

    def __init__(self, shape: Tokens) -> None:
        super().__init__()
        self.bag_of_words = BagOfWords(shape.vocabulary, shape.padding)
        self.next_token = shape.next_token
        self.mask: Tensor | None = None

    def forward(self, ids: Tensor) -> Tensor:
        """Return the ids, N × L."""
        self.mask = token_mask(ids, self.bag_of_words.padding)
        return ids

    def as_layer(self, ids: Tensor) -> Tensor:
        """Return what probes see of ids N × L: N × vocabulary, or N·L × vocabulary."""
        counts: Tensor = self.bag_of_words(ids.reshape(-1, 1) if self.next_token else ids)
        return counts

    def examples(self, output: Tensor) -> Tensor:
        """Return a layer's output with a row for each example: of N × L × units, N·L × units."""
        return output.flatten(0, 1) if self.next_token and output.ndim > 2 else output


def give_mask(body: nn.Module, tokens: TokenInput) -> None:
    """Pass the mask of padding to a network, if its ``forward`` has a parameter `attention_mask`.

    It then gets 1 for a token and 0 for padding, N × L, like Hugging Face's networks.
    """
    if "attention_mask" in inspect.signature(body.forward).parameters:
        body.register_forward_pre_hook(partial(_with_mask, tokens), with_kwargs=True)


def _with_mask(
    tokens: TokenInput, _body: nn.Module, inputs: tuple[Any, ...], given: dict[str, Any]
) -> tuple[Any, Any]:
    tokens(inputs[0])
    return inputs, {"attention_mask": tokens.mask.long(), **given} if tokens.mask is not None else given


def token_mask(ids: Tensor, padding: int | None) -> Tensor:
    """Return which tokens are not padding: bool N × L."""
    return torch.ones_like(ids, dtype=torch.bool) if padding is None else ids != padding


def token_input(network: nn.Module) -> TokenInput | None:
    """Return the input of a network of tokens; None if it takes something else."""
    module = getattr(network, "input", None)
    return module if isinstance(module, TokenInput) else None
