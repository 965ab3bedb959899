"""digits: 1,797 grey images of 8 × 8 pixels, part of scikit-learn."""

from pathlib import Path

import numpy as np

from latentgen.data.datasets import Dataset, DatasetInfo, fixed_order
from latentgen.data.inputs import image_shape
from latentgen.data.sources.files import md5
from latentgen.errors import LatentgenError

DIGIT_NAMES = tuple("0123456789")


def _read(info: DatasetInfo, folder: Path, fetch: bool) -> Dataset:
    import sklearn
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8).reshape(-1, *image_shape(info.shape))
    labels = bunch.target.astype(np.int64)
    checksums = {"images": md5(images.tobytes()), "labels": md5(labels.astype("<i8").tobytes())}
    source = f"scikit-learn {sklearn.__version__}"
    if checksums != info.md5:
        raise LatentgenError(
            f"The digits in {source} differ from the expected ones. Install the pinned version."
        )
    order = fixed_order(len(images))  # there is no official split
    train, test = np.sort(order[: info.n_train]), np.sort(order[info.n_train :])
    return Dataset(
        info.name, images[train], labels[train], images[test], labels[test], train, test,
        class_names=info.class_names, max_value=16, source=source, checksums=checksums,
    )  # fmt: skip


DIGITS = DatasetInfo(
    "digits",
    shape=(1, 8, 8),
    n_classes=10,
    n_train=1437,
    n_test=360,
    read=_read,
    md5={"images": "fa70cba135d4cdd4cde65da70dbffde2", "labels": "1041ea9b393a866c07fc3ca1c2bb06cd"},
    class_names=DIGIT_NAMES,
)
