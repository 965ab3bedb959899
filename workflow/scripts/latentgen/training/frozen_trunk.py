"""The frozen first layers of a network, its trunk, computed once: their outputs become the data of the rest.

A stage (`latentgen.networks.stages`) belongs to the trunk if its output depends on no trained parameter, and
if a pass in train mode neither draws random numbers nor changes a buffer. Training the rest on the trunk's
outputs gives the same weights as training the whole network, up to rounding: products of matrices can round
differently if other examples are in a batch.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from latentgen.data.inputs import IN_MEMORY
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.examples import Examples, spans, taken
from latentgen.networks.stages import Stage, stages
from latentgen.training.batches import generator_state, set_generator_state
from latentgen.training.data import TrainingData
from latentgen.training.parameter_groups import train_mode
from latentgen.training.plan import TrainingPlan

logger = logging.getLogger(__name__)


class Chain(nn.Module):
    """Some stages of a network, one after the other; its modules are those of the whole network."""

    def __init__(self, network: nn.Module, chain: Sequence[Stage]) -> None:
        super().__init__()
        self.network, self.chain = network, list(chain)

    def forward(self, x: Tensor) -> Tensor:
        """Pass examples through the stages."""
        for stage in self.chain:
            x = stage(x)
        return x


def without_trunk(
    network: nn.Module, data: TrainingData, plan: TrainingPlan
) -> tuple[nn.Module, TrainingData]:
    """Return what is left to train of a network, and its data: the outputs of the trunk.

    Both are returned as they are if there is no trunk, if images are augmented or matrix products in training
    are rounded to half precision, or if the outputs would take more than `IN_MEMORY` bytes.

    Parameters
    ----------
    network : nn.Module
        Its frozen parameters require no gradient.
    data : TrainingData
    plan : TrainingPlan
    """
    frozen = any(not parameter.requires_grad for parameter in network.parameters())
    if not frozen or plan.augment or plan.precision != "float32" or depends_on_batch(network):
        return network, data
    chain = stages(network)
    n_fixed, bytes_each = _fixed(network, chain, data.train_inputs[:2])
    if not any(_has_parameters(stage) for stage in chain[:n_fixed]):
        return network, data
    trunk, rest = Chain(network, chain[:n_fixed]), Chain(network, chain[n_fixed:])
    splits = (data.train_inputs, data.test_inputs, data.held_out_inputs)
    inputs = [split for split in splits if split is not None]
    needed = sum(map(len, inputs)) * bytes_each
    if needed > IN_MEMORY:
        logger.info("outputs of the frozen layers take %d MB: computed at every step", needed // 10**6)
        return network, data
    train, test, *held_out = (_outputs(trunk, split, plan.batch_size) for split in inputs)
    logger.info("the outputs of the frozen layers were computed once, %d MB", needed // 10**6)
    return rest, replace(
        data, train_inputs=train, test_inputs=test, held_out_inputs=held_out[0] if held_out else None
    )


def _fixed(network: nn.Module, chain: Sequence[Stage], x: Tensor) -> tuple[int, int]:
    """Return how many of the first stages always give the same for the same examples during training.

    And the bytes that the last of them gives for an example.
    """
    was_training = network.training
    train_mode(network)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    generator = generator_state(x.device)
    count = bytes_each = 0
    try:
        for stage in chain:
            x = stage(x)
            drawn = not torch.equal(generator_state(x.device), generator)
            changed = any(not torch.equal(buffers[name], now) for name, now in network.named_buffers())
            if x.requires_grad or drawn or changed:
                break
            count, bytes_each = count + 1, x.nbytes // len(x)
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
        set_generator_state(x.device, generator)
        network.train(was_training)
    return count, bytes_each


def _has_parameters(stage: Stage) -> bool:
    return not isinstance(stage, nn.Module) or any(True for _ in stage.parameters())


@torch.no_grad()
def _outputs(trunk: Chain, inputs: Examples, batch_size: int) -> Tensor:
    """Return the outputs of the trunk for all examples, in blocks as large as batches."""
    train_mode(trunk.network)
    blocks = spans(len(inputs), batch_size)
    return torch.cat([trunk(block) for block in taken(inputs, blocks)])
