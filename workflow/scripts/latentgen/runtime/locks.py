"""Locks that end with the process that holds them, however it ends, so that no lock is ever left over.

They are `filelock`'s, which use the operating system's own (flock, also on NFS). Its fallback for file
systems without locks is disabled, since such a lock would outlive its process. The lock file names the
holder.
"""

import errno
import logging
import os
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latentgen.errors import LatentgenError

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 1.0

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of file systems without locks."""

_held: list["FileLock"] = []


def lock_or_refuse(path: str | Path, what: str) -> None:
    """Take a lock and keep it until this process ends.

    Parameters
    ----------
    path : str or Path
        A file for the lock; it is created, and not deleted.
    what : str
        The holder's activity, for the message: "A study is being computed in this folder".

    Raises
    ------
    LatentgenError
        If another process holds it, or the file cannot be opened.
    """
    lock = _lock(path)
    if not _is_taken(lock):
        raise LatentgenError(
            f"{what} already, by {_holder(path)}. Wait for it to end, or stop it with Ctrl-C there."
        )
    _held.append(lock)


def take_first_free(paths: Sequence[str | Path]) -> int | None:
    """Take the first free lock of several, and keep it until this process ends.

    Returns its position, or None if none is free.
    """
    for position, path in enumerate(paths):
        lock = _lock(path)
        if _is_taken(lock):
            _held.append(lock)
            return position
    return None


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold a lock during the block; wait until it is free.

    Raises
    ------
    LatentgenError
        If the file cannot be opened.
    """
    lock = _lock(path)
    if not _is_taken(lock):
        logger.warning("%s is locked by %s: waiting for it to end", path, _holder(path))
        lock.acquire(poll_interval=SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        lock.release()


def private_folder() -> Path | None:
    """Return a private folder of this user in the shared temporary folder; None if that is not possible.

    Anybody can create files there under any name. So the folder is used only if it belongs to this user and
    is closed to all others.
    """
    folder = Path(tempfile.gettempdir(), f"latentgen-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if is_ours else None


def _lock(path: str | Path) -> "FileLock":
    from filelock import FileLock

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, fallback_to_soft=False, preserve_lock_file=True, on_acquired=_write_holder)


def _is_taken(lock: "FileLock") -> bool:
    """Take a lock if it is free, and return whether it was; without support for locks, return True."""
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise LatentgenError(
                f"{lock.lock_file} cannot be locked ({os.strerror(error.errno or 0)}). Get permission to "
                "write there; if it is a link or a folder, delete it. Then run again."
            ) from error
        logger.warning("this file system has no locks (%s): continuing without one", error)
    return True


def _write_holder(descriptor: int) -> None:
    holder = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, holder.encode(), 0)


def _holder(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8").strip() or "an unknown process"
