"""The trial pass: measure the layers of a custom network with a few examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from latentgen.data.inputs import InputShape, Tokens, examples_per_input, kind_of
from latentgen.errors import LatentgenError
from latentgen.networks.adapted import find_readout
from latentgen.networks.base import INPUT, READOUT_INPUT
from latentgen.networks.forward import by_rows
from latentgen.networks.layer_choice import LayerPattern, expanded
from latentgen.networks.measured import TRIED
from latentgen.networks.pooling import channels_first, first_tensor
from latentgen.networks.tokens import TokenInput, give_mask
from latentgen.networks.trial_checks import (
    check_causal,
    check_names,
    check_readout,
    check_repeatable,
    check_types,
    passed,
)
from latentgen.networks.usual_layers import usual_layers
from latentgen.runtime.import_paths import nearest_few


def measure(
    build: Callable[[], nn.Module],
    input_shape: InputShape,
    n_classes: int,
    layers: Sequence[str | LayerPattern] | None,
    readout: str | None,
    probe_only: bool = False,
    examples: Tensor | None = None,
) -> dict[str, Any]:
    """Measure the facts about a network that a study needs, and check that it can be trained and probed.

    Parameters
    ----------
    build : function
        Returns the network, with weights drawn from torch's generator.
    input_shape : tuple of int, or Tokens
        Shape of an example.
    n_classes : int
    layers : sequence of str or LayerPattern, optional
        Layers to probe, as in the study file. By default the network's blocks and `readout_input`.
    readout : str, optional
        Name of the readout; by default the last layer that could be one.
    probe_only : bool
        Whether the network has no readout that could be edited.
    examples : Tensor, optional
        `TRIED` examples as inputs of the network; by default made-up ones of that shape.

    Returns
    -------
    dict
        `widths` of the probed outputs, in the order of the forward pass, and of `readout_input`; their names,
        `probed`; `notes`; `shapes` of all outputs for one example; `readout`; `multiply_adds` and
        `largest_output` of a forward pass of one example; `weight_bytes`.

    Raises
    ------
    LatentgenError
        If the network does not classify such examples, its readout cannot be edited, its outputs are not
        reproducible, or a pattern matches no layer.
    """
    body, again = (_seeded(build) for _ in range(2))
    differing = _first_difference(body, again)
    if differing:
        raise LatentgenError(
            f"its initial weights differ between calls (first: {differing}), so runs would not be "
            "reproducible. Draw them with torch, whose generator is seeded for each run."
        )
    readout = None if probe_only else find_readout(body, readout, n_classes)
    check_names(body, readout)
    check_types(body)
    if examples is None:
        examples = made_up(input_shape, TRIED)
    examples = by_rows(examples)
    tokens = TokenInput(input_shape) if isinstance(input_shape, Tokens) else None
    if tokens:
        give_mask(body, tokens)
        give_mask(again, tokens)
    with _perturbed(again):
        trial = _trial_pass(again, readout, examples[:2], n_classes, tokens)
    check_repeatable(body, readout, examples)
    if readout is not None:
        check_readout(body.eval(), readout, examples[:2])
    if tokens and tokens.next_token:
        with _perturbed(body):
            check_causal(body.eval(), examples[:2])
    _refuse_if_untrainable(body, examples[:2], examples_per_input(input_shape), n_classes)
    return {
        **_chosen(body, trial.outputs, layers, tokens),
        "shapes": {name: tuple(output.shape[1:]) for name, output in trial.outputs.items()},
        "readout": readout,
        "multiply_adds": trial.multiply_adds,
        "largest_output": trial.largest_output,
        "weight_bytes": sum(tensor.nbytes for tensor in body.state_dict().values()),
    }


def made_up(input_shape: InputShape, count: int) -> Tensor:
    """Return made-up examples: pixels from 0 to 1, standard normal numbers, or tokens and padding."""
    generator = torch.Generator().manual_seed(0)
    if not isinstance(input_shape, Tokens):
        draw = torch.randn if kind_of(input_shape) == "vectors" else torch.rand
        return draw((count, *input_shape), generator=generator)
    ids = torch.randint(input_shape.vocabulary, (count, input_shape.length), generator=generator)
    if input_shape.padding is not None:
        ids[:, input_shape.length // 2 + 1 :] = input_shape.padding
    return ids


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


@contextmanager
def _perturbed(body: nn.Module) -> Iterator[None]:
    """Temporarily change all weights a little: initial zeros can hide differences between layers."""
    state = {name: values.clone() for name, values in body.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(parameter))
    yield
    body.load_state_dict(state)


def _first_difference(one: nn.Module, other: nn.Module) -> str | None:
    weights = other.state_dict()
    return next(
        (name for name, tensor in one.state_dict().items() if not torch.equal(tensor, weights[name])), None
    )


@dataclass
class _Trial:
    """Results of a trial pass."""

    outputs: dict[str, Tensor]
    """Outputs by module, in the order of the forward pass; the readout's input is last."""
    multiply_adds: int = 0
    largest_output: int = 0


def _trial_pass(
    body: nn.Module, readout: str | None, examples: Tensor, n_classes: int, tokens: TokenInput | None
) -> _Trial:
    by_example: Callable[[Tensor], Tensor] = tokens.examples if tokens else lambda output: output
    if tokens:
        tokens(examples)
    trial = _Trial({INPUT: tokens.as_layer(examples) if tokens else examples})
    n_examples = len(trial.outputs[INPUT])
    called: list[Tensor] = []

    def note(name: str, _module: nn.Module, inputs: Any, output: Any) -> None:
        if name == readout:
            called[:] = [by_example(inputs[0]), by_example(output)]
            return
        tensor = first_tensor(output)
        tensor = None if tensor is None else by_example(tensor)
        if tensor is not None and len(tensor) == n_examples and tensor.ndim > 1:
            trial.outputs.pop(name, None)  # if a module is called again, its last output is used
            trial.outputs[name] = channels_first(tensor.detach(), examples).clone()
            trial.largest_output = max(trial.largest_output, tensor[0].numel())

    hooks = [
        module.register_forward_hook(partial(note, name)) for name, module in body.named_modules() if name
    ]
    with torch.no_grad(), multiply_adds_counted() as flops:
        logits = passed(body.eval(), examples)
    for hook in hooks:
        hook.remove()
    _check_logits(logits, n_examples, n_classes)
    trial.multiply_adds = flops.get_total_flops() // (2 * n_examples)
    for name in [name for name, output in trial.outputs.items() if torch.equal(output, logits)]:
        del trial.outputs[name]  # the logits, under the name of a part that contains the readout
    trial.largest_output = max(trial.largest_output, examples.numel() // n_examples)
    if readout is not None:
        seen = _readout_input(readout, called, logits)
        trial.multiply_adds -= seen.shape[1] * n_classes  # the readout is left out, as for all networks
        trial.largest_output = max(trial.largest_output, seen.shape[1])
        trial.outputs[READOUT_INPUT] = seen
    return trial


def _readout_input(readout: str, called: list[Tensor], logits: Tensor) -> Tensor:
    """Return the input of the readout, N × width; refuse a layer that is not the readout."""
    if not called:
        raise LatentgenError(f"its last nn.Linear, {readout}, is not used. Name another under readout.")
    seen, answered = called
    if not torch.equal(answered.flatten(1), logits):
        raise LatentgenError(
            f"its output differs from the output of its readout, {readout}. Return that output, without a "
            "softmax (the loss includes it), or name another layer under readout; with readout: null it is "
            "only probed."
        )
    if seen[0].numel() != seen.shape[1]:
        raise LatentgenError(
            f"the input of its readout, {readout}, has {seen.ndim} dimensions; it must be N × width."
        )
    return seen.flatten(1)


@contextmanager
def multiply_adds_counted() -> Iterator[FlopCounterMode]:
    """Yield a counter of the multiplications and additions of a forward pass, including attention.

    Fused attention would not be counted, so it is computed step by step.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
            yield flops
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _check_logits(logits: Any, items: int, n_classes: int) -> None:
    if not isinstance(logits, Tensor):
        raise LatentgenError(f"it returns a {type(logits).__name__}; it must return a tensor, N × classes.")
    if tuple(logits.shape) != (items, n_classes):
        raise LatentgenError(
            f"for {items} examples it returns {tuple(logits.shape)}; it must return {(items, n_classes)}, a "
            "number for each class."
        )


def _refuse_if_untrainable(body: nn.Module, examples: Tensor, per_input: int, n_classes: int) -> None:
    parameters = {name: tensor for name, tensor in body.named_parameters() if tensor.requires_grad}
    if not parameters:
        raise LatentgenError("it has no trainable parameter. Set requires_grad to True for some.")
    logits = passed(body.train(), examples)
    _check_logits(logits, len(examples) * per_input, n_classes)
    loss = cross_entropy(logits, torch.arange(len(logits)) % n_classes)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    unused = [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None]
    if unused:
        raise LatentgenError(
            f"its output does not depend on {len(unused)} of its parameters (first: {unused[0]}). Remove "
            "them, or set their requires_grad to False."
        )


def _chosen(
    body: nn.Module,
    outputs: Mapping[str, Tensor],
    layers: Sequence[str | LayerPattern] | None,
    tokens: TokenInput | None,
) -> dict[str, Any]:
    """Return widths, names and notes of the probed outputs."""
    notes: list[str] = []
    if layers is None:
        layers, notes = usual_layers(body, outputs, None if tokens is None else tokens.mask)
    chosen = expanded(layers, {name: tuple(output.shape[1:]) for name, output in outputs.items()})
    if chosen.missing:
        pattern = chosen.missing[0]
        raise LatentgenError(f"layers: '{pattern}' matches no layer; {nearest_few(pattern, list(outputs))}.")
    if chosen.impossible:
        raise LatentgenError(f"layers: {chosen.impossible[0]}. Use mean, max or flatten.")
    last = {READOUT_INPUT: outputs[READOUT_INPUT].shape[1]} if READOUT_INPUT in outputs else {}
    return {"widths": chosen.widths | last, "probed": list(chosen.widths), "notes": notes}
