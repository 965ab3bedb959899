"""A job's log says how the job is: while it runs, when it is done, and why it failed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from latentgen.runtime import logs as joblog
from latentgen.runtime.logs import read_log

JOB = """
import sys, time, logging
from latentgen.runtime import logs as joblog
joblog.TOUCH_SECONDS = 0.05
with joblog.job_log(sys.argv[1]):
    logging.getLogger("latentgen").info("epoch 3 of at most 9")
    {body}
"""


def start(path, body):
    return subprocess.Popen(
        [sys.executable, "-c", JOB.format(body=body), str(path)], stderr=subprocess.PIPE, text=True
    )


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def test_a_job_that_ends_well_says_what_it_took(tmp_path):
    path = tmp_path / "job.log"
    assert start(path, "time.sleep(0.2)").wait() == 0
    state = read_log(path)
    assert state.state == "done"
    assert 0.1 < state.seconds < 20
    assert 5 < state.megabytes < 1000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise joblog.LatentgenError('no such layer:\\n  try fc1')", "no such layer:\n  try fc1"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise KeyboardInterrupt", "interrupted (KeyboardInterrupt)"),
    ],
)
def test_a_job_that_fails_says_why(tmp_path, body, message):
    path = tmp_path / "job.log"
    assert start(path, body).wait() != 0
    state = read_log(path)
    assert (state.state, state.message.partition("\nTraceback")[0]) == ("failed", message)


def test_a_job_is_running_as_long_as_it_touches_its_log(tmp_path, monkeypatch):
    path = tmp_path / "job.log"
    job = start(path, "time.sleep(100)")
    try:
        until(lambda: path.exists() and "epoch" in path.read_text())
        os.utime(path, (0, 0))
        until(lambda: path.stat().st_mtime > 1e9)
        state = read_log(path)
        assert (state.state, state.message) == ("running", "epoch 3 of at most 9")
    finally:
        job.send_signal(signal.SIGKILL)
        job.communicate()
    os.utime(path, (time.time() - joblog.SILENT_SECONDS - 1,) * 2)
    state = read_log(path)
    assert state.state == "failed"
    assert state.message.startswith("killed externally")


def test_without_a_log_nothing_is_known(tmp_path):
    assert read_log(tmp_path / "none.log") is None
