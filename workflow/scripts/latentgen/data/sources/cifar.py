"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 × 32 pixels, in pickled batches."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.formats import read_members, unpickle_verified
from latentgen.data.sources.files import ONLINE, find_or_download, official_dataset
from latentgen.errors import LatentgenError


@dataclass(frozen=True)
class _Files:
    """Names of the files of a data set, and of their contents."""

    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    class_names: str

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.train, self.test, self.meta)


_FILES = {
    "cifar10": _Files(
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        labels="labels",
        class_names="label_names",
    ),
    "cifar100": _Files(
        train=("train",), test="test", meta="meta", labels="fine_labels", class_names="fine_label_names"
    ),
}


def _read(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    files = _FILES[info.name]

    def find() -> tuple[Path, dict[str, bytes]] | None:
        candidates = ((folder / place, read_members(folder / place, files.all)) for place in info.locations)
        return next(((place, contents) for place, contents in candidates if contents), None)

    place, contents = find_or_download(info, folder, fetch, find, f"{', '.join(files.all)} (or the archive)")
    batches = unpickle_verified(contents, info.md5, str(place))
    try:
        return official_dataset(
            info,
            np.concatenate([batches[file]["data"] for file in files.train]),
            np.concatenate([np.array(batches[file][files.labels], int) for file in files.train]),
            batches[files.test]["data"],
            np.array(batches[files.test][files.labels], int),
            class_names=tuple(map(str, batches[files.meta][files.class_names])),
            source=str(place),
            checksums={file: info.md5[file] for file in contents},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LatentgenError(
            f"{place} is not {info.name}: {error!r}. Get the official files again."
        ) from error


CIFAR10 = DatasetInfo(
    "cifar10",
    shape=(3, 32, 32),
    n_classes=10,
    n_train=50_000,
    n_test=10_000,
    read=_read,
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    locations=(
        "cifar10/cifar-10-batches-py", "cifar10/cifar-10-python.tar.gz", "cifar10",
        "cifar-10-batches-py", "cifar-10-python.tar.gz", "downloads/cifar10/cifar-10-batches-py",
    ),
    torchvision="CIFAR10",
    how_to_get=(ONLINE, "put the official archive cifar-10-python.tar.gz there, unpacked or not"),
    class_names=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
)  # fmt: skip

CIFAR100 = DatasetInfo(
    "cifar100",
    shape=(3, 32, 32),
    n_classes=100,
    n_train=50_000,
    n_test=10_000,
    read=_read,
    md5={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
    locations=(
        "cifar100/cifar-100-python", "cifar100/cifar-100-python.tar.gz", "cifar100",
        "cifar-100-python", "cifar-100-python.tar.gz", "downloads/cifar100/cifar-100-python",
    ),
    torchvision="CIFAR100",
    how_to_get=(ONLINE, "put the official archive cifar-100-python.tar.gz there, unpacked or not"),
)  # fmt: skip
