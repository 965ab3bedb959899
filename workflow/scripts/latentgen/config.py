"""The study file: every key with its type, range, default and meaning, and the runs that follow from it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from latentgen.datasets import DATASETS, DatasetInfo, dataset_info
from latentgen.errors import LatentgenError
from latentgen.mistakes import WORDS, MistakeBelow, mistakes_in_words, nearest
from latentgen.models import Architecture, Network, ResNet18
from latentgen.own_data import own_info
from latentgen.protocols import with_defaults_of_protocol
from latentgen.runs import NAME, RunSpec
from latentgen.schedule import checkpoint_epochs, shard_ranges
from latentgen.settings import (
    Distinct,
    NonNegativeInt,
    NotBoolean,
    PositiveFloat,
    PositiveInt,
    Settings,
    distinct,
)

HUMAN_ANSWERS = {
    "cifar10": ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3"),
    "cifar100": ("noisy_label",),
}
"""For which data sets people were asked, and the names of their answers in the published files."""
FLOAT_BYTES = {"float32": 4, "float16": 2}


def _known_dataset(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"no known dataset; {nearest(name, list(DATASETS))}")
    return name


def _four_decimals(p: float) -> float:
    if round(p, 4) != p:
        raise ValueError("run names keep four decimals of p; this has more")
    return abs(p)  # -0.0 is 0


def _distinct_by(name: str, way_out: str = "") -> AfterValidator:
    """Refuse two settings of the same name: their results would have the same place."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            distinct(tuple(getattr(value, name) for value in values))
        except ValueError as error:
            raise ValueError(f"{error}{way_out}") from None
        return values

    return AfterValidator(check)


Probability = Annotated[float, Field(ge=0, le=1), AfterValidator(_four_decimals), NotBoolean]
Pixel = Annotated[float, NotBoolean]
BelowOne = Annotated[float, Field(ge=0, lt=1), NotBoolean]


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
        """What `latentgen.labels.corrupt` has to know besides p and the seed."""
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


Noise = Annotated[Symmetric | NoneTrue | Asymmetric | Instance | Human, Field(discriminator="kind")]


class OwnData(Settings):
    """Where one's own data is, and what it holds, as `python -m latentgen.own_data PATH` prints it."""

    path: str
    """A .npz file, a folder of .npy files, or one of images by class; relative to the Snakefile's folder."""
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Channels, height and width of an image."""
    classes: Annotated[int, Field(ge=2)]
    """Number of classes."""
    train: PositiveInt
    """Number of training items."""
    test: PositiveInt
    """Number of test items."""


class DatasetChoice(Settings):
    """A data set, or a fixed part of one, and how its pixels are scaled."""

    own: OwnData | None = None
    """A data set of one's own; one of those that are known by name if left out."""
    name: str
    """Name of the data set: a known one, or one that you give your own."""
    train_items: PositiveInt | None = None
    """Take this many training items, always the same ones; all if left out."""
    test_items: PositiveInt | None = None
    """Take this many test items, always the same ones; all if left out."""
    input_range: tuple[Pixel, Pixel] = (-1.0, 1.0)
    """What pixel values 0 and maximum become. The papers scale to (-1, 1), and Tiny ImageNet to (0, 1)."""

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str, given: ValidationInfo) -> str:
        if "own" not in given.data:  # a mistake in it is told already
            return name
        if given.data["own"] is None:
            return _known_dataset(name)
        if name in DATASETS:
            raise ValueError("this is the name of another data set; choose one of your own")
        if not re.fullmatch(NAME, name):
            raise ValueError(WORDS["string_pattern_mismatch"])
        return name

    @field_validator("train_items", "test_items")
    @classmethod
    def _has_that_many(cls, wanted: int | None, given: ValidationInfo) -> int | None:
        if wanted is not None and {"name", "own"} <= set(given.data):
            info = _info(given.data["name"], given.data["own"])
            there = info.n_train if given.field_name == "train_items" else info.n_test
            if wanted > there:
                raise ValueError(f"{info.name} has only {there} of them")
        return wanted

    @field_validator("input_range")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] >= ends[1]:
            raise ValueError("must be two numbers, the second larger than the first")
        return ends

    @property
    def info(self) -> DatasetInfo:
        """Facts of the whole data set, known before any of it is read."""
        return _info(self.name, self.own)

    @property
    def dataset_id(self) -> str:
        """Name of exactly these items, in file names, run names and tables."""
        part = f"_{self.train_items}" if self.train_items else ""
        return self.name + part + (f"x{self.test_items}" if self.test_items else "")

    @property
    def megabytes(self) -> int:
        """Memory that reading the whole data set takes, with room to spare."""
        return 500 + 4 * (self.info.n_train + self.info.n_test) * prod(self.info.shape) // 10**6

    @property
    def n_train(self) -> int:
        """Number of training items."""
        return self.train_items or self.info.n_train

    @property
    def n_test(self) -> int:
        """Number of test items."""
        return self.test_items or self.info.n_test

    @property
    def n_items(self) -> int:
        """Training and test items together."""
        return self.n_train + self.n_test


def _info(name: str, own: OwnData | None) -> DatasetInfo:
    return own_info(name, **own.model_dump()) if own else dataset_info(name)


class SGD(Settings):
    """Stochastic gradient descent with momentum."""

    name: Literal["SGD"]
    """Stochastic gradient descent with momentum."""
    learning_rate: PositiveFloat
    """Step length."""
    momentum: BelowOne = 0.9
    """Share of the last step that is taken again."""


class Adam(Settings):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["Adam"]
    """Adam (Kingma and Ba, 2015)."""
    learning_rate: PositiveFloat
    """Step length."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class StopRule(Settings):
    """When a network counts as having memorized its labels."""

    train_accuracy: Annotated[float, Field(gt=0, le=1), NotBoolean] = 1.0
    """Share of the (corrupted) training labels that are reproduced."""
    measured: Literal["eval", "online"] = "eval"
    """`eval`: at every checkpoint, with fixed weights in eval mode. `online`: after every epoch, as the
    running accuracy during the epoch, which lags behind. Published protocol: `online`."""


Schedule = Annotated[
    Annotated[Literal["paper"], Tag("(name)")]
    | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Tag("(list)")],
    Discriminator(lambda given: "(name)" if isinstance(given, str) else "(list)"),
]


class Training(Settings):
    """How the network is trained."""

    optimizer: Annotated[SGD | Adam, Field(discriminator="name")]
    """The optimizer and its settings."""
    batch_size: PositiveInt
    """Items per step; a smaller last batch is kept."""
    shuffle: bool = True
    """Draw a new order for every epoch, from the run's seed. Published protocol: false."""
    max_epochs: PositiveInt
    """Training ends after this many epochs at the latest."""
    stop: StopRule | None = StopRule()
    """Training ends when this is met; null: always train `max_epochs`."""
    checkpoints: Schedule = "paper"
    """Epochs whose weights are kept and probed: a list, or `paper` for 0, 1, 2, 4, …, 20, 25, 30, … The last
    epoch trained is always kept."""

    @property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose checkpoints are kept, if training gets there."""
        return checkpoint_epochs(self.checkpoints, self.max_epochs)


Edit = Literal[
    "none",
    "velpic",
    "velpic_old_norms",
    "nearest_mean",
    "blend25",
    "blend50",
    "blend75",
    "random",
]


class Intervention(Settings):
    """An edit of the readout midway, after which training goes on with a fresh optimizer."""

    edit: Edit
    """What the readout's rows become. `velpic`: VeLPIC's vectors; `velpic_old_norms`: these, each as long as
    the row was; `nearest_mean`: the means of the classes, at length 1; `blend25`: a quarter of the old row
    and three of VeLPIC's vector, `blend50` and `blend75` likewise; `random`: orthonormal rows. The bias
    becomes zero (in blends, that share of the old one). `none`: nothing changes, the control of the fresh
    optimizer."""
    at_epoch: NonNegativeInt
    """Which checkpoint is edited; the last one if training ended before."""
    max_epochs: PositiveInt = 100
    """Training goes on to this epoch, whatever the stop rule."""
    batch_size: Literal["same"] | PositiveInt = "same"
    """Items per step after the edit. Published protocol: 1."""
    p: Annotated[tuple[Probability, ...], Field(min_length=1), Distinct] | None = None
    """Only at these strengths of noise; at all if left out."""

    @field_validator("max_epochs")
    @classmethod
    def _goes_on(cls, max_epochs: int, given: ValidationInfo) -> int:
        if "at_epoch" in given.data and max_epochs <= given.data["at_epoch"]:
            raise ValueError("must come after at_epoch")
        return max_epochs

    @property
    def intervention_name(self) -> str:
        """Name in run names and tables, as in `velpic_at_40`, or `velpic_at_40_batch1`."""
        batch = "" if self.batch_size == "same" else f"_batch{self.batch_size}"
        return f"{self.edit}_at_{self.at_epoch}{batch}"


class Pair(Settings):
    """A data set and the network that is trained on it."""

    dataset: Annotated[
        DatasetChoice,
        BeforeValidator(
            lambda given: {"name": given} if isinstance(given, str) else given,
            json_schema_input_type=str | DatasetChoice,
        ),
    ]
    """Name of a data set, or its settings."""
    model: Architecture
    """The network."""
    training: Training
    """How it is trained."""
    initial_weights: Literal["run_seed", "published"] = "run_seed"
    """`run_seed`: drawn from the run's seed. `published`: from torch's generator with seed 42, the network
    of seed 1 first, that of seed 2 next, and so on; the CNN always with seed 0. Published protocol:
    `published`."""

    interventions: Annotated[tuple[Intervention, ...], _distinct_by("intervention_name")] = ()
    """Edits midway; each gives a further run of every seed and p."""

    @field_validator("interventions")
    @classmethod
    def _can_be_edited(
        cls, interventions: tuple[Intervention, ...], given: ValidationInfo
    ) -> tuple[Intervention, ...]:
        for one in interventions:
            if "training" in given.data and one.at_epoch not in given.data["training"].scheduled:
                raise ValueError(f"there is no checkpoint at epoch {one.at_epoch} to edit")
        return interventions

    @field_validator("model")
    @classmethod
    def _layers_exist(cls, model: Network, given: ValidationInfo) -> Network:
        if "dataset" in given.data:
            shape = given.data["dataset"].info.shape
            widths = model.layer_widths(shape)
            if 0 in widths.values():
                side = "{1} × {2}".format(*shape)
                raise ValueError(f"images of {side} are too small for {model.architecture}")
            wrong = [layer for layer in model.layers or () if layer not in widths]
            if wrong:
                told = (f"no layer '{layer}', {nearest(layer, list(widths))}" for layer in wrong)
                raise MistakeBelow("layers", "; ".join(told))
        return model

    @property
    def name(self) -> str:
        """Dataset and model, as in figure names."""
        return f"{self.dataset.dataset_id}-{self.model.model_name}"


class ProbeSettings(Settings):
    """What all probes can be told."""

    kind: str
    at: Literal["every", "ends"] = "every"
    """`every`: fitted at every checkpoint. `ends`: on the untrained and on the final network only."""
    max_width: PositiveInt | None = None
    """Leave out layers with more units than this; none if not given."""

    @property
    def probe_name(self) -> str:
        """Name of the probe in tables and figures."""
        return self.kind


class MASC(ProbeSettings):
    """The minimum-angle subspace classifier, with so much variance or so many components per class."""

    kind: Literal["MASC"]
    """The minimum-angle subspace classifier."""
    variance: Annotated[float, Field(gt=0, lt=1), NotBoolean] | None = None
    """Share of the variance that each class's subspace keeps; 0.99 if neither is given."""
    components: PositiveInt | None = None
    """Number of components that each class's subspace keeps."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "MASC":
        if self.variance is not None and self.components is not None:
            raise ValueError("give variance or components, not both")
        return self

    @property
    def probe_name(self) -> str:
        """`MASC` at the papers' 0.99; else the setting is part of the name."""
        if self.components is not None:
            return f"MASC-{self.components}pc"
        return "MASC" if self.variance in (None, 0.99) else f"MASC-{self.variance:g}"


class VeLPIC(ProbeSettings):
    """The vector linear probe: each class's first principal direction."""

    kind: Literal["VeLPIC"]
    """The vector linear probe."""


class NearestMean(ProbeSettings):
    """Nearest class mean, by cosine."""

    kind: Literal["nearest_mean"]
    """Nearest class mean, by cosine."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""


class KNN(ProbeSettings):
    """Majority among the nearest training items, by cosine."""

    kind: Literal["KNN"]
    """Nearest training items, by cosine."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    neighbours: PositiveInt = 5
    """How many of them. The papers take 5."""

    @property
    def probe_name(self) -> str:
        """`KNN` at 5; else the number is part of the name."""
        return self.kind if self.neighbours == 5 else f"KNN-{self.neighbours}"


class LDA(ProbeSettings):
    """Linear discriminant analysis."""

    kind: Literal["LDA"]
    """Linear discriminant analysis."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    max_width: PositiveInt | None = 5000
    """Leave out layers with more units than this: time grows with the cube of the width."""


class QDA(ProbeSettings):
    """Quadratic discriminant analysis."""

    kind: Literal["QDA"]
    """Quadratic discriminant analysis."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    max_width: PositiveInt | None = 5000
    """Leave out layers with more units than this: time grows with the cube of the width."""
    reg_param: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """r: variances s² along the axes of a class become (1 − r) s² + r. The papers have 0, which has no answer
    where a unit does not vary within a class."""


class Logistic(ProbeSettings):
    """Logistic regression."""

    kind: Literal["logistic"]
    """Logistic regression."""
    at: Literal["every", "ends"] = "ends"
    """`ends`: fitted on the untrained and on the final network only; `every`: at every checkpoint."""
    solver: Literal["lbfgs", "adam"] = "lbfgs"
    """`lbfgs`: the minimum, with a small L2 penalty (scikit-learn's default, C = 1). `adam`: 20 epochs of
    Adam, no penalty. Published protocol: `adam`."""


Probe = Annotated[
    MASC | VeLPIC | NearestMean | KNN | LDA | QDA | Logistic,
    Field(discriminator="kind"),
]
FitLabels = Annotated[
    Literal["corrupted", "true", "permuted"],
    BeforeValidator(  # YAML's unquoted true
        lambda given: "true" if given is True else given,
        json_schema_input_type=Literal["corrupted", "true", "permuted", True],
    ),
]
Bias = Literal["zero", "kept"]
FigureName = Literal["dynamics", "difference", "transfer", "final"]


def _not_drawable(study: Mapping[str, Any]) -> dict[FigureName, str]:
    """Say what the rest of a study lacks for a figure, by figure, as far as the rest is known."""
    if not {"probes", "fit_labels"} <= set(study):
        return {}
    every = [probe.probe_name for probe in study["probes"] if probe.at == "every"]
    probes = set(every) if "corrupted" in study["fit_labels"] else set()
    lacking: dict[FigureName, str] = {}
    if not probes & {"MASC", "VeLPIC"}:
        lacking["dynamics"] = lacking["final"] = "MASC or VeLPIC fitted with corrupted labels"
    if not probes >= {"MASC", "VeLPIC"}:
        lacking["difference"] = "MASC and VeLPIC fitted with corrupted labels"
    if "transfer" in study and study["transfer"] is None:
        lacking["transfer"] = "transfer, which is null"
    return lacking


class Activations(Settings):
    """How activations are computed and stored."""

    mode: Literal["eval", "single_images"] = "eval"
    """`eval`: in eval mode. `single_images`: every image as a batch of its own, in train mode (with dropout:
    in eval mode); it matters for batch normalization and renorm. Published protocol: `single_images`."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format in the file. float16 halves the size and can move a count."""
    keep: bool = False
    """Keep the activations of every shard; they are large, and deleted once used if false."""
    shard_gigabytes: PositiveFloat = 8.0
    """Uncompressed size that a shard may have: the number of checkpoints per shard follows from it."""


class Transfer(Settings):
    """VeLPIC's vectors written into the readout."""

    bias: Annotated[tuple[Bias, ...], Field(min_length=1), Distinct] = ("zero", "kept")
    """What becomes of the readout's bias. For a readout that has none both are the same, and one is done."""
    keep_models_at: Annotated[tuple[NonNegativeInt, ...], Distinct] = ()
    """Checkpoints whose edited network is kept as a file; the last one's always is."""


class Study(Settings):
    """A grid of runs, what is computed of each, and the figures over them."""

    study: Annotated[str, Field(pattern=f"^{NAME}$")]
    """Name of the study: its results go to results/{study}."""
    protocol: Literal["sound", "published"] = "sound"
    """Which defaults the study has: `sound` ones, or those of the papers' code, to be compared with their
    tables. The fields concerned, and why: latentgen/protocols.py."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct]
    """One run each; labels, initial weights and order are independent streams of it."""
    noise: Annotated[tuple[Noise, ...], Field(min_length=1), _distinct_by("noise_name")]
    """Kinds and strengths of label noise."""
    pairs: Annotated[
        tuple[Pair, ...], Field(min_length=1), _distinct_by("name", "; give the model another name")
    ]
    """Data sets and the networks trained on them."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1), _distinct_by("probe_name")] = (
        MASC(kind="MASC", variance=0.99),
        VeLPIC(kind="VeLPIC"),
    )
    """Classifiers fitted on each layer's activations at each checkpoint."""
    fit_labels: Annotated[tuple[FitLabels, ...], Field(min_length=1), Distinct] = ("corrupted", "true")
    """Which training labels probes are fitted with. `permuted`, the corrupted ones in random order, is a
    negative control: no probe can then be better than chance."""
    activations: Activations = Activations()
    """How networks are run to be probed, and how what their layers answer is stored."""
    transfer: Transfer | None = Field(default=Transfer(), validate_default=True)
    """VeLPIC's vectors written into the readout; null leaves this out."""
    figures: Annotated[tuple[FigureName, ...], Distinct] = Field(default=None, validate_default=True)
    """Figures to draw of every pair; all that the rest of the study allows if left out."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, given: Any) -> Any:
        return with_defaults_of_protocol(given)

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        for pair in self.pairs:
            self._mode_fits(pair)
            self._noise_fits(pair)
        return self

    # Checks of keys against earlier ones; of these, `given` holds those that have no mistake themselves.

    @field_validator("transfer")
    @classmethod
    def _transfer_has_what_it_needs(cls, transfer: Transfer | None, given: ValidationInfo) -> Transfer | None:
        if transfer is None:
            return None
        probes, fit_labels, pairs = (given.data.get(key) for key in ("probes", "fit_labels", "pairs"))
        if probes and "VeLPIC" not in {probe.kind for probe in probes if probe.at == "every"}:
            raise ValueError("needs VeLPIC at every checkpoint among the probes; null leaves it out")
        if fit_labels and "corrupted" not in fit_labels:
            raise ValueError("needs 'corrupted' among fit_labels; null leaves it out")
        for pair in pairs or ():
            last = list(pair.model.layer_widths(pair.dataset.info.shape))[-1]
            if last not in (pair.model.layers or [last]):
                raise ValueError(
                    f"needs the readout's input, {last}, among the layers of {pair.name}; null leaves it out"
                )
        scheduled = {epoch for pair in pairs or () for epoch in pair.training.scheduled}
        strange = [str(epoch) for epoch in transfer.keep_models_at if pairs and epoch not in scheduled]
        if strange:
            raise MistakeBelow("keep_models_at", f"no checkpoint is scheduled at epoch {', '.join(strange)}")
        return transfer

    @field_validator("figures", mode="before")
    @classmethod
    def _all_if_left_out(cls, figures: Any, given: ValidationInfo) -> Any:
        if figures is not None:
            return figures
        return [figure for figure in get_args(FigureName) if figure not in _not_drawable(given.data)]

    @field_validator("figures")
    @classmethod
    def _can_be_drawn(cls, figures: tuple[FigureName, ...], given: ValidationInfo) -> tuple[FigureName, ...]:
        lacking = _not_drawable(given.data)
        wrong = [f"'{figure}' needs {lacking[figure]}" for figure in figures if figure in lacking]
        if wrong:
            raise ValueError("; ".join(wrong))
        return figures

    def _noise_fits(self, pair: Pair) -> None:
        info = pair.dataset.info
        for noise in self.noise:
            if isinstance(noise, Asymmetric):
                high = max(max(noise.pairs), max(noise.pairs.values()))
                if high >= info.n_classes:
                    raise ValueError(
                        f"noise: {info.name} has no class {high}; its classes are 0 to {info.n_classes - 1}"
                    )
            if isinstance(noise, Human):
                known = HUMAN_ANSWERS.get(info.name, ())
                if noise.variant not in known:
                    there = ", ".join(known) or "none"
                    raise ValueError(
                        f"noise: there are no human answers '{noise.variant}' for {info.name}; "
                        f"there are: {there}"
                    )

    def _mode_fits(self, pair: Pair) -> None:
        single_images = self.activations.mode == "single_images"
        if getattr(pair.model, "renorm", False) and not single_images:
            raise ValueError(
                f"{pair.name}: with renorm, activations depend on which items share a batch; set "
                "activations.mode to single_images"
            )
        if single_images and isinstance(pair.model, ResNet18) and not pair.model.dropout:
            widths = pair.model.layer_widths(pair.dataset.info.shape)
            if widths["l4"] == widths["bf_last"]:
                raise ValueError(
                    f"{pair.name}: single images of this size have no statistics, with one pixel per channel "
                    "in l4; set activations.mode to eval"
                )

    @cached_property
    def runs(self) -> dict[str, "Run"]:
        """Every run by its name, in the order of the study file."""
        runs = [
            Run(
                RunSpec(
                    pair.dataset.dataset_id,
                    pair.model.model_name,
                    noise.noise_name,
                    p,
                    seed,
                    intervention.intervention_name if intervention else "none",
                ),
                pair,
                noise,
                self,
                intervention,
            )
            for pair in self.pairs
            for noise in self.noise
            for p in noise.p
            for intervention in (None, *pair.interventions)
            if intervention is None or intervention.p is None or p in intervention.p
            for seed in self.seeds
        ]
        return {run.spec.slug: run for run in runs}

    @cached_property
    def drawings(self) -> dict[str, "Drawing"]:
        """Every figure to draw by its name; the noise is part of it where there are several."""
        return {
            f"{kind}-{pair.name}" + (f"-{noise.noise_name}" if len(self.noise) > 1 else ""): Drawing(
                kind, pair, noise
            )
            for kind in self.figures
            for pair in self.pairs
            for noise in self.noise
        }


@dataclass(frozen=True)
class Drawing:
    """One figure: what it shows, and of which runs."""

    kind: FigureName
    pair: Pair
    noise: Noise


@dataclass(frozen=True)
class Run:
    """One run of a study: its identity, and the settings that its steps use."""

    spec: RunSpec
    pair: Pair
    noise: Noise
    study: Study
    intervention: Intervention | None = None

    @property
    def label_seed(self) -> int:
        """Seed of the labels: the run's, or the published 42."""
        return 42 if self.noise.label_settings["generator"] == "published" else self.spec.seed

    @property
    def layers(self) -> dict[str, int]:
        """Width of every probed layer."""
        return self.pair.model.probed_layers(self.pair.dataset.info.shape)

    @property
    def training_step(self) -> Literal["train", "edit_and_train"]:
        """The rule that trains it."""
        return "train" if self.intervention is None else "edit_and_train"

    @property
    def last_layer(self) -> str:
        """The layer that the readout sees."""
        return list(self.pair.model.layer_widths(self.pair.dataset.info.shape))[-1]

    @property
    def checkpoint_bytes(self) -> int:
        """Size of the activations of one checkpoint, uncompressed."""
        width = sum(self.layers.values())
        return self.pair.dataset.n_items * width * FLOAT_BYTES[self.study.activations.dtype]

    @property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose checkpoints are kept, if training gets there."""
        if self.intervention is None:
            return self.pair.training.scheduled
        epochs = checkpoint_epochs(self.pair.training.checkpoints, self.intervention.max_epochs)
        return tuple(epoch for epoch in epochs if epoch >= self.intervention.at_epoch)

    @property
    def training(self) -> dict[str, Any]:
        """How the run is trained, as plain values: what `latentgen.training.train` takes."""
        settings = self.pair.training.model_dump(mode="json") | {"checkpoints": list(self.scheduled)}
        if self.intervention is None:
            return settings
        batch_size = self.intervention.batch_size
        return settings | {
            "batch_size": settings["batch_size"] if batch_size == "same" else batch_size,
            "max_epochs": self.intervention.max_epochs,
            "stop": None,
        }

    @property
    def checkpoints_per_shard(self) -> int:
        """As many as the size budget allows, and at least one."""
        return max(1, int(self.study.activations.shard_gigabytes * 1e9) // self.checkpoint_bytes)

    @property
    def shards(self) -> list[range]:
        """Ranges of epochs whose checkpoints share an activations file; edited runs are not probed."""
        if self.intervention is not None:
            return []
        return shard_ranges(self.scheduled, self.checkpoints_per_shard)


def read_study(given: Mapping[str, Any]) -> Study:
    """Check what a study file holds and return it as settings, with all defaults filled in.

    Raises
    ------
    LatentgenError
        With every mistake at once: the key's path, what is wrong, what is allowed, the nearest right name.
    """
    try:
        return Study.model_validate(dict(given))
    except ValidationError as error:
        raise LatentgenError(mistakes_in_words(error, Study)) from None


def load_study(path: str | Path) -> Study:
    """Read a study file, in YAML or JSON.

    Raises
    ------
    LatentgenError
        As `read_study`; or if the file is missing or not YAML.
    """
    import yaml

    try:
        given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LatentgenError(f"{path} does not exist. Name a study file, as in config/digits.yaml.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise LatentgenError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(given, dict):
        raise LatentgenError(f"{path} holds no settings: a study file is lines of `key: value`.")
    return read_study(given)


def study_schema() -> str:
    """Return the JSON schema of study files, from which editors complete keys and explain them.

    ``config/study.schema.json`` is ``python -m latentgen.config > config/study.schema.json``.
    """
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False)


if __name__ == "__main__":
    print(study_schema())
