"""Writing files that are either whole or absent, and reading only what was written.

Each format carries a checksum that is compared on reading: HDF5 one per chunk (Fletcher-32, beside its own of
the metadata), safetensors one per file (`latentgen.networks.checkpoints`), Parquet one per page
(`latentgen.tables.gathering`).
CSV has no room for one: it lies beside the file, in ``.{name}.sha256``, as sha256sum writes it, and every job
compares those of its inputs (`latentgen.runtime.logs`).
"""

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from latentgen.errors import DamagedFileError, LatentgenError

if TYPE_CHECKING:
    import numpy as np

FORMAT_VERSION = 1
"""Version of the HDF5 layouts below; a reader refuses any other."""


_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; move it into place only if the block succeeds.

    The data is flushed to disk before the rename, so that after a crash there is either the old
    file, the new file or none, and never a part of one. What is yielded may be made a directory.
    What a killed process left of an earlier attempt is deleted.

    Raises
    ------
    LatentgenError
        If the disk is full, or the file may not be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.partial"):
            _delete(left)
        yield partial
        for written in sorted(partial.rglob("*")) if partial.is_dir() else [partial]:
            if written.is_file():
                written.chmod(0o666 & ~_UMASK)  # safetensors writes files that only their owner may read
                _flush(written)
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
                f"{path.parent.resolve()}, or work in a folder of your own, and run again."
            ) from error
        raise
    finally:
        _delete(partial)


def _delete(path: Path) -> None:
    if os.path.isdir(path):  # unlike Path.is_dir, it does not mind a folder that may not be looked into
        shutil.rmtree(path)
    elif os.path.lexists(path):  # on a read-only disk, deleting what is not there fails too
        path.unlink()


def _is_forbidden(error: BaseException, path: Path) -> bool:
    """Whether an error says that a path may not be written, or a folder it is in; not of another file."""
    if not isinstance(error, OSError) or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return False
    about = Path(error.filename or path)  # HDF5 says which in words only
    return about in (path, *path.parents) or path in about.parents


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says so; HDF5 and safetensors do it in words only."""
    if error is None:
        return False
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    in_words = any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))
    return full or in_words or _disk_is_full(error.__cause__ or error.__context__)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_h5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; it appears under `path`, marked complete, only if the block succeeds.

    Chunks are written at once, never held in HDF5's cache: what the cache cannot write later, to a full
    disk, is lost without an error that Python sees.
    """
    with atomic_path(path) as partial, h5py.File(partial, "w", libver="latest", rdcc_nbytes=0) as file:
        try:
            yield file
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["complete"] = True
            file.flush()
        except BaseException:
            # HDF5 crashes if it cannot write what it holds of the file's structure when it closes the file.
            # The content is lost anyway: give its space back.
            os.truncate(partial, 0)
            raise


def put(file: h5py.File, name: str, array: "np.ndarray") -> None:
    """Write a small array into an HDF5 file as one chunk with a checksum."""
    file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)


@contextmanager
def read_h5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file that `write_h5` finished.

    Raises
    ------
    DamagedFileError
        If the file is missing, cut short, not HDF5, unfinished or of another format version; or, wherever in
        the block it is found, if what is read is not what was written.
    """
    if not Path(path).exists():
        raise DamagedFileError(path, "does not exist")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DamagedFileError(path, f"cannot be read as HDF5, or was cut short ({error})") from error
    with file:
        try:
            complete, version = file.attrs.get("complete", False), file.attrs.get("format_version")
            if not complete:
                raise DamagedFileError(path, "was never finished")
            if version != FORMAT_VERSION:
                raise DamagedFileError(
                    path, f"has format version {version}, and this latentgen reads {FORMAT_VERSION}"
                )
            yield file
        except (OSError, KeyError, RuntimeError) as error:
            if _UNREADABLE_H5.match(str(error)):
                raise DamagedFileError(path, f"cannot be read as HDF5 ({error})") from error
            raise


_UNREADABLE_H5 = re.compile(r"['\"]?(Unable|Can't|Unspecified error)(?!.* write data)")
"""How h5py's errors begin where HDF5 cannot make sense of what it reads."""


def write_csv(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows that share the keys of the first one, atomically; floats keep every digit.

    A checksum is written beside the file, for `check`.
    """
    path = Path(path)
    _checksum_of(path).unlink(missing_ok=True)
    with atomic_path(path) as partial:
        with partial.open("w", newline="") as file:
            if rows:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    with atomic_path(_checksum_of(path)) as partial:
        partial.write_text(f"{digest}  {path.name}\n")


def check(path: str | Path) -> None:
    """Compare a file with the checksum that lies beside it; a file without one is taken as it is.

    Raises
    ------
    DamagedFileError
        If it is missing or not what was written.
    """
    path = Path(path)
    checksum = _checksum_of(path)
    if path.is_symlink():  # from Snakemake's cache, which has no checksum; one here is of an earlier file
        return
    if checksum.exists() and checksum.read_text().split()[:1] != [
        hashlib.sha256(path.read_bytes()).hexdigest()
    ]:
        raise DamagedFileError(path, "does not hold what was written: its checksum differs")


def _checksum_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def set_aside(damaged: Path, outputs: Iterable[str | Path]) -> str | None:
    """Rename the one of some outputs that a damaged file is or lies in, so that it is made anew.

    Returns what was done, in words; None if the file belongs to none of the outputs.
    """
    for output in map(Path, outputs):
        if (output == damaged or output in damaged.parents) and output.exists():
            real = damaged.resolve()
            if output.parent.resolve() not in real.parents:  # a link into Snakemake's cache: there as well
                entry = real.parent if output.is_dir() else real
                entry.rename(entry.with_name(f".{entry.name}.damaged"))
            aside = output.with_name(f".{output.name}.damaged")
            _delete(aside)
            output.rename(aside)
            _checksum_of(output).unlink(missing_ok=True)
            return f"{output} has been set aside as {aside.name}. Run the same command again to make it anew."
    return None


def write_json(path: str | Path, value: Mapping[str, object]) -> None:
    """Write plain values as readable JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")
