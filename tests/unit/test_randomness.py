"""Streams of random numbers: the same for ever, and independent of each other."""

import numpy as np
import pytest

from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, integer_seed, random_generator, stream


def test_streams_are_those_of_every_result_so_far():
    # Computed once. If this fails, every study would give other results than before.
    assert integer_seed(0, Purpose.LABELS) == 2440950710608614359
    assert integer_seed(42, Purpose.INITIAL_WEIGHTS) == 5800923004941853430
    assert integer_seed(42, Purpose.ORDER, 3) == 95109039990506126


def test_purposes_seeds_and_further_numbers_all_tell_streams_apart():
    keys = [
        (seed, purpose, *more)
        for seed in range(20)
        for purpose in Purpose
        for more in [(), (0,), (1,), (0, 0)]
    ]
    assert len({integer_seed(*key) for key in keys}) == len(keys)
    assert len({tuple(stream(*key).generate_state(4)) for key in keys}) == len(keys)


def test_streams_of_one_seed_are_uncorrelated():
    draws = np.stack([random_generator(1, purpose).standard_normal(10_000) for purpose in Purpose])
    correlations = np.corrcoef(draws) - np.eye(len(Purpose))
    assert np.abs(correlations).max() < 0.05


def test_integer_seed_fits_a_torch_generator():
    assert all(0 <= integer_seed(seed, Purpose.ORDER) < 2**63 for seed in range(1000))
    assert max(integer_seed(seed, Purpose.ORDER) for seed in range(1000)) > 2**62


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True, None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(LatentgenError, match="seed must be an integer"):
        stream(seed, Purpose.LABELS)


def test_numbers_that_would_pass_for_others_are_refused():
    with pytest.raises(ValueError, match="2³²"):
        stream(1, Purpose.ORDER, 2**32)
