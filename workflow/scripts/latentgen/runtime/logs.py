"""Log files of jobs, and progress on the terminal."""

import io
import logging
import os
import re
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, TextIO

from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.runtime.damage import check, move_aside
from latentgen.runtime.memory import FEWER_JOBS, is_out_of_memory

logger = logging.getLogger("latentgen")

BARS = "LATENTGEN_BARS"
"""Environment variable, set if Snakemake shows progress bars, which output of jobs would break."""
HEARTBEAT_SECONDS = 5.0
LINE_SECONDS = 30.0
"""Seconds between lines with Snakemake's count of finished jobs, without progress bars."""
TOUCH_SECONDS = 20.0
"""Seconds after which a running job touches its log, so that other machines can see that it is alive."""
SILENT_SECONDS = 6 * TOUCH_SECONDS
"""A job whose log has no final line and was not touched for this many seconds was killed externally."""


@contextmanager
def job_log(path: str | Path, inputs: Iterable[str | Path] = ()) -> Iterator[None]:
    """Send all output of a job to its log file, and its progress to the terminal as well.

    Standard output and standard error are redirected at the level of file descriptors, so that output of
    compiled libraries is kept too. An exception ends the process with status 1: its trace goes to the
    file, and its message (for a `LatentgenError`, only that) to the terminal. SIGTERM ends it like an
    exception, so that no incomplete file is left. The last line of the log states how the job ended,
    which `read_log` reads.

    Parameters
    ----------
    path : str or Path
        The log file.
    inputs : paths
        The job's inputs. Those with a checksum file are verified. A corrupt input, detected here or when it
        is read, is moved aside, so that the next call of Snakemake regenerates it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _end)
    with path.open("w", encoding="utf-8") as file, _terminal() as terminal:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # the log is UTF-8 in any locale
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        _log_to(path.stem, terminal)
        try:
            with _touched(path):
                for one in inputs:
                    check(one)
                yield
        except Exception as error:
            traceback.print_exc()
            message = str(error) if isinstance(error, LatentgenError) else f"{type(error).__name__}: {error}"
            if is_out_of_memory(error):
                message = f"The job ran out of memory: {FEWER_JOBS}. ({message})"
            if isinstance(error, DamagedFileError) and (done := move_aside(error.path, inputs)):
                message = f"{error.path} {error.problem}. {done}"
            print(f"latentgen: failed: {message}", file=sys.stderr)
            terminal.write(f"\nlatentgen: {message}\n(log: {path})\n\n")
            sys.exit(1)
        except BaseException as error:
            print(f"latentgen: failed: interrupted ({type(error).__name__})", file=sys.stderr)
            raise
        print(
            f"latentgen: done in {time.monotonic() - started:.1f} s, {peak_megabytes()} MB of memory",
            file=sys.stderr,
        )


def peak_megabytes() -> int:
    """Return the peak memory of this process so far.

    On Linux it is read from /proc, since getrusage includes the process that started this one.
    """
    try:
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        peak = None
    if peak:
        return int(peak[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def _touched(path: Path) -> Iterator[None]:
    """Touch a file regularly while the block runs."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(TOUCH_SECONDS):
            os.utime(path)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True)
class JobState:
    """The state of a job, from its log."""

    state: Literal["running", "done", "failed"]
    message: str = ""
    """Why it failed; the last line it logged, if it is running."""
    seconds: float | None = None
    """Wall time, if it is done."""
    megabytes: int | None = None
    """Peak memory, if it is done."""


_DONE = re.compile(r"^latentgen: done in ([\d.]+) s, (\d+) MB of memory$", re.MULTILINE)
_FAILED = re.compile(r"^latentgen: failed: (.*)", re.MULTILINE | re.DOTALL)
_MESSAGE = re.compile(r"^\S+ \S+ INFO (.*)$", re.MULTILINE)


def read_log(path: str | Path) -> JobState | None:
    """Return the state of a job, from the end of its log; None if there is no readable log."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 20_000))
            text = file.read().decode("utf-8", "replace")
            silent = time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    if done := _DONE.search(text):
        return JobState("done", seconds=float(done[1]), megabytes=int(done[2]))
    if failed := _FAILED.search(text):
        return JobState("failed", failed[1].strip())
    if silent > SILENT_SECONDS:
        return JobState("failed", "killed externally: its log has no final line")
    messages = _MESSAGE.findall(text)
    return JobState("running", messages[-1] if messages else "")


def _terminal() -> TextIO:
    """Return standard error before it is redirected, with characters that it cannot encode replaced."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    return os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors="backslashreplace")


def _end(number: int, _frame: FrameType | None) -> None:
    logger.warning("ended by %s", signal.Signals(number).name)
    sys.exit(128 + number)


def end_process() -> None:
    """End a job's process immediately, after all output is flushed: torch takes long to clean up."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _log_to(job: str, terminal: TextIO) -> None:
    """Send log messages to standard error, and to the terminal if it is interactive and shows no bars."""
    to_file = logging.StreamHandler(sys.stderr)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers: list[logging.Handler] = [to_file]
    if terminal.isatty() and BARS not in os.environ:
        to_terminal = logging.StreamHandler(terminal)
        to_terminal.setFormatter(logging.Formatter(f"{job}: %(message)s"))
        handlers.append(to_terminal)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    warnings.simplefilter("default")


class Progress:
    """Reports the progress of a long loop: at most one line every few seconds, with rate and time left.

    Parameters
    ----------
    total : int
        Largest number of steps.
    unit : str
        Name of a step, in the singular.
    before : int
        Steps that were done before the loop began, which do not count for the rate.
    """

    def __init__(self, total: int, unit: str, before: int = 0) -> None:
        self.total, self.unit, self.before = total, unit, before
        self._start = self._last = time.monotonic()

    def step(self, done: int, note: str = "") -> None:
        """Report that `done` steps are done; logs a line only if the last one was a while ago."""
        now = time.monotonic()
        if now - self._last < HEARTBEAT_SECONDS and done < self.total:
            return
        self._last = now
        rate = (done - self.before) / max(now - self._start, 1e-9)
        left = (self.total - done) / rate if rate else float("inf")
        logger.info(
            "%s %d of at most %d, %.3g per second, at most %s left%s",
            self.unit,
            done,
            self.total,
            rate,
            duration(left),
            f", {note.encode('utf-8', 'replace').decode()}" if note else "",  # names of files are any bytes
        )


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class FewLines(logging.Filter):
    """Replaces Snakemake's messages for each finished job by a count now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._last = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is shown."""
        event = getattr(getattr(record, "event", None), "value", None)
        if event == "job_finished":
            return False
        if event != "progress":
            return True
        now = time.monotonic()
        is_due = now - self._last >= LINE_SECONDS or getattr(record, "done", 0) == getattr(record, "total", 0)
        self._last = now if is_due else self._last
        return is_due
