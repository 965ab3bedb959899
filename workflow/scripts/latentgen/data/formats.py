"""File formats of official data sets, read without trusting them: idx, pickles, archives, JPEG.

For any bytes, each function returns the content or raises `LatentgenError`. No code in unknown files is run,
no path in them is used, and they take no more memory than official files.
"""

import gzip
import hashlib
import io
import math
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.errors import LatentgenError

LARGEST_FILE = 2**28
"""Largest size in bytes; the largest official file, CIFAR-100's training set, has 155 million."""


@contextmanager
def _reading(name: str | Path) -> Iterator[None]:
    """Turn the errors of corrupt files into a message."""
    try:
        yield
    except (
        OSError,
        EOFError,
        KeyError,
        RuntimeError,
        zlib.error,
        tarfile.TarError,
        zipfile.BadZipFile,
    ) as error:
        raise LatentgenError(f"{name} cannot be read: {error}. If it is truncated, get it again.") from error


# --- idx ------------------------------------------------------------------------------------------


def read_gz(path: Path) -> bytes:
    """Return the content of a file, decompressed if its name ends in .gz."""
    with _reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise LatentgenError(f"{path} is larger than any official file. Replace it by the official one.")
    return content


def parse_idx(content: bytes, source: str) -> NDArray[np.uint8]:
    """Return the array in the content of an idx file of unsigned bytes.

    Parameters
    ----------
    content : bytes
        The whole file, decompressed.
    source : str
        Its name in messages.

    Raises
    ------
    LatentgenError
        If it is any other file.
    """
    # Two zero bytes, the type (8: unsigned byte), the number of axes, their lengths as big-endian 32-bit
    # integers, the data.
    if content[:3] != b"\x00\x00\x08" or content[3:4] not in (b"\x01", b"\x02", b"\x03", b"\x04"):
        raise LatentgenError(
            f"{source} is not an idx file of unsigned bytes: it begins with {content[:4]!r}."
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise LatentgenError(f"{source} is truncated: it ends within its header.")
    shape = tuple(int.from_bytes(content[at : at + 4]) for at in range(4, start, 4))
    if math.prod(shape) != len(content) - start or 0 in shape:
        raise LatentgenError(
            f"{source} should hold an array of shape {shape}, but holds {len(content) - start} bytes of data."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# --- Pickles --------------------------------------------------------------------------------------


def unpickle_verified(contents: Mapping[str, bytes], md5: Mapping[str, str], source: str) -> dict[str, Any]:
    """Return the content of official pickles. No other function unpickles anything.

    A pickle can run any code. So the MD5 of every file is verified first, and nothing is unpickled unless all
    files are official.

    Parameters
    ----------
    contents : mapping of bytes
        Files by name, as Python 2 pickled the official files of CIFAR.
    md5 : mapping of str
        The official MD5 of each file.
    source : str
        Their name in messages.

    Raises
    ------
    LatentgenError
        If a file has another MD5, or no official MD5 is known.
    """
    wrong = [
        file
        for file, content in contents.items()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.get(file)
    ]
    if wrong:
        raise LatentgenError(
            f"{source}: the checksums of {', '.join(wrong)} are not those of the official files. They are "
            "truncated, damaged or other files. Replace them by the official ones, or delete them."
        )
    return {file: pickle.loads(content, encoding="latin1") for file, content in contents.items()}


# --- Folders and archives -------------------------------------------------------------------------


def read_members(place: Path, files: Sequence[str]) -> dict[str, bytes] | None:
    """Return the contents of files in a folder, or anywhere in a tar.gz archive.

    Returns None if there is no such place, or a folder with none of the files.

    Raises
    ------
    LatentgenError
        If only some of the files exist, or the archive cannot be read.
    """
    contents = {}
    with _reading(place):
        if place.is_dir():
            contents = {file: read_gz(place / file) for file in files if (place / file).is_file()}
        elif place.exists():
            with tarfile.open(place, "r:gz") as archive:
                for member in archive:
                    file = PurePosixPath(member.name).name
                    if file in files and member.isreg() and member.size <= LARGEST_FILE:
                        data = archive.extractfile(member)
                        contents[file] = data.read() if data else b""
    missing = [file for file in files if file not in contents]
    if missing and (contents or place.is_file()):
        raise LatentgenError(f"{place} lacks {', '.join(missing)}.")
    return contents or None


@dataclass(frozen=True)
class Folder:
    """A folder on disk, or in a zip archive that is not unpacked."""

    root: Path | zipfile.Path

    @classmethod
    def find(cls, place: Path, name: str, sign: str) -> "Folder | None":
        """Return a folder if there is one.

        Parameters
        ----------
        place : Path
            The folder itself, or the archive.
        name : str
            The folder's name in the archive.
        sign : str
            A file that identifies the folder on disk.
        """
        if place.is_dir():
            return cls(place) if (place / sign).is_file() else None
        if not place.exists():
            return None
        with _reading(place):
            return cls(zipfile.Path(place, f"{name}/"))

    def read(self, file: str) -> bytes:
        """Return the content of a file."""
        with _reading(f"{self}/{file}"), (self.root / file).open("rb") as opened:
            content: bytes = opened.read(LARGEST_FILE)
        return content

    def __str__(self) -> str:
        return str(self.root).rstrip("/")


# --- JPEG -----------------------------------------------------------------------------------------


def decode_jpeg(content: bytes, height: int, width: int, source: str) -> NDArray[np.uint8]:
    """Return a photograph as an array (3, H, W); a grey one gets three equal channels.

    Raises
    ------
    LatentgenError
        If it is not a JPEG image, or has another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.size == (width, height):
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            size = f"{image.height} × {image.width}"
    except Exception as error:  # a corrupt image can raise many errors
        raise LatentgenError(f"{source} is not a JPEG image, or is damaged: {error}.") from error
    raise LatentgenError(f"{source} has {size} pixels instead of {height} × {width}.")
