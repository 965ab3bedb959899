"""Detect corrupt inputs of a job by their checksum, and move them aside so that they are regenerated."""

import hashlib
import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from latentgen.errors import DamagedFileError
from latentgen.runtime.files import checksum_of, reading


def check(path: str | Path) -> None:
    """Compare a file with the checksum file beside it; a file without one is not checked.

    Raises
    ------
    DamagedFileError
        If it is missing or corrupt.
    UnreadableFileError
        If it, or its checksum, cannot be read now.
    """
    path = Path(path)
    checksum = checksum_of(path)
    if path.is_symlink() or not checksum.exists():  # a link leads to Snakemake's cache, which has no checksum
        return
    with reading(checksum):
        expected = checksum.read_bytes().split()[:1]
    with reading(path):
        content = path.read_bytes()
    if expected != [hashlib.sha256(content).hexdigest().encode()]:
        raise DamagedFileError(path, "does not hold what was written: its checksum differs")


def move_aside(damaged: Path, outputs: Iterable[str | Path]) -> str | None:
    """Rename the output that is or contains a corrupt file, so that it is regenerated.

    Nothing is deleted: files moved aside before keep their names.

    Returns a sentence that describes the action; None if the file does not belong to any of the outputs.
    """
    for output in map(Path, outputs):
        if (output == damaged or output in damaged.parents) and output.exists():
            real = damaged.resolve()
            if output.parent.resolve() not in real.parents:  # a link into Snakemake's cache
                entry = real.parent if output.is_dir() else real
                entry.rename(_name_aside(entry))
            aside = _name_aside(output)
            output.rename(aside)
            checksum_of(output).unlink(missing_ok=True)
            return (
                f"{output} has been moved aside as {aside.name}. Run the same command again to regenerate it."
            )
    return None


def _name_aside(path: Path) -> Path:
    """Return a free name: ``.x.damaged``, then ``.x.damaged-2``, and so on."""
    names = (path.with_name(f".{path.name}.damaged{'' if n == 1 else f'-{n}'}") for n in count(1))
    return next(name for name in names if not os.path.lexists(name))
