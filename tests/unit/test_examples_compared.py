"""Classifiers compared example by example: what is stored, and the tests and intervals made of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latentgen.probes.correctness import packed, unpacked
from latentgen.runtime.files import write_csv
from latentgen.tables.comparisons import comparisons_table
from latentgen.tables.examples import bootstrap_interval, by_example, mcnemar_p_value
from latentgen.tables.gathering import RunFiles, accuracy_table
from latentgen.tables.statistics import holm

N = 203  # no multiple of 8


def drawn(seed: int, *shares: float) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.random(N) < share for share in shares]


@pytest.mark.parametrize("total", [1, 7, 8, 9, 10_000])
def test_which_examples_are_correct_is_given_back(total):
    correct = np.random.default_rng(total).random(total) < 0.5
    np.testing.assert_array_equal(unpacked(packed(correct), total), correct)
    with pytest.raises(ValueError, match="bits do not hold"):
        unpacked(packed(correct), total + 8)


def test_mcnemar_of_one_seed_is_the_exact_binomial_test():
    first, second = drawn(0, 0.8, 0.6)
    differences = (first.astype(np.int8) - second.astype(np.int8))[None]
    more, fewer = (differences == 1).sum(), (differences == -1).sum()
    expected = stats.binomtest(int(more), int(more + fewer)).pvalue
    assert mcnemar_p_value(differences) == pytest.approx(expected)
    assert np.isnan(mcnemar_p_value(np.zeros((1, 9), np.int8)))


def test_seeds_that_agree_on_every_example_are_no_further_evidence():
    one = np.array([[1] * 60 + [-1] * 40 + [0] * 100], np.int8)
    three = np.repeat(one, 3, axis=0)
    assert mcnemar_p_value(three) == pytest.approx(2 * stats.norm.sf((60 - 40) / np.sqrt(100)))
    assert bootstrap_interval(three) == pytest.approx(bootstrap_interval(one), abs=0.02)


def test_mcnemar_of_several_seeds_keeps_its_level():
    random = np.random.default_rng(1)
    p_values = []
    for _ in range(400):
        easy = random.random(N)  # examples are easy or hard for all seeds alike
        both = [(random.random((3, N)) < easy).astype(np.int8) for _ in range(2)]
        p_values.append(mcnemar_p_value(both[0] - both[1]))
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_the_interval_covers_the_difference_over_seeds_and_examples():
    random = np.random.default_rng(2)
    covered = []
    for _ in range(150):
        of_seeds, of_examples = random.normal(0, 0.02, (5, 1)), random.normal(0, 0.2, N)
        first = random.random((5, N)) < 0.7 + of_seeds + of_examples
        second = random.random((5, N)) < 0.6 + of_examples
        low, high = bootstrap_interval(first.astype(np.int8) - second.astype(np.int8))
        covered.append(low < 0.1 < high)
    assert np.mean(covered) > 0.9


def test_the_same_differences_give_the_same_interval():
    differences = np.stack(drawn(3, 0.5, 0.5)).astype(np.int8)
    assert bootstrap_interval(differences) == bootstrap_interval(differences)


def test_nothing_is_reported_where_the_examples_are_unknown():
    first, second = drawn(4, 0.8, 0.6)
    rows = pd.DataFrame(
        {"correct_examples": [packed(first), None], "reference_correct_examples": packed(second), "total": N}
    )
    assert by_example(rows) is None
    assert by_example(rows[:1]) is not None
    assert by_example(rows.drop(columns="reference_correct_examples")) is None


def write_run(folder: Path, seed: int, model_count_is_the_historys: bool = True) -> RunFiles:
    """Write a run of one checkpoint with which examples its model and probe classify correctly."""
    name = f"digits-mlp-symmetric0.40-seed{seed}"
    identity = {
        "run": name,
        "dataset": "digits",
        "model": "mlp",
        "noise": "symmetric",
        "p": 0.4,
        "seed": seed,
    }
    model, *probes = drawn(seed, 0.5, 0.8, 0.6)
    history = {
        "epoch": 3, "loss": 1, "online_correct": "", "online_total": "", "seconds": 1,
        "test_correct": model.sum() + (not model_count_is_the_historys), "test_total": N,
        "train_corrupted_correct": 1, "train_true_correct": 1, "train_total": 20,
    }  # fmt: skip
    write_csv(folder / name / "history.csv", [history])
    measured = {"epoch": 3, "fit_labels": "corrupted", "split": "test", "eval_labels": "true"}
    rows = [
        measured
        | {"layer": layer, "probe": probe, "correct": correct.sum(), "total": N}
        | {"correct_examples": packed(correct)}
        for layer, probe, correct in zip(
            ("fc1", "fc1", "readout"), ("MASC", "VeLPIC", "model"), (*probes, model), strict=True
        )
    ]
    write_csv(folder / name / "probes" / "shard-0.csv", rows)
    shard = folder / name / "probes" / "shard-0.csv"
    return RunFiles(identity | {"intervention": "none"}, folder / name / "history.csv", [shard])


def test_comparisons_say_what_examples_say(tmp_path: Path):
    runs = [write_run(tmp_path, seed) for seed in (1, 2, 3)]
    accuracy = accuracy_table(runs)
    assert not accuracy.duplicated(["run", "epoch", "layer", "probe", "split", "eval_labels"]).any()
    table = comparisons_table(accuracy).set_index(["what", "reference"])
    row = table.loc[("MASC", "model")]
    pairs = [drawn(seed, 0.5, 0.8) for seed in (1, 2, 3)]
    differences = np.stack([masc.astype(np.int8) - model.astype(np.int8) for model, masc in pairs])
    assert row["what_only"] == (differences == 1).sum()
    assert row["reference_only"] == (differences == -1).sum()
    assert (row["what_only"] - row["reference_only"]) / (3 * N) == pytest.approx(row["difference"])
    assert row["examples_low"] < row["difference"] < row["examples_high"]
    assert row["examples_p_value"] == pytest.approx(mcnemar_p_value(differences))
    for _, claim in table.groupby("claim"):
        np.testing.assert_allclose(claim["examples_p_holm"], holm(claim["examples_p_value"]))
    assert table.loc[("VeLPIC", "MASC"), "what_only"] > 0


def test_a_network_that_was_run_in_another_way_is_not_compared_by_example(tmp_path: Path):
    accuracy = accuracy_table([write_run(tmp_path, 1, model_count_is_the_historys=False)])
    assert accuracy.loc[accuracy["probe"] == "model", "correct_examples"].isna().all()
    table = comparisons_table(accuracy).set_index(["what", "reference"])
    assert pd.isna(table.loc[("MASC", "model"), "what_only"])
    assert table.loc[("VeLPIC", "MASC"), "what_only"] > 0
