"""A custom network under the names that the workflow uses.

Custom networks are not rewritten. `Adapted` wraps one and adds the names that the workflow uses: `input`,
`readout_input` (the input of the readout) and `readout`. Weights keep the names that they have in the network
itself, so that checkpoints can be loaded into it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from latentgen.data.inputs import InputShape, Tokens
from latentgen.errors import LatentgenError
from latentgen.networks.base import INPUT, READOUT, READOUT_INPUT
from latentgen.networks.forward import by_rows
from latentgen.networks.tokens import TokenInput, give_mask
from latentgen.runtime.import_paths import nearest_few


class Adapted(nn.Module):
    """A network with names for its ends.

    Parameters
    ----------
    body : nn.Module
        Takes N × C × H × W, N × d, or token ids N × L, and returns N × classes.
    readout : str, optional
        Name of its last linear layer, if it has one.
    channels_last : bool
        Whether it is fast on that memory layout. Others get contiguous memory, which ``view`` requires.
    input_shape : tuple of int or Tokens, optional
        Shape of an example. With tokens, if ``forward`` has a parameter `attention_mask`, it gets 1 for
        tokens and 0 for padding, N × L.
    """

    def __init__(
        self,
        body: nn.Module,
        readout: str | None,
        channels_last: bool,
        input_shape: InputShape | None = None,
    ) -> None:
        super().__init__()
        self.input, self.readout_input = nn.Identity(), nn.Identity()
        if isinstance(input_shape, Tokens):
            self.input = TokenInput(input_shape)
            give_mask(body, self.input)
        self.body, self._readout, self._channels_last = body, readout, channels_last
        if readout is not None:
            # Not a closure: the network can be copied and pickled.
            body.get_submodule(readout).register_forward_pre_hook(partial(_through, self.readout_input))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of examples; if next tokens are classes, of all positions: N·L × classes."""
        logits: Tensor = logits_of(self.body(self.input(x if self._channels_last else by_rows(x))))
        return logits

    def get_submodule(self, target: str) -> nn.Module:
        """Return a module by its name in the network, or one of its ends."""
        if target in (INPUT, READOUT_INPUT):
            return super().get_submodule(target)
        if target == READOUT and self._readout is not None:
            target = self._readout
        return self.body.get_submodule(target)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the network's own."""
        return self.body.named_parameters(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's own."""
        return self.body.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the network's own."""
        return self.body.load_state_dict(*args, **kwargs)


def _through(end: nn.Module, _readout: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (end(inputs[0]), *inputs[1:])


def logits_of(output: Any) -> Any:
    """Return the logits in a network's output: in Hugging Face's, a field of that name.

    Those of a language model, N × L × classes, become N·L × classes.
    """
    logits = getattr(output, "logits", output)
    return logits.flatten(0, 1) if isinstance(logits, Tensor) and logits.ndim == 3 else logits


def find_readout(body: nn.Module, named: str | None, n_classes: int) -> str:
    """Return the name of the readout: the given one, or the last layer that could be one.

    That is an `nn.Linear`, or a 1 × 1 convolution with an output for each class.

    Raises
    ------
    LatentgenError
        If there is none, or if it does not have an output for every class.
    """
    outputs = {name: n for name, module in body.named_modules() if (n := _n_outputs(module))}
    linear = [name for name in outputs if isinstance(body.get_submodule(name), nn.Linear)]
    if named is not None and named not in outputs:
        raise LatentgenError(f"readout: it has no nn.Linear '{named}'; {nearest_few(named, list(outputs))}.")
    fitting = [name for name in outputs if name not in linear and outputs[name] == n_classes]
    if linear and (outputs[linear[-1]] == n_classes or not fitting):
        fitting = linear
    if not fitting:
        raise LatentgenError(
            "the network has no nn.Linear that could be its readout, nor a 1 × 1 convolution with an output "
            "for each class. Set readout: null to only probe it."
        )
    name = fitting[-1] if named is None else named
    if outputs[name] != n_classes:
        raise LatentgenError(
            f"its {'last nn.Linear' if named is None else 'readout'}, {name}, has {outputs[name]} "
            f"outputs for {n_classes} classes. Correct it in arguments, or name another layer under readout."
        )
    return name


def _n_outputs(module: nn.Module) -> int | None:
    """Return the number of outputs of a layer that could be a readout; None for other layers."""
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1:
        return module.out_channels
    return None
