"""The kinds of probes: their settings in a study file, their style in figures, and their estimators.

To add a built-in probe, add a module with its estimator, and here its settings and its entry in `KINDS`; its
computation, cost, style and schema follow. torch is not imported until a probe is created.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias, Union

from pydantic import Field, field_validator, model_validator

from latentgen.runtime.import_paths import ImportPath, attribute
from latentgen.settings import Arguments, CodeFiles, NotBoolean, PositiveInt, Settings

if TYPE_CHECKING:
    from latentgen.probes.base import Probe as Estimator


class ProbeSettings(Settings):
    """Settings of every probe."""

    look: ClassVar[tuple[str, str] | None] = None
    """Colour and marker in every figure; custom probes share a list of others."""
    estimator_path: ClassVar[str]
    """Import path of the class that is fitted. Its arguments are the settings that not all probes have."""

    in_parts: ClassVar[bool] = False
    """Whether it can be fitted on a layer that is larger than memory, class by class."""

    kind: str
    at: Literal["every", "ends"] = "every"
    """`every`: fitted at every checkpoint. `ends`: on the untrained and on the final network only."""
    max_width: PositiveInt | None = None
    """Leave out layers with more units than this; none if not given."""

    @classmethod
    def estimator(cls) -> "type[Estimator]":
        """Return the class that is fitted."""
        estimator: type[Estimator] = resolve_name(cls.estimator_path)
        return estimator

    @property
    def probe_name(self) -> str:
        """Name of the probe in tables and figures."""
        return self.kind

    @property
    def is_variant(self) -> bool:
        """Whether it is a variant of a probe, which most figures do not show."""
        return False


class MASC(ProbeSettings):
    """The minimum-angle subspace classifier, by variance or number of components per class."""

    look: ClassVar = ("#0072b2", "s")
    estimator_path: ClassVar = "latentgen.probes.subspace_probes:MASC"
    in_parts: ClassVar = True

    kind: Literal["MASC"]
    """The minimum-angle subspace classifier."""
    variance: Annotated[float, Field(gt=0, lt=1), NotBoolean] | None = None
    """Fraction of the variance that each class's subspace keeps; 0.99 if neither is given."""
    components: PositiveInt | None = None
    """Number of components that each class's subspace keeps."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "MASC":
        if self.variance is not None and self.components is not None:
            raise ValueError("give variance or components, not both")
        return self

    @property
    def probe_name(self) -> str:
        """`MASC` at the papers' 0.99; otherwise the setting is part of the name."""
        if self.components is not None:
            return f"MASC-{self.components}pc"
        return "MASC" if self.variance in (None, 0.99) else f"MASC-{self.variance:g}"

    @property
    def is_variant(self) -> bool:
        """Whether it keeps another fraction of the variance than the papers."""
        return self.probe_name != "MASC"


class VeLPIC(ProbeSettings):
    """The vector linear probe: each class's first principal direction."""

    look: ClassVar = ("#009e73", "D")
    estimator_path: ClassVar = "latentgen.probes.subspace_probes:VeLPIC"
    in_parts: ClassVar = True

    kind: Literal["VeLPIC"]
    """The vector linear probe."""
    sign: Literal["own", "all"] = "own"
    """Which mean of ⟨x, v_c⟩ is positive: over the class's own training examples (`own`) or over all
    (`all`). On activations that are never negative (after ReLU) both agree. Published protocol: `all`."""
    name: Annotated[str, Field(pattern="^VeLPIC-[A-Za-z0-9_.-]+$")] | None = None
    """Name in tables and figures, such as `VeLPIC-all`, to have both signs in one study. If omitted:
    `VeLPIC`, the one that transfer uses."""

    @property
    def probe_name(self) -> str:
        """The given name, or `VeLPIC`."""
        return self.name or self.kind


class NearestMean(ProbeSettings):
    """Nearest class mean, by cosine."""

    look: ClassVar = ("#56b4e9", "o")
    estimator_path: ClassVar = "latentgen.probes.nearest:NearestMean"

    kind: Literal["nearest_mean"]
    """Nearest class mean, by cosine."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""


class KNN(ProbeSettings):
    """Majority among the nearest training examples, by cosine."""

    look: ClassVar = ("#999933", "v")
    estimator_path: ClassVar = "latentgen.probes.nearest:KNN"

    kind: Literal["KNN"]
    """Nearest training examples, by cosine."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    neighbours: PositiveInt = 5
    """Number of neighbours. The papers use 5."""

    @property
    def probe_name(self) -> str:
        """`KNN` at 5; otherwise the number is part of the name."""
        return self.kind if self.neighbours == 5 else f"KNN-{self.neighbours}"


class LDA(ProbeSettings):
    """Linear discriminant analysis."""

    look: ClassVar = ("#882255", "P")
    estimator_path: ClassVar = "latentgen.probes.discriminant:LDA"

    kind: Literal["LDA"]
    """Linear discriminant analysis."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    max_width: PositiveInt | None = 5000
    """Leave out layers with more units than this: time grows with the cube of the width."""


class QDA(ProbeSettings):
    """Quadratic discriminant analysis."""

    look: ClassVar = ("#aa4499", "*")
    estimator_path: ClassVar = "latentgen.probes.discriminant:QDA"

    kind: Literal["QDA"]
    """Quadratic discriminant analysis."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    max_width: PositiveInt | None = 5000
    """Leave out layers with more units than this: time grows with the cube of the width."""
    reg_param: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """r: variances s² along the axes of a class become (1 − r) s² + r. The papers use 0, which is singular
    if a unit is constant within a class."""


class Logistic(ProbeSettings):
    """Logistic regression."""

    look: ClassVar = ("#e69f00", "^")
    estimator_path: ClassVar = "latentgen.probes.logistic:LogisticRegression"

    kind: Literal["logistic"]
    """Logistic regression."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    solver: Literal["lbfgs", "adam"] = "lbfgs"
    """`lbfgs`: the minimum, with a small L2 penalty (scikit-learn's default, C = 1). `adam`: 20 epochs of
    Adam, no penalty. Published protocol: `adam`."""


class SklearnProbe(ProbeSettings):
    """Any scikit-learn classifier, or a custom one with the same `fit` and `predict`."""

    estimator_path: ClassVar = "latentgen.probes.custom:SklearnProbe"

    kind: Literal["sklearn"]
    """A classifier with scikit-learn's `fit` and `predict`."""
    path: ImportPath
    """Import path, module:class, as in `sklearn.svm:LinearSVC`; modules may be in the folder of the
    Snakefile."""
    arguments: Arguments
    """Its arguments, by name. `random_state`, if it has one, is 0 unless given."""
    name: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_.-]*$")] | None = None
    """Name of the probe in tables and figures; that of the class if omitted."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: if their content changes,
    everything that used the code is rerun."""

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str | None) -> str | None:
        if name is not None and (name in TAKEN or name.startswith(TAKEN_BEGINNINGS)):
            raise ValueError("this name is used for other rows of the tables; choose another name")
        return name

    @property
    def import_path(self) -> str:
        """Its path."""
        return self.path

    @property
    def probe_name(self) -> str:
        """The given name, or that of the class."""
        return self.name or attribute(self.path)


TAKEN = ("model", "MASC", "VeLPIC")
TAKEN_BEGINNINGS = ("MASC-", "VeLPIC-", "transfer-")
"""Reserved names in tables, and prefixes of such names."""

KINDS: dict[str, type[ProbeSettings]] = {
    "MASC": MASC,
    "VeLPIC": VeLPIC,
    "logistic": Logistic,
    "nearest_mean": NearestMean,
    "KNN": KNN,
    "LDA": LDA,
    "QDA": QDA,
    "sklearn": SklearnProbe,
}
"""Every kind of probe, in the order of legends."""

if TYPE_CHECKING:
    Probe: TypeAlias = ProbeSettings
else:
    Probe = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007

DEFAULT_PROBES: tuple[ProbeSettings, ...] = (MASC(kind="MASC", variance=0.99), VeLPIC(kind="VeLPIC"))
"""The default probes of a study."""
