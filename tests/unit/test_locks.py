"""Locks end with their process; jobs on one machine take different GPUs."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from latentgen.errors import LatentgenError
from latentgen.runtime.devices import take_gpu
from latentgen.runtime.locks import lock_or_refuse, locked, private_folder, take_first_free


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


def test_the_locks_of_gpus_lie_where_nobody_else_can_put_a_link(tmp_path, monkeypatch, caplog):
    """In a shared temporary folder a stranger's link would have the lock's file written over another one."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    victim = tmp_path / "victim"
    victim.mkdir()
    expected = tmp_path / f"latentgen-{os.getuid()}"
    expected.symlink_to(victim)
    assert private_folder() is None
    assert take_gpu(["a"]) == 0
    assert "may share a GPU" in caplog.text
    assert not list(victim.iterdir())
    expected.unlink()
    assert private_folder() == expected
    assert expected.stat().st_mode & 0o777 == 0o700
    expected.chmod(0o777)
    assert private_folder() is None


@pytest.mark.parametrize(
    "take", [lambda path: lock_or_refuse(path, "x"), lambda path: take_first_free([path])]
)
def test_no_lock_follows_a_link(take, tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(LatentgenError, match=r"cannot be locked .*if it is a link"):
        take(tmp_path / "lock")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_worked_on_without(number, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / "lock"):
        assert "continuing without one" in caplog.text
    lock_or_refuse(tmp_path / "another", "x")
    assert take_first_free([tmp_path / "third"]) == 0


def test_a_waiting_process_does_not_erase_who_holds_the_lock(tmp_path):
    first, _ = holder("result = lock_or_refuse('lock', 'Something')", tmp_path)
    before = (tmp_path / "lock").read_text()
    for _ in range(2):
        with pytest.raises(LatentgenError, match="already"):
            lock_or_refuse(tmp_path / "lock", "What it is")
    assert (tmp_path / "lock").read_text() == before
    first.kill()
    first.wait()


def test_a_lock_survives_a_fork_that_ends(tmp_path):
    """Torch and multiprocessing fork: the end of a child must not end the lock of its parent."""
    fork = "import os; p = os.fork(); p or os._exit(0); os.waitpid(p, 0)"
    first, _ = holder(f"lock_or_refuse('lock', 'x'); {fork}; result = 1", tmp_path)
    with pytest.raises(LatentgenError, match="already"):
        lock_or_refuse(tmp_path / "lock", "x")
    first.kill()
    first.wait()
