"""The status of studies that really ran."""

import pandas as pd

from latentgen.jobs.status import study_status
from latentgen.study.config import load_study


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
