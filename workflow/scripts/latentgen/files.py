"""Writing files that are either whole or absent, and reading only whole ones."""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py

from latentgen.errors import LatentgenError

FORMAT_VERSION = 1
"""Version of the HDF5 layouts below; a reader refuses any other."""


_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; move it into place only if the block succeeds.

    The data is flushed to disk before the rename, so that after a crash there is either the old
    file, the new file or none, and never a part of one. What is yielded may be made a directory.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _remove(partial)  # left by a killed process of the same number, which in a container is likely
    try:
        yield partial
        for written in sorted(partial.rglob("*")) if partial.is_dir() else [partial]:
            if written.is_file():
                written.chmod(0o666 & ~_UMASK)  # safetensors writes files that only their owner may read
                _flush(written)
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
        _flush(path.parent)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_h5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; it appears under `path`, marked complete, only if the block succeeds."""
    with atomic_path(path) as partial, h5py.File(partial, "w", libver="latest") as file:
        yield file
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["complete"] = True


@contextmanager
def read_h5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file that `write_h5` finished.

    Raises
    ------
    LatentgenError
        If the file is missing, cut short, not HDF5, unfinished or of another format version.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise LatentgenError(f"{path} does not exist.") from None
    except OSError as error:
        raise LatentgenError(
            f"{path} cannot be read as HDF5 ({error}). It was probably cut short: delete it and run again."
        ) from error
    with file:
        if not file.attrs.get("complete", False):
            raise LatentgenError(f"{path} was never finished. Delete it and run again.")
        version = file.attrs.get("format_version")
        if version != FORMAT_VERSION:
            raise LatentgenError(
                f"{path} has format version {version}; this latentgen reads {FORMAT_VERSION}. "
                "Delete it and run again."
            )
        yield file


def write_csv(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows that share the keys of the first one, atomically; floats keep every digit."""
    with atomic_path(path) as partial, partial.open("w", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def write_json(path: str | Path, value: Mapping[str, object]) -> None:
    """Write plain values as readable JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")
