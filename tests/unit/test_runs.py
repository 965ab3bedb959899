"""A run's name says which run it is, and no other name does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentgen.errors import LatentgenError
from latentgen.study.runs import NAME, RunSpec

names = st.from_regex(NAME, fullmatch=True)
runs = st.builds(
    RunSpec,
    dataset=names,
    model=names,
    noise=st.from_regex("[a-z_]+", fullmatch=True),
    p=st.integers(0, 10_000).map(lambda n: n / 10_000),
    seed=st.integers(0, 2**64),
    intervention=names,
)


@given(runs)
def test_a_run_is_found_again_by_its_name(run):
    assert RunSpec.parse(run.slug) == run


@given(runs, runs)
def test_no_two_runs_share_a_name(a, b):
    assert (a.slug == b.slug) == (a == b)


def test_names_are_readable():
    run = RunSpec("digits", "mlp", "symmetric", 0.4, 1)
    assert run.slug == "digits-mlp-symmetric0.40-seed1"
    assert run.noise_level == "symmetric0.40"
    assert RunSpec("digits", "mlp", "symmetric", 1, 0).slug == "digits-mlp-symmetric1.00-seed0"
    assert RunSpec("digits", "mlp", "symmetric", 0.125, 0).noise_level == "symmetric0.125"
    edited = RunSpec("cifar10_100x50", "my_net", "symmetric_published", 0.4, 12, "edit40")
    assert edited.slug == "cifar10_100x50-my_net-symmetric_published0.40-seed12-edit40"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "digits",
        "digits-mlp-symmetric-seed1",
        "digits-mlp-symmetric0.40",
        "digits-mlp-symmetric0.4-seed1",
        "digits-mlp-symmetric0.400-seed1",
        "digits-mlp-symmetric1.50-seed1",
        "digits-mlp-symmetric0.40-seed01",
        "digits-mlp-symmetric0.40-seed-1",
        "digits-mlp-symmetric0.40-seed١",
        "digits-mlp-symmetric0.40-seed1-none",
        "Digits-mlp-symmetric0.40-seed1",
        "digits-mlp-symmetric0.40-seed1\n",
        "digits-mlp-symmetric0.40-seed1/x",
    ],
)
def test_what_is_no_run_is_refused_with_an_example(name):
    with pytest.raises(LatentgenError, match="not the name of a run") as refusal:
        RunSpec.parse(name)
    assert "digits-mlp-symmetric0.40-seed1" in str(refusal.value)
