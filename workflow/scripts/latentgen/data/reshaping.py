"""Change a data set when it is read: resize, crop, pad and recolour images; next tokens as classes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentgen.data.datasets import Dataset, DatasetInfo, Images
from latentgen.data.inputs import image_shape, kind_of
from latentgen.data.next_tokens import next_token_shape, next_tokens
from latentgen.data.spool import room_for
from latentgen.errors import LatentgenError


@dataclass(frozen=True)
class Reshaping:
    """Changes to a data set, to images in this order; none by default.

    Attributes
    ----------
    channels : 1 or 3, optional
        Grey becomes three equal channels; colour becomes grey by its luma (ITU-R 601-2).
    resize : int or (int, int), optional
        Length of the shorter side, keeping the aspect ratio, or height and width; bilinear, with
        antialiasing.
    crop : int or (int, int), optional
        Side of the square, or height and width, to keep around the centre.
    pad : int, optional
        Number of black pixels to add on each side.
    targets : "next_token", optional
        For sequences of tokens: the class of each token is the next one (`latentgen.data.next_tokens`).
    """

    channels: Literal[1, 3] | None = None
    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    pad: int | None = None
    targets: Literal["next_token"] | None = None

    @property
    def plain(self) -> dict[str, Any]:
        """The given settings."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def of_images(self) -> list[str]:
        """Names of the given settings that are for images."""
        return [name for name in self.plain if name != "targets"]

    @property
    def suffix(self) -> str:
        """Suffix for the name of a data set, such as ``_resize32_pad2``."""
        changes = "".join(
            f"_{name}{'x'.join(map(str, value)) if isinstance(value, Sequence) else value}"
            for name in self.of_images
            for value in [self.plain[name]]
        )
        return changes + (f"_{self.targets}" if self.targets else "")

    def shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return channels, height and width of a changed image.

        Raises
        ------
        ValueError
            If it is smaller than the part to keep.
        """
        channels, height, width = shape
        height, width = self._resized(height, width)
        if self.crop is not None:
            kept = _two(self.crop)
            if kept[0] > height or kept[1] > width:
                raise ValueError(f"crop: {kept[0]} × {kept[1]} is more than the {height} × {width} there are")
            height, width = kept
        pad = self.pad or 0
        return self.channels or channels, height + 2 * pad, width + 2 * pad

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.resize is None:
            return height, width
        if not isinstance(self.resize, int):
            return _two(self.resize)
        shorter = min(height, width)
        return round(height * self.resize / shorter), round(width * self.resize / shorter)

    def picture(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a changed image, H × W or H × W × 3."""
        from PIL import Image

        height, width = pixels.shape[:2]
        *_, rows, columns = self.shape((1, height, width))
        if self.channels is not None or self.resize is not None:
            image = Image.fromarray(pixels)
            if self.channels is not None:
                image = image.convert("RGB" if self.channels == 3 else "L")
            if self.resize is not None:
                height, width = self._resized(height, width)
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        pad = self.pad or 0
        top, left = (height - rows) // 2 + pad, (width - columns) // 2 + pad
        pixels = pixels[top : top + rows - 2 * pad, left : left + columns - 2 * pad]
        return np.pad(pixels, [(pad, pad), (pad, pad), (0, 0)][: pixels.ndim])

    def dataset(self, dataset: Dataset) -> Dataset:
        """Return a data set with all of its images changed, or with next tokens as classes.

        Raises
        ------
        LatentgenError
            If its examples cannot be changed in this way.
        """
        if self.targets:
            dataset = next_tokens(dataset)
        if not self.of_images:
            return dataset
        try:
            shape = self.shape(image_shape(dataset.input_shape))
        except ValueError as error:
            raise LatentgenError(f"{dataset.name}: {error}.") from None
        train, test = (self._images(inputs, shape) for inputs in (dataset.train_inputs, dataset.test_inputs))
        return replace(dataset, train_inputs=train, test_inputs=test)

    def _images(self, images: Images, shape: tuple[int, int, int]) -> Images:
        changed = room_for((len(images), *shape), np.uint8)
        for place, pixels in zip(changed, _pictures(images), strict=True):
            made = self.picture(pixels)
            place[...] = made if made.ndim == 2 else made.transpose(2, 0, 1)
        return changed

    def info(self, info: DatasetInfo) -> DatasetInfo:
        """Return the facts about a data set after it is changed.

        Raises
        ------
        ValueError
            If they cannot be changed in this way.
        """
        if not self.plain:
            return info

        def read(changed: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
            dataset = self.dataset(info.read(info, folder, fetch))
            return replace(dataset, class_names=changed.class_names or dataset.class_names)

        if self.of_images and kind_of(info.shape) != "images":
            raise ValueError(f"{', '.join(self.of_images)}: {info.name} has no images; leave this out")
        if not self.targets:
            return replace(info, shape=self.shape(image_shape(info.shape)), read=read)
        shape = next_token_shape(info.shape)
        return replace(info, shape=shape, n_classes=shape.vocabulary, class_names=info.token_names, read=read)


def _two(sides: int | Sequence[int]) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else (sides[0], sides[1])


def _pictures(images: Images) -> Iterator[NDArray[np.uint8]]:
    """Yield images H × W, or H × W × 3."""
    for image in images:
        yield image[0] if len(image) == 1 else image.transpose(1, 2, 0)
