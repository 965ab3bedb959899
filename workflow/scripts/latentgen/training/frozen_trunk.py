"""The frozen first part of a network, its trunk, computed once: its outputs become the data of the rest.

The trunk ends at the last boundary (`latentgen.networks.resumed`) that meets two conditions. Up to there, no
value depends on a trained parameter, and a pass in train mode neither draws random numbers nor changes a
buffer. And the logits depend on the examples through the boundary alone: they stay the same with NaN in place
of everything else before it. Training the rest on the trunk's outputs gives the same weights as training the
whole network, up to rounding: products of matrices can round differently if other examples are in a batch.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.data.inputs import IN_MEMORY
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.examples import Examples, spans, taken
from latentgen.networks.resumed import Blank, Boundary, Resumed, at_boundary
from latentgen.training.batches import generator_state, set_generator_state
from latentgen.training.data import TrainingData
from latentgen.training.parameter_groups import train_mode
from latentgen.training.plan import TrainingPlan

logger = logging.getLogger(__name__)


def without_trunk(
    network: nn.Module, data: TrainingData, plan: TrainingPlan
) -> tuple[nn.Module, TrainingData]:
    """Return what is left to train of a network, and its data: the outputs of the trunk.

    Both are returned as they are if there is no trunk, if images are augmented, if training is compiled or
    rounds matrix products to half precision, or if the outputs would take more than `IN_MEMORY` bytes.

    Parameters
    ----------
    network : nn.Module
        Its frozen parameters require no gradient.
    data : TrainingData
    plan : TrainingPlan
    """
    frozen = any(not parameter.requires_grad for parameter in network.parameters())
    changed = plan.augment or plan.compile or plan.precision != "float32" or depends_on_batch(network)
    boundary = None if changed or not frozen else _end_of_trunk(network, data.train_inputs)
    if boundary is None:
        return network, data
    splits = (data.train_inputs, data.test_inputs, data.held_out_inputs)
    inputs = [split for split in splits if split is not None]
    needed = sum(map(len, inputs)) * boundary.blank.bytes_each
    if needed > IN_MEMORY:
        logger.info("outputs of the frozen layers take %d MB: computed at every step", needed // 10**6)
        return network, data
    train, test, *held_out = (_outputs(network, boundary, split, plan.batch_size) for split in inputs)
    logger.info("the outputs of the frozen layers were computed once, %d MB", needed // 10**6)
    return Resumed(network, boundary, data.train_inputs[:1]), replace(
        data, train_inputs=train, test_inputs=test, held_out_inputs=held_out[0] if held_out else None
    )


@torch.no_grad()
def _outputs(network: nn.Module, boundary: Boundary, inputs: Examples, batch_size: int) -> Tensor:
    """Return what is at the end of the trunk for all examples, computed in blocks as large as batches."""
    train_mode(network)
    blocks = spans(len(inputs), batch_size)
    return torch.cat([at_boundary(network, boundary, block) for block in taken(inputs, blocks)])


def _end_of_trunk(network: nn.Module, inputs: Examples) -> Boundary | None:
    """Return the boundary between trunk and rest; None if there is no trunk."""
    was_training = network.training
    train_mode(network)
    try:
        boundaries = _boundaries(network, inputs[:2])
        return next((one for one in reversed(boundaries) if _decides(network, one, inputs[:3])), None)
    finally:
        network.train(was_training)


def _decides(network: nn.Module, boundary: Boundary, x: Tensor) -> bool:
    """Whether the logits depend on the examples through the boundary alone."""
    with torch.no_grad():
        with _undone(network, x.device):
            expected = network(x)
        with _undone(network, x.device):
            given = at_boundary(network, boundary, x)
            logits = Resumed(network, boundary, x, fill=math.nan)(given)
    return torch.equal(logits, expected)


class _Trace:
    """What happens in a forward pass in train mode: calls of modules, until something changes.

    Parameters
    ----------
    network : nn.Module
    x : Tensor, N × …
        Its input.
    """

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self._trained = {module for module in network.modules() if _is_trained(module)}
        self._buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
        self._n, self._generator = len(x), generator_state(x.device)
        self._unchanged = True
        self.calls: Counter[nn.Module] = Counter()
        self.ends: list[tuple[nn.Module, Any, Tensor]] = []

    def enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Record the input of a module with trained parameters."""
        self.calls[module] += 1
        if module in self._trained and inputs and self._is_fixed(inputs[0]):
            self.ends.append((module, "input", inputs[0]))

    def leave(self, module: nn.Module, _inputs: object, output: object) -> None:
        """Record the output of another module."""
        if module not in self._trained and self._is_fixed(output):
            assert isinstance(output, Tensor)
            self.ends.append((module, "output", output))

    def _is_fixed(self, value: object) -> bool:
        """Whether this is the same at each step for the same examples, and has a row for each."""
        if not isinstance(value, Tensor) or value.requires_grad or not value.is_floating_point():
            return False
        self._unchanged = (
            self._unchanged
            and torch.equal(generator_state(value.device), self._generator)
            and all(torch.equal(now, before) for now, before in self._buffers)
        )
        return self._unchanged and value.ndim > 0 and len(value) == self._n


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _boundaries(network: nn.Module, x: Tensor) -> list[Boundary]:
    """Return the boundaries, in the order of a forward pass, before which nothing changes during training."""
    with _undone(network, x.device), ExitStack() as hooks:
        trace = _Trace(network, x)
        for module in network.modules():
            hooks.callback(module.register_forward_pre_hook(trace.enter).remove)
            hooks.callback(module.register_forward_hook(trace.leave).remove)
        network(x)
    frozen = {module for module, end, _ in trace.ends if end == "output" and trace.calls[module] == 1}
    parts = {part for module in frozen for part in module.modules() if part is not module}
    skipped: dict[nn.Module, Blank] = {}
    boundaries = []
    for module, end, value in trace.ends:
        if trace.calls[module] > 1 or module in parts:
            continue
        blank = Blank(value.detach())
        before = dict(skipped)
        if end == "output":
            skipped[module] = blank
        if any(True for one in skipped for _ in one.parameters()):
            boundaries.append(Boundary(module, end, blank, before))
    return boundaries


@contextmanager
def _undone(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore what a forward pass changes: buffers, and the state of the random generator."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    generator = generator_state(device)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        set_generator_state(device, generator)
