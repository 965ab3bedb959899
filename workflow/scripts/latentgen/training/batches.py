"""The batches of an epoch: their order, their random numbers, and a check that a network can take them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.examples import Examples
from latentgen.randomness import Purpose, integer_seed
from latentgen.runtime.memory import FEWER_JOBS
from latentgen.training.schedule import has_batch_of_one


def epoch_order(n_items: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the examples in an epoch, which depends only on the run's seed and the epoch."""
    generator = torch.Generator().manual_seed(integer_seed(seed, Purpose.ORDER, epoch))
    return torch.randperm(n_items, generator=generator)


@contextmanager
def dropout_stream(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator, which dropout uses, for a run and an epoch.

    The generator's state is restored afterwards.
    """
    with _own_generator(device):
        torch.manual_seed(integer_seed(seed, Purpose.DROPOUT, epoch))
        yield


@contextmanager
def _own_generator(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def generator_state(device: torch.device) -> Tensor:
    """Return the state of torch's global generator on a device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_generator_state(device: torch.device, state: Tensor) -> None:
    """Set the state of torch's global generator on a device."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def check_batch_of_one(network: nn.Module, inputs: Examples, n_items: int, batch_size: int) -> None:
    """Refuse batches of a single example for a network that cannot be trained on one.

    Batch normalization cannot normalize a single example, unless its map has several positions. The network
    is tried, and not changed.

    Parameters
    ----------
    network : nn.Module
    inputs : Tensor or StoredExamples, N × C × H × W
        At least one example, on the network's device.
    n_items : int
        Number of training images, vectors or sequences.
    batch_size : int
        Examples per step.

    Raises
    ------
    LatentgenError
        If there is such a batch and the network cannot take it. The message has a batch size that works.
    """
    if not has_batch_of_one(n_items, batch_size):
        return
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    was_training = network.training
    try:
        with torch.no_grad(), _own_generator(inputs.device):
            network.train()(inputs[:1])
    except ValueError as error:
        larger = range(batch_size + 1, n_items + 1)
        works = next((size for size in larger if not has_batch_of_one(n_items, size)), None)
        advice = f"Set batch_size to {works}" if works else "Use more training examples"
        raise LatentgenError(
            f"With {n_items} training examples in batches of {batch_size}, "
            f"{'every' if batch_size == 1 else 'the last'} batch has one example, and this network cannot be "
            f"trained on one: batch normalization needs several. {advice}. ({error})"
        ) from error
    finally:
        network.train(was_training)
        network.load_state_dict(before)


def smaller_batches(batch_size: int, accumulate: int) -> tuple[str, str]:
    """Return the task and the remedy for `explain_out_of_memory`."""
    parts = next((n for n in range(accumulate + 1, batch_size + 1) if batch_size % n == 0), None)
    remedies = [f"training.accumulate: {parts} (the same step in less memory)"] if parts else []
    remedies += [f"training.batch_size: {batch_size // 2}"] if batch_size > 1 else []
    advice = f"try {' or '.join(remedies)}, or " if remedies else ""
    return f"Training in batches of {batch_size}", advice + FEWER_JOBS
