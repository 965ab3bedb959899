"""A custom network under the names that the workflow looks for.

Nobody else's network is rewritten. `Adapted` wraps it and names what the workflow has to find: `input`,
`readout_input` (what the readout sees, whatever was done to it before) and `readout`. Weights keep the names
that they have in the network itself, so that checkpoints load there as well.
"""

from typing import Any

from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.base import INPUT, READOUT, READOUT_INPUT
from latentgen.runtime.import_paths import nearest_few


class Adapted(nn.Module):
    """A network with names for its ends.

    Parameters
    ----------
    body : nn.Module
        Takes N × C × H × W and returns N × classes.
    readout : str
        Name of its last linear layer.
    channels_last : bool
        Whether it is fast on that memory layout. Others get plain memory: ``view`` refuses anything else.
    """

    def __init__(self, body: nn.Module, readout: str, channels_last: bool) -> None:
        super().__init__()
        self.input, self.readout_input = nn.Identity(), nn.Identity()
        self.body, self._readout, self._channels_last = body, readout, channels_last
        body.get_submodule(readout).register_forward_pre_hook(
            lambda _module, inputs: (self.readout_input(inputs[0]), *inputs[1:])
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images."""
        if not self._channels_last:  # images of one channel count as plain and are seen as channels-last
            x = x.contiguous().flatten().view(x.shape)
        logits: Tensor = self.body(self.input(x))
        return logits

    def get_submodule(self, target: str) -> nn.Module:
        """Return a module by its name in the network, or one of its ends."""
        if target in (INPUT, READOUT_INPUT):
            return super().get_submodule(target)
        return self.body.get_submodule(self._readout if target == READOUT else target)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's own."""
        return self.body.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the network's own."""
        return self.body.load_state_dict(*args, **kwargs)


def find_readout(body: nn.Module, named: str | None, n_classes: int) -> str:
    """Return the name of the readout: the one given, or the last linear layer.

    Raises
    ------
    LatentgenError
        If there is none, or if it does not have an output for every class.
    """
    linear = {name: module for name, module in body.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise LatentgenError("the network has no nn.Linear that could be its readout.")
    if named is not None and named not in linear:
        raise LatentgenError(f"readout: it has no nn.Linear '{named}'; {nearest_few(named, list(linear))}.")
    name = named or list(linear)[-1]
    if linear[name].out_features != n_classes:
        raise LatentgenError(
            f"its {'readout' if named else 'last nn.Linear'}, {name}, has {linear[name].out_features} "
            f"outputs for {n_classes} classes. Correct it in arguments, or name another layer under readout."
        )
    return name
