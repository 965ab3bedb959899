"""The study file: every key with its type, range, default and meaning, and clear words on mistakes."""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from latentgen.datasets import DatasetInfo, dataset_info
from latentgen.errors import LatentgenError
from latentgen.models import Architecture, ResNet18
from latentgen.protocols import with_defaults_of_protocol
from latentgen.runs import NAME, RunSpec
from latentgen.schedule import checkpoint_epochs, shard_ranges
from latentgen.settings import Settings

HUMAN_ANSWERS = {
    "cifar10": ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3"),
    "cifar100": ("noisy_label",),
}
"""For which data sets people were asked, and the names of their answers in the published files."""
FLOAT_BYTES = {"float32": 4, "float16": 2}


def _nearest(wrong: object, known: list[str]) -> str:
    """Name what is allowed, the nearest first if one is near."""
    near = difflib.get_close_matches(str(wrong), known, n=1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"known: {', '.join(known)}"


def _known_dataset(name: str) -> str:
    try:
        return dataset_info(name).name
    except LatentgenError as error:
        raise ValueError(str(error)) from None


def _four_decimals(p: float) -> float:
    if round(p, 4) != p:
        raise ValueError("run names keep four decimals of p; this has more")
    return p


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [str(value) for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"each may be given once; twice or more: {', '.join(twice)}")
    return values


Probability = Annotated[float, Field(ge=0, le=1), AfterValidator(_four_decimals)]
Distinct = AfterValidator(_distinct)


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


class Asymmetric(NoiseSettings):
    """A label becomes that of the class it is paired with, such as one that looks alike."""

    kind: Literal["asymmetric"]
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


HumanVariant = Literal[
    "aggre_label", "worse_label", "random_label1", "random_label2", "random_label3", "noisy_label"
]


class Human(NoiseSettings):
    """A label is replaced by what people answered: CIFAR-10N and CIFAR-100N (Wei et al. 2022)."""

    kind: Literal["human"]
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


class DatasetChoice(Settings):
    """A data set, or a fixed part of one, and how its pixels are scaled."""

    name: Annotated[str, AfterValidator(_known_dataset)]
    """Name of the data set."""
    train_items: PositiveInt | None = None
    """Take this many training items, always the same ones; all if left out."""
    test_items: PositiveInt | None = None
    """Take this many test items, always the same ones; all if left out."""
    input_range: tuple[float, float] = (-1.0, 1.0)
    """What pixel values 0 and maximum become. The papers scale to (-1, 1), and Tiny ImageNet to (0, 1)."""

    @model_validator(mode="after")
    def _has_that_many(self) -> "DatasetChoice":
        info = self.info
        for key, wanted, there in (
            ("train_items", self.train_items, info.n_train),
            ("test_items", self.test_items, info.n_test),
        ):
            if wanted is not None and wanted > there:
                raise ValueError(f"{key}: {self.name} has {there} items, not {wanted}")
        return self

    @property
    def info(self) -> DatasetInfo:
        """Facts of the whole data set, known before any of it is read."""
        return dataset_info(self.name)

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


class SGD(Settings):
    """Stochastic gradient descent with momentum."""

    name: Literal["SGD"]
    learning_rate: PositiveFloat
    """Step length."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last step that is taken again."""


class Adam(Settings):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["Adam"]
    learning_rate: PositiveFloat
    """Step length."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class StopRule(Settings):
    """When a network counts as having memorized its labels."""

    train_accuracy: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the (corrupted) training labels that are reproduced."""
    measured: Literal["eval", "online"] = "eval"
    """`eval`: at every checkpoint, with fixed weights in eval mode. `online`: after every epoch, as the
    running accuracy during the epoch, which lags behind. Published protocol: `online`."""


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
    checkpoints: Literal["paper"] | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = "paper"
    """Epochs whose weights are kept and probed: a list, or `paper` for 0, 1, 2, 4, …, 20, 25, 30, … The last
    epoch trained is always kept."""


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

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        if self.max_epochs <= self.at_epoch:
            raise ValueError(f"max_epochs, {self.max_epochs}, must come after at_epoch, {self.at_epoch}")
        return self

    @property
    def intervention_name(self) -> str:
        """Name in run names and tables, as in `velpic_at_40`, or `velpic_at_40_batch1`."""
        batch = "" if self.batch_size == "same" else f"_batch{self.batch_size}"
        return f"{self.edit}_at_{self.at_epoch}{batch}"


class Pair(Settings):
    """A data set and the network that is trained on it."""

    dataset: Annotated[
        DatasetChoice, BeforeValidator(lambda given: {"name": given} if isinstance(given, str) else given)
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

    interventions: tuple[Intervention, ...] = ()
    """Edits midway; each gives a further run of every seed and p."""

    @model_validator(mode="after")
    def _interventions_fit(self) -> Self:
        _distinct(tuple(one.intervention_name for one in self.interventions))
        scheduled = checkpoint_epochs(self.training.checkpoints, self.training.max_epochs)
        for one in self.interventions:
            if one.at_epoch not in scheduled:
                raise ValueError(f"interventions: there is no checkpoint at epoch {one.at_epoch} to edit")
        return self

    @model_validator(mode="after")
    def _layers_exist(self) -> "Pair":
        widths = self.model.layer_widths(self.dataset.info.shape)
        if 0 in widths.values():
            side = "{1} × {2}".format(*self.dataset.info.shape)
            raise ValueError(f"model: images of {side} are too small for {self.model.architecture}")
        known = list(widths)
        wrong = [layer for layer in self.model.layers or () if layer not in known]
        if wrong:
            raise ValueError(
                "; ".join(f"model.layers: no layer '{layer}', {_nearest(layer, known)}" for layer in wrong)
            )
        return self

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
    variance: Annotated[float, Field(gt=0, lt=1)] | None = None
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


class NearestMean(ProbeSettings):
    """Nearest class mean, by cosine."""

    kind: Literal["nearest_mean"]
    at: Literal["every", "ends"] = "ends"


class KNN(ProbeSettings):
    """Majority among the nearest training items, by cosine."""

    kind: Literal["KNN"]
    at: Literal["every", "ends"] = "ends"
    neighbours: PositiveInt = 5
    """How many of them. The papers take 5."""

    @property
    def probe_name(self) -> str:
        """`KNN` at 5; else the number is part of the name."""
        return self.kind if self.neighbours == 5 else f"KNN-{self.neighbours}"


class LDA(ProbeSettings):
    """Linear discriminant analysis."""

    kind: Literal["LDA"]
    at: Literal["every", "ends"] = "ends"
    max_width: PositiveInt | None = 5000


class QDA(ProbeSettings):
    """Quadratic discriminant analysis."""

    kind: Literal["QDA"]
    at: Literal["every", "ends"] = "ends"
    max_width: PositiveInt | None = 5000
    reg_param: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """r: variances s² along the axes of a class become (1 − r) s² + r. The papers have 0, which has no answer
    where a unit does not vary within a class."""


class Logistic(ProbeSettings):
    """Logistic regression."""

    kind: Literal["logistic"]
    at: Literal["every", "ends"] = "ends"
    solver: Literal["lbfgs", "adam"] = "lbfgs"
    """`lbfgs`: the minimum, with a small L2 penalty (scikit-learn's default, C = 1). `adam`: 20 epochs of
    Adam, no penalty. Published protocol: `adam`."""


Probe = Annotated[
    MASC | VeLPIC | NearestMean | KNN | LDA | QDA | Logistic,
    Field(discriminator="kind"),
]
FitLabels = Literal["corrupted", "true", "permuted"]
Bias = Literal["zero", "kept"]
FigureName = Literal["dynamics", "difference", "transfer", "final"]


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
    """What becomes of the readout's bias; for a readout that has none, `kept` is left out."""
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
    noise: Annotated[tuple[Noise, ...], Field(min_length=1)]
    """Kinds and strengths of label noise."""
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1)]
    """Data sets and the networks trained on them."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1), Distinct] = (
        MASC(kind="MASC", variance=0.99),
        VeLPIC(kind="VeLPIC"),
    )
    """Classifiers fitted on each layer's activations at each checkpoint."""
    fit_labels: Annotated[tuple[FitLabels, ...], Field(min_length=1), Distinct] = ("corrupted", "true")
    """Which training labels probes are fitted with. `permuted`, the corrupted ones in random order, is a
    negative control: no probe can then be better than chance."""
    activations: Activations = Activations()
    """How activations are computed and stored."""
    transfer: Transfer | None = Transfer()
    """VeLPIC's vectors written into the readout; null leaves this out."""
    figures: Annotated[tuple[FigureName, ...], Distinct] = get_args(FigureName)
    """Figures to draw of every pair."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, given: Any) -> Any:
        return with_defaults_of_protocol(given)

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        for pair in self.pairs:
            self._mode_fits(pair)
            self._noise_fits(pair)
        _distinct(tuple(pair.name for pair in self.pairs))
        _distinct(tuple(noise.noise_name for noise in self.noise))
        _distinct(tuple(probe.probe_name for probe in self.probes))
        if self.transfer:
            if (
                not any(probe.kind == "VeLPIC" and probe.at == "every" for probe in self.probes)
                or "corrupted" not in self.fit_labels
            ):
                raise ValueError(
                    "transfer needs VeLPIC at every checkpoint among the probes, and 'corrupted' among "
                    "fit_labels"
                )
            for pair in self.pairs:
                last = list(pair.model.layer_widths(pair.dataset.info.shape))[-1]
                if last not in (pair.model.layers or [last]):
                    raise ValueError(
                        f"transfer needs the readout's input, {last}, among the layers of {pair.name}"
                    )
        elif "transfer" in self.figures:
            raise ValueError("figures: 'transfer' cannot be drawn where transfer is null")
        return self

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
            return checkpoint_epochs(self.pair.training.checkpoints, self.pair.training.max_epochs)
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
        # A list whose items are all wrong is also called too short: the items' own mistakes say enough.
        problems = [one for one in error.errors() if not (one["type"] == "too_short" and one["input"])]
        listed = "".join(f"\n  {_in_words(problem)}" for problem in problems)
        raise LatentgenError(
            f"The study file has {len(problems)} mistake{'s' if len(problems) > 1 else ''}:{listed}"
        ) from None


def _in_words(problem: ErrorDetails) -> str:
    *parents, key = problem["loc"] or ("",)
    path = _path(problem["loc"])
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{path}: unknown key; {_nearest(key, sorted(_keys_at(parents)))}"
    if kind == "missing":
        return f"{path}: missing, and it has no default"
    if kind in ("union_tag_invalid", "literal_error"):
        context = problem["ctx"]
        allowed = context.get("expected_tags") or context["expected"]
        names = [name.strip(" '") for name in allowed.replace(" or ", ", ").split(",")]
        wrong = context.get("tag", value)
        return f"{path}: '{wrong}' is not among the choices; {_nearest(wrong, names)}"
    if kind == "union_tag_not_found":
        return f"{path}: missing {problem['ctx']['discriminator']}, which says what kind it is"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if isinstance(value, Mapping | BaseModel) else f" (found: {value!r})"
    return f"{path}: {message}{shown}" if path else message


def _path(loc: tuple[int | str, ...]) -> str:
    """Write a location as a user would find it; the tags that pydantic puts in for unions are left out."""
    text = ""
    for part, (_, is_key) in zip(loc, _walk(loc), strict=True):
        if isinstance(part, int):
            text += f"[{part}]"
        elif is_key:
            text += f".{part}" if text else part
    return text


def _keys_at(loc: list[int | str]) -> set[str]:
    *_, (models, _) = [({Study}, True), *_walk(tuple(loc))]
    return {key for model in models for key in model.model_fields}


def _walk(loc: tuple[int | str, ...]) -> Iterator[tuple[set[type[BaseModel]], bool]]:
    """Follow a location through the settings: after each part, where it may be, and if it was a key."""
    models: set[type[BaseModel]] = {Study}
    for part in loc:
        if isinstance(part, int):
            yield models, False
            continue
        tagged = {model for model in models if part in _tags(model)}
        if tagged:
            models = tagged
            yield models, False
        elif any(part in model.model_fields for model in models):
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = {found for field in fields for found in _models_in(field.annotation)}
            yield models, True
        else:  # an unknown key, or a validator's own tag
            yield models, not any(sign in part for sign in "[(")


def _tags(model: type[BaseModel]) -> set[str]:
    """Return what tells a model from the others of its union: values of its discriminator."""
    fields = (model.model_fields.get(name) for name in ("kind", "architecture", "name"))
    return {value for field in fields if field for value in get_args(field.annotation)}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in get_args(annotation) for found in _models_in(part)}
