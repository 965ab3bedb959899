"""Labels as given with the data: nothing is redrawn, and the number of wrong labels need not be known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings
from latentgen.errors import LatentgenError
from latentgen.settings import Probability


class Given(NoiseSettings):
    """Labels as they came with a custom data set: nothing is redrawn."""

    kind: Literal["given"]
    """Labels as they came with a custom data set: nothing is redrawn."""
    p: tuple[Probability] = (1.0,)
    """Omit it: the fraction of wrong labels need not be known."""

    @field_validator("p")
    @classmethod
    def _is_omitted(cls, p: tuple[float]) -> tuple[float]:
        if p != (1.0,):
            raise ValueError("labels are used as given: omit p")
        return p

    def check_dataset(self, info: DatasetInfo, labels: str) -> None:
        """Refuse a data set whose labels count as true."""
        if labels == "true":
            raise ValueError(
                f"noise of the kind 'given' needs labels that may be wrong, but those of {info.name} count "
                "as true; for a custom data set, set dataset.own.labels to given or both"
            )

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
        """Return labels as given; wrong ones count as redrawn, if true labels are known."""
        if dataset.given_labels is None:
            raise LatentgenError(f"{dataset.name} has no given labels besides its true ones.")
        if not dataset.truth_known:
            return Labels(None, dataset.given_labels, None)
        true = dataset.train_labels
        return Labels(true, dataset.given_labels, dataset.given_labels != true)
