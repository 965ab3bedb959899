"""What several tests share: a small study to change, and a random generator."""

import copy
import os

# The tests' networks are tiny: threads would only wait for each other. To be set before anything uses them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from studies import SMALL_STUDY


@pytest.fixture
def study():
    """Return a study file as YAML gives it, to be changed at will."""
    return copy.deepcopy(SMALL_STUDY)


@pytest.fixture
def numbers():
    """Return a random generator of the test's own."""
    return np.random.default_rng(7)
