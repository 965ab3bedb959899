"""Human noise: labels by human annotators (CIFAR-10N and CIFAR-100N, Wei et al. 2022)."""

import codecs
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from latentgen.data.datasets import Dataset, DatasetInfo, IntArray
from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings, TrueLabels, checked_labels
from latentgen.errors import LatentgenError
from latentgen.settings import Distinct, Probability

FILES = {"cifar10": "CIFAR-10_human.pt", "cifar100": "CIFAR-100_human.pt"}
"""Files of CIFAR-N in the data folder, by data set."""

VARIANTS = {
    "cifar10": ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3"),
    "cifar100": ("noisy_label",),
}
"""Names of the human labels in the published files, by data set."""


def human(labels: TrueLabels, human_labels: ArrayLike | None = None) -> Labels:
    """Replace labels by human ones.

    Parameters
    ----------
    labels : TrueLabels
        Labels of N images.
    human_labels : integers (N,)
        As returned by `read_human_labels`.
    """
    if human_labels is None:
        raise LatentgenError("Human noise needs the human labels, as read from a file of CIFAR-N.")
    drawn = checked_labels(human_labels, labels.n_classes)
    if len(drawn) != len(labels.true):
        raise LatentgenError(f"There are {len(drawn)} human labels for {len(labels.true)} images.")
    redrawn = labels.stream().random(len(labels.true)) < labels.p
    return labels.with_redrawn(drawn, redrawn)


class Human(NoiseSettings):
    """A label is replaced by a human one: CIFAR-10N and CIFAR-100N (Wei et al. 2022)."""

    kind: Literal["human"]
    """Human labels."""
    p: Annotated[tuple[Probability, ...], Field(min_length=1), Distinct] = (1.0,)
    """Probabilities that a label is replaced by the human one, which may be true; 1: all labels are those in
    the file."""
    variant: Literal[
        "aggre_label", "worse_label", "random_label1", "random_label2", "random_label3", "noisy_label"
    ]
    """Which human labels: `worse_label`, `aggre_label`, `random_label1` to `3` (CIFAR-10N), `noisy_label`
    (CIFAR-100N)."""

    functions: ClassVar[Mapping[str, Callable[..., Labels]]] = {"study": human}

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind and variant."""
        return super().label_settings | {"variant": self.variant}

    def check_dataset(self, info: DatasetInfo, labels: str) -> None:
        """Refuse data sets without human labels."""
        super().check_dataset(info, labels)
        known = VARIANTS.get(info.name, ())
        if self.variant not in known:
            raise ValueError(
                f"human noise: there is no variant '{self.variant}' for {info.name}; there are: "
                f"{', '.join(known) or 'none'}"
            )

    def input_files(self, dataset: str, folder: Path) -> list[Path]:
        """Return the file of CIFAR-N."""
        file = folder / FILES[dataset]
        if not file.exists():
            raise LatentgenError(_missing(file))
        return [file]

    @classmethod
    def options(cls, dataset: Dataset, files: Sequence[Path], **settings: Any) -> dict[str, Any]:
        """Read the human labels."""
        (file,) = files
        return {
            "human_labels": read_human_labels(
                file, settings["variant"], dataset.train_labels, dataset.train_index
            )
        }


def read_human_labels(
    path: str | Path, variant: str, true_labels: ArrayLike, index: ArrayLike | None = None
) -> IntArray:
    """Read human labels from a file of CIFAR-10N or CIFAR-100N, as published by its authors.

    Parameters
    ----------
    path : str or Path
        ``CIFAR-10_human.pt`` or ``CIFAR-100_human.pt``.
    variant : str
        ``aggre_label``, ``worse_label`` or ``random_label1`` to ``3`` of CIFAR-10N, ``noisy_label`` of
        CIFAR-100N.
    true_labels : integers (N,)
        True labels of the training set, to check that the file is for these images.
    index : integers (N,), optional
        Positions of these images in the official training set (`Dataset.train_index`); all by default.

    Returns
    -------
    int64 array (N,)

    Raises
    ------
    LatentgenError
        If the file is missing, contains anything but arrays, lacks the variant, or belongs to other images.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_array_globals()):
            content = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise LatentgenError(_missing(path)) from None
    except Exception as error:  # a corrupt file can raise anything
        raise LatentgenError(
            f"{path} is not a file of CIFAR-N, which contains only arrays, or is damaged. Get it again."
        ) from error
    if not isinstance(content, dict) or not {variant, "clean_label"} <= set(content):
        variants = sorted(set(content) - {"clean_label"}) if isinstance(content, dict) else []
        raise LatentgenError(f"{path} has no variant {variant!r}; it has: {', '.join(map(str, variants))}.")
    clean, labels = np.asarray(content["clean_label"]), np.asarray(content[variant])
    kept = np.arange(clean.size) if index is None else np.asarray(index)
    fits = clean.ndim == 1 and clean.shape == labels.shape and kept.max() < len(clean)
    if not (fits and np.array_equal(clean[kept], np.asarray(true_labels))):
        raise LatentgenError(f"{path} belongs to other images, or has them in another order.")
    return labels[kept].astype(np.int64)


def _missing(path: str | Path) -> str:
    """Return the message that a file of CIFAR-N is missing."""
    return f"{path} does not exist. It is part of CIFAR-N (noisylabels.com): put it into the data folder."


def _array_globals() -> list[Any]:
    """Return all classes that a file with NumPy arrays of integers needs to import."""
    reconstruct = np.empty(0).__reduce__()[0]
    return [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        type(np.dtype(np.int64)),
        type(np.dtype(np.int32)),
        type(np.dtype(np.uint8)),
        (codecs.encode, "_codecs.encode"),
    ]
