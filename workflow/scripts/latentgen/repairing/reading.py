"""Read the files of the command line: arrays or folders of images, and weights by epoch. No code is run."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from latentgen.data.custom_sources.arrays import read_npz
from latentgen.data.custom_sources.image_folder import UNCHANGED, read_image_folder
from latentgen.data.custom_sources.labels import checked_class_names
from latentgen.data.custom_sources.raw import CLASS_NAMES
from latentgen.data.inputs import KINDS, is_in_memory
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError
from latentgen.networks.examples import StoredExamples

logger = logging.getLogger(__name__)

INPUTS = ("inputs", *(name for kind in KINDS for name in (kind, f"train_{kind}")))
LABELS = ("labels", "train_labels")


@dataclass(frozen=True)
class Preprocessing:
    """How images became inputs of the network in training, as torchvision's transforms do it.

    Attributes
    ----------
    reshaping : Reshaping
        Changes to the size and the channels of images in folders.
    value_range : (float, float)
        Values that 0 and 255 are scaled to (``ToTensor``: 0 and 1).
    mean, std : sequence of float
        One value, or one for each channel, to subtract and then to divide by (``Normalize``).
    """

    reshaping: Reshaping = UNCHANGED
    value_range: tuple[float, float] = (0.0, 1.0)
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | StoredExamples:
        """Return byte images, N × H × W (× 1 or 3), as inputs, N × C × H × W; of many, as they are needed."""
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise LatentgenError(
                f"Byte images have shape {images.shape}; they must be N × height × width, or with 1 or 3 "
                "channels last. Save anything else as float32, under the name inputs, as the network takes "
                "it."
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, images.shape[3]):
                raise LatentgenError(
                    f"{name} has {len(values)} values; the images have {images.shape[3]} channels. Give one "
                    "value, or one for each channel."
                )
        if not all(value > 0 for value in self.std):
            raise LatentgenError("std must be greater than 0.")
        if is_in_memory(len(images), images.shape[1:]):
            return self._normalized(images)
        return StoredExamples(
            images, lambda block: torch.from_numpy(self._normalized(block.numpy())), torch.device("cpu")
        )

    def _normalized(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        low, high = self.value_range
        scaled = low + (high - low) / 255 * images.transpose(0, 3, 1, 2).astype(np.float32)
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        return np.ascontiguousarray((scaled - mean) / std, dtype=np.float32)

    @property
    def changes_bytes(self) -> bool:
        """Whether it can only be applied to byte images."""
        return self != Preprocessing()


def read_examples(
    path: Path, given: Preprocessing = Preprocessing()
) -> tuple[NDArray[Any] | StoredExamples, Any]:
    """Read inputs and labels.

    Parameters
    ----------
    path : Path
        An ``.npz`` file with `inputs` (as the network takes them) or `images` (bytes, N × H × W or
        N × H × W × C), `vectors` or `tokens`, `labels`, and `class_names` if there are any; or a folder with
        a folder of images for each class.
    given : Preprocessing
        What was done with byte images in training.

    Returns
    -------
    inputs : array or StoredExamples, N × …
        Images as float32, N × C × H × W; if they would not fit in memory as such, scaled as they are needed.
    labels : integer array or pandas Categorical, N

    Raises
    ------
    LatentgenError
        If it cannot be read as such.
    """
    inputs, labels, _ = read_with_files(path, given)
    return inputs, labels


def read_with_files(path: Path, given: Preprocessing) -> tuple[NDArray[Any] | StoredExamples, Any, list[str]]:
    """Read inputs and labels as `read_examples`, and the file of each image in a folder, relative to it."""
    files: list[str] = []
    if path.is_dir():
        inputs, labels, files = _image_folders(path, given.reshaping)
    else:
        inputs, labels = _arrays(path)
        if given.reshaping.plain:
            raise LatentgenError(
                f"{path} is an array: {', '.join(given.reshaping.plain)} can only change images in folders."
            )
    if inputs.dtype == np.uint8:
        return given.inputs(inputs), labels, files
    if given.changes_bytes:
        raise LatentgenError(
            f"{path} holds inputs as the network takes them: an input range, mean and std are for byte "
            "images."
        )
    return inputs, labels, files


def _arrays(path: Path) -> tuple[NDArray[Any], Any]:
    if not path.exists():
        raise LatentgenError(f"{path} does not exist.")
    if path.suffix.lower() != ".npz":
        raise LatentgenError(f"{path} is neither a folder of images by class nor an .npz file.")
    arrays, others = read_npz(path, (*INPUTS, *LABELS, CLASS_NAMES))
    inputs = next((arrays[name] for name in INPUTS if name in arrays), None)
    labels = next((arrays[name] for name in LABELS if name in arrays), None)
    if inputs is None or labels is None:
        raise LatentgenError(
            f"{path} holds {', '.join([*arrays, *others]) or 'nothing'}; it must hold inputs (or images, "
            "vectors, tokens) and labels."
        )
    if CLASS_NAMES not in arrays or not np.issubdtype(labels.dtype, np.integer):
        return inputs, labels
    names = checked_class_names(arrays[CLASS_NAMES], str(path))
    if labels.size and not 0 <= labels.min() <= labels.max() < len(names):
        raise LatentgenError(f"{path} has labels up to {labels.max()} and {len(names)} class names.")
    return inputs, pd.Categorical.from_codes(labels.astype(np.int64), pd.Index(names))


def _image_folders(path: Path, reshaping: Reshaping) -> tuple[NDArray[Any], Any, list[str]]:
    """Read images by class, like those of data sets; classes in alphabetical order, as in ImageFolder."""
    raw = read_image_folder(path, reshaping)
    if "images" not in raw.arrays:
        raise LatentgenError(
            f"{path} is divided into training and test images. Give the folder that the network was trained "
            "on, and another one as held-out examples."
        )
    for note in raw.notes:
        logger.warning("%s: %s", path, note)
    names = sorted(raw.class_names)
    codes = np.array([names.index(name) for name in raw.class_names])[raw.arrays["labels"]]
    files = [file.relative_to(path).as_posix() for file in raw.files]
    return raw.arrays["images"], pd.Categorical.from_codes(codes, pd.Index(names)), files


def weight_files(pattern: str) -> tuple[Path, dict[int, Path]]:
    """Return the file of the network's weights, and those of earlier epochs.

    Parameters
    ----------
    pattern : str
        A file, or a pattern with ``{epoch}`` in its name: the largest epoch is the network.

    Raises
    ------
    LatentgenError
        If no file matches.
    """
    path = Path(pattern)
    if "{epoch}" not in path.name:
        return path, {}
    before, after = path.name.split("{epoch}", 1)
    number = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    files = list(path.parent.iterdir()) if path.parent.is_dir() else []
    epochs = {int(match[1]): file for file in files if (match := number.fullmatch(file.name))}
    if not epochs:
        raise LatentgenError(f"No file matches {pattern}, with a number in place of {{epoch}}.")
    last = max(epochs)
    return epochs[last], {epoch: epochs[epoch] for epoch in sorted(epochs) if epoch != last}
