"""The study file: every key with its type, range, default and meaning, and the runs that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from latentgen.data.datasets import DatasetInfo
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import Architecture
from latentgen.networks.base import READOUT, Network
from latentgen.networks.measured import MeasuredNetwork
from latentgen.networks.resnet18 import ResNet18
from latentgen.probes.settings import DEFAULT_PROBES, Probe, VeLPIC
from latentgen.settings import (
    Distinct,
    NonNegativeInt,
    PositiveFloat,
    Settings,
    distinct_by,
)
from latentgen.study.dataset_settings import DatasetChoice, one_data_set_per_name
from latentgen.study.error_messages import MistakeBelow, mistakes_in_words, nearest
from latentgen.study.network_measures import with_measures
from latentgen.study.noise_settings import Noise
from latentgen.study.protocols import with_defaults_of_protocol
from latentgen.study.runs import NAME, RunSpec, decimals
from latentgen.study.study_file import StudyFile, read_study_file
from latentgen.study.training_settings import (
    BEST,
    EarlyStop,
    Edit,
    Intervention,
    Relabel,
    Rewind,
    TrainedWeights,
    Training,
)
from latentgen.study.trust import is_of_python
from latentgen.training.schedule import HELD_OUT_SHARE, checkpoint_epochs, shard_ranges

ANOTHER_DRAW = 10**9
"""Added to the seed of labels for another draw of them: larger than any seed of a study."""

FLOAT_BYTES = {"float32": 4, "float16": 2}


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
    training: Training | None = None
    """How it is trained; to be left out if `weights` are given, and only then."""
    weights: TrainedWeights | None = None
    """Trained weights, to be taken instead of training."""
    initial_weights: Literal["run_seed", "published"] = "run_seed"
    """`run_seed`: drawn from the run's seed. `published`: from torch's generator with seed 42, the network
    of seed 1 first, that of seed 2 next, and so on; the CNN always with seed 0. Published protocol:
    `published`."""

    interventions: Annotated[tuple[Intervention, ...], distinct_by("intervention_name")] = ()
    """Edits midway, and trainings on other labels; each gives a further run of every seed and p."""

    @field_validator("interventions")
    @classmethod
    def _can_be_done(
        cls, interventions: tuple[Intervention, ...], given: ValidationInfo
    ) -> tuple[Intervention, ...]:
        dataset, model, training = (given.data.get(key) for key in ("dataset", "model", "training"))
        for one in interventions:
            if given.data.get("weights"):
                raise ValueError("trained weights cannot be trained on: how is not known; leave this out")
            if isinstance(one, Edit):
                if one.vectors_from == "true" and dataset and dataset.label_kind == "given":
                    raise ValueError(f"{one.intervention_name}: true training labels are not known")
                if training and one.at_epoch not in training.scheduled:
                    raise ValueError(f"there is no checkpoint at epoch {one.at_epoch} to edit")
            elif isinstance(one, Rewind):
                _check_rewind(one, dataset, model, training)
            elif dataset and dataset.n_test < 2 * HELD_OUT_SHARE:
                raise ValueError(f"{one.intervention_name}: there are too few test items to hold some out")
            if isinstance(one, Relabel) and dataset and model and one.layer != BEST:
                layers = list(model.probed_layers(dataset.info.shape))
                if one.layer not in layers:
                    raise ValueError(f"no layer '{one.layer}' is probed, {nearest(one.layer, layers)}")
        return interventions

    @field_validator("model")
    @classmethod
    def _layers_exist(cls, model: Network, given: ValidationInfo) -> Network:
        if "dataset" in given.data:
            info = given.data["dataset"].info
            shape = info.shape
            if isinstance(model, MeasuredNetwork):
                return _measured(model, info, given)
            widths = model.layer_widths(shape)
            if 0 in widths.values():
                side = "{1} × {2}".format(*shape)
                raise ValueError(f"images of {side} are too small for {model.architecture}")
            wrong = [layer for layer in model.layers or () if layer not in widths]
            if wrong:
                told = (f"no layer '{layer}', {nearest(layer, list(widths))}" for layer in wrong)
                raise MistakeBelow("layers", "; ".join(told))
        return model

    @model_validator(mode="after")
    def _is_trained_in_one_way(self) -> Self:
        if (self.training is None) == (self.weights is None):
            raise ValueError("needs training, or the weights of one that was done elsewhere, and not both")
        return self

    @property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose weights are kept, if training gets there, or are there already."""
        if self.weights is not None:
            return self.weights.epochs
        return self.training.scheduled if self.training else ()

    @property
    def name(self) -> str:
        """Dataset and model, as in figure names."""
        return f"{self.dataset.dataset_id}-{self.model.model_name}"


def _check_rewind(
    one: Rewind, dataset: DatasetChoice | None, model: Network | None, training: Training | None
) -> None:
    """Refuse layers that the network does not have, and epochs without a checkpoint."""
    if dataset and model and model.is_known:
        names = [*model.layer_widths(dataset.info.shape), READOUT]
        if one.layers_from not in names:
            raise ValueError(f"no layer '{one.layers_from}', {nearest(one.layers_from, names)}")
    strange = [epoch for epoch in one.to_epoch or () if training and epoch not in training.scheduled]
    if strange:
        raise ValueError(f"there is no checkpoint at epoch {strange[0]} to rewind to")


def _measured(model: MeasuredNetwork, info: DatasetInfo, given: ValidationInfo) -> MeasuredNetwork:
    context = given.context or {}
    try:
        return with_measures(
            model, info.shape, info.n_classes, context.get("run_own_code", False), context.get("trusted", ())
        )
    except LatentgenError as error:
        raise ValueError(str(error)) from error


FitLabels = Annotated[
    Literal["corrupted", "true", "permuted", "every_p"],
    BeforeValidator(  # YAML's unquoted true
        lambda given: "true" if given is True else given,
        json_schema_input_type=Literal["corrupted", "true", "permuted", "every_p", True],
    ),
]
Bias = Literal["zero", "kept"]
FigureName = Literal[
    "dynamics",
    "difference",
    "transfer",
    "final",
    "untrained",
    "probes",
    "sensitivity",
    "cost",
    "protocols",
    "edits",
    "initialization",
    "relabel",
    "subspaces",
    "geometry",
    "rewind",
]


def _not_drawable(study: Mapping[str, Any]) -> dict[FigureName, str]:
    """Say what the rest of a study lacks for a figure, by figure, as far as the rest is known."""
    if not {"probes", "fit_labels"} <= set(study):
        return {}
    fitted = study["probes"] if "corrupted" in study["fit_labels"] else ()
    shown = {probe.probe_name for probe in fitted if not probe.is_variant}
    every = {probe.probe_name for probe in fitted if probe.at == "every"} & shown
    subspaces = [probe for probe in fitted if probe.kind == "MASC"]
    with_corrupted = "fitted with corrupted labels"
    lacking: dict[FigureName, str] = {}
    if not every:
        lacking["dynamics"] = f"a probe at every checkpoint, {with_corrupted}"
    if not shown & {"MASC", "VeLPIC"}:
        lacking["final"] = f"MASC or VeLPIC {with_corrupted}"
    if len(every & {"MASC", "VeLPIC", "logistic"}) < 2:
        lacking["difference"] = f"two of MASC, VeLPIC and logistic at every checkpoint, {with_corrupted}"
    if not shown:
        lacking["untrained"] = f"a probe with its usual settings, {with_corrupted}"
    elif any(0 not in pair.scheduled for pair in study.get("pairs", ())):
        lacking["untrained"] = "a checkpoint at epoch 0"
    if not shown - {"MASC", "VeLPIC"}:
        lacking["probes"] = f"another probe than MASC and VeLPIC, {with_corrupted}"
    if "VeLPIC" not in every or not (study.get("transfer") or "true" in study["fit_labels"]):
        lacking["geometry"] = f"VeLPIC at every checkpoint, {with_corrupted}, and transfer or true labels"
    if len(subspaces) < 2:
        lacking["sensitivity"] = f"MASC with several shares of the variance, {with_corrupted}"
    if all(probe.is_variant for probe in study["probes"]):
        lacking["cost"] = "a probe with its usual settings"
    if study.get("compare_with") is None:
        lacking["protocols"] = "compare_with, the tables of another study"
    done = {one.kind for pair in study.get("pairs", ()) for one in pair.interventions}
    if "edit" not in done:
        lacking["edits"] = "an intervention that edits the readout"
    if "initialization" not in done:
        lacking["initialization"] = "an intervention that edits the readout at epoch 0"
    if "rewind" not in done:
        lacking["rewind"] = "the intervention rewind"
    if not {"relabel", "early_stop"} <= done:
        lacking["relabel"] = "the interventions relabel and early_stop"
    if not {"MASC", "VeLPIC"} & shown or not {"true", "every_p"} & set(study["fit_labels"]):
        lacking["subspaces"] = "MASC or VeLPIC fitted with corrupted labels, and with true ones or every_p"
    if "transfer" in study and study["transfer"] is None:
        lacking["transfer"] = "transfer, which is null"
    return lacking


class Activations(Settings):
    """How activations are computed and stored."""

    mode: Literal["eval", "single_images"] = "eval"
    """`eval`: in eval mode. `single_images`: every image as a batch of its own, in train mode (with dropout:
    in eval mode); it matters for batch normalization and renorm. Published protocol: `single_images`."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format in the file. float16 takes a quarter less than rounded float32; counts move more."""
    mantissa_bits: Annotated[int, Field(ge=1, le=23)] = 13
    """Bits of the mantissa to which float32 is rounded before it is compressed; 23 keeps it as it is. With
    13, files take two thirds; of ten thousand items, at most one or so changes its class. float16 has 10."""
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


def _is_package(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("must be the name that a package is imported by")
    if is_of_python(name):
        raise ValueError("is Python's standard library, which a study may not call")
    return name


TrustedPackage = Annotated[str, AfterValidator(_is_package)]


class Study(Settings):
    """A grid of runs, what is computed of each, and the figures over them."""

    study: Annotated[str, Field(pattern=f"^{NAME}$")]
    """Name of the study: its results go to results/{study}."""
    protocol: Literal["sound", "published"] = "sound"
    """Which defaults the study has: `sound` ones, or those of the papers' code, to be compared with their
    tables. The fields concerned, and why: latentgen/study/protocols.py."""
    trusted: Annotated[tuple[TrustedPackage, ...], Distinct] = ()
    """Installed packages whose functions this study may call by import path, by the names they are imported
    by. What is defined in the project's folder needs no entry, nor do subclasses of torch.nn.Module (for
    networks) and scikit-learn's estimators (for probes). List only what you would run yourself."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct]
    """One run each; labels, initial weights and order are independent streams of it."""
    noise: Annotated[tuple[Noise, ...], Field(min_length=1), distinct_by("noise_name")]
    """Kinds and strengths of label noise."""
    pairs: Annotated[
        tuple[Pair, ...],
        Field(min_length=1),
        AfterValidator(one_data_set_per_name),
        distinct_by("name", "; give the model another name"),
    ]
    """Data sets and the networks trained on them."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1), distinct_by("probe_name")] = DEFAULT_PROBES
    """Classifiers fitted on each layer's activations at each checkpoint."""
    fit_labels: Annotated[tuple[FitLabels, ...], Field(min_length=1), Distinct] = ("corrupted", "true")
    """Which training labels probes are fitted with. `permuted`, the corrupted ones in random order, is a
    negative control: over many orders, no probe is then better than chance on average. `every_p`: on
    networks trained at p = 0, once trained, the corrupted labels of every other p too
    (`corrupted0.40` in tables, for those of 0.4); MASC and VeLPIC only."""

    @field_validator("fit_labels")
    @classmethod
    def _has_clean_networks(cls, fit_labels: tuple[str, ...], given: ValidationInfo) -> tuple[str, ...]:
        noises = given.data.get("noise", ())
        if "every_p" in fit_labels and noises and not any(0 in noise.p for noise in noises):
            raise ValueError("every_p needs networks trained at p = 0; there is no noise with that p")
        return fit_labels

    activations: Activations = Activations()
    """How networks are run to be probed, and how what their layers answer is stored."""
    transfer: Transfer | None = Field(default=Transfer(), validate_default=True)
    """VeLPIC's vectors written into the readout; null leaves this out."""
    compare_with: str | None = None
    """Folder of another study's tables, such as results/other/tables: what it found of the same pairs, say
    under the other protocol, is drawn beside this one's in the figure `protocols`."""
    figures: Annotated[tuple[FigureName, ...], Distinct] = Field(default=None, validate_default=True)
    """Figures to draw of every pair; all that the rest of the study allows if left out."""

    @property
    def velpic_sign(self) -> str:
        """Sign of VeLPIC's vectors where a readout is edited: the rule of the probe, or of the protocol."""
        signs = (probe.sign for probe in self.probes if isinstance(probe, VeLPIC) and probe.name is None)
        return next(signs, "all" if self.protocol == "published" else "own")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, given: Any) -> Any:
        return with_defaults_of_protocol(given)

    @model_validator(mode="after")
    def _pairs_fit(self) -> Self:
        for pair in self.pairs:
            self._mode_fits(pair)
            self._noise_fits(pair)
            self._weights_fit(pair)
            if pair.initial_weights == "published" and 0 in self.seeds:
                raise ValueError(
                    "seeds: with published initial weights, seed 0 starts from the same weights as seed 1. "
                    "Begin with 1"
                )
        return self

    # Checks of keys against earlier ones; of these, `given` holds those that have no mistake themselves.

    @field_validator("transfer")
    @classmethod
    def _transfer_has_what_it_needs(cls, transfer: Transfer | None, given: ValidationInfo) -> Transfer | None:
        if transfer is None:
            return None
        probes, fit_labels, pairs = (given.data.get(key) for key in ("probes", "fit_labels", "pairs"))
        if probes and "VeLPIC" not in {probe.probe_name for probe in probes if probe.at == "every"}:
            raise ValueError("needs VeLPIC at every checkpoint among the probes; null leaves it out")
        if fit_labels and "corrupted" not in fit_labels:
            raise ValueError("needs 'corrupted' among fit_labels; null leaves it out")
        for pair in pairs or ():
            if not pair.model.is_known:
                continue
            last = list(pair.model.layer_widths(pair.dataset.info.shape))[-1]
            if last not in pair.model.probed_layers(pair.dataset.info.shape):
                raise ValueError(
                    f"needs the readout's input, {last}, among the layers of {pair.name}; null leaves it out"
                )
        scheduled = {epoch for pair in pairs or () for epoch in pair.scheduled}
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

    @model_validator(mode="after")
    def _has_labels_to_fit(self) -> Self:
        if set(self.fit_labels) == {"true"} and not all(run.truth_known for run in self.runs.values()):
            raise ValueError("fit_labels: true training labels are not known; add corrupted")
        return self

    def _weights_fit(self, pair: Pair) -> None:
        if pair.weights is None:
            return
        several = {
            "{epoch}": len(pair.weights.epochs),
            "{seed}": len(self.seeds),
            "{p}": len({p for noise in self.noise for p in noise.p}),
        }
        lacking = [part for part, count in several.items() if count > 1 and part not in pair.weights.files]
        if lacking:
            raise ValueError(
                f"{pair.name}: weights.files must have {' and '.join(lacking)} in it, as there are several: "
                "runs would share a file"
            )
        if len(self.noise) > 1:
            raise ValueError(f"{pair.name}: trained weights are of one kind of noise; make a study for each")

    def _noise_fits(self, pair: Pair) -> None:
        for noise in self.noise:
            try:
                noise.check_dataset(pair.dataset.info, pair.dataset.label_kind)
            except ValueError as error:
                raise ValueError(f"noise: {error}") from None

    def _mode_fits(self, pair: Pair) -> None:
        single_images = self.activations.mode == "single_images"
        if single_images and isinstance(pair.model, MeasuredNetwork):
            raise ValueError(
                f"{pair.name}: single images are a way to run the papers' networks; set activations.mode to "
                "eval"
            )
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
            if self._has(kind, pair, noise)
        }

    def _has(self, kind: FigureName, pair: Pair, noise: Noise) -> bool:
        """Whether a pair has runs that a figure is about: interventions are not done everywhere."""
        done = {one.kind for one in pair.interventions if one.p is None or set(one.p) & set(noise.p)}
        needed: dict[FigureName, set[str]] = {
            "edits": {"edit"},
            "initialization": {"initialization"},
            "relabel": {"relabel", "early_stop"},
            "rewind": {"rewind"},
        }
        return needed.get(kind, set()) <= done


@dataclass(frozen=True)
class Drawing:
    """One figure: what it shows, and of which runs."""

    kind: FigureName
    pair: Pair
    noise: Noise


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a study: its identity, and the settings that its steps use.

    Of each there is one, and it is asked for the same things by many jobs: so runs are equal only to
    themselves, and remember their answers.

    A run with an intervention is the network of another run, that of the same name without it, edited; or a
    network trained afresh on labels that follow from that run.
    """

    spec: RunSpec
    pair: Pair
    noise: Noise
    study: Study
    intervention: Intervention | None = None

    @cached_property
    def label_seed(self) -> int:
        """Seed of the labels: the run's, or the published 42."""
        return 42 if self.noise.label_settings["generator"] == "published" else self.spec.seed

    @property
    def label_seeds(self) -> list[int]:
        """Seed of the labels, and that of another draw of them if an edit's vectors are fitted with one."""
        another = self.edit is not None and self.edit.vectors_from == "another_draw"
        return [self.label_seed, *([self.label_seed + ANOTHER_DRAW] if another else [])]

    @property
    def truth_known(self) -> bool:
        """Whether the true training labels are known."""
        return self.pair.dataset.own is None or self.pair.dataset.own.labels != "given"

    @cached_property
    def layers(self) -> dict[str, int]:
        """Width of every probed layer."""
        return self.pair.model.probed_layers(self.pair.dataset.info.shape)

    @property
    def edit(self) -> Edit | None:
        """The edit of an edited run."""
        return self.intervention if isinstance(self.intervention, Edit) else None

    @property
    def rewind(self) -> Rewind | None:
        """What is taken from earlier checkpoints, if it is."""
        return self.intervention if isinstance(self.intervention, Rewind) else None

    @property
    def relabel(self) -> Relabel | None:
        """How the labels are made of a run that is trained on predicted ones."""
        return self.intervention if isinstance(self.intervention, Relabel) else None

    @property
    def relabel_layers(self) -> list[str]:
        """The layers among which the best is sought, or the one that is named."""
        named = self.relabel.layer if self.relabel else BEST
        return list(self.layers) if named == BEST else [named]

    @property
    def original(self) -> RunSpec:
        """The run that an intervention starts from."""
        return replace(self.spec, intervention="none")

    @property
    def training_step(self) -> Literal["train", "edit_and_train", "take_weights", "rewind"]:
        """The rule that trains it, or takes its weights."""
        if self.pair.weights is not None:
            return "take_weights"
        if isinstance(self.intervention, Rewind):
            return "rewind"
        return "edit_and_train" if self.edit else "train"

    @property
    def weight_files(self) -> list[str]:
        """Files of trained weights, one for each scheduled epoch."""
        weights = self.pair.weights
        p = self.spec.noise_level.removeprefix(self.spec.noise)
        return [weights.file_of(epoch, self.spec.seed, p) for epoch in self.scheduled] if weights else []

    @cached_property
    def other_labels(self) -> dict[str, RunSpec]:
        """With which labels of other runs a clean network's probes are fitted besides, by name in tables."""
        if self.spec.p or self.intervention or "every_p" not in self.study.fit_labels:
            return {}
        others = (replace(self.spec, p=p) for p in self.noise.p if p)
        return {f"corrupted{decimals(other.p)}": other for other in others}

    @property
    def transfer(self) -> Transfer | None:
        """How vectors are transferred, if they are: not in runs with an intervention."""
        return None if self.intervention else self.study.transfer

    @cached_property
    def last_layer(self) -> str:
        """The layer that the readout sees."""
        return list(self.pair.model.layer_widths(self.pair.dataset.info.shape))[-1]

    @cached_property
    def checkpoint_bytes(self) -> int:
        """Size of the activations of one checkpoint, uncompressed."""
        width = sum(self.layers.values())
        return self.pair.dataset.n_items * width * FLOAT_BYTES[self.study.activations.dtype]

    @cached_property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose checkpoints are kept, if training gets there."""
        if self.intervention is None:
            return self.pair.scheduled
        assert self.pair.training is not None  # interventions need it
        if self.rewind:
            return self.rewind.to_epoch or self.pair.scheduled
        if self.edit is None:
            return checkpoint_epochs([0], self.pair.training.max_epochs)
        epochs = checkpoint_epochs(self.pair.training.checkpoints, self.edit.max_epochs)
        return tuple(epoch for epoch in epochs if epoch >= self.edit.at_epoch)

    @cached_property
    def training(self) -> dict[str, Any]:
        """How the run is trained, as plain values: what `latentgen.training.loop.train` takes."""
        if self.pair.training is None:
            raise LatentgenError(f"{self.spec.slug} is not trained here: its weights are given.")
        settings = self.pair.training.model_dump(mode="json", exclude={"threads"}) | {
            "checkpoints": list(self.scheduled)
        }
        if self.intervention is None:
            return settings
        if isinstance(self.intervention, EarlyStop | Relabel):
            return settings | {"stop": None, "patience": self.intervention.patience}
        assert self.edit is not None  # what is rewound is not trained
        batch_size = self.edit.batch_size
        return settings | {
            "batch_size": settings["batch_size"] if batch_size == "same" else batch_size,
            "max_epochs": self.edit.max_epochs,
            "stop": None,
        }

    @cached_property
    def checkpoints_per_shard(self) -> int:
        """As many as the size budget allows, and at least one."""
        return max(1, int(self.study.activations.shard_gigabytes * 1e9) // self.checkpoint_bytes)

    @cached_property
    def shards(self) -> list[range]:
        """Ranges of epochs whose checkpoints share an activations file; networks trained afresh have none."""
        if self.intervention and not self.edit:
            return []
        return shard_ranges(self.scheduled, self.checkpoints_per_shard)


def read_study(given: Mapping[str, Any] | StudyFile, run_own_code: bool = False) -> Study:
    """Check what a study file holds and return it as settings, with all defaults filled in.

    Parameters
    ----------
    given : mapping or StudyFile
        What a study file holds; with the places of its values, errors name them.
    run_own_code : bool
        Whether custom networks, which the file names by import path, may be run to find their layers and
        sizes. Without it no custom code is imported or called, whatever the file says.

    Raises
    ------
    LatentgenError
        With every mistake at once: the key's path, what is wrong, what is allowed, the nearest right name.
    """
    file = given if isinstance(given, StudyFile) else StudyFile(dict(given))
    listed = file.content.get("trusted")
    trusted = tuple(listed) if isinstance(listed, list | tuple) else ()
    try:
        return Study.model_validate(file.content, context={"run_own_code": run_own_code, "trusted": trusted})
    except ValidationError as error:
        raise LatentgenError(mistakes_in_words(error, Study, file.place_of)) from None


def load_study(path: str | Path) -> Study:
    """Read a study file, in YAML or JSON.

    Raises
    ------
    LatentgenError
        As `read_study` and `latentgen.study.study_file.read_study_file`.
    """
    return read_study(read_study_file(path))
