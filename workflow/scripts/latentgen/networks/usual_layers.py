"""The layers of a custom network that are probed by default."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from latentgen.networks.base import READOUT_INPUT
from latentgen.networks.layer_choice import FLATTEN, LayerPattern, pooled_shape

WIDE = 20_000
"""Number of values above which an output is averaged over its positions."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def usual_layers(
    body: nn.Module, outputs: Mapping[str, Tensor], mask: Tensor | None = None
) -> tuple[list[LayerPattern], list[str]]:
    """Return the layers to probe, each with its pooling, and remarks for the user.

    Parameters
    ----------
    body : nn.Module
    outputs : mapping of str to tensor
        Outputs of its modules by name, in the order of the forward pass; the readout's input is last. Of
        modules with equal outputs, only one is returned.
    mask : Tensor, bool N × tokens, optional
        For a network of tokens, which of them are not padding. Outputs for each token are averaged, since
        sequences have different lengths.
    """
    names = blocks(body, outputs) or [name for name, _ in body.named_children() if name in outputs]
    flat = {name: outputs[name] for name in (READOUT_INPUT,) if name in outputs}
    chosen, averaged = [LayerPattern(match=name) for name in flat], []
    for name in sorted(names, key=list(outputs).index):
        numbers = outputs[name].flatten(1)
        if any(torch.equal(numbers, other) for other in flat.values()):
            continue
        flat[name] = numbers
        shape = tuple(outputs[name].shape[1:])
        is_wide = numbers.shape[1] > WIDE and pooled_shape(shape, "mean") != pooled_shape(shape, FLATTEN)
        of_tokens = mask is not None and len(shape) == 2 and outputs[name].shape[:2] == mask.shape
        chosen.append(LayerPattern(match=name, pool=("mean" if is_wide or of_tokens else FLATTEN,)))
        averaged += [name] if is_wide else []
    note = (
        f"{', '.join(averaged)} {'has' if len(averaged) == 1 else 'have'} more than {WIDE:,} outputs, so the "
        "mean over positions is probed. To change this, set model.layers."
    )
    return chosen, [note] if averaged else []


def blocks(body: nn.Module, outputs: Mapping[str, Tensor]) -> list[str]:
    """Return the names of a network's blocks: the most frequent kind among its outermost repeated parts.

    A part is a module that contains modules and is not a mere container.
    """
    parts = {
        name: type(module)
        for name, module in body.named_modules()
        if name in outputs and type(module) not in _CONTAINERS and any(True for _ in module.children())
    }
    count = Counter(parts.values())
    repeated = {name: kind for name, kind in parts.items() if count[kind] > 1}
    outermost = {
        name: kind
        for name, kind in repeated.items()
        if not any(name.startswith(f"{other}.") for other in repeated)
    }
    if not outermost:
        return []
    (most_frequent, _), *_ = Counter(outermost.values()).most_common(1)
    return [name for name, kind in outermost.items() if kind is most_frequent]
