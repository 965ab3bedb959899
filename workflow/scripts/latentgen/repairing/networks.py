"""Repaired networks: new readouts, networks truncated at a layer with a head on it, and sums over layers."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from latentgen.networks.pooling import first_tensor
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, Layer, Reduce, captured


class _Reached(Exception):
    """Raised by a hook to end a forward pass early."""


class Shortcut(nn.Module):
    """A network that ends at one of its layers, with a linear head there.

    Later layers are not run. If the layer is the raw input, the network is not run at all.

    Parameters
    ----------
    body : nn.Module
        The whole network; it is copied.
    layer : Layer
        The layer at which it ends.
    head : nn.Linear
        A head on the layer's features, as `latentgen.repairing.features.Reduce` computes them.
    """

    def __init__(self, body: nn.Module, layer: Layer, head: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.body = nn.Identity() if layer.name == RAW_INPUT else copy.deepcopy(body)
        self.reduce, self.head = Reduce(layer), head
        self.eval()

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the logits of what the body takes."""
        if self.layer.name == RAW_INPUT:
            features = inputs[0] if inputs else next(iter(named.values()))
        else:
            features = self._run(inputs, named)
        logits: Tensor = self.head(self.reduce(features))
        return logits

    def _run(self, inputs: Any, named: Any) -> Tensor:
        """Run the body up to the layer's last output."""
        module, calls = self.body.get_submodule(self.layer.module), 0
        kept: list[Tensor] = []

        def leave(value: Tensor | None) -> None:
            nonlocal calls
            calls += 1
            if calls == self.layer.calls:
                assert value is not None
                kept.append(value)
                if not torch.compiler.is_exporting():  # later layers are then left out of the program
                    raise _Reached

        if self.layer.name == READOUT_INPUT:
            hook = module.register_forward_pre_hook(lambda _module, given: leave(given[0]))
        else:
            hook = module.register_forward_hook(lambda _module, _given, output: leave(first_tensor(output)))
        try:
            self.body(*inputs, **named)
        except _Reached:
            pass
        finally:
            hook.remove()
        return kept[0]


class SumOfLayers(nn.Module):
    """A network whose logits are the sum of linear heads on all its layers.

    Parameters
    ----------
    body : nn.Module
        The whole network; it is copied.
    layers : sequence of Layer
    heads : sequence of nn.Linear
        One per layer, on its features.
    unit : bool
        Whether features are scaled to length 1 first.
    """

    def __init__(
        self, body: nn.Module, layers: Sequence[Layer], heads: Sequence[nn.Linear], unit: bool
    ) -> None:
        super().__init__()
        self.body, self.layers, self.unit = copy.deepcopy(body), tuple(layers), unit
        self.reduce = nn.ModuleList(Reduce(layer) for layer in layers)
        self.heads = nn.ModuleList(heads)
        self.eval()

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the logits of what the body takes."""
        with captured(self.body, self.layers) as outputs:
            self.body(*inputs, **named)
        outputs[RAW_INPUT] = inputs[0] if inputs else next(iter(named.values()))
        logits = []
        for layer, reduce, head in zip(self.layers, self.reduce, self.heads, strict=True):
            features = reduce(outputs[layer.name])
            logits.append(head(normalize(features, dim=1) if self.unit else features))
        return torch.stack(logits).sum(0)


def with_readout(network: nn.Module, readout: str, head: nn.Linear) -> nn.Module:
    """Return a copy of a network with a head's weights and bias in its readout (see `takes`)."""
    changed = copy.deepcopy(network)
    layer = changed.get_submodule(readout)
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(head.weight)
        if layer.bias is not None:
            layer.bias.copy_(head.bias)
    return changed.eval()


def takes(network: nn.Module, readout: str, head: nn.Linear) -> bool:
    """Whether a head can be written into a readout.

    It cannot if the readout's weights are computed (as with ``weight_norm``) or tied to another layer, or if
    the readout lacks a bias that the head has.
    """
    layer = network.get_submodule(readout)
    if type(layer).__name__.startswith("Parametrized") or not isinstance(layer, nn.Linear):
        return False
    shared = sum(parameter is layer.weight for module in network.modules() for parameter in
                 module.parameters(recurse=False))  # fmt: skip
    own = dict(layer.named_parameters(recurse=False))
    return shared == 1 and "weight" in own and (layer.bias is not None or not bool(head.bias.any()))
