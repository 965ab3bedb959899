"""Common functions of the sources: find the files of a data set or download them, and check them."""

import hashlib
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.inputs import image_shape
from latentgen.errors import LatentgenError
from latentgen.runtime.files import atomic_path

logger = logging.getLogger("latentgen")

Files = TypeVar("Files")

ONLINE = "run again on a machine with internet access: torchvision downloads it"
NO_DOWNLOAD = "it cannot be downloaded automatically"
OFFICIAL = "put the official files into one of these folders"


def md5(content: bytes) -> str:
    """Return the MD5 of some bytes, as official sources publish it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def find_or_download(
    info: DatasetInfo, folder: Path, fetch: bool, find: Callable[[], Files | None], wanted: str
) -> Files:
    """Return what `find` returns, after a download if it returns None at first.

    Parameters
    ----------
    info : DatasetInfo
    folder : Path
        The data folder.
    fetch : bool
        Whether a download is allowed.
    find : function () -> files or None
        Looks for the files in the data folder.
    wanted : str
        Description of the files, for the message.

    Raises
    ------
    LatentgenError
        If the files were not found and could not be downloaded.
    """
    files = find()
    if files is None:
        reason = _download(info, folder) if fetch else "downloading it was not allowed"
        files = find()
    if files is None:
        raise LatentgenError(not_found(info, folder, wanted, reason))
    return files


def not_found(info: DatasetInfo, folder: Path, wanted: str, reason: str) -> str:
    """Return the message that a data set was not found.

    Parameters
    ----------
    info, folder, wanted
        As in `find_or_download`.
    reason : str
        Why it was not downloaded.
    """
    lines = [f"{info.name} was not found. Looked for {wanted} in:"]
    lines += [f"  {folder / location}" for location in info.locations]
    lines += [f"and {reason}. To get it, do one of these:", *(f"  - {way}" for way in info.how_to_get)]
    lines += ["The data folder is the environment variable LATENTGEN_DATA_DIR, by default `data`."]
    return "\n".join(lines)


def _download(info: DatasetInfo, folder: Path) -> str:
    """Download a data set into ``downloads`` with torchvision; return the outcome as part of a sentence."""
    if not info.torchvision:
        return NO_DOWNLOAD
    import torchvision.datasets

    logger.info("%s was not found; downloading it", info.name)
    try:
        with atomic_path(folder / "downloads" / info.name) as partial:
            getattr(torchvision.datasets, info.torchvision)(partial, download=True)
    except LatentgenError as error:  # a read-only data folder, or a full disk
        return f"it could not be downloaded: {error}".rstrip(".")
    except (OSError, RuntimeError, EOFError) as error:
        return f"downloading it failed ({type(error).__name__}: {' '.join(str(error).split())})"
    return "the download did not contain it"


def official_dataset(
    info: DatasetInfo,
    train_images: NDArray[Any],
    train_labels: NDArray[Any],
    test_images: NDArray[Any],
    test_labels: NDArray[Any],
    class_names: tuple[str, ...],
    source: str,
    checksums: dict[str, str],
) -> Dataset:
    """Return arrays as a data set, after checking that they have the sizes in `info`.

    Images may have any shape with the right number of pixels.

    Raises
    ------
    LatentgenError
        If they have other sizes, or invalid labels.
    """
    shape = image_shape(info.shape)
    if len(class_names) != info.n_classes:
        raise LatentgenError(f"{source} names {len(class_names)} classes; {info.name} has {info.n_classes}.")
    for split, images, labels, count in (
        ("training", train_images, train_labels, info.n_train),
        ("test", test_images, test_labels, info.n_test),
    ):
        if len(images) != count or images.size != count * math.prod(shape):
            raise LatentgenError(
                f"{source} holds {split} images of shape {images.shape}; {info.name} has {count} of "
                f"{math.prod(shape)} pixels."
            )
        if labels.shape != (count,) or labels.min() < 0 or labels.max() >= info.n_classes:
            raise LatentgenError(
                f"{source} holds {len(labels)} {split} labels, and some may be no class; {info.name} has "
                f"{count} from 0 to {info.n_classes - 1}."
            )
    return Dataset(
        info.name,
        train_images.astype(np.uint8, copy=False).reshape(-1, *shape),
        train_labels.astype(np.int64),
        test_images.astype(np.uint8, copy=False).reshape(-1, *shape),
        test_labels.astype(np.int64),
        np.arange(info.n_train),
        np.arange(info.n_test),
        class_names=class_names,
        max_value=255,
        source=source,
        checksums=checksums,
    )
