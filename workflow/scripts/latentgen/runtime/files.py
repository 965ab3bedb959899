"""Write files atomically, and detect corrupt files when reading.

Each format has a checksum that is verified on reading: HDF5 one per chunk (Fletcher-32, besides that of its
metadata), safetensors one per file (`latentgen.networks.checkpoints`), Parquet one per page
(`latentgen.tables.gathering`). That of a CSV file is in ``.{name}.sha256`` beside it, in the format of
sha256sum, and every job verifies those of its inputs (`latentgen.runtime.logs`).

A file counts as damaged only by its checksum or its format. A file that cannot be read for another reason (no
permission, too many open files, open for writing elsewhere) is reported and not touched.
"""

import csv
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from latentgen.errors import DamagedFileError, LatentgenError, UnreadableFileError

if TYPE_CHECKING:
    import numpy as np

FORMAT_VERSION = 1
"""Version of the HDF5 layouts below; a reader refuses any other."""

ABANDONED_SECONDS = 7 * 24 * 3600.0
"""A partial file from another machine, unchanged for this long, counts as left over from a killed job."""


# --- Writing --------------------------------------------------------------------------------------


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` only if the block succeeds.

    The data is flushed to disk before the rename, so that after a crash there is either the old
    file, the new file or none, and never a part of one. The yielded path may be made a directory.
    Partial files of killed processes are deleted; those that another process is writing are not.

    Raises
    ------
    LatentgenError
        If the disk is full, or the file may not be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.partial")
    try:
        _make_folder(path.parent)
        _delete_abandoned(path)
        yield partial
        _flush_all(partial)
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
        _flush(path.parent)
    except Exception as error:
        if _disk_is_full(error):
            raise LatentgenError(
                f"The disk is full: {path} could not be written, and nothing of it is left. "
                f"Make room in {path.parent.resolve()} and run again."
            ) from error
        if _is_forbidden(error, partial):
            raise LatentgenError(
                f"{path} may not be written ({error}). Get permission to write in "
                f"{path.parent.resolve()}, or work in another folder, and run again."
            ) from error
        raise
    finally:
        _delete(partial)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, and flush the new ones to disk."""
    new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for parent in new:
        _flush(parent.parent)


def _delete_abandoned(path: Path) -> None:
    """Delete the partial files of a path whose process has ended."""
    for partial in path.parent.glob(f".{escape(path.name)}.*.partial"):
        with suppress(FileNotFoundError):  # another process has deleted or finished it
            if _is_abandoned(partial, partial.name.removeprefix(f".{path.name}.").removesuffix(".partial")):
                _delete(partial)


def _is_abandoned(partial: Path, writer: str) -> bool:
    """Whether the process that wrote a partial file has ended; on another machine, judged by its age."""
    host, _, process = writer.rpartition("-")
    if host == socket.gethostname() and process.isdecimal():
        return int(process) == os.getpid() or not _is_alive(int(process))
    newest = max(file.lstat().st_mtime for file in (partial, *partial.rglob("*")))
    return time.time() - newest > ABANDONED_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # only asks
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _delete(path: Path) -> None:
    if os.path.isdir(path):  # unlike Path.is_dir, this does not fail without permission to read the folder
        shutil.rmtree(path)
    elif os.path.lexists(path):  # on a read-only disk, deleting a missing file fails too
        path.unlink()


@cache
def _new_file_mode() -> int:
    """Permissions of a new file under this process's umask, which can be read on Linux only."""
    try:
        (umask,) = re.findall(r"^Umask:\s+(\d+)$", _read("/proc/self/status"), re.MULTILINE)
        return 0o666 & ~int(umask, 8)
    except (OSError, ValueError):
        umask = os.umask(0o022)
        os.umask(umask)
        return 0o666 & ~umask


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")


def _flush_all(partial: Path) -> None:
    """Flush a file, or all files of a folder and then their folders, to disk."""
    inside = sorted(partial.rglob("*"), reverse=True) if partial.is_dir() else []
    for path in (*inside, partial):
        if path.is_file():
            path.chmod(_new_file_mode())  # safetensors writes files that only their owner can read
        _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def _is_forbidden(error: BaseException, path: Path) -> bool:
    """Whether an error means that a path, or a folder above it, may not be written."""
    if not isinstance(error, OSError) or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return False
    about = Path(error.filename or path)  # HDF5 names it in the text only
    return about in (path, *path.parents) or path in about.parents


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or its cause, means a full disk; HDF5 and safetensors report it as text only."""
    if error is None:
        return False
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    in_words = any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))
    return full or in_words or _disk_is_full(error.__cause__ or error.__context__)


# --- Reading --------------------------------------------------------------------------------------


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Report a file that is missing or cannot be read now, while the block reads it.

    Raises
    ------
    DamagedFileError
        If there is no such file.
    UnreadableFileError
        If the operating system refuses to read it, for any reason.
    """
    try:
        with open(path, "rb"):  # libraries report such errors in many ways, or as other errors
            pass
        yield
    except FileNotFoundError as error:
        raise DamagedFileError(path, "does not exist") from error
    except OSError as error:
        if isinstance(error, IsADirectoryError) or _system_error(error) is None:
            raise
        raise _unreadable(path, error) from error


def _system_error(error: OSError) -> int | None:
    """Return the number of the operating system's error; None if the error is about the content."""
    in_words = re.search(r"errno = (\d+)", str(error))  # as HDF5 reports it while reading
    return error.errno or (int(in_words[1]) if in_words else None)


def _unreadable(path: str | Path, error: OSError) -> UnreadableFileError:
    match number := _system_error(error):
        case errno.EACCES | errno.EPERM:
            advice = "Get permission to read it"
        case errno.EMFILE | errno.ENFILE:
            advice = "Allow more open files (ulimit -n), or run fewer jobs at a time"
        case errno.EAGAIN:
            advice = "Another program has it open for writing: close it there"
        case _:
            advice = "Check the disk or the network it is on"
    reason = os.strerror(number) if number else str(error)
    return UnreadableFileError(f"{path} cannot be read now: {reason}. {advice}, then run again.")


# --- HDF5 -----------------------------------------------------------------------------------------


@contextmanager
def write_h5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; it appears under `path`, marked complete, only if the block succeeds.

    Chunks are written immediately and never held in HDF5's cache: if the cache cannot be written later, on a
    full disk, its content is lost without an error in Python.
    """
    with (
        atomic_path(path) as partial,
        h5py.File(partial, "w", libver="latest", rdcc_nbytes=0, locking=False) as file,
    ):
        try:
            yield file
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["complete"] = True
            file.flush()
        except BaseException:
            # HDF5 crashes if it cannot write the rest of the file's structure when it closes the file.
            # The content is lost anyway: free its space.
            os.truncate(partial, 0)
            raise


def put(file: h5py.File, name: str, array: "np.ndarray") -> None:
    """Write a small array into an HDF5 file as one chunk with a checksum."""
    file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)


@contextmanager
def read_h5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file that `write_h5` finished.

    HDF5's own locks are not used: files get their name only when they are finished, and some file systems
    have no locks.

    Raises
    ------
    DamagedFileError
        If the file is missing, truncated, not HDF5, unfinished or of another format version; or if reading it
        in the block shows that it is corrupt.
    UnreadableFileError
        If the file cannot be read now: no permission, too many open files, open for writing elsewhere.
    """
    with _opened_h5(path) as file, h5_errors(path):
        complete, version = file.attrs.get("complete", False), file.attrs.get("format_version")
        if not complete:
            raise DamagedFileError(path, "was never finished")
        if version != FORMAT_VERSION:
            raise DamagedFileError(
                path, f"has format version {version}, and this latentgen reads {FORMAT_VERSION}"
            )
        yield file


@contextmanager
def h5_errors(path: str | Path) -> Iterator[None]:
    """Report errors of h5py in the block as those of one file, which `read_h5` has opened.

    Raises
    ------
    DamagedFileError, UnreadableFileError
        As in `read_h5`.
    """
    try:
        yield
    except (OSError, KeyError, RuntimeError) as error:
        if not _UNREADABLE_H5.match(str(error)):
            raise
        if isinstance(error, OSError) and _system_error(error) is not None:
            raise _unreadable(path, error) from error
        raise DamagedFileError(path, f"cannot be read as HDF5 ({error})") from error


def _opened_h5(path: str | Path) -> h5py.File:
    try:
        with reading(path):
            try:
                return h5py.File(path, "r", locking=False)
            except OSError as error:
                if "locking flag" not in str(error):  # this process already has it open, with locks
                    raise
                return h5py.File(path, "r")
    except OSError as error:
        if "already open" not in str(error):
            raise DamagedFileError(path, f"cannot be read as HDF5, or was truncated ({error})") from error
        if _is_open_elsewhere(path):
            raise UnreadableFileError(
                f"{path} is open for writing in another program. Close it there, then run again."
            ) from error
        raise DamagedFileError(path, "was never finished: the program that wrote to it was killed") from error


def _is_open_elsewhere(path: str | Path) -> bool:
    """Whether a program has an HDF5 file open for writing, judged by its lock; true if that is unknown."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


_UNREADABLE_H5 = re.compile(r"(\[Errno \d+\] )?['\"]?(Unable|Can't|Unspecified error)(?!.* write data)")
"""Beginnings of h5py's errors for content that HDF5 cannot interpret."""


# --- CSV and JSON ---------------------------------------------------------------------------------


def write_csv(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows that share the keys of the first one, atomically; floats keep every digit.

    A checksum is written beside the file (`latentgen.runtime.damage`).
    """
    path = Path(path)
    checksum_of(path).unlink(missing_ok=True)
    with atomic_path(path) as partial:
        with partial.open("w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    with atomic_path(checksum_of(path)) as partial:
        partial.write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def checksum_of(path: Path) -> Path:
    """Return the path of the checksum of a CSV file."""
    return path.with_name(f".{path.name}.sha256")


def write_json(path: str | Path, value: Mapping[str, object]) -> None:
    """Write plain values as readable JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
