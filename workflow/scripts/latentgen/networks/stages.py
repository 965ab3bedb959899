"""A network as a chain of stages: each takes what the one before it gives, and the last gives the logits."""

from collections.abc import Callable

from torch import Tensor, nn

from latentgen.networks.adapted import Adapted
from latentgen.networks.blocks import FirstHalf, Residual

Stage = Callable[[Tensor], Tensor]


def stages(network: nn.Module) -> list[Stage]:
    """Return the stages of a network.

    Those of a chain of modules are these modules (a residual block is one), and those of a custom network
    with a method ``as_chain`` are what that returns. Other custom networks have two: all before the readout,
    and the readout.
    """
    if isinstance(network, Adapted):
        return network.stages()
    if not isinstance(network, nn.Sequential):
        return [network]
    starts = [
        place
        for place in range(len(network))
        if not (isinstance(network, Residual) and place and isinstance(network[place - 1], FirstHalf))
    ]
    ends = [*starts[1:], len(network)]
    return [network[start:end] for start, end in zip(starts, ends, strict=True)]
