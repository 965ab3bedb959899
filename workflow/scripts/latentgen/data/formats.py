"""File formats of image datasets, read without trusting them: idx, pickled arrays, archives, JPEG.

Whatever the bytes are, each function returns what they hold or raises `LatentgenError`; no code in them is
run, no path in them is used, and no more memory is filled than official files would need.
"""

import gzip
import io
import math
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from latentgen.errors import LatentgenError

LARGEST_FILE = 2**28
"""Bytes; the largest official file, CIFAR-100's training set, has 155 million."""


@contextmanager
def _reading(name: str | Path) -> Iterator[None]:
    """Turn what reading a damaged file can raise into a message."""
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
        raise LatentgenError(f"{name} cannot be read: {error}. If it was cut short, get it again.") from error


# --- idx ------------------------------------------------------------------------------------------


def read_gz(path: Path) -> bytes:
    """Return the content of a file, decompressed if its name ends in .gz."""
    with _reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise LatentgenError(f"{path} is larger than any file of a dataset.")
    return content


def parse_idx(content: bytes, source: str) -> NDArray[np.uint8]:
    """Return the array in the content of an idx file of unsigned bytes.

    Parameters
    ----------
    content : bytes
        The whole file, decompressed.
    source : str
        What to call it in messages.

    Raises
    ------
    LatentgenError
        If it is no such file, whatever it is.
    """
    # Two zero bytes, the type (8: unsigned byte), the number of axes, their lengths as big-endian 32-bit
    # integers, the data.
    if content[:3] != b"\x00\x00\x08" or content[3:4] not in (b"\x01", b"\x02", b"\x03", b"\x04"):
        raise LatentgenError(f"{source} is no idx file of unsigned bytes: it begins with {content[:4]!r}.")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise LatentgenError(f"{source} is cut short: it ends within its header.")
    shape = tuple(int.from_bytes(content[at : at + 4]) for at in range(4, start, 4))
    if math.prod(shape) != len(content) - start or 0 in shape:
        raise LatentgenError(
            f"{source} announces an array of shape {shape} and holds {len(content) - start} bytes of it."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# --- Pickled arrays -------------------------------------------------------------------------------


def unpickle_arrays(content: bytes, source: str) -> dict[str, Any]:
    """Return the dictionary in a pickle of plain values and arrays of unsigned bytes.

    Parameters
    ----------
    content : bytes
        A pickle as Python 2 wrote the official files of CIFAR.
    source : str
        What to call it in messages.

    Raises
    ------
    LatentgenError
        If it is no such pickle, whatever it is.
    """
    try:
        value = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise LatentgenError(f"{source} is no pickle of arrays: {error}.") from error
    if not isinstance(value, dict):
        raise LatentgenError(f"{source} holds no dictionary.")
    return {key: item.array if isinstance(item, _PickledArray) else item for key, item in value.items()}


class _PickledArray:
    """Stands for an array of unsigned bytes while a pickle is read, so that nothing of NumPy is called."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _PickledType):
            raise pickle.UnpicklingError("it has an array without a type")
        content = content.encode("latin1") if isinstance(content, str) else content
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


class _PickledType:
    """Stands for NumPy's unsigned byte, the one type there may be."""

    def __init__(self, code: str, *_: object) -> None:
        if code != "u1":
            raise pickle.UnpicklingError(f"it has numbers of type {code!r}")

    def __setstate__(self, state: object) -> None:
        pass


def _bytes(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, by which Python 3 puts bytes into pickles for Python 2."""
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Gives stand-ins for what arrays are made of, and refuses whatever else a pickle asks for."""

    stand_ins: ClassVar = {
        "numpy.core.multiarray._reconstruct": _PickledArray,
        "numpy._core.multiarray._reconstruct": _PickledArray,
        "numpy.ndarray": _PickledArray,
        "numpy.dtype": _PickledType,
        "_codecs.encode": _bytes,
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self.stand_ins:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.stand_ins[f"{module}.{name}"]


# --- Folders and archives -------------------------------------------------------------------------


def read_members(place: Path, files: Sequence[str]) -> dict[str, bytes] | None:
    """Return the contents of files in a folder, or anywhere in a tar.gz archive.

    They are None if there is no such place, or a folder with none of the files.

    Raises
    ------
    LatentgenError
        If only some of the files are there, or the archive cannot be read.
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
            A file by which the folder on disk can be told from others.
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
        If it is no JPEG image, or one of another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.size == (width, height):
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            found = f"{image.height} × {image.width}"
    except Exception as error:  # a damaged image can raise many things
        raise LatentgenError(f"{source} is no JPEG image, or a damaged one: {error}.") from error
    raise LatentgenError(f"{source} has {found} pixels instead of {height} × {width}.")
