"""Custom data in tar files of the WebDataset format: images, each with its label beside it.

Members of one name up to the first dot are an example: ``00017.jpg`` and ``00017.cls``. Files whose names say
train and test (or val) are the two parts of a data set: ``imagenet-train-000000.tar``. They are read from
beginning to end, without unpacking them.
"""

import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.decoding import in_parallel
from latentgen.data.custom_sources.image_file import Picture
from latentgen.data.custom_sources.image_folder import Scan, in_one_mode, read_reshaped
from latentgen.data.custom_sources.raw import RawData, listed
from latentgen.data.custom_sources.tars import tar_files
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError
from latentgen.runtime.logs import Progress

KEYS = ("label", "cls", "class")
"""Keys of the label in a member .json, if there is no member .cls."""
LARGEST_MEMBER = 2**28
"""Largest size of a member in bytes."""

_SPLITS = {"train_": ("train", "training"), "test_": ("test", "testing", "val", "valid", "validation")}


@dataclass(frozen=True)
class Member:
    """A file in a tar file, in memory; it is read like one on disk."""

    tar: Path
    name: str
    content: bytes = field(repr=False)

    @property
    def suffix(self) -> str:
        """End of its name, with the dot."""
        return PurePosixPath(self.name).suffix

    @property
    def key(self) -> str:
        """Its name up to the first dot, which the members of an example share."""
        folder, slash, name = self.name.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def ending(self) -> str:
        """The rest of its name, in lower case."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()

    def open(self, mode: Any = "rb") -> io.BytesIO:
        """Return its content as a binary file."""
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return f"{self.name} in {self.tar}"


class _Example(NamedTuple):
    """An image that is not decoded yet."""

    image: Member
    label: int | str
    read_bytes: int
    """Bytes of the file up to here."""


def read_tars(path: Path, reshaping: Reshaping) -> RawData:
    """Read a tar file, or a folder of them, as arrays.

    Parameters
    ----------
    path : Path
    reshaping : Reshaping
        Changes to every image; afterwards all must have the same size.

    Raises
    ------
    LatentgenError
        If a tar file or an image is damaged, an example lacks its image or its label, or the images cannot be
        kept unchanged in one size and colour mode.
    """
    scan, images, notes = Scan(path), list[tuple[Any, NDArray[Any]]](), list[str]()
    parts = _by_split(path, notes)
    labels: dict[str, list[int | str]] = {part: [] for part in parts}
    others: set[str] = set()
    sizes = {file: file.stat().st_size for of_part in parts.values() for file in of_part}
    progress, done = Progress(1 + sum(sizes.values()) // 10**6, "MB"), 0
    for part, file in ((part, file) for part, of_part in parts.items() for file in of_part):
        for example, picture in in_parallel(partial(_decoded, reshaping), _examples(file, others)):
            images.append((str(example.image), scan.kept(example.image, picture)))
            labels[part].append(example.label)
            progress.step((done + min(example.read_bytes, sizes[file])) // 10**6, file.name)
        done += sizes[file]
    empty = [part for part, of_part in labels.items() if not of_part]
    if empty:
        raise LatentgenError(f"{listed([str(file) for file in parts[empty[0]]])}: there are no images in it.")
    stacked = in_one_mode(images, scan, reshaping)
    arrays: dict[str, NDArray[Any]] = {}
    for part, of_part in labels.items():
        is_text = any(isinstance(label, str) for label in of_part)
        arrays |= {
            f"{part}images": stacked[: len(of_part)],
            f"{part}labels": np.array(list(map(str, of_part)) if is_text else of_part),
        }
        stacked = stacked[len(of_part) :]
    if others:
        notes.append(f"Not read: members that end in {listed(sorted(others), 10)}.")
    return RawData(arrays, None, [*notes, *scan.notes()])


def _by_split(path: Path, notes: list[str]) -> dict[str, list[Path]]:
    """Return files by the prefix of their arrays, which is empty if the data is not divided.

    Raises
    ------
    LatentgenError
        If there are files for one part only.
    """
    files = tar_files(path)
    by_part: dict[str, list[Path]] = {}
    for part, names in _SPLITS.items() if path.is_dir() else ():
        for name in names:
            of_name = [file for file in files if _says(file.relative_to(path), name)]
            if of_name and part not in by_part:
                by_part[part] = of_name
    if len(by_part) == 1:
        (only,) = by_part
        raise LatentgenError(
            f"{path} has tar files for {only.rstrip('_')} only: names must say train, and test or val. To "
            "hold out a fifth of each class for testing, rename them."
        )
    read = {file for of_part in by_part.values() for file in of_part}
    unread = [file.name for file in files if by_part and file not in read]
    if unread:
        notes.append(f"Not read, since it is neither for training nor for testing: {listed(unread)}.")
    return by_part or {"": files}


def _says(file: Path, split: str) -> bool:
    return any(re.search(rf"(?<![a-z]){split}(?![a-z])", part.lower()) for part in file.parts)


def _decoded(reshaping: Reshaping, example: _Example) -> Picture:
    picture = read_reshaped(reshaping, example.image)
    if picture is None:
        raise LatentgenError(f"{example.image} is not an image.")
    return picture


def _examples(file: Path, others: set[str]) -> Iterator[_Example]:
    """Yield the examples of a tar file; endings of members that are not read are added to `others`."""
    with _reading(file), _opened(file) as archive:
        members: list[Member] = []
        for entry in archive:
            name = entry.name.encode("utf-8", "replace").decode()  # it may be any bytes
            if not entry.isreg() or name.rpartition("/")[2].startswith("."):
                continue
            if entry.size > LARGEST_MEMBER:
                raise LatentgenError(f"{name} in {file} has {entry.size / 1e6:,.0f} MB: it is no image.")
            data = archive.extractfile(entry)
            member = Member(file, name, data.read() if data else b"")
            if members and member.key != members[0].key:
                yield _example(members, entry.offset, others)
                members = []
            members.append(member)
        if members:
            yield _example(members, archive.offset, others)
    if not _has_end(file):
        raise LatentgenError(f"{file} is truncated: it ends without the mark of an end. Get it again.")


def _has_end(file: Path) -> bool:
    """Whether a tar file ends with a block of zeros; one that is compressed has other marks."""
    if file.suffix.lower() != ".tar":
        return True
    with file.open("rb") as opened:
        opened.seek(-min(tarfile.BLOCKSIZE, file.stat().st_size), os.SEEK_END)
        return not any(opened.read())


def _example(members: list[Member], read_bytes: int, others: set[str]) -> _Example:
    """Return the example that some members are.

    Raises
    ------
    LatentgenError
        If it has not one image and a label.
    """
    from PIL import Image

    Image.init()
    suffixes = Image.registered_extensions()
    by_ending = {member.ending: member for member in members}
    images = [member for ending, member in by_ending.items() if f".{ending.split('.')[-1]}" in suffixes]
    where = f"{members[0].key} in {members[0].tar}"
    if len(images) != 1 or len(by_ending) < len(members):
        raise LatentgenError(
            f"{where} has {listed([member.name for member in members])}: an example must have one image, "
            f"such as {members[0].key}.jpg, and its label, {members[0].key}.cls, one right after the other."
        )
    label = _label(by_ending)
    if label is None:
        raise LatentgenError(
            f"{where} has no label: a member {members[0].key}.cls with a number or a name, or "
            f"{members[0].key}.json with a key {' or '.join(KEYS)}."
        )
    others.update(f".{ending}" for ending in by_ending if ending not in ("cls", "json", images[0].ending))
    return _Example(images[0], label, read_bytes)


def _label(by_ending: Mapping[str, Member]) -> int | str | None:
    """Return a label, a number if it is written as one; None if there is none."""
    label: Any = None
    try:
        if "cls" in by_ending:
            label = by_ending["cls"].content.decode("utf-8").strip()
        elif "json" in by_ending:
            values = json.loads(by_ending["json"].content)
            label = next((values[key] for key in KEYS if key in values), None)
    except (UnicodeDecodeError, ValueError, TypeError):
        return None
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
        return None
    return int(label) if isinstance(label, int) or re.fullmatch(r"[0-9]{1,9}", label) else label


def _opened(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r|*")
    except TypeError:  # what tarfile raises if a gzip header is truncated
        raise tarfile.ReadError("its header is incomplete") from None


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Report a tar file that is damaged."""
    try:
        yield
    except (OSError, EOFError, zlib.error, LZMAError, tarfile.TarError) as error:
        raise LatentgenError(
            f"{file} cannot be read as a tar file ({error}): it is truncated or damaged. Get it again."
        ) from error
