"""The built-in data sets, by name."""

import difflib
import os
from pathlib import Path

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.sources.cifar import CIFAR10, CIFAR100
from latentgen.data.sources.digits import DIGITS
from latentgen.data.sources.mnist import FASHION_MNIST, MNIST
from latentgen.data.sources.tiny_imagenet import TINY_IMAGENET
from latentgen.data.sources.wordnet import WORDNET, WORDNET_CHARACTERS
from latentgen.errors import LatentgenError

# torchvision and scikit-learn are imported only by the readers that need them: the Snakefile reads `DATASETS`
# before each of its jobs.

DATASETS = {
    info.name: info
    for info in (
        DIGITS,
        MNIST,
        FASHION_MNIST,
        CIFAR10,
        CIFAR100,
        TINY_IMAGENET,
        WORDNET,
        WORDNET_CHARACTERS,
    )
}
"""Every built-in data set; to add one, add a module in `latentgen.data.sources` and a line here."""


def data_dir() -> Path:
    """Return the folder of the user's data files: ``LATENTGEN_DATA_DIR`` in the environment, or ``data``."""
    return Path(os.environ.get("LATENTGEN_DATA_DIR") or "data")


def dataset_info(name: str) -> DatasetInfo:
    """Return the facts known about a built-in data set before it is read.

    Raises
    ------
    LatentgenError
        If there is no data set of that name.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise LatentgenError(
            f"There is no data set {name!r}.{hint} Built-in data sets: {', '.join(DATASETS)}."
        )
    return DATASETS[name]


def load_dataset(name: str, folder: Path | None = None, fetch: bool = True) -> Dataset:
    """Find and read a built-in data set on this machine, or download it.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    folder : Path, optional
        Where to look, and where to put a download; `data_dir()` by default.
    fetch : bool
        Whether torchvision may download it if it is missing.

    Raises
    ------
    LatentgenError
        If the data set is unknown or missing, or if its files are not the official ones.
    """
    info = dataset_info(name)
    return info.read(info, folder or data_dir(), fetch)
