"""Intervals and tests against scipy.stats, published examples and plain definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latentgen.tables import statistics

COUNTS = [(0, 10), (3, 10), (10, 10), (47, 360), (9_999, 10_000)]


def seeds(values: dict[str, list[int]], total: int = 100) -> pd.DataFrame:
    """Make a table with a row per seed of each group, from the groups' correct counts."""
    rows = [(group, seed, n, total) for group, counts in values.items() for seed, n in enumerate(counts)]
    return pd.DataFrame(rows, columns=["group", "seed", "correct", "total"])


def test_student_interval_is_that_of_scipy() -> None:
    samples = [[0.1, 0.2], [0.5, 0.5, 0.9], [0.7, 0.71, 0.69, 0.75, 0.6]]
    summary = [(np.mean(x), np.std(x, ddof=1), len(x)) for x in samples]
    ends = np.transpose(statistics.student_interval(*np.transpose(summary), confidence=0.9))
    expected = [stats.t.interval(0.9, len(x) - 1, np.mean(x), stats.sem(x)) for x in samples]
    np.testing.assert_allclose(ends, expected, rtol=1e-10)


def test_wilson_interval_is_that_of_scipy() -> None:
    ends = np.transpose(statistics.wilson_interval(*np.transpose(COUNTS)))
    expected = [stats.binomtest(n, total).proportion_ci(method="wilson") for n, total in COUNTS]
    np.testing.assert_allclose(ends, expected, atol=1e-12)
    assert ends.min() == 0
    assert ends.max() == 1


def test_newcombe_interval_is_the_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table II, method 10, case (a): 56/70 − 48/80.
    low, high = statistics.newcombe_interval(56, 70, 48, 80)
    assert (round(float(low), 4), round(float(high), 4)) == (0.0524, 0.3339)


def test_mean_over_seeds_uses_seeds_where_there_are_several_and_examples_where_not() -> None:
    table = statistics.mean_over_seeds(seeds({"z": [80, 90, 85], "a": [70]}), ["group"])
    assert table["group"].tolist() == ["z", "a"], "groups keep their order"
    assert table["seeds"].tolist() == [3, 1]
    assert table["mean"].tolist() == pytest.approx([0.85, 0.7])
    several = stats.t.interval(0.95, 2, 0.85, stats.sem([0.8, 0.9, 0.85]))
    one = stats.binomtest(70, 100).proportion_ci(method="wilson")
    np.testing.assert_allclose(table[["low", "high"]], [several, one], rtol=1e-10)


def test_difference_over_seeds_is_paired() -> None:
    # The seeds differ widely, and the two by the same ten or twelve items on each: only pairing shows it.
    table = seeds({"a": [90, 62, 40], "b": [70, 0, 0]}).query("group == 'a' or seed == 0")
    table["reference_correct"], table["reference_total"] = [80, 50, 30, 60], 100
    result = statistics.mean_difference_over_seeds(table, ["group"])
    difference = np.array([0.10, 0.12, 0.10])
    paired = stats.t.interval(0.95, 2, difference.mean(), stats.sem(difference))
    one = statistics.newcombe_interval(70, 100, 60, 100)
    np.testing.assert_allclose(result[["low", "high"]], [paired, one], rtol=1e-10)
    assert result["mean"].tolist() == pytest.approx([difference.mean(), 0.1])


def test_a_seed_twice_in_a_group_is_refused() -> None:
    twice = pd.concat([seeds({"a": [1, 2]}), seeds({"a": [3]})])
    with pytest.raises(ValueError, match="seed occurs twice"):
        statistics.mean_over_seeds(twice, ["group"])


def test_paired_p_value_is_that_of_scipy() -> None:
    first, second = (
        np.array([[0.9, 0.8, 0.95], [0.5, 0.52, 0.49]]),
        np.array([[0.7, 0.71, 0.69], [0.5, 0.5, 0.5]]),
    )
    difference = first - second
    p = statistics.paired_p_value(difference.mean(axis=1), difference.std(axis=1, ddof=1), [3, 3])
    np.testing.assert_allclose(p, stats.ttest_rel(first, second, axis=1).pvalue, rtol=1e-10)


def test_paired_p_value_is_undefined_without_spread() -> None:
    assert np.isnan(statistics.paired_p_value([0.1, 0.1], [0.0, np.nan], [3, 1])).all()


def test_holm_is_the_textbook_example() -> None:
    corrected = statistics.holm([0.01, 0.04, np.nan, 0.03, 0.005])
    np.testing.assert_allclose(corrected, [0.03, 0.06, np.nan, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float], level: float) -> None:
    rejected = set()
    for step, i in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[i] * (len(p_values) - step) > level:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(statistics.holm(p_values) <= level)) == rejected
