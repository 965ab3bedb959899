"""Asymmetric noise: a label becomes that of a paired class, such as a similar one."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from latentgen.data.datasets import Dataset, DatasetInfo
from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings, TrueLabels
from latentgen.errors import LatentgenError
from latentgen.settings import NonNegativeInt

Class = int | str
"""A class by its number or its name."""


def asymmetric(labels: TrueLabels, pairs: Mapping[int, int] | None = None) -> Labels:
    """Redraw labels of paired classes to the class that each is paired with; other labels stay the same."""
    if not pairs:
        raise LatentgenError("Asymmetric noise needs pairs: a mapping of each class to the one it becomes.")
    becomes = np.arange(labels.n_classes)
    for source, target in pairs.items():
        if not (0 <= source < labels.n_classes and 0 <= target < labels.n_classes) or source == target:
            raise LatentgenError(
                f"Asymmetric noise cannot turn class {source} into {target}: a pair is two different classes "
                f"from 0 to {labels.n_classes - 1}."
            )
        becomes[source] = target
    paired = np.isin(labels.true, list(pairs))
    redrawn = (labels.stream().random(len(labels.true)) < labels.p) & paired
    return labels.with_redrawn(becomes[labels.true], redrawn)


def class_number(wanted: Class, class_names: Sequence[str], n_classes: int) -> int:
    """Return the number of a class given by number or name.

    Raises
    ------
    LatentgenError
        If there is no such class.
    """
    if isinstance(wanted, int):
        if wanted >= n_classes:
            raise LatentgenError(f"no class {wanted}; classes are 0 to {n_classes - 1}")
        return wanted
    if wanted in class_names:
        return list(class_names).index(wanted)
    near = difflib.get_close_matches(wanted, class_names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(class_names[:20]) + (", …" if len(class_names) > 20 else "")
    raise LatentgenError(f"no class {wanted!r}; {hint}Classes: {shown}")


def numbered_pairs(
    pairs: Iterable[tuple[Class, Class]], class_names: Sequence[str], n_classes: int
) -> dict[int, int]:
    """Return pairs of classes by number.

    Raises
    ------
    LatentgenError
        If there is no such class, or if one is to become itself or two others.
    """
    numbered: dict[int, int] = {}
    for given in pairs:
        source, target = (class_number(one, class_names, n_classes) for one in given)
        if source in numbered:
            raise LatentgenError(f"class {source} is paired twice, once by number and once by name")
        if source == target:
            raise LatentgenError(f"class {given[0]} cannot become itself")
        numbered[source] = target
    return numbered


def _number_or_name(given: Any) -> Any:
    if isinstance(given, bool) or given is None:
        raise ValueError(
            "must be the number of a class, or its name; put the names yes, no, on, off and null in quotes, "
            "since YAML does not read them as text"
        )
    return given


PairedClass = Annotated[NonNegativeInt | str, BeforeValidator(_number_or_name)]


class Asymmetric(NoiseSettings):
    """A label becomes that of the class it is paired with, such as a similar one."""

    kind: Literal["asymmetric"]
    """Becomes the class it is paired with."""
    pairs: Annotated[dict[PairedClass, PairedClass], Field(min_length=1)]
    """What each class becomes, by number or by name, as in `{cat: dog, 3: 5}`; classes that are not listed
    keep their labels. In quotes, "3" is the class of that name."""

    functions: ClassVar[Mapping[str, Callable[..., Labels]]] = {"study": asymmetric}

    @model_validator(mode="after")
    def _becomes_another(self) -> "Asymmetric":
        same = [source for source, target in self.pairs.items() if source == target]
        if same:
            raise ValueError(f"pairs: class {same[0]} cannot become itself")
        return self

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind and pairs; a list, since a changed order of a mapping would count as a change."""
        pairs = sorted(map(list, self.pairs.items()), key=lambda pair: (isinstance(pair[0], str), pair[0]))
        return super().label_settings | {"pairs": pairs}

    def check_dataset(self, info: DatasetInfo, labels: str) -> None:
        """Refuse pairs of classes that the data set does not have, if its class names are known."""
        super().check_dataset(info, labels)
        try:
            if info.class_names:
                numbered_pairs(self.pairs.items(), info.class_names, info.n_classes)
            for number in (one for pair in self.pairs.items() for one in pair if isinstance(one, int)):
                class_number(number, (), info.n_classes)
        except LatentgenError as error:
            raise ValueError(f"{self.kind} noise on {info.name}: {error}") from None

    @classmethod
    def options(cls, dataset: Dataset, files: Sequence[Path], **settings: Any) -> dict[str, Any]:
        """Return the pairs by number."""
        try:
            pairs = numbered_pairs(settings["pairs"], dataset.class_names, dataset.n_classes)
        except LatentgenError as error:
            raise LatentgenError(f"Pairs of asymmetric noise on {dataset.name}: {error}.") from None
        return {"pairs": pairs}
