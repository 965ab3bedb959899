"""The schedule of a training: epochs whose weights are kept, their shards, and batches."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from latentgen.errors import LatentgenError

HELD_OUT_SHARE = 5
"""One in this many test images is held out for early stopping."""


def checkpoint_epochs(schedule: Literal["paper"] | Sequence[int], max_epochs: int) -> tuple[int, ...]:
    """Return the scheduled epochs up to `max_epochs`, increasing; 0 is the untrained network.

    ``"paper"`` is 0, 1, 2, 4, …, 20, 25, 30, … (arXiv 2603.19865). The last trained epoch is always a
    checkpoint too; it belongs to the shard whose range of epochs contains it.
    """
    epochs = [0, 1, *range(2, 20, 2), *range(20, max_epochs + 1, 5)] if schedule == "paper" else schedule
    return tuple(sorted({*(epoch for epoch in epochs if epoch <= max_epochs), max_epochs}))


def shard_ranges(epochs: Sequence[int], checkpoints_per_shard: int) -> list[range]:
    """Split scheduled epochs into blocks of consecutive checkpoints, each given as its range of epochs.

    The first begins at epoch 0 and there are no gaps, so any epoch at which training may end is in exactly
    one.
    """
    firsts = [0, *epochs[checkpoints_per_shard::checkpoints_per_shard]]
    return [range(a, b) for a, b in pairwise([*firsts, epochs[-1] + 1])]


def has_batch_of_one(n_items: int, batch_size: int) -> bool:
    """Whether some batch of an epoch has a single example, usually the last one."""
    return batch_size == 1 or n_items % batch_size == 1


def check_shares(n_items: int, batch_size: int, gpus: int) -> None:
    """Refuse batches that cannot be divided among several GPUs.

    Parameters
    ----------
    n_items : int
        Number of training examples.
    batch_size : int
        Examples that are processed together, in all.
    gpus : int

    Raises
    ------
    LatentgenError
        If some GPU would have no example of some batch.
    """
    smallest = min(batch_size, n_items % batch_size or batch_size)
    if smallest < gpus:
        raise LatentgenError(
            f"With {n_items} training examples in batches of {batch_size}, some batch has {smallest}: they "
            f"cannot be divided among {gpus} GPUs. Change training.batch_size, training.accumulate or "
            "training.gpus."
        )
