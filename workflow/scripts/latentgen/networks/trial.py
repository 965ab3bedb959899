"""The trial pass: what a custom network is like is found with two images rather than asked of the user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from latentgen.errors import LatentgenError
from latentgen.networks.adapted import find_readout
from latentgen.networks.base import INPUT, READOUT_INPUT, ImageShape
from latentgen.networks.trial_checks import check_names, check_readout, check_repeatable, passed
from latentgen.runtime.import_paths import nearest_few


def measure(
    build: Callable[[], nn.Module],
    image_shape: ImageShape,
    n_classes: int,
    patterns: Sequence[str] | None,
    readout: str | None,
) -> dict[str, Any]:
    """Find by trial what a study has to know of a network, and whether it can be trained and probed.

    Parameters
    ----------
    build : function
        Returns the network, with the weights that follow from torch's generator.
    image_shape : (int, int, int)
        Channels, height, width.
    n_classes : int
    patterns : sequence of str, optional
        Names of layers to probe, in which ``*``, ``?`` and ``[…]`` stand for anything. By default the
        network's immediate parts, and `readout_input`.
    readout : str, optional
        Name of the readout; the last linear layer by default.

    Returns
    -------
    dict
        `widths` of the layers to probe in the order in which they answer, and of `readout_input`; `readout`;
        `multiply_adds` and `largest_output` of a forward pass of one image; `weight_bytes`.

    Raises
    ------
    LatentgenError
        If the network is not one that classifies such images, its readout cannot be edited, its outputs
        cannot be repeated, or a pattern matches no layer.
    """
    body, again = (_seeded(build) for _ in range(2))
    differing = _first_difference(body, again)
    if differing:
        raise LatentgenError(
            f"its initial weights differ between calls (first: {differing}), so runs would not be "
            "reproducible. Draw them with torch, whose generator follows from the run's seed."
        )
    readout = find_readout(body, readout, n_classes)
    check_names(body, readout)
    images = torch.rand((4, *image_shape), generator=torch.Generator().manual_seed(0))
    trial = _trial_pass(body, readout, images[:2], n_classes)
    check_repeatable(body, readout, images)
    check_readout(body.eval(), readout, images[:2])
    _refuse_if_untrainable(body, images[:2], n_classes)
    return {
        "widths": {name: trial.outputs[name][0].numel() for name in _chosen(body, trial.outputs, patterns)},
        "readout": readout,
        "multiply_adds": trial.multiply_adds,
        "largest_output": trial.largest_output,
        "weight_bytes": sum(tensor.nbytes for tensor in body.state_dict().values()),
    }


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def _first_difference(one: nn.Module, other: nn.Module) -> str | None:
    weights = other.state_dict()
    return next(
        (name for name, tensor in one.state_dict().items() if not torch.equal(tensor, weights[name])), None
    )


@dataclass
class _Trial:
    """What a trial pass shows of a network."""

    outputs: dict[str, Tensor]
    """Outputs by module, in the order in which they came; the readout's input is last."""
    multiply_adds: int = 0
    largest_output: int = 0


def _trial_pass(body: nn.Module, readout: str, images: Tensor, n_classes: int) -> _Trial:
    trial = _Trial({INPUT: images})
    called: list[Tensor] = []

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if name == readout:
            called[:] = [inputs[0], output]
        elif isinstance(output, Tensor) and output.shape[:1] == images.shape[:1] and output.ndim > 1:
            trial.outputs.pop(name, None)  # of a module that is used again, the last use counts
            trial.outputs[name] = output.detach().flatten(1).clone()
            trial.largest_output = max(trial.largest_output, output[0].numel())
        if isinstance(output, Tensor) and isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            trial.multiply_adds += output[0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(partial(note, name)) for name, module in body.named_modules() if name
    ]
    with torch.no_grad():
        logits = passed(body.eval(), images)
    for hook in hooks:
        hook.remove()
    _check_logits(logits, len(images), n_classes)
    if not called:
        raise LatentgenError(f"its last nn.Linear, {readout}, is not used. Name another under readout.")
    seen, answered = called
    if not torch.equal(answered, logits):
        raise LatentgenError(
            f"what it returns differs from the output of its readout, {readout}. Return that output, with no "
            "softmax (training has its own), or name another layer under readout."
        )
    if seen.ndim != 2:
        raise LatentgenError(f"its readout, {readout}, sees {seen.ndim} dimensions; it must see N × width.")
    trial.multiply_adds -= seen.shape[1] * n_classes  # the readout is left out here, as of all networks
    trial.largest_output = max(trial.largest_output, images[0].numel(), seen.shape[1])
    trial.outputs[READOUT_INPUT] = seen
    return trial


def _check_logits(logits: Any, items: int, n_classes: int) -> None:
    if not isinstance(logits, Tensor):
        raise LatentgenError(f"it returns a {type(logits).__name__}; it must return a tensor, N × classes.")
    if tuple(logits.shape) != (items, n_classes):
        raise LatentgenError(
            f"for {items} images it returns {tuple(logits.shape)}; it must return {(items, n_classes)}, a "
            "number for each class."
        )


def _refuse_if_untrainable(body: nn.Module, images: Tensor, n_classes: int) -> None:
    parameters = {name: tensor for name, tensor in body.named_parameters() if tensor.requires_grad}
    if not parameters:
        raise LatentgenError("it has no parameter that could be trained.")
    logits = passed(body.train(), images)
    _check_logits(logits, len(images), n_classes)
    loss = cross_entropy(logits, torch.arange(len(images)) % n_classes)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    unused = [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None]
    if unused:
        raise LatentgenError(
            f"its output does not depend on {len(unused)} of its parameters (first: {unused[0]}). Remove "
            "them, or set their requires_grad to False."
        )


def _chosen(body: nn.Module, outputs: Mapping[str, Tensor], patterns: Sequence[str] | None) -> list[str]:
    """Names of the layers to probe, in the order of `outputs`; the readout's input is always there."""
    if patterns is None:
        parts = {name for name, _ in body.named_children()} & set(outputs)
        last = outputs[READOUT_INPUT]
        twice = {name for name in parts if torch.equal(outputs[name], last)}
        return [name for name in outputs if name in (parts - twice) | {READOUT_INPUT}]
    chosen = {READOUT_INPUT}
    for pattern in patterns:
        matching = [name for name in outputs if name == pattern or fnmatchcase(name, pattern)]
        if not matching:
            raise LatentgenError(f"layers: '{pattern}' matches none; {nearest_few(pattern, list(outputs))}.")
        chosen |= set(matching)
    return [name for name in outputs if name in chosen]
