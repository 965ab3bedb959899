"""A network from one of its modules on, given what that module takes or returns for each example.

The network's own code runs. Modules before the boundary are not computed: they return blanks. So this is only
for a boundary through which the logits depend on the examples alone (`latentgen.training.frozen_trunk`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from latentgen.networks.tokens import token_input


class Blank:
    """Makes tensors in place of those that are not computed.

    Parameters
    ----------
    like : Tensor, N × …
        They have its type, and the shape of its examples.
    token : int
        Value of integers.
    """

    def __init__(self, like: Tensor, token: int = 0) -> None:
        self._shape, self._like, self._token = like.shape[1:], like.new_empty(0), token
        self.bytes_each = like[0].nbytes

    def __call__(self, n: int, fill: float) -> Tensor:
        """Return a tensor for n examples, filled with `fill`."""
        value = fill if self._like.is_floating_point() else self._token
        return self._like.new_full((n, *self._shape), value)


@dataclass(frozen=True)
class Boundary:
    """A place in a network, between what is skipped and what is computed.

    Parameters
    ----------
    module : nn.Module
    end : {"input", "output"}
        What of the module is given: its (first) input or its output.
    blank : Blank
        Makes blanks of what is given.
    skipped : mapping of nn.Module to Blank
        Modules before the boundary that are not computed, and blanks of what they return.
    """

    module: nn.Module
    end: Literal["input", "output"]
    blank: Blank
    skipped: Mapping[nn.Module, Blank]


class Resumed(nn.Module):
    """A network from a boundary on.

    Parameters
    ----------
    network : nn.Module
        Its modules and parameters are shared.
    boundary : Boundary
    inputs : Tensor, N × …
        Some inputs of the network; only their shape and type matter.
    fill : float
        Value of blanks. NaN shows in the logits if they depend on a blank.
    """

    def __init__(self, network: nn.Module, boundary: Boundary, inputs: Tensor, fill: float = 0.0) -> None:
        super().__init__()
        tokens = token_input(network)
        padding = tokens.bag_of_words.padding if tokens else None
        self.network, self._boundary, self._fill = network, boundary, fill
        self._inputs = Blank(inputs, padding or 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, given what is at the boundary for N examples."""
        n, boundary = len(x), self._boundary
        replaced: dict[nn.Module, Callable[..., Tensor]] = {
            module: lambda *_, _blank=blank, **__: _blank(n, self._fill)
            for module, blank in boundary.skipped.items()
        }
        if boundary.end == "output":
            replaced[boundary.module] = lambda *_, **__: x
        with _forwards(replaced), _given(boundary, x):
            logits: Tensor = self.network(self._inputs(n, self._fill))
        return logits


class _ReachedError(Exception):
    """Ends a forward pass at the boundary."""


def at_boundary(network: nn.Module, boundary: Boundary, x: Tensor) -> Tensor:
    """Return what is at a boundary for N examples; nothing after it is computed."""
    seen: list[Tensor] = []

    def stop(_module: nn.Module, inputs: tuple[Any, ...], *output: Tensor) -> None:
        seen.append(output[0] if output else inputs[0])
        raise _ReachedError

    module = boundary.module
    at_input = boundary.end == "input"
    hook = module.register_forward_pre_hook(stop) if at_input else module.register_forward_hook(stop)
    try:
        network(x)
    except _ReachedError:
        pass
    finally:
        hook.remove()
    return seen[0]


@contextmanager
def _forwards(replaced: Mapping[nn.Module, Callable[..., Tensor]]) -> Iterator[None]:
    """Replace what modules compute."""
    before = {module: module.__dict__.get("forward") for module in replaced}
    try:
        for module, forward in replaced.items():
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, own in before.items():
            del module.__dict__["forward"]
            if own is not None:
                module.__dict__["forward"] = own


@contextmanager
def _given(boundary: Boundary, x: Tensor) -> Iterator[None]:
    """Replace the input of the boundary's module, if that is what is given."""
    if boundary.end == "output":
        yield
        return
    hook = boundary.module.register_forward_pre_hook(lambda _module, inputs: (x, *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
