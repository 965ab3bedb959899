"""The status of studies that really ran."""

import csv

import pandas as pd

from latentgen.jobs.status import study_status
from latentgen.jobs.steps import STEPS, jobs_of
from latentgen.study.config import load_study
from latentgen.study.layout import Layout
from studies import TINY_STUDY


def test_a_finished_study_is_done_and_says_what_its_tables_say(tiny):
    status = study_status(load_study(tiny.folder / "study.yaml"), tiny.folder)
    assert {job.state for job in status.jobs} == {"done"}
    assert all(job.log.exists() for job in status.jobs)
    assert status.seconds_left == 0
    summary = pd.read_csv(tiny.folder / "results/tiny/tables/summary.csv")
    for run in status.runs:
        row = summary[(summary["run"] == run.run) & (summary["what"] == "model")]
        assert (run.epoch, round(run.test_accuracy, 6)) == (row["final_epoch"].item(), row["final"].item())


def test_a_failed_training_is_shown_with_its_reason_and_log(diverged):
    workflow, _ = diverged
    done = workflow.make("status", "STUDY=study.yaml")
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "FAILED train digits_400x120-mlp-symmetric0.40-seed1:\n    The loss became" in said
    assert "log: results/tiny/logs/train/digits_400x120-mlp-symmetric0.40-seed1.log" in said
    assert "2 done, 1 failed, " in said, "data set and labels are done"


def test_the_table_of_steps_has_the_jobs_and_outputs_that_the_rules_have(empty_copy):
    interventions = [
        {"edit": "velpic", "at_epoch": 2, "max_epochs": 12},
        {"edit": "relabel", "layer": "fc1"},
        {"edit": "early_stop"},
    ]
    pair = TINY_STUDY["pairs"][0] | {"interventions": interventions}
    empty_copy.write_study(TINY_STUDY | {"pairs": [pair]})
    done = empty_copy.snakemake("--detailed-summary", "all")
    assert done.returncode == 0, done.stderr
    rules = {
        row["output_file"]: row["rule"] for row in csv.DictReader(done.stdout.splitlines(), delimiter="\t")
    }
    study = load_study(empty_copy.folder / "study.yaml")
    table = {
        output.format(**wildcards): rule
        for rule, step in STEPS.items()
        for run in study.runs.values()
        for wildcards in jobs_of(rule, run)
        for output in step.outputs(Layout(study.study))
    }
    assert table == rules
