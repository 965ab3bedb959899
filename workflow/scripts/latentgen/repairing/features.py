"""Features: the activations of each layer, reduced so that those of all layers fit in memory.

The raw input is always among the layers: some networks' layers retain less than it contains.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, one_hot

from latentgen.errors import LatentgenError
from latentgen.networks.examples import Examples, spans, taken
from latentgen.networks.forward import items_per_block
from latentgen.networks.pooling import channels_first, first_tensor
from latentgen.runtime.import_paths import nearest_few

RAW_INPUT, READOUT_INPUT = "raw input", "readout input"
"""Names of the two layers that are not a module's output. With a space, they cannot be a module's name."""

WIDEST = 1024
"""Largest number of features per layer. Wider outputs are pooled and projected."""

MOST_LAYERS = 12
"""Largest number of layers used by default: of deeper networks, every second or third."""


@dataclass(frozen=True)
class Layer:
    """A place in a network where features are taken.

    Attributes
    ----------
    name : str
        The module's name in the network, or one of `RAW_INPUT` and `READOUT_INPUT`.
    module : str
        The module that is hooked; empty for the raw input.
    calls : int
        How often it is called in one pass. Its last output is used.
    shape : tuple of int
        Shape of its output for one example.
    tokens : bool
        Whether its output is token ids (raw input only).
    channels_last : bool
        Whether its output is height × width × channels, as in Swin; `shape` has the channels first.
    """

    name: str
    module: str
    calls: int
    shape: tuple[int, ...]
    tokens: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Anatomy:
    """A network's layers in order, the raw input first, and its readout, as found by a trial pass.

    `readout` is the name of the last ``nn.Linear``, if the network returns its output.
    """

    layers: tuple[Layer, ...]
    readout: str | None
    n_outputs: int


class Reduce(nn.Module):
    """Turn one layer's outputs (N × anything) into N × d, d ≤ `WIDEST`.

    Maps (channels × height × width) and sequences (tokens × units) are averaged over neighbouring positions
    until they are small enough. Outputs that are still too wide are multiplied by a fixed random matrix,
    which approximately preserves distances and angles. Token ids are counted, modulo `WIDEST`.
    """

    projection: Tensor | None

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.tokens, self.channels_last = layer.tokens, layer.channels_last
        self.grid: tuple[int, ...] | None = None
        width, shape = math.prod(layer.shape), layer.shape
        if width > WIDEST and not self.tokens:
            if len(shape) == 3:
                shrink = math.sqrt(WIDEST / width)
                self.grid = tuple(max(1, int(size * shrink)) for size in shape[1:])
                width = shape[0] * math.prod(self.grid)
            elif len(shape) == 2:
                self.grid = (max(1, min(shape[0], WIDEST // shape[1])),)
                width = shape[1] * self.grid[0]
        matrix = None
        if width > WIDEST and not self.tokens:
            generator = torch.Generator().manual_seed(0)
            matrix = torch.randn(width, WIDEST, generator=generator) / math.sqrt(WIDEST)
        self.register_buffer("projection", matrix)

    def forward(self, output: Tensor) -> Tensor:
        """Return the features of some examples."""
        if self.tokens:
            return one_hot(output.flatten(1) % WIDEST, WIDEST).sum(1).float()
        output = output.float().movedim(3, 1) if self.channels_last else output.float()
        if self.grid is not None and len(self.grid) == 2:
            output = adaptive_avg_pool2d(output, (self.grid[0], self.grid[1]))
        elif self.grid is not None:
            output = adaptive_avg_pool1d(output.transpose(1, 2), self.grid[0])
        rows = output.flatten(1)
        return rows if self.projection is None else rows @ self.projection


def logits_of(output: Any) -> Tensor:
    """Return the logits in a network's output: a tensor, the first of several, or what is named logits."""
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    logits = logits[0] if isinstance(logits, tuple | list) and logits else logits
    if not isinstance(logits, Tensor):
        raise LatentgenError(
            f"The network returns {type(output).__name__}; it must return examples × classes."
        )
    if logits.ndim == 1 or logits.shape[1:] == (1,):
        raise LatentgenError(
            "The network has one output for two classes. Put a module around it that returns two; for an "
            "output z of examples × 1, torch.cat([torch.zeros_like(z), z], 1)."
        )
    if logits.ndim != 2:
        shape = tuple(logits.shape)
        raise LatentgenError(
            f"The network returns a tensor of shape {shape}; it must return examples × classes."
        )
    return logits


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Run a network in eval mode without gradients; restore each module's mode at the end."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def captured(network: nn.Module, layers: Sequence[Layer]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that holds every layer's output after each pass; hooks are removed at the end.

    Outputs are cloned: a later module may overwrite its input in place.
    """
    outputs: dict[str, Tensor] = {}

    def keep_input(name: str, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        outputs[name] = inputs[0].detach().clone()

    def keep_output(name: str, _module: nn.Module, _inputs: object, output: Any) -> None:
        tensor = first_tensor(output)
        assert tensor is not None
        outputs[name] = tensor.detach().clone()

    with ExitStack() as hooks:
        for layer in layers:
            module = network.get_submodule(layer.module)
            if layer.name == RAW_INPUT:
                continue
            if layer.name == READOUT_INPUT:
                handle = module.register_forward_pre_hook(partial(keep_input, layer.name))
            else:
                handle = module.register_forward_hook(partial(keep_output, layer.name))
            hooks.callback(handle.remove)
        yield outputs


def examine(network: nn.Module, inputs: Examples, wanted: Sequence[str] | None = None) -> Anatomy:
    """Find a network's layers by a trial pass of two examples.

    Parameters
    ----------
    network : nn.Module
    inputs : Tensor or StoredExamples, N × …
    wanted : sequence of str, optional
        Patterns of module names, with ``*``, ``?`` and ``[…]``. By default the network's parts (see
        `parts`), at most `MOST_LAYERS`. The raw input and the readout's input are always included.

    Raises
    ------
    LatentgenError
        If the network cannot take the inputs, or a name matches no layer.
    """
    two = inputs[:2].to(device_of(network))
    outputs: dict[str, Tensor] = {}
    calls: dict[str, int] = {}
    readouts: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str, module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        calls[name] = calls.get(name, 0) + 1
        tensor = first_tensor(output)
        if tensor is not None and tensor.ndim > 1 and len(tensor) == len(two):
            outputs.pop(name, None)  # if a module is called again, its last output is used
            outputs[name] = tensor.detach().clone()
        if isinstance(module, nn.Linear):
            readouts[name] = given[0].detach().clone(), output.detach().clone()

    with ExitStack() as hooks, in_eval_mode(network):
        for name, module in network.named_modules():
            if name:
                hooks.callback(module.register_forward_hook(partial(note, name)).remove)
        logits = logits_of(_passed(network, two))
    readout = next((name for name in reversed(readouts) if torch.equal(readouts[name][1], logits)), None)
    last = readouts[readout][0] if readout else None
    names = _named(outputs, wanted) if wanted is not None else _usual(network, outputs, two, logits, last)
    layers = [Layer(RAW_INPUT, "", 1, tuple(two.shape[1:]), not two.is_floating_point())]
    for name in names:
        output = channels_first(outputs[name], two)
        moved = output is not outputs[name]
        layers.append(Layer(name, name, calls[name], tuple(output.shape[1:]), channels_last=moved))
    if readout is not None and last is not None:
        layers.append(Layer(READOUT_INPUT, readout, calls[readout], tuple(last.shape[1:])))
    return Anatomy(tuple(layers), readout, logits.shape[1])


def all_finite(numbers: Tensor) -> bool:
    """Whether no number is NaN or infinite."""
    # A finite sum shows it, 20 times as fast; the sum of finite numbers may overflow.
    return bool(numbers.sum().isfinite()) or bool(numbers.isfinite().all())


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's first parameter; the CPU if it has none."""
    return next((tensor.device for tensor in network.parameters()), torch.device("cpu"))


def _passed(network: nn.Module, inputs: Tensor) -> Any:
    try:
        return network(inputs)
    except Exception as error:  # custom code can raise anything
        shape = " × ".join(map(str, inputs.shape[1:])) or "single numbers"
        raise LatentgenError(
            f"The network cannot take the inputs ({inputs.dtype}, {shape} each): {type(error).__name__}: "
            f"{error}. Give them exactly as in training; images in folders with --channels, --resize and "
            "--crop."
        ) from error


def _named(outputs: Mapping[str, Tensor], wanted: Sequence[str]) -> list[str]:
    chosen: set[str] = set()
    for pattern in wanted:
        matching = [name for name in outputs if name == pattern or fnmatchcase(name, pattern)]
        if not matching and pattern not in (RAW_INPUT, READOUT_INPUT):
            raise LatentgenError(
                f"layers: {pattern!r} matches no layer; {nearest_few(pattern, list(outputs))}."
            )
        chosen |= set(matching)
    return [name for name in outputs if name in chosen]


def _usual(
    network: nn.Module, outputs: Mapping[str, Tensor], inputs: Tensor, logits: Tensor, last: Tensor | None
) -> list[str]:
    """Names of the default layers, in the order of the forward pass."""
    among = set(parts(network))
    names = [name for name in outputs if name in among]
    # The input of an activation function is left out; its output represents both.
    activated = {
        name
        for name, following in pairwise(names)
        if outputs[name].shape == outputs[following].shape
        and not any(True for _ in network.get_submodule(following).parameters())
    }
    seen = [rows.flatten(1) for rows in (inputs, logits, *([] if last is None else [last]))]
    kept: list[str] = []
    for name in names:
        rows = outputs[name].flatten(1)
        if name not in activated and not any(
            rows.shape == other.shape and torch.equal(rows, other.to(rows)) for other in seen
        ):
            kept.append(name)
            seen.append(rows)
    step = math.ceil(len(kept) / MOST_LAYERS) or 1
    return kept[::-1][::step][::-1]


def parts(network: nn.Module) -> list[str]:
    """Return the names of a network's parts.

    They are its submodules, but in place of a container (``nn.Sequential``, a list, a dictionary) what is in
    it. A trunk, which has more than half of all modules with weights, is taken apart as well: the backbone
    under a new readout, the encoder of a transformer.
    """
    return list(_parts_of(network, _with_weights(network)))


def _parts_of(module: nn.Module, in_all: int, prefix: str = "") -> Iterator[str]:
    for name, child in module.named_children():
        is_container = type(child) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        if is_container or 2 * _with_weights(child) > in_all:
            yield from _parts_of(child, in_all, f"{prefix}{name}.")
        if not is_container:
            yield f"{prefix}{name}"


def _with_weights(module: nn.Module) -> int:
    """Count the modules that have weights of their own."""
    return sum(any(True for _ in part.parameters(recurse=False)) for part in module.modules())


@dataclass(frozen=True)
class Features:
    """Features of some examples by layer (N × d, float32, in memory), and the network's logits (N × C)."""

    by_layer: dict[str, Tensor]
    logits: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class that the network predicts for each example."""
        return self.logits.argmax(1)


def collect(network: nn.Module, inputs: Examples, layers: Sequence[Layer]) -> Features:
    """Pass examples through a network block by block, and keep the features of some layers.

    Parameters
    ----------
    network : nn.Module
        Run in eval mode, on its own device.
    inputs : Tensor or StoredExamples, N × …
    layers : sequence of Layer
        As `examine` returns them.

    Raises
    ------
    LatentgenError
        If a layer gives NaN or infinite values.
    """
    device = device_of(network)
    reduce = {layer.name: Reduce(layer).to(device) for layer in layers}
    kept: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    logits = []
    with captured(network, layers) as outputs, in_eval_mode(network):
        for block in taken(inputs, spans(len(inputs), items_per_block(network, inputs[:1].to(device)))):
            block = block.to(device)
            outputs[RAW_INPUT] = block
            logits.append(logits_of(_passed(network, block)).float().cpu())
            for name, blocks in kept.items():
                blocks.append(reduce[name](outputs[name]).cpu())
    activations = {name: torch.cat(blocks) for name, blocks in kept.items()}
    for name, rows in {**activations, "output": (all_logits := torch.cat(logits))}.items():
        if not all_finite(rows):
            raise LatentgenError(
                f"Layer {name} has NaN or infinite outputs: the weights or the inputs are unusable. Check "
                "both."
            )
    return Features(activations, all_logits)
