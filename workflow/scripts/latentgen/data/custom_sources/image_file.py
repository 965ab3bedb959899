"""Read an image file of any format that Pillow supports: exact pixels, or a refusal that says what to do.

Pillow's own conversions lose information: `convert("RGB")` clips 16 bits at 255, drops transparency and
ignores the orientation of the camera.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentgen.errors import LatentgenError

CALL_PROGRAMS_OR_READ_NOTHING = {"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MIC", "MPEG", "WMF"}
"""Formats for which Pillow calls other programs, or knows only the name."""
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "icon\r"}
"""Files that operating systems create beside images, apart from hidden ones."""

ROTATED = "Rotated or mirrored according to their EXIF orientation"
OPAQUE = "Read without the alpha channel, which is opaque everywhere"
WITHOUT_PROFILE = "Converted from {} to RGB, without a colour profile"
FIRST_OF_MPO = "First of several images in a file (MPO); the others are not read"


class ImageFile(Protocol):
    """A source that can be opened to read an image: a path, or an image in memory."""

    @property
    def suffix(self) -> str:
        """End of its name, with the dot."""

    def open(self, mode: Any = "rb") -> Any:
        """Return a binary file."""


@dataclass(frozen=True)
class Picture:
    """The content of an image file.

    Attributes
    ----------
    pixels : uint8 or uint16 array (H, W) or (H, W, 3)
        uint16 only for grey images.
    remarks : tuple of str
        Conversions applied to it.
    """

    pixels: NDArray[Any]
    remarks: tuple[str, ...]


def is_system_file(file: Path) -> bool:
    """Whether a file is hidden, or created by an operating system."""
    return file.name.startswith(".") or file.name.lower() in SYSTEM_FILES


def read_picture(file: ImageFile) -> Picture | None:
    """Read an image file; None if it is not an image.

    Raises
    ------
    LatentgenError
        If the image is corrupt, or if its pixels cannot be kept unchanged.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()
    formats = [name for name in Image.OPEN if name not in CALL_PROGRAMS_OR_READ_NOTHING]
    try:
        with file.open("rb") as opened, Image.open(opened, formats=formats) as image:
            return _picture(image, file)
    except LatentgenError:
        raise
    except UnidentifiedImageError as error:
        if Image.registered_extensions().get(file.suffix.lower()) not in formats:
            return None
        raise LatentgenError(f"{file} cannot be read as an image: it is empty or damaged.") from error
    except Exception as error:  # a corrupt image can raise anything
        raise LatentgenError(f"{file} cannot be read as an image ({error}). Replace or delete it.") from error


def _picture(image: Any, file: ImageFile) -> Picture:
    from PIL import ImageOps

    remarks = []
    if getattr(image, "n_frames", 1) > 1:
        if image.format != "MPO":
            raise LatentgenError(
                f"{file} holds {image.n_frames} frames or pages, but a file must hold one image. Save the "
                "right one as a separate file, or delete this file."
            )
        remarks.append(FIRST_OF_MPO)
    bits = _bits_per_channel(image, file)
    if image.getexif().get(0x0112, 1) in range(2, 9):
        remarks.append(ROTATED)
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return Picture(_deep_pixels(image, file), tuple(remarks))
    if bits > 8:
        raise LatentgenError(
            f"{file} has {bits} bits per channel, but images are stored with 8: Pillow would drop the rest. "
            "Convert the images to 8 bits per channel first (with ImageMagick: mogrify -depth 8), or load "
            "them in a Python function."
        )
    if image.has_transparency_data:
        image = _without_alpha(image, file)
        remarks.append(OPAQUE)
    if image.mode in ("CMYK", "YCbCr"):
        remarks.append(WITHOUT_PROFILE.format(image.mode))
    elif image.mode not in ("1", "L", "P", "RGB", "RGBX"):
        raise LatentgenError(
            f"{file} has the colour mode {image.mode}, whose conversion is not exact. Save the image as "
            "RGB first."
        )
    return Picture(np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")), tuple(remarks))


def _without_alpha(image: Any, file: ImageFile) -> Any:
    """Return an image without its alpha channel.

    Raises
    ------
    LatentgenError
        If a pixel is not opaque: its colour depends on the unknown background.
    """
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("LA" if grey else "RGBA")
    clear = int((np.asarray(image)[..., -1] < 255).sum())
    if clear:
        raise LatentgenError(
            f"{file} has {clear} transparent pixels, whose colour depends on the background. Put the images "
            "onto one first, for instance white: image = image.convert('RGBA'); "
            "Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB')."
        )
    return image.convert("L" if grey else "RGB")


def _deep_pixels(image: Any, file: ImageFile) -> NDArray[np.uint16]:
    """Return grey pixels of more than 8 bits unchanged, if they are whole numbers of at most 16 bits."""
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        kind = "floating-point numbers" if image.mode == "F" else "whole numbers"
        raise LatentgenError(
            f"{file} has pixels that are {kind} from {pixels.min():g} to {pixels.max():g}, but images are "
            "stored with 8 bits. Scale all images in the same way to 0 to 255 and save them with 8 bits, or "
            "load them in a Python function."
        )
    return pixels.astype(np.uint16)


def _bits_per_channel(image: Any, file: ImageFile) -> int:
    """Return the bits per channel in the file (Pillow always reads colour images with 8)."""
    match image.format:
        case "TIFF":
            return int(max(image.tag_v2.get(258, (8,))))
        case "PPM":
            return 16 if max(_numbers(image.tile), default=255) > 255 else 8
        case "PNG" | "JPEG2000" | "AVIF" | "SGI" | "PSD":
            with file.open("rb") as opened:
                return _bits_in_header(image.format, opened.read(2**16))
        case _:
            return 8


def _bits_in_header(kind: str, start: bytes) -> int:
    """Return the bits per channel, from the first bytes of a file; 8 if not specified."""
    match kind:
        case "PNG":
            return start[24] if start[12:16] == b"IHDR" else 8
        case "SGI":
            return 8 * start[3]
        case "PSD":
            return int.from_bytes(start[22:24])
        case "JPEG2000":  # the size marker: 38 bytes, then 3 for each component, the first its depth minus 1
            at = start.find(b"\xff\x4f\xff\x51") + 42
            components = int.from_bytes(start[at - 2 : at])
            depths = start[at : at + 3 * components : 3]
            return max((depth & 0x7F) + 1 for depth in depths) if at > 41 and depths else 8
        case _:  # AVIF: flags of the AV1 configuration
            at = start.find(b"av1C") + 6
            flags = start[at] if 5 < at < len(start) else 0
            return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _numbers(value: Any) -> list[int]:
    """Return all whole numbers in Pillow's description of an image, which include its largest value."""
    return [
        one
        for tile in value
        for one in (tile.args if isinstance(tile.args, tuple) else ())
        if isinstance(one, int)
    ]
