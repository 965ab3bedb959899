"""Independent random streams from a run's one seed, one for each purpose.

Two things that are both random in a run (its labels and its initial weights, say) never share random
numbers, and changing how many numbers one of them draws changes nothing in the others.
"""

from enum import IntEnum

import numpy as np

from latentgen.errors import LatentgenError


class Purpose(IntEnum):
    """What random numbers are for. The values are part of every result: never renumber them."""

    LABELS = 1
    INITIAL_WEIGHTS = 2
    ORDER = 3
    DROPOUT = 4
    PERMUTED_LABELS = 5
    EDIT = 6
    HELD_OUT = 7
    AUGMENTATION = 8
    COUNTED = 9


def stream(seed: int, purpose: Purpose, *more: int) -> np.random.SeedSequence:
    """Return the seed sequence of one purpose.

    Parameters
    ----------
    seed : int
        The run's seed, 0 or more.
    purpose : Purpose
        What the random numbers are for.
    *more : int
        What tells apart several streams of one purpose, as an epoch; each from 0 to 2³² − 1.

    Raises
    ------
    LatentgenError
        If the seed is no integer or is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise LatentgenError(f"A seed must be an integer, 0 or more, not {seed!r}.")
    if not all(0 <= number < 2**32 for number in more):  # a larger one would pass for two smaller ones
        raise ValueError(f"numbers that tell streams apart must be in 0 … 2³² − 1, not {more}")
    return np.random.SeedSequence(int(seed), spawn_key=(int(purpose), *more))


def random_generator(seed: int, purpose: Purpose, *more: int) -> np.random.Generator:
    """Return a NumPy generator on the stream of one purpose (parameters as in `stream`)."""
    return np.random.Generator(np.random.PCG64(stream(seed, purpose, *more)))


def integer_seed(seed: int, purpose: Purpose, *more: int) -> int:
    """Return a 63-bit integer from the stream of one purpose, fit for ``torch.Generator.manual_seed``."""
    return int(stream(seed, purpose, *more).generate_state(1, np.uint64)[0]) >> 1
