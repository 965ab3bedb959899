"""Locks that end with the process that holds them, however it ends: nothing has to be unlocked by hand."""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from latentgen.errors import LatentgenError

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 1.0

_held: list[TextIO] = []


def lock_or_refuse(path: str | Path, what: str) -> None:
    """Take a lock and keep it until this process ends.

    Parameters
    ----------
    path : str or Path
        A file for the lock; it is made, and stays.
    what : str
        What the holder does, for the message: "A study is being computed in this folder".

    Raises
    ------
    LatentgenError
        If another process holds it.
    """
    file = _opened(path)
    if not _taken(file):
        holder = file.read().strip() or "a process that does not say which"
        file.close()
        raise LatentgenError(
            f"{what} already, by {holder}. Wait for it to end, or stop it with Ctrl-C there."
        )
    _held.append(file)


def take_first_free(paths: Sequence[str | Path]) -> int | None:
    """Take the first of some locks that is free, and keep it until this process ends.

    Returns its place, or None if none is free.
    """
    for place, path in enumerate(paths):
        file = _opened(path)
        if _taken(file):
            _held.append(file)
            return place
        file.close()
    return None


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a lock during the block; wait until it is free."""
    with _opened(path) as file:
        waited = False
        while not _taken(file):
            if not waited:
                logger.warning("%s is locked by %s: waiting for it to end", path, file.read().strip())
            waited = True
            time.sleep(SECONDS_BETWEEN_TRIES)
        yield


def _opened(path: str | Path) -> TextIO:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.warning("this file system has no locks (%s): going on without", error)
    file.truncate(0)
    file.write(
        f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
    )
    file.flush()
    return True
