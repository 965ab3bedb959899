"""Independent random streams from a run's single seed, one for each purpose.

Two random parts of a run, such as its labels and its initial weights, never share random numbers, and
changing the number of draws for one does not affect the others.
"""

from enum import IntEnum

import numpy as np

from latentgen.errors import LatentgenError


class Purpose(IntEnum):
    """Purposes of random numbers. All results depend on the values: never renumber them."""

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
        The purpose of the random numbers.
    *more : int
        Numbers that distinguish several streams of one purpose, such as the epoch; each from 0 to 2³² − 1.

    Raises
    ------
    LatentgenError
        If the seed is not an integer or is negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise LatentgenError(f"A seed must be an integer, 0 or more, not {seed!r}.")
    if not all(0 <= number < 2**32 for number in more):  # a larger one would be taken for two smaller ones
        raise ValueError(f"numbers that distinguish streams must be in 0 … 2³² − 1, not {more}")
    return np.random.SeedSequence(int(seed), spawn_key=(int(purpose), *more))


def random_generator(seed: int, purpose: Purpose, *more: int) -> np.random.Generator:
    """Return a NumPy generator on the stream of one purpose (parameters as in `stream`)."""
    return np.random.Generator(np.random.PCG64(stream(seed, purpose, *more)))


def integer_seed(seed: int, purpose: Purpose, *more: int) -> int:
    """Return a 63-bit integer from the stream of one purpose, fit for ``torch.Generator.manual_seed``."""
    return int(stream(seed, purpose, *more).generate_state(1, np.uint64)[0]) >> 1
