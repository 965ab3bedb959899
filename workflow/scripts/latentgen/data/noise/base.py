"""Base classes of all kinds of label noise: settings in a study file, and the true labels to corrupt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from latentgen.data.datasets import Dataset, DatasetInfo, IntArray, check_labels
from latentgen.data.labels import BoolArray, Labels
from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, random_generator
from latentgen.settings import Distinct, Probability, Settings


@dataclass(frozen=True)
class TrueLabels:
    """True labels to be corrupted.

    Attributes
    ----------
    true : int64 array (N,)
        Labels, each from 0 to `n_classes` - 1.
    n_classes : int
    p : float
        Probability, in [0, 1], that a label is redrawn.
    seed : int
    """

    true: IntArray
    n_classes: int
    p: float
    seed: int

    def stream(self) -> np.random.Generator:
        """Return a generator on the seed's own stream for labels."""
        return random_generator(self.seed, Purpose.LABELS)

    def with_redrawn(self, drawn: NDArray[np.integer[Any]], redrawn: BoolArray) -> Labels:
        """Return labels with those marked in `redrawn` replaced by the drawn ones."""
        return Labels(self.true, np.where(redrawn, drawn, self.true), redrawn)


class NoiseSettings(Settings):
    """Settings of every kind of label noise."""

    kind: str
    p: Annotated[tuple[Probability, ...], Field(min_length=1), Distinct]
    """Probabilities that a label is redrawn; each one gives its own runs."""

    functions: ClassVar[Mapping[str, Callable[..., Labels]]] = {}
    """By generator: a function of `TrueLabels`, and of options by name, that draws the labels.

    With the generator ``study`` it draws a class for every example, used or not, from the seed's own stream:
    a label redrawn at a small p is also redrawn at a larger one, and to the same class."""

    @property
    def noise_name(self) -> str:
        """Name of the noise in run names and tables."""
        return self.kind

    @property
    def label_settings(self) -> dict[str, Any]:
        """Arguments of `latentgen.data.noise.registry.corrupt_dataset` besides p and the seed."""
        return {"kind": self.kind, "generator": "study"}

    def check_dataset(self, info: DatasetInfo, labels: str) -> None:
        """Refuse a data set that this noise cannot be applied to.

        Parameters
        ----------
        info : DatasetInfo
        labels : {"true", "given", "both"}
            Its kind of training labels (`latentgen.study.dataset_settings.CustomData`).

        Raises
        ------
        ValueError
            If the noise needs something that the data set does not have.
        """
        if labels == "given":
            raise ValueError(
                f"true labels of {info.name} are not known (dataset.own.labels: given), but {self.kind} "
                "noise needs them; use the kind 'given'"
            )

    def input_files(self, dataset: str, folder: Path) -> list[Path]:
        """Return the files in the data folder that the noise is read from, by name of the data set.

        Raises
        ------
        LatentgenError
            If a file is missing.
        """
        return []

    @classmethod
    def corrupt(
        cls,
        dataset: Dataset,
        p: float,
        seed: int,
        generator: str = "study",
        files: Sequence[Path] = (),
        **settings: Any,
    ) -> Labels:
        """Corrupt the training labels of a data set.

        Parameters
        ----------
        dataset : Dataset
        p, seed, generator
            As in `latentgen.data.noise.registry.corrupt`.
        files : sequence of Path
            Those that `input_files` lists.
        **settings
            The rest of `label_settings`.

        Raises
        ------
        LatentgenError
            If true labels are not known, or as in `corrupt_labels`.
        """
        if not dataset.truth_known:
            raise LatentgenError(
                f"True labels of {dataset.name} are not known, but this kind of noise needs them."
            )
        options = cls.options(dataset, files, **settings)
        return cls.corrupt_labels(dataset.train_labels, dataset.n_classes, p, generator, seed, **options)

    @classmethod
    def options(cls, dataset: Dataset, files: Sequence[Path], **settings: Any) -> dict[str, Any]:
        """Return the arguments of the drawing function besides `TrueLabels`."""
        return settings

    @classmethod
    def corrupt_labels(
        cls, true_labels: ArrayLike, n_classes: int, p: float, generator: str, seed: int, **options: Any
    ) -> Labels:
        """Corrupt labels, after a check that they are labels and p is a probability.

        Raises
        ------
        LatentgenError
            If labels, p, seed or generator are not as described, or if the noise needs other options.
        """
        if n_classes < 2:
            raise LatentgenError(f"Label noise needs at least two classes; there are {n_classes}.")
        true = checked_labels(true_labels, n_classes)
        if not 0 <= p <= 1:  # also true for NaN
            raise LatentgenError(f"The corruption p is a probability, between 0 and 1, not {p}.")
        return cls.functions[generator](TrueLabels(true, n_classes, p, seed), **options)


def checked_labels(labels: ArrayLike, n_classes: int) -> IntArray:
    """Return labels as int64.

    Raises
    ------
    LatentgenError
        If they are not a list of integers from 0 to `n_classes` - 1.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise LatentgenError(f"Labels must be a list of at least one integer; their shape is {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise LatentgenError(f"Labels must be integers, class indices from 0 up; they are {array.dtype}.")
    return check_labels(array, n_classes, f"Labels of {n_classes} classes")
