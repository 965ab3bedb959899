"""The cost of a study is told by a dry run, and one that will not fit is refused before any job starts."""

import re

from studies import TINY_STUDY


def test_a_dry_run_ends_with_the_cost(empty_copy):
    empty_copy.write_study(TINY_STUDY)
    jobs = sum(empty_copy.planned().values()) - 1  # `all` does nothing
    said = empty_copy.run("--dry-run")
    assert re.search(rf"Estimate: {jobs} jobs, at most about .* on 2 cores; .* kept and .* free\.\n$", said)


def test_a_finished_study_costs_nothing_and_says_nothing_of_it(tiny):
    assert "Estimate" not in tiny.run("--dry-run")


def test_a_study_that_will_not_fit_the_disk_does_not_start(empty_copy):
    training = TINY_STUDY["pairs"][0]["training"] | {"max_epochs": 100_000, "checkpoints": "paper"}
    pair = {
        "dataset": "mnist",
        "model": {"architecture": "MLP", "widths": [100_000, 100_000]},
        "training": training,
    }
    empty_copy.write_study({**TINY_STUDY, "pairs": [pair], "activations": {"shard_gigabytes": 1e6}})
    done = empty_copy.snakemake()
    assert done.returncode != 0
    assert "will not fit on the disk" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (empty_copy.folder / "results/datasets").exists()
