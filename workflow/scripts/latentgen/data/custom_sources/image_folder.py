"""Custom data as a folder of images by class: train/CLASS/… and test/CLASS/…, or only CLASS/…."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.decoding import in_parallel
from latentgen.data.custom_sources.image_file import ImageFile, Picture, is_system_file, read_picture
from latentgen.data.custom_sources.raw import RawData, in_order, listed
from latentgen.data.reshaping import Reshaping
from latentgen.data.spool import Spool, room_for
from latentgen.errors import LatentgenError
from latentgen.runtime.logs import Progress

TRAIN, TEST, VALIDATION = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")
"""Names of the folders of a split, in any case."""
NO_CLASSES = {"__macosx", "__pycache__", "lost+found", "@eadir", "$recycle.bin", "system volume information"}
"""Folders that systems and archives create beside the classes, apart from hidden ones."""

UNCHANGED = Reshaping()

SAVED_AS_COLOUR = "Read as grey, since they are saved as colour but contain none"
ROUNDED_GREY = "Read as grey, though channels differ by 1 (of 255), as a lossy format without grey rounds"


@dataclass
class Scan:
    """Remarks collected while images are read, for the notes, and room for the images."""

    root: Path
    remarks: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    spool: Spool = field(default_factory=Spool)

    def name(self, path: Any) -> str:
        """Return the path relative to the folder, as messages show it."""
        relative = path.relative_to(self.root) if isinstance(path, Path) else path
        return str(relative).encode("utf-8", "replace").decode()

    def remark(self, text: str, file: Any) -> None:
        self.remarks[text] += 1
        self.first.setdefault(text, self.name(file))

    def kept(self, file: Any, picture: Picture) -> NDArray[Any]:
        """Return the pixels of an image, which need not stay in memory; its conversions are noted."""
        for remark in picture.remarks:
            self.remark(remark, file)
        return self.spool.keep(picture.pixels)

    def notes(self) -> Iterator[str]:
        for text, count in self.remarks.items():
            yield f"{text}: {count} image{'s' if count > 1 else ''} (first: {self.first[text]})."
        if self.nested:
            folders = sorted({str(Path(file).parent) for file in self.nested})
            yield (
                f"In subfolders, and read as part of their class folder: {len(self.nested)} images "
                f"({listed(folders)})."
            )
        if self.skipped:
            yield (
                f"Skipped, since they are not images: {len(self.skipped)} files or folders "
                f"({listed(self.skipped)})."
            )


def image_files(path: Path) -> list[Path]:
    """Return all possible images in a folder of images, in the order in which they are read."""
    return [file for file in _files(path, set()) if file.is_file() and not is_system_file(file)]


def read_image_folder(path: Path, reshaping: Reshaping = UNCHANGED) -> RawData:
    """Read a folder of images by class.

    Classes are in alphabetical order, or in the order of their numbers if all names are whole numbers.

    Parameters
    ----------
    path : Path
    reshaping : Reshaping
        Changes to every image; afterwards all must have the same size.

    Raises
    ------
    LatentgenError
        If there are no images, if a class of the training images is empty, if the test images have other
        classes, or if the images cannot be kept unchanged in one size and colour mode.
    """
    scan = Scan(path)
    notes: list[str] = []
    parts = _splits(path, scan, notes)
    classes = {part: _class_folders(folder, scan) for part, folder in parts.items()}
    train = next(iter(classes))
    names = in_order(classes[train])
    strange = sorted(set(classes.get("test_", ())) - set(names))
    if strange:
        raise LatentgenError(
            f"{parts['test_']} has classes that {parts[train]} does not have: {', '.join(strange)}."
        )
    pictures: dict[str, list[list[tuple[Path, NDArray[Any]]]]] = {part: [] for part in classes}
    progress = Progress(len(names) * len(classes), "class")
    for part, name in product(classes, names):
        pictures[part].append(_read_class(classes[part].get(name), scan, reshaping))
        progress.step(sum(map(len, pictures.values())), f"{part}{name}")
    empty = [name for name, images in zip(names, pictures[train], strict=True) if not images]
    if empty:
        whole = "" if len(empty) < len(names) else " No folder here holds any."
        skipped = f" Skipped, since they are not images: {listed(scan.skipped)}." if scan.skipped else ""
        raise LatentgenError(
            f"{parts[train]}: these class folders hold no images: {', '.join(empty)}.{whole} Delete them, or "
            f"put images into them.{skipped}"
        )
    if "test_" in parts and not any(pictures["test_"]):
        raise LatentgenError(f"{parts['test_']} holds no images in folders by class.")
    images = [image for part in pictures.values() for of_class in part for image in of_class]
    files = [file for file, _ in images]
    stacked = in_one_mode(images, scan, reshaping)
    arrays: dict[str, NDArray[Any]] = {}
    for part, of_classes in pictures.items():
        labels = np.repeat(np.arange(len(names)), [len(images) for images in of_classes])
        arrays |= {f"{part}images": stacked[: len(labels)], f"{part}labels": labels}
        stacked = stacked[len(labels) :]
    return RawData(arrays, names, [*notes, *scan.notes()], files)


def read_reshaped(reshaping: Reshaping, file: ImageFile) -> Picture | None:
    """Read an image as `read_picture` does, and change it; those of 16 bits are changed once they have 8.

    Raises
    ------
    LatentgenError
        As `read_picture`, or if it cannot be changed in this way.
    """
    picture = read_picture(file)
    if picture is None or picture.pixels.dtype != np.uint8:
        return picture
    return replace(picture, pixels=_reshaped(file, picture.pixels, reshaping))


def read_images(files: Sequence[Any], root: Path, reshaping: Reshaping) -> NDArray[np.uint8]:
    """Return images in memory as one array.

    Raises
    ------
    LatentgenError
        If one is not an image, or if they cannot be kept unchanged in one size and colour mode.
    """
    images = []
    for file, picture in in_parallel(partial(read_reshaped, reshaping), files):
        if picture is None:
            raise LatentgenError(f"{file} is not an image.")
        images.append((file, picture.pixels))
    return in_one_mode(images, Scan(root), reshaping)


def _splits(path: Path, scan: Scan, notes: list[str]) -> dict[str, Path]:
    """Return the folders of the training and test images by prefix of their arrays; one if not divided."""
    folders = [entry for entry in _sorted(path) if _is_class(entry)]
    by_role = {
        role[0]: [one for one in folders if one.name.lower() in role] for role in (TRAIN, TEST, VALIDATION)
    }
    others = [folder.name for folder in folders if not any(folder in role for role in by_role.values())]
    train, test, validation = by_role.values()
    if not train and not others and folders:
        raise LatentgenError(f"{path} has {listed([one.name for one in folders])}, but no folder train.")
    if not train or (others and not any(map(_is_class, _sorted(train[0])))):
        return {"": path}  # classes, one of which may be called train
    if others and not test and not validation:
        raise LatentgenError(
            f"{path} has a folder {train[0].name} and, beside it, {listed(others)}. Move these elsewhere; "
            f"or, if {train[0].name} is also a class, put its images directly into it."
        )
    twice = next((role for role in by_role.values() if len(role) > 1), None)
    if twice:
        raise LatentgenError(
            f"{path} has {' and '.join(one.name for one in twice)}: keep one of these folders."
        )
    scan.skipped += [scan.name(entry) for entry in _sorted(path) if entry not in folders]
    if not test and not validation:
        raise LatentgenError(
            f"{path} has a folder {train[0].name}, but no test, val or validation. To hold out a fifth of "
            f"each class for testing, give the folder {train[0]} instead."
        )
    unread = [*others, *(one.name for one in validation if test)]
    if unread:
        notes.append(f"Not read, since it is neither for training nor for testing: {listed(unread)}.")
    if validation and not test:
        notes.append(f"There is no folder test: the images in {validation[0].name} are the test images.")
    return {"train_": train[0], "test_": (test or validation)[0]}


def _class_folders(folder: Path, scan: Scan) -> dict[str, Path]:
    """Return class folders by name, in one Unicode form; everything else counts as skipped."""
    classes: dict[str, Path] = {}
    for entry in _sorted(folder):
        if not _is_class(entry):
            scan.skipped.append(scan.name(entry))
            continue
        name = unicodedata.normalize("NFC", entry.name)
        if name in classes:
            raise LatentgenError(
                f"{folder} has two folders called {name!r}, which differ only in the Unicode form of the "
                "name. Put their images into one of them."
            )
        classes[name] = entry
    if not classes:
        raise LatentgenError(
            f"{folder} holds neither arrays (train_images.npy) nor folders train/CLASS/ and test/CLASS/, or "
            "CLASS/, with images."
        )
    return classes


def _is_class(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".") and entry.name.lower() not in NO_CLASSES


def _read_class(folder: Path | None, scan: Scan, reshaping: Reshaping) -> list[tuple[Path, NDArray[Any]]]:
    def read(file: Path) -> Picture | None:
        return None if is_system_file(file) or not file.is_file() else read_reshaped(reshaping, file)

    images = []
    for file, picture in in_parallel(read, _files(folder, set()) if folder else ()):
        if picture is None:
            scan.skipped.append(scan.name(file))
            continue
        if file.parent != folder:
            scan.nested.append(scan.name(file))
        images.append((file, scan.kept(file, picture)))
    return images


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise LatentgenError(f"{folder} cannot be opened: {error.strerror}.") from error


def _files(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Yield all files below a folder, its own before those of its subfolders; links are followed."""
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above
        return
    entries = _sorted(folder)
    yield from (entry for entry in entries if not _is_class(entry))
    for entry in filter(_is_class, entries):
        yield from _files(entry, seen | {real})


def in_one_mode(
    images: list[tuple[Any, NDArray[Any]]], scan: Scan, reshaping: Reshaping
) -> NDArray[np.uint8]:
    """Return all images as one array, in one size and colour mode and with 8 bits.

    Raises
    ------
    LatentgenError
        If they have several sizes or colour modes, or values that 8 bits cannot hold.
    """
    deep = {file for file, image in images if image.dtype != np.uint8}
    _check_sizes([one for one in images if not reshaping.plain or one[0] not in deep])
    grey = [file for file, image in images if image.ndim == 2]
    colour = [(file, image) for file, image in images if image.ndim == 3]
    if grey and colour and reshaping.channels is None:
        spread = {file: int(np.ptp(image, axis=2).max()) for file, image in colour}
        mixed = next((file for file, differ in spread.items() if differ > 1), None)
        if mixed:
            raise LatentgenError(
                f"All images must have the same colour mode: {mixed} is colour, {grey[0]} is grey. Convert "
                "all to RGB or all to grey: set channels, to 3 or 1, in the data set's block, or as an "
                "option of latentgen audit and repair."
            )
        for file, differ in spread.items():
            scan.remark(ROUNDED_GREY if differ else SAVED_AS_COLOUR, file)
        images = [(file, image if image.ndim == 2 else _median(image)) for file, image in images]
    files, pixels = [file for file, _ in images], _with_8_bits(images, scan)
    pixels = [  # those with 8 bits were reshaped when they were read
        _reshaped(file, image, reshaping) if file in deep else image
        for file, image in zip(files, pixels, strict=True)
    ]
    _check_sizes(list(zip(files, pixels, strict=True)))
    stacked: NDArray[np.uint8] = room_for((len(pixels), *pixels[0].shape), np.uint8)
    for place, image in zip(stacked, pixels, strict=True):
        place[...] = image
    return stacked


def _reshaped(file: Any, image: NDArray[np.uint8], reshaping: Reshaping) -> NDArray[np.uint8]:
    try:
        return reshaping.picture(image) if reshaping.plain else image
    except ValueError as error:
        raise LatentgenError(f"{file}: {error}.") from None


def _check_sizes(images: Sequence[tuple[Path, NDArray[Any]]]) -> None:
    for file, image in images:
        first_file, first = images[0]
        if image.shape[:2] != first.shape[:2]:
            raise LatentgenError(
                f"All images must have the same size: {file} has {_size(image)} pixels, {first_file} "
                f"{_size(first)}. Set resize, or resize and crop: in the data set's block, or as options of "
                "latentgen audit and repair."
            )


def _median(image: NDArray[Any]) -> NDArray[Any]:
    """Return the median of three channels: if they differ by 1 at most, the value of at least two."""
    return np.sort(image, axis=2)[..., 1]


def _size(image: NDArray[Any]) -> str:
    return f"{image.shape[1]} × {image.shape[0]}"


def _with_8_bits(images: list[tuple[Path, NDArray[Any]]], scan: Scan) -> list[NDArray[np.uint8]]:
    """Divide 16-bit images by 257 if they are 8-bit ones multiplied by 257, which is exact."""
    deep = [(file, image) for file, image in images if image.dtype == np.uint16]
    if any((image % 257).any() for _, image in deep):
        largest = max(int(image.max()) for _, image in deep)
        bits = max(9, largest.bit_length())
        few = f" They use {bits} bits only (0 to {2**bits - 1})." if bits < 16 else ""
        raise LatentgenError(
            f"{len(deep)} images have 16 bits, with values up to {largest} (first: "
            f"{scan.name(deep[0][0])}), but images are stored with 8.{few} If 8 bits are enough, convert "
            "the files first: pixels = numpy.asarray(PIL.Image.open(file)); PIL.Image.fromarray((pixels * "
            f"(255 / {2**bits - 1})).round().astype('uint8')).save(file)."
        )
    for file, _ in deep:
        scan.remark("16-bit values divided by 257, which is exact", file)
    return [(image // 257).astype(np.uint8) if image.dtype == np.uint16 else image for _, image in images]
