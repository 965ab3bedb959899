"""Locks end with their process; jobs on one machine take different GPUs."""

import os
import signal
import subprocess
import sys
import time

import pytest

from latentgen.errors import LatentgenError
from latentgen.runtime.locks import lock_or_refuse, locked


def holder(statement, folder):
    """Start a process that runs a statement, says so, and stays."""
    code = f"from latentgen.runtime.locks import *; {statement}; print(result, flush=True); input()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    return process, process.stdout.readline().strip()


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    first, _ = holder("result = lock_or_refuse('lock', 'Something')", tmp_path)
    with pytest.raises(LatentgenError, match=f"What it is already, by process {first.pid} on "):
        lock_or_refuse(tmp_path / "lock", "What it is")
    first.send_signal(signal.SIGKILL)
    first.wait()
    lock_or_refuse(tmp_path / "lock", "What it is")


def test_a_waiting_process_gets_the_lock_when_the_first_ends(tmp_path):
    first, _ = holder("c = locked('lock'); result = c.__enter__()", tmp_path)
    os.set_blocking(first.stdout.fileno(), False)
    started = time.monotonic()
    killer = subprocess.Popen(["sh", "-c", f"sleep 1.5; kill -9 {first.pid}"])
    with locked(tmp_path / "lock"):
        assert time.monotonic() - started > 1
    killer.wait()
    first.wait()


def test_jobs_take_different_gpus_and_share_when_there_are_too_few(tmp_path):
    """Without any GPU: three processes, two names."""
    take = "from latentgen.runtime.devices import take_gpu; result = take_gpu(['a', 'b'])"
    started = [holder(take, tmp_path) for _ in range(3)]
    assert [said for _, said in started[:2]] == ["0", "1"]
    assert started[2][1] in ("0", "1")
    started[1][0].kill()
    started[1][0].wait()
    after, said = holder(take, tmp_path)
    assert said == "1"
    for process, _ in [*started, (after, "")]:
        process.kill()
        process.wait()
