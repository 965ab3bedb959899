"""Tiny ImageNet: 110,000 colour photographs of 64 × 64 pixels, as JPEG files."""

import hashlib
from pathlib import Path

import numpy as np

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.formats import Folder, decode_jpeg
from latentgen.data.inputs import image_shape
from latentgen.data.sources.files import NO_DOWNLOAD, find_or_download, md5, not_found, official_dataset
from latentgen.errors import LatentgenError

_WANTED = "the folder tiny-imagenet-200 or its archive"
_LISTS = ("wnids.txt", "words.txt", "val/val_annotations.txt")


def _find(info: DatasetInfo, folder: Path) -> Folder | None:
    for location in info.locations:
        root = Folder.find(folder / location, "tiny-imagenet-200", "wnids.txt")
        if root:
            return root
    return None


def _input_files(info: DatasetInfo, folder: Path) -> list[Path]:
    """Return the archive, or the lists in the folder, since no checksums of this data set are published.

    Raises
    ------
    LatentgenError
        If there is neither.
    """
    for place in (folder / location for location in info.locations):
        if place.is_file():
            return [place]
        if (place / "wnids.txt").is_file():
            return [place / file for file in _LISTS if (place / file).is_file()]
    raise LatentgenError(not_found(info, folder, _WANTED, NO_DOWNLOAD))


def _read(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    root = find_or_download(info, folder, fetch, lambda: _find(info, folder), _WANTED)
    lists = {file: root.read(file) for file in _LISTS}
    checksums = {file: md5(content) for file, content in lists.items()}
    wnids, words, annotations = (
        [line.split("\t") for line in content.decode("utf-8", "replace").splitlines()]
        for content in lists.values()
    )
    # Classes and training images are in alphabetical order, as in torchvision's ImageFolder.
    classes = {wnid: number for number, wnid in enumerate(sorted(line[0] for line in wnids))}
    names = {line[0]: line[-1].split(",")[0] for line in words}
    numbers = sorted(range(info.n_train // info.n_classes), key=str)
    train = [(f"train/{wnid}/images/{wnid}_{number}.JPEG", wnid) for wnid in classes for number in numbers]
    boxes = (line for line in annotations if len(line) > 1)
    test = [(f"val/images/{file}", wnid) for file, wnid, *_ in boxes if wnid in classes and "/" not in file]

    shape = image_shape(info.shape)
    images = {}
    for split, examples in (("train", train), ("val", test)):
        digest = hashlib.md5(usedforsecurity=False)
        images[split] = np.empty((len(examples), *shape), np.uint8)
        for image, (file, _) in zip(images[split], examples, strict=True):
            content = root.read(file)
            digest.update(content)
            image[...] = decode_jpeg(content, *shape[1:], source=f"{root}/{file}")
        checksums[f"{split} images"] = digest.hexdigest()
    return official_dataset(
        info,
        images["train"],
        np.array([classes[wnid] for _, wnid in train], int),
        images["val"],
        np.array([classes[wnid] for _, wnid in test], int),
        class_names=tuple(names.get(wnid, wnid) for wnid in classes),
        source=str(root),
        checksums=checksums,
    )


TINY_IMAGENET = DatasetInfo(
    "tiny_imagenet",
    shape=(3, 64, 64),
    n_classes=200,
    n_train=100_000,
    n_test=10_000,
    read=_read,
    locations=(
        "tiny_imagenet/tiny-imagenet-200", "tiny_imagenet/tiny-imagenet-200.zip", "tiny_imagenet",
        "tiny-imagenet-200", "tiny-imagenet-200.zip",
    ),
    how_to_get=("put Stanford's archive tiny-imagenet-200.zip there, unpacked or not",),
    input_files=_input_files,
)  # fmt: skip
