"""Custom noise: a function named by its import path."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from latentgen.data.datasets import Dataset
from latentgen.data.inputs import kind_of
from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings, checked_labels
from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, random_generator
from latentgen.runtime.import_paths import ImportPath, attribute, load
from latentgen.settings import Arguments, CodeFiles


class CustomNoise(NoiseSettings):
    """A custom kind of noise: a function of yours."""

    kind: Literal["own"]
    """A custom kind of noise."""
    path: ImportPath
    """Import path, module:name, of a function of `labels`, `p`, `n_classes` and `rng` (and `images`,
    `vectors` or `tokens`, if it has such a parameter) that returns new labels; modules may be in the folder
    of the Snakefile."""
    arguments: Arguments
    """Further arguments of the function, by name."""
    name: Annotated[str, Field(pattern="^[a-z][a-z_]*$")] | None = None
    """Name of the noise in run names and tables; that of the function if omitted."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: if their content changes,
    everything that used the code is rerun."""

    @property
    def noise_name(self) -> str:
        """The given name, or that of the function, in characters that run names allow."""
        return self.name or re.sub("[^a-z_]", "_", attribute(self.path).lower()).strip("_") or "own"

    @property
    def import_path(self) -> str:
        """Its path."""
        return self.path

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind, path and arguments."""
        arguments = dict(sorted(self.arguments.items()))
        return super().label_settings | {"path": self.path, "arguments": arguments}

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
        """Call the function."""
        if not dataset.truth_known:
            raise LatentgenError(f"True labels of {dataset.name} are not known, but custom noise needs them.")
        path = settings["path"]
        return corrupt_with(load(path), dataset, p, seed, path, settings.get("arguments") or {})


def corrupt_with(
    function: Callable[..., Any],
    dataset: Dataset,
    p: float,
    seed: int,
    name: str,
    arguments: Mapping[str, Any],
) -> Labels:
    """Corrupt the labels of a data set with a custom function.

    It gets copies of the arrays, which it may change, and a generator on the seed's own stream for labels.
    Labels that it changes count as redrawn.

    Raises
    ------
    LatentgenError
        If it raises an exception, or does not return one label for each example.
    """
    given = {
        "labels": dataset.train_labels.copy(),
        "p": p,
        "n_classes": dataset.n_classes,
        "rng": random_generator(seed, Purpose.LABELS),
    }
    try:
        kind = kind_of(dataset.input_shape)
        if kind in inspect.signature(function).parameters:
            given[kind] = dataset.train_inputs.copy()
        returned = np.asarray(function(**given, **arguments))
    except Exception as error:  # custom code can raise anything
        raise LatentgenError(f"{name} failed with {type(error).__name__}: {error}") from error
    true = dataset.train_labels
    if returned.shape != true.shape:
        raise LatentgenError(f"{name} returned labels of shape {returned.shape} for {len(true)} examples.")
    try:
        corrupted = checked_labels(returned, dataset.n_classes)
    except LatentgenError as error:
        raise LatentgenError(f"{name}: {error}") from error
    return Labels(true, corrupted, corrupted != true)
