"""What a job says is in its log; a mistake is told on the terminal in words alone."""

import ast
import logging
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from latentgen.runtime import logs as joblog
from latentgen.runtime.logs import Progress


def job(tmp_path, body, **environment):
    """Run a block inside a job's log in a process of its own; return the process and the log's text."""
    log = tmp_path / "logs" / "job.log"
    program = "\n".join(
        [
            "import ctypes, logging, os, subprocess, sys, warnings",
            "from latentgen.errors import LatentgenError",
            "from latentgen.runtime.logs import Progress, job_log",
            "print('before')",
            f"with job_log({str(log)!r}):",
            *(f"    {line}" for line in body),
            "print('after', file=sys.stderr)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    return done, log.read_text(encoding="utf-8", errors="replace")


def test_all_output_is_in_the_log(tmp_path):
    body = [
        "print('by print')",
        "print('by stderr', file=sys.stderr)",
        "os.write(1, b'by descriptor 1\\n')",
        "os.write(2, b'by descriptor 2\\n')",
        "ctypes.CDLL(None).puts(b'by a C library')",
        "subprocess.run(['echo', 'by another process'], check=True)",
        "logging.getLogger('latentgen.training.loop').info('by logging')",
        "warnings.warn('by a warning')",
    ]
    done, log = job(tmp_path, body)
    assert done.returncode == 0
    for line in body[:-2]:
        assert re.search(r"by [^'\\]*", line)[0] in log
    assert re.search(r"\d\d:\d\d:\d\d,\d+ INFO by logging", log)
    assert "by a warning" in log
    assert done.stderr == b""
    assert done.stdout == b"before\n"
    assert "before" not in log


def test_an_error_is_printed_without_trace_and_the_trace_is_logged(tmp_path):
    done, log = job(tmp_path, ["raise LatentgenError('The moon is missing – look up.')"])
    assert done.returncode == 1
    terminal = done.stderr.decode()
    assert "latentgen: The moon is missing – look up.\n" in terminal
    assert f"(log: {tmp_path / 'logs' / 'job.log'})" in terminal
    assert "Traceback" not in terminal
    assert "LatentgenError" not in terminal
    assert "Traceback (most recent call last)" in log
    assert "LatentgenError: The moon is missing" in log


def test_any_other_exception_is_named(tmp_path):
    done, log = job(tmp_path, ["1 / 0"])
    assert done.returncode == 1
    assert b"latentgen: ZeroDivisionError: division by zero" in done.stderr
    assert b"Traceback" not in done.stderr
    assert "Traceback" in log


def test_a_terminal_without_our_characters_gets_the_message_all_the_same(tmp_path):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done, _ = job(tmp_path, [r"raise LatentgenError('p must be \u2264 1')"], **ascii_only)
    assert done.returncode == 1
    assert rb"latentgen: p must be \u2264 1" in done.stderr


def test_exit_status_of_a_job_that_ends_itself_is_kept(tmp_path):
    done, _ = job(tmp_path, ["sys.exit(7)"])
    assert done.returncode == 7


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_progress_is_shown_on_a_terminal_and_logged(tmp_path):
    ours, theirs = os.openpty()
    log = tmp_path / "digits-mlp-symmetric0.40-seed1.log"
    program = (
        f"from latentgen.runtime.logs import Progress, job_log\nwith job_log({str(log)!r}):\n"
        "    print('only in the log')\n    Progress(3, 'epoch').step(3, 'loss 0.1')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], stderr=theirs, env=environment, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.startswith("digits-mlp-symmetric0.40-seed1: epoch 3 of at most 3, ")
    assert "only in the log" not in shown
    assert "epoch 3 of at most 3, " in log.read_text()


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still until it is set."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(joblog.time, "monotonic", lambda: Clock.now)
    return Clock


def test_progress_says_something_only_every_few_seconds_and_at_the_end(clock, caplog):
    caplog.set_level(logging.INFO, "latentgen")
    progress = Progress(1000, "epoch")
    for done in range(1, 1001):
        clock.now += 0.1
        progress.step(done, f"loss {done}")
    steps = [int(re.search(r"epoch (\d+) of", message)[1]) for message in caplog.messages]
    assert steps[-1] == 1000
    assert len(steps) == pytest.approx(100 / joblog.HEARTBEAT_SECONDS, abs=2)
    assert all(50 <= b - a <= 51 for a, b in pairwise(steps[:-1]))


def test_progress_tells_rate_and_time_left(clock, caplog):
    caplog.set_level(logging.INFO, "latentgen")
    progress = Progress(1000, "epoch")
    clock.now += 20
    progress.step(100, "loss 0.5")
    clock.now += 20
    progress.step(150)
    clock.now += 10_000
    progress.step(151)
    assert caplog.messages == [
        "epoch 100 of at most 1000, 5 per second, at most 3 min 0 s left, loss 0.5",
        "epoch 150 of at most 1000, 3.75 per second, at most 3 min 47 s left",
        "epoch 151 of at most 1000, 0.015 per second, at most 15 h 40 min left",
    ]


def test_progress_counts_no_time_for_what_was_done_before(clock, caplog):
    caplog.set_level(logging.INFO, "latentgen")
    progress = Progress(100, "epoch", before=38)
    clock.now += 30
    progress.step(40)
    assert caplog.messages == ["epoch 40 of at most 100, 0.0667 per second, at most 15 min 0 s left"]


def test_progress_of_nothing_done_is_no_error(clock, caplog):
    caplog.set_level(logging.INFO, "latentgen")
    progress = Progress(10, "item")
    clock.now += 60
    progress.step(0)
    assert caplog.messages == ["item 0 of at most 10, 0 per second, at most unknown time left"]


def outcome(*lines):
    """Run a program in a process of its own; return its standard output and standard error."""
    program = "\n".join(lines)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout, done.stderr


def test_a_process_ends_at_once_with_all_its_output():
    said, warned = outcome(
        "import atexit, logging, sys",
        "from latentgen.runtime.logs import end_process",
        "atexit.register(print, 'cleaning up')",
        "logging.warning('a warning')",
        "sys.stdout.write('the last word')",
        "end_process()",
    )
    assert said == "the last word"
    assert "a warning" in warned


def test_no_garbage_is_looked_for_while_torch_is_imported():
    said, _ = outcome(
        "import gc",
        "from latentgen.runtime.startup import fast_imports",
        "fast_imports()",
        "looks = []",
        "gc.callbacks.append(lambda *_: looks.append(1))",
        "import torch",
        "print(len(looks))",
    )
    assert said == "0\n"


CHANGES_OF_THE_PROCESS = """
import gc, importlib, os, pathlib, pkgutil, signal, sys
changed = []
def watched(module, name):
    real = getattr(module, name)
    def call(*arguments, **options):
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("latentgen"):
            changed.append(f"{caller} calls {name}")
        return real(*arguments, **options)
    setattr(module, name, call)
for module, name in [(gc, "set_threshold"), (gc, "disable"), (os, "umask"), (os, "chdir"), (os, "putenv"),
                     (signal, "signal"), (signal, "set_wakeup_fd")]:
    watched(module, name)
import latentgen
environment, path, threshold = dict(os.environ), list(sys.path), gc.get_threshold()
for found in pkgutil.walk_packages(latentgen.__path__, "latentgen."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
changed += [name for name in os.environ if environment.get(name) != os.environ[name] and "LATENTGEN" in name]
changed += ["sys.path"] * (sys.path != path) + ["gc"] * (gc.get_threshold() != threshold)
print(changed)
"""


def test_importing_the_library_changes_nothing_of_the_process():
    """It is imported into notebooks and programs of others; what jobs need, jobs ask for."""
    assert outcome(CHANGES_OF_THE_PROCESS)[0] == "[]\n"


SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_every_job_prepares_for_large_imports_before_it_imports_anything_else(script):
    first, second, *_ = ast.parse(script.read_text(encoding="utf-8")).body
    assert ast.unparse(first) == "from latentgen.runtime.startup import fast_imports"
    assert ast.unparse(second) == "fast_imports()"
    ours = (
        "import sys; import latentgen.runtime.startup; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert outcome(ours)[0] == "False False\n"


@pytest.mark.parametrize(
    "path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: str(path.relative_to(SCRIPTS))
)
def test_every_text_file_is_read_and_written_as_utf8(path):
    """Whatever the locale: a container's is often ASCII, and names of classes are not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        keywords = {keyword.arg for keyword in node.keywords}
        modes = [
            arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        if name in ("read_text", "write_text"):
            is_given = "encoding" in keywords or modes == ["utf-8"]
        elif name in ("open", "fdopen") and ast.unparse(node.func) not in NOT_TEXT:
            is_given = "encoding" in keywords or any("b" in mode for mode in modes[-1:])
        else:
            continue
        assert is_given, f"{path}:{node.lineno} {ast.unparse(node)}"


NOT_TEXT = ("os.open", "Image.open", "tarfile.open", "gzip.open", "archive.open", "self._zip.open")
"""Other things that are called open: they give bytes, or no file."""


def test_elsewhere_a_count_of_finished_jobs_is_shown_now_and_then_and_at_the_end(clock):
    few = joblog.FewLines()

    def shown(event, **more):
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, "text", (), None)
        vars(record).update(event=event, **more)
        return few.filter(record)

    assert not shown(LogEvent.PROGRESS, done=1, total=900)
    assert not shown(LogEvent.JOB_FINISHED)
    clock.now += 31
    assert shown(LogEvent.PROGRESS, done=2, total=900)
    clock.now += 1
    assert not shown(LogEvent.PROGRESS, done=3, total=900)
    assert shown(LogEvent.PROGRESS, done=900, total=900)
    assert shown(LogEvent.RUN_INFO)
    assert shown(LogEvent.JOB_ERROR)
    assert few.filter(logging.LogRecord("snakemake", logging.INFO, "", 0, "text", (), None))


def test_jobs_know_when_bars_are_shown():
    from snakemake_logger_plugin_latentgen import BARS

    assert BARS == joblog.BARS


def test_progress_through_files_whose_names_are_no_text_can_be_written(caplog):
    caplog.set_level(logging.INFO, "latentgen")
    Progress(1, "class").step(1, "train_\udcff")
    assert caplog.messages[0].endswith("left, train_?")
