"""The state of an unfinished training, kept in a folder so that another process can resume from it.

The folder is not among a job's declared outputs, which Snakemake deletes when a job fails. It holds the
checkpoints so far and one file with everything else: weights, the optimizer's tensors, the history, the
position in the epoch. A resumed training is bit-identical to one that was never interrupted, on the same kind
of machine with the same number of threads.

A signal takes effect after the current step. SIGTERM (from Snakemake, or from SLURM at a job's time limit or
on preemption) and SIGINT (Ctrl-C) save the state and end the job; after SIGUSR1 (a warning that some sites
send) the state is saved and training continues. After SIGKILL or a power cut, the last saved state remains.
"""

import hashlib
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from latentgen.errors import DamagedFileError
from latentgen.networks.checkpoints import (
    checkpoint_paths,
    read_tensors,
    save_checkpoint,
    save_weights,
)
from latentgen.runtime.files import atomic_path
from latentgen.runtime.locks import locked

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

SECONDS_BETWEEN = 60.0
"""Seconds between two saves, the most that a SIGKILL can lose."""
COST_BETWEEN = 50
"""Least training time between saves, in multiples of the last save's time: saving takes at most 2 %."""

ENDING = (signal.SIGTERM, signal.SIGINT)
WARNING = (signal.SIGUSR1,)


class Stopped(SystemExit):
    """Ends the job after a signal, with the exit status that a shell reports for it."""


@contextmanager
def resumable(checkpoints: str | Path, run: str, identity: Mapping[str, Any]) -> Iterator["Resume"]:
    """Yield a keeper of a training's state, and handle signals meanwhile.

    If another process trains the same run (left over from a killed Snakemake), wait for its end.

    Parameters
    ----------
    checkpoints : str or Path
        The folder for the checkpoints at the end. The state is kept beside it, in ``.resume``.
    run : str
        The run's name, for its checkpoints.
    identity : mapping of plain values
        Everything that the training's result depends on. A state with another identity is refused.
    """
    folder = Path(checkpoints).parent
    resume = Resume(folder / ".resume", run, identity)
    with locked(folder / ".training.lock"):
        before = {number: signal.signal(number, resume.note) for number in (*ENDING, *WARNING)}
        try:
            yield resume
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Resume:
    """Keeps a training's state in a folder (see `resumable`)."""

    def __init__(
        self, folder: Path, run: str, identity: Mapping[str, Any], seconds_between: float = SECONDS_BETWEEN
    ) -> None:
        self.folder, self.run = folder, run
        self.checkpoints = folder / "checkpoints"
        self.identity: dict[str, Any] = json.loads(json.dumps({**identity, "run": run}))
        self.seconds_between = seconds_between
        self.times_resumed = 0
        self._file = folder / "state.safetensors"
        self._signal: int | None = None
        self._next = time.monotonic() + seconds_between

    def note(self, number: int, _frame: FrameType | None = None) -> None:
        """Remember a signal until the current step is over; a handler for `signal.signal`."""
        self._signal = number

    def wanted(self) -> bool:
        """Whether it is time to save, or a signal was received. This is cheap: check after every step."""
        return self._signal is not None or time.monotonic() >= self._next

    def is_done(self, training: str | Path) -> bool:
        """Whether another process has just finished this training; `training` is its summary.

        Snakemake deletes a job's outputs before it starts: existing ones were written while this job waited.
        """
        path = Path(training)
        done = path.exists() and json.loads(path.read_text("utf-8")).get("identity") == self.digest
        if done:
            logger.info("another process has finished this training: nothing is left to do")
        return done

    @property
    def digest(self) -> str:
        """Digest of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    def load(self) -> tuple[dict[str, "np.ndarray[Any, Any]"], dict[str, Any]] | None:
        """Return the saved tensors and values; or None, with an empty folder to start from scratch.

        If a state is not used, the log gives the reason.

        Raises
        ------
        UnreadableFileError
            If there is a state that cannot be read now; it is kept.
        """
        try:
            tensors, described = read_tensors(self._file)
            values: dict[str, Any] = json.loads(described["state"])
        except (DamagedFileError, KeyError) as error:
            self._start_from_scratch(str(error) if self._file.exists() else None)
            return None
        reason = self._refused(values)
        if reason:
            self._start_from_scratch(reason)
            return None
        self.times_resumed = values["times_resumed"] + 1
        for epoch, path in self._saved_checkpoints().items():
            if epoch not in values["checkpoints"]:  # of epochs that will be repeated
                path.unlink()
        return tensors, values

    def _start_from_scratch(self, reason: str | None) -> None:
        if reason:
            logger.warning("the saved state is not used, and training starts from scratch: %s", reason)
        self.discard()

    def _saved_checkpoints(self) -> dict[int, Path]:
        """Return the files of the checkpoints so far; before the first one, the folder does not exist."""
        return checkpoint_paths(self.checkpoints) if self.checkpoints.exists() else {}

    def save(self, tensors: Mapping[str, "np.ndarray[Any, Any]"], values: Mapping[str, Any]) -> None:
        """Save the state. End the job if a signal requested it.

        Raises
        ------
        Stopped
            After SIGTERM or SIGINT.
        """
        started = time.monotonic()
        described = {
            **values,
            "identity": self.identity,
            "checkpoints": list(self._saved_checkpoints()),
            "times_resumed": self.times_resumed,
        }
        save_weights(self._file, tensors, {"state": json.dumps(described)})
        now = time.monotonic()
        self._next = now + max(self.seconds_between, COST_BETWEEN * (now - started))
        number, self._signal = self._signal, None
        if number is not None:
            name = signal.Signals(number).name
            logger.info("%s: state saved in %.1f s, in %s", name, now - started, self._file)
            if number in ENDING:
                logger.info("stopped; run again to resume from here")
                raise Stopped(128 + number)

    def save_checkpoint(self, epoch: int, network: "nn.Module") -> None:
        """Keep the weights of an epoch."""
        save_checkpoint(self.checkpoints, self.run, epoch, network)

    def drop_checkpoints(self, after: int) -> None:
        """Delete the checkpoints after an epoch."""
        for epoch, path in self._saved_checkpoints().items():
            if epoch > after:
                path.unlink()

    def publish_checkpoints(self, folder: str | Path) -> None:
        """Copy all checkpoints to the output folder; the state keeps them until it is discarded."""
        with atomic_path(folder) as partial:
            partial.mkdir()
            for path in self._saved_checkpoints().values():
                try:
                    os.link(path, partial / path.name)
                except OSError:  # a file system without links
                    shutil.copyfile(path, partial / path.name)

    def discard(self) -> None:
        """Delete the state, because the training is finished or the state is unusable."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _refused(self, values: Mapping[str, Any]) -> str | None:
        """Why training cannot resume from a state, if it cannot."""
        before, now = values["identity"], self.identity
        different = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if different:
            changes = (f"{key} was {before.get(key)} and is {now.get(key)}" for key in different)
            return f"it belongs to another training ({'; '.join(changes)})"
        missing = [epoch for epoch in values["checkpoints"] if epoch not in self._saved_checkpoints()]
        return f"its checkpoint of epoch {missing[0]} is missing" if missing else None


def content_digest(*arrays: "np.ndarray[Any, Any]") -> str:
    """Return a digest of the content of arrays, which identifies data sets and labels."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
