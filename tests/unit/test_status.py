"""The status of a study is read from its files: here from files made for the purpose."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_export import STUDY

import latentgen
from latentgen.errors import LatentgenError
from latentgen.jobs.status import status_text, study_status
from latentgen.runtime.logs import SILENT_SECONDS
from latentgen.study.config import load_study, read_study
from latentgen.study.layout import TABLES, Layout

RUN = "digits-mlp-symmetric0.40-seed1"
RUNNING = (
    "2026-01-01 10:00:00,000 INFO epoch 24 of at most 300, 4.77 per second, at most 2 min 3 s left, "
    "loss 2.001, train 0.3222 (online), test 0.7139\n"
)
HISTORY = """epoch,loss,test_correct,test_total,train_corrupted_correct,train_total,seconds,rest_correct
0,,1,10,10,100,0.0,
2,0.31,9,10,75,100,0.25,
"""


@pytest.fixture
def study():
    return read_study(STUDY)


@pytest.fixture
def put(tmp_path, study):
    """Write a file of the study, by its template."""

    def write(template, content="", age=0.0, **wildcards):
        wildcards = {
            "run": RUN,
            "shard": 0,
            "dataset": "digits",
            "noise": "symmetric0.40",
            "label_seed": 1,
        } | wildcards
        path = tmp_path / template.format(**wildcards)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (time.time() - age,) * 2)
        return path

    return write


def states(status):
    (run,) = status.runs
    return {step: [job.state for job in jobs] for step, jobs in run.steps.items()}


def test_of_a_study_not_begun_all_is_to_do(study, tmp_path):
    status = study_status(study, tmp_path)
    assert {state for step in states(status).values() for state in step} == {"to do"}
    assert status.seconds_left is None
    assert "Left: not known yet" in status_text(status)


def test_a_running_training_says_epoch_accuracy_and_time_left(study, tmp_path, put):
    put(f"{Layout('small').logs}/train/{{run}}.log", RUNNING)
    (run,) = study_status(study, tmp_path).runs
    assert run.steps["train"][0].state == "running"
    assert (run.epoch, run.train_accuracy, run.test_accuracy) == (24, 0.3222, 0.7139)
    line = next(line for line in status_text(study_status(study, tmp_path)).splitlines() if RUN in line)
    assert line.split() == [
        *f"{RUN} to do running to do to do to do 24 32.2 71.4 at most 2 min 3 s left".split()
    ]


def test_a_silent_job_was_ended_from_outside(study, tmp_path, put):
    log = put(f"{Layout('small').logs}/train/{{run}}.log", RUNNING, age=SILENT_SECONDS + 5)
    text = status_text(study_status(study, tmp_path))
    assert "FAILED train" in text
    assert "killed externally" in text
    assert f"log: {log}" in text


def test_the_reason_and_the_log_of_a_failure_are_shown(study, tmp_path, put):
    log = put(
        f"{Layout('small').logs}/fit_probes/{{run}}-0.log",
        "Traceback …\nlatentgen: failed: Layer fc1 has values that are NaN.\nTry another learning rate.\n",
        age=10_000,
    )
    text = status_text(study_status(study, tmp_path))
    assert f"FAILED fit_probes {RUN}-0:\n    Layer fc1 has values that are NaN.\n    Try another" in text
    assert f"log: {log}" in text


def test_a_finished_run_says_its_last_epoch_and_work_left_follows_from_work_done(study, tmp_path, put):
    layout = Layout("small")
    for template in (layout.checkpoints, layout.training, layout.labels):
        put(template)
    put(layout.history, HISTORY)
    for template in (
        layout.probe_accuracy,
        layout.probe_vectors,
        layout.probe_cost,
        layout.transfer_accuracy,
        layout.transfer_models,
    ):
        put(template)
    for rule, name in (("train", RUN), ("fit_probes", f"{RUN}-0")):
        put(f"{layout.logs}/{rule}/{name}.log", "latentgen: done in 7.5 s, 500 MB of memory\n", age=10_000)
    status = study_status(study, tmp_path)
    done = {step: found for step, found in states(status).items() if found}
    assert done == {step: ["done"] for step in ("labels", "train", "activations", "probes", "transfer")}, (
        "activations are gone because they were used"
    )
    (run,) = status.runs
    assert (run.epoch, run.train_accuracy, run.test_accuracy) == (2, 0.75, 0.9)
    assert run.steps["train"][0].seconds == 7.5
    assert status.bytes_used >= len(HISTORY)
    assert status.seconds_left is None, "no table was ever made, so its time is unknown"


def test_tables_without_runs_are_enough_for_figures(study, tmp_path, put):
    for name in TABLES:
        put(f"{Layout('small').tables}/{name}")
    assert "figures can be drawn from them" in status_text(study_status(study, tmp_path))


def test_it_imports_neither_torch_nor_pandas(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    code = (
        "import sys; from latentgen.cli import main; main(['status', 'study.json'], standalone_mode=False); "
        "print(sorted(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(latentgen.__file__).parents[1])},
    )  # fmt: skip
    assert "Study small: 1 runs" in said.stdout
    assert not [name for name in ("torch", "pandas", "snakemake", "matplotlib") if f"'{name}'" in said.stdout]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("a: [", "is not YAML"), ("text", "holds no settings")],
)
def test_a_study_file_that_is_none_is_refused_in_words(tmp_path, content, message):
    path = tmp_path / "study.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LatentgenError, match=message):
        load_study(path)


def history_of(study, tmp_path, put, content):
    """Return the status of a trained run, whose history holds these bytes."""
    layout = Layout("small")
    put(layout.training)
    put(f"{layout.checkpoints}/epoch-0000.safetensors")
    put(layout.history).write_bytes(content)
    return study_status(study, tmp_path)


def test_a_history_cut_anywhere_is_no_crash_and_no_wrong_number(study, tmp_path, put):
    content = HISTORY.encode()
    whole = {(0, 0.1, 0.1), (2, 0.75, 0.9), (None, None, None)}
    for length in range(len(content) + 1):
        status = history_of(study, tmp_path, put, content[:length])
        (run,) = status.runs
        assert (run.epoch, run.train_accuracy, run.test_accuracy) in whole
        assert RUN in status_text(status)
    assert (run.epoch, run.train_accuracy, run.test_accuracy) == (2, 0.75, 0.9)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00" * 50,
        b"epoch\n" + b"\x00\xff",
        HISTORY.encode().replace(b"9,10", b"x,10"),
        HISTORY.encode().replace(b"9,10,75", b"99,10,75"),
        HISTORY.encode().replace(b"75,100", b"75,0"),
        HISTORY.encode() + b"3," + b"9" * 200_000 + b",1,1,1\n",
        HISTORY.encode() + b"3,1,10,1,10,4,5\n\n",
        HISTORY.encode().replace(b"\n", b"\r"),
        HISTORY.encode("utf-16"),
    ],
)
def test_a_garbled_history_is_no_crash_and_no_wrong_number(study, tmp_path, put, content):
    status = history_of(study, tmp_path, put, content)
    (run,) = status.runs
    for share in (run.train_accuracy, run.test_accuracy):
        assert share is None or 0 <= share <= 1
    assert RUN in status_text(status)


def test_a_folder_in_a_logs_or_a_historys_place_is_no_crash(study, tmp_path, put):
    layout = Layout("small")
    for template in (f"{layout.logs}/train/{{run}}.log", layout.history):
        put(f"{template}/inside")
    put(layout.training)
    put(f"{layout.checkpoints}/epoch-0000.safetensors")
    status = study_status(study, tmp_path)
    assert status.runs[0].epoch is None
    assert status.runs[0].steps["train"][0].state == "done"
    assert RUN in status_text(status)
