"""Label noise in the study file: its kinds and their settings."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from latentgen.runtime.import_paths import ImportPath, attribute
from latentgen.settings import CodeFiles, Distinct, NonNegativeInt, Probability, Settings

HUMAN_ANSWERS = {
    "cifar10": ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3"),
    "cifar100": ("noisy_label",),
}
"""For which data sets people were asked, and the names of their answers in the published files."""


class NoiseSettings(Settings):
    """What every kind of label noise has."""

    kind: str
    p: Annotated[tuple[Probability, ...], Field(min_length=1), Distinct]
    """Probabilities of a label being redrawn; every one gives runs of its own."""

    @property
    def noise_name(self) -> str:
        """Name of the noise in run names and tables."""
        return self.kind

    @property
    def label_settings(self) -> dict[str, Any]:
        """What `latentgen.data.labels.corrupt` has to know besides p and the seed."""
        return {"kind": self.kind, "generator": "study"}


class Symmetric(NoiseSettings):
    """The noise of the papers: a label is redrawn uniformly over all classes, its own included."""

    kind: Literal["symmetric"]
    """Redrawn uniformly over all classes."""
    generator: Literal["study", "published"] = "study"
    """`study`: labels follow from the run's seed. `published`: numpy's legacy generator with seed 42,
    whatever the run's seed, which gives the published labels bit for bit. Published protocol: `published`."""

    @property
    def noise_name(self) -> str:
        """`symmetric`, or `symmetric_published`."""
        return self.kind if self.generator == "study" else f"{self.kind}_{self.generator}"

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind and generator."""
        return {"kind": self.kind, "generator": self.generator}


class NoneTrue(NoiseSettings):
    """A label is redrawn uniformly over the other classes: a redrawn label is never true."""

    kind: Literal["none_true"]
    """Redrawn uniformly over the other classes."""


class Asymmetric(NoiseSettings):
    """A label becomes that of the class it is paired with, such as one that looks alike."""

    kind: Literal["asymmetric"]
    """Becomes the class it is paired with."""
    pairs: Annotated[dict[NonNegativeInt, NonNegativeInt], Field(min_length=1)]
    """What each class becomes, by number; classes that are not named keep their labels."""

    @model_validator(mode="after")
    def _becomes_another(self) -> Self:
        same = [source for source, target in self.pairs.items() if source == target]
        if same:
            raise ValueError(f"pairs: class {same[0]} cannot become itself")
        return self

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind and pairs; a list, as the order of a mapping would count as a change."""
        return super().label_settings | {"pairs": sorted(map(list, self.pairs.items()))}


class Instance(NoiseSettings):
    """Wrong labels depend on the image (Xia et al. 2020)."""

    kind: Literal["instance"]
    """Depends on the image."""


class Given(NoiseSettings):
    """Labels as they came with one's own data: nothing is redrawn."""

    kind: Literal["given"]
    """Labels as they came with one's own data: nothing is redrawn."""
    p: tuple[Probability] = (1.0,)
    """To be left out: how many of the labels are wrong need not be known."""

    @field_validator("p")
    @classmethod
    def _is_left_out(cls, p: tuple[float]) -> tuple[float]:
        if p != (1.0,):
            raise ValueError("labels are taken as they were given: leave p out")
        return p


class OwnNoise(NoiseSettings):
    """A kind of noise of one's own, from one's own code."""

    kind: Literal["own"]
    """A kind of noise of one's own."""
    path: ImportPath
    """Where it is: module:name of a function of `labels`, `p`, `n_classes` and `rng` (and `images`, if it has
    such a parameter) that returns new labels; modules are looked for in the folder of the Snakefile too."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What else the function is called with, by name."""
    name: Annotated[str, Field(pattern="^[a-z][a-z_]*$")] | None = None
    """Name of the noise in run names and tables; that of the function if left out."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: when their content changes,
    what used the code is rerun."""

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str | None) -> str | None:
        if name in TAKEN:
            raise ValueError("this is another kind of noise; choose a name of your own")
        return name

    @property
    def noise_name(self) -> str:
        """Name given, or that of the function, as run names can have it."""
        return self.name or re.sub("[^a-z_]", "_", attribute(self.path).lower()).strip("_") or "own"

    @property
    def import_path(self) -> str:
        """Its path."""
        return self.path

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind, path and arguments."""
        called_with = dict(sorted(self.arguments.items()))
        return super().label_settings | {"path": self.path, "arguments": called_with}


TAKEN = ("symmetric", "symmetric_published", "none_true", "asymmetric", "instance", "given", "human")
"""Names of noises that are here."""

HumanVariant = Literal[
    "aggre_label", "worse_label", "random_label1", "random_label2", "random_label3", "noisy_label"
]


class Human(NoiseSettings):
    """A label is replaced by what people answered: CIFAR-10N and CIFAR-100N (Wei et al. 2022)."""

    kind: Literal["human"]
    """What people answered."""
    p: Annotated[tuple[Probability, ...], Field(min_length=1), Distinct] = (1.0,)
    """Probabilities that a label is replaced by the answer, which may be true; 1: all are, as in the file."""
    variant: HumanVariant
    """Which answers: `worse_label`, `aggre_label`, `random_label1` to `3` (CIFAR-10N), `noisy_label`
    (CIFAR-100N)."""

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind and variant."""
        return super().label_settings | {"variant": self.variant}


Noise = Annotated[
    Symmetric | NoneTrue | Asymmetric | Instance | Given | Human | OwnNoise, Field(discriminator="kind")
]
