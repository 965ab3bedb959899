"""Training in the study file: optimizer, order, stop rule, checkpoints, interventions; or given weights."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from latentgen.networks.base import READOUT
from latentgen.settings import (
    BelowOne,
    Distinct,
    Epochs,
    NonNegativeInt,
    NotBoolean,
    PositiveFloat,
    PositiveInt,
    Probability,
    Settings,
    distinct_by,
    left_out_if,
)
from latentgen.study.recipe_settings import AugmentationList, LearningRates, Optimizer, ParameterGroup
from latentgen.study.runs import BEST, EARLY_STOP, EARLY_STOP_NOISY, FROM, RELABEL, REWIND
from latentgen.training.schedule import checkpoint_epochs


class StopRule(Settings):
    """Rule that ends training once the network has memorized its labels."""

    train_accuracy: Annotated[float, Field(gt=0, le=1), NotBoolean] = 1.0
    """Fraction of the (corrupted) training labels that are reproduced."""
    measured: Literal["eval", "online"] = "eval"
    """`eval`: at every checkpoint, with fixed weights in eval mode. `online`: after every epoch, by the
    running accuracy during the epoch, which lags behind. Published protocol: `online`."""


Schedule = Annotated[
    Annotated[Literal["paper"], Tag("(name)")]
    | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Tag("(list)")],
    Discriminator(lambda given: "(name)" if isinstance(given, str) else "(list)"),
]


class Training(Settings):
    """How the network is trained."""

    optimizer: Optimizer
    """The optimizer and its settings."""
    batch_size: PositiveInt
    """Images per step; a smaller last batch is kept."""
    shuffle: bool = True
    """Draw a new order for every epoch, from the run's seed. Published protocol: false."""
    max_epochs: Epochs
    """Training ends after this many epochs at the latest."""
    stop: StopRule | None = StopRule()
    """Rule that ends training early; null: always train `max_epochs`."""
    checkpoints: Schedule = "paper"
    """Epochs whose weights are kept and probed: a list, or `paper` for 0, 1, 2, 4, …, 20, 25, 30, … The last
    trained epoch is always kept."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: in training, matrix products use half precision (torch's autocast). This is faster on
    hardware that supports it, and changes the numbers. Everything except the online accuracy, which is
    counted during training, is still measured in float32."""
    compile: bool = False
    """On a GPU, compile the network and replay its steps as CUDA graphs (torch.compile), for networks so
    small that launching a step takes longer than the step. It takes a minute once, and changes the last
    digits. Ignored on CPUs."""
    schedule: Annotated[LearningRates | None, left_out_if(None)] = None
    """Learning rate schedule up to `max_epochs` (after an edit: the edit's own); by default constant."""
    groups: Annotated[tuple[ParameterGroup, ...], distinct_by("match"), left_out_if(())] = ()
    """Parameters with their own learning rate, or frozen ones, by patterns of their names."""
    accumulate: Annotated[PositiveInt, left_out_if(1)] = 1
    """Number of parts that a batch is processed in; their gradients are added. This gives the same step in
    less memory. Batch normalization uses each part separately."""
    clip_gradients: Annotated[PositiveFloat | None, left_out_if(None)] = None
    """Largest joint norm of the gradients, which are scaled down if necessary."""
    loss: Annotated[Literal["cross_entropy", "gce"], left_out_if("cross_entropy")] = "cross_entropy"
    """`gce`: generalized cross entropy with q = 0.7, made for noisy labels (Zhang and Sabuncu, 2018)."""
    label_smoothing: Annotated[BelowOne, left_out_if(0.0)] = 0.0
    """Fraction of a label that is spread evenly over all classes."""
    augment: Annotated[AugmentationList | None, left_out_if(None)] = None
    """Augmentation of training images at every step: a list of `crop: 4`, `flip`, `cutout: 8` and `mixup:
    0.2`. Not used for evaluation and probing."""
    gpus: Annotated[PositiveInt, left_out_if(1)] = 1
    """GPUs of one machine that train the network together: each takes a share of every batch. Losses and
    gradients are those of one GPU to rounding, batch normalization included; with dropout, other units are
    dropped."""
    threads: Literal["auto"] | Annotated[int, Field(gt=0, le=256), NotBoolean] = "auto"
    """Threads on the CPU. The last digits of the weights depend on this number, so it is used even with fewer
    cores. `auto`: 4 if a forward pass of all images takes 2·10¹⁰ multiply-adds and one of a batch 10⁷, else
    1. More threads than free cores are slow: on two busy cores, 4 threads took three times as long as 1."""

    @field_validator("checkpoints")
    @classmethod
    def _are_reached(cls, checkpoints: Schedule, given: ValidationInfo) -> Schedule:
        last = given.data.get("max_epochs")
        beyond = [str(epoch) for epoch in checkpoints if isinstance(epoch, int) and last and epoch > last]
        if beyond:
            raise ValueError(f"training ends at epoch {last} (max_epochs), before {', '.join(beyond)}")
        return checkpoints

    @field_validator("schedule")
    @classmethod
    def _fits_the_epochs(cls, schedule: LearningRates | None, given: ValidationInfo) -> LearningRates | None:
        last = given.data.get("max_epochs")
        if schedule and last and schedule.warmup_epochs >= last:
            raise ValueError(f"warmup_epochs must be less than max_epochs, {last}")
        return schedule

    @field_validator("accumulate")
    @classmethod
    def _divides_the_batch(cls, accumulate: int, given: ValidationInfo) -> int:
        batch_size = given.data.get("batch_size")
        if batch_size and batch_size % accumulate:
            raise ValueError(f"must divide batch_size, {batch_size}")
        return accumulate

    @field_validator("gpus")
    @classmethod
    def _is_not_compiled(cls, gpus: int, given: ValidationInfo) -> int:
        if gpus > 1 and given.data.get("compile"):
            raise ValueError("several GPUs cannot train a compiled network; leave training.compile out")
        return gpus

    @field_validator("label_smoothing")
    @classmethod
    def _goes_with_the_loss(cls, label_smoothing: float, given: ValidationInfo) -> float:
        if label_smoothing and given.data.get("loss") == "gce":
            raise ValueError("is for cross_entropy only; leave it out with gce")
        return label_smoothing

    @property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose checkpoints are kept, if training reaches them."""
        return checkpoint_epochs(self.checkpoints, self.max_epochs)


class TrainedWeights(Settings):
    """Weights trained elsewhere, as the checkpoints of runs."""

    files: str
    """Path of each file, with `{epoch}`, `{seed}` and `{p}` if files differ in these; `{p}` is written as in
    run names (0.40). safetensors, or a state_dict saved by torch.save (.pt, .pth); relative to the
    Snakefile's folder."""
    epochs: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct]
    """Epochs for which there are weights, increasing."""

    @field_validator("files")
    @classmethod
    def _has_known_parts(cls, files: str) -> str:
        unknown = [part for part in re.findall(r"{[^}]*}?|}", files) if part not in PARTS]
        if unknown:
            raise ValueError(f"unknown placeholder '{unknown[0]}'; known: {', '.join(PARTS)}")
        if not files.endswith((".safetensors", ".pt", ".pth")):
            raise ValueError("must end with .safetensors, .pt or .pth")
        return files

    @field_validator("epochs")
    @classmethod
    def _rise(cls, epochs: tuple[int, ...]) -> tuple[int, ...]:
        if list(epochs) != sorted(epochs):
            raise ValueError("must increase")
        return epochs

    def file_of(self, epoch: int, seed: int, p: str) -> str:
        """Path of the weights of one run at one epoch."""
        path = self.files
        for part, value in zip(PARTS, (str(epoch), str(seed), p), strict=True):
            path = path.replace(part, value)
        return path


class GivenWeights(Settings):
    """Weights that a network starts from, such as pretrained ones."""

    file: str
    """safetensors, or a state_dict saved by torch.save (.pt, .pth); relative to the Snakefile's folder. It
    must have all weights of the network, with the same names and shapes; other entries are ignored."""
    prefix: str = ""
    """Prefix of the names in the file that the network's names do not have, such as `module.`."""
    readout: Literal["new", "given"] = "new"
    """`new`: the readout is drawn from the run's seed. `given`: it is taken from the file."""
    channels: Annotated[Literal["sum", "repeat"] | None, left_out_if(None)] = None
    """For images with another number of channels than the weights were trained with. `sum`, for grey images:
    the weights of all channels are added, as if the image had equal channels. `repeat`: they are repeated in
    turn, and scaled by the ratio of the numbers. By default such weights are refused."""

    @field_validator("file")
    @classmethod
    def _holds_tensors(cls, file: str) -> str:
        if not file.endswith((".safetensors", ".pt", ".pth")):
            raise ValueError("must end with .safetensors, .pt or .pth")
        return file


InitialWeights = Annotated[
    Annotated[Literal["run_seed", "published"], Tag("(name)")] | Annotated[GivenWeights, Tag("(file)")],
    Discriminator(lambda given: "(name)" if isinstance(given, str) else "(file)"),
]

PARTS = ("{epoch}", "{seed}", "{p}")
"""Placeholders in the paths of given weights."""

EditName = Literal[
    "none",
    "velpic",
    "velpic_old_norms",
    "nearest_mean",
    "blend25",
    "blend50",
    "blend75",
    "random",
]


TrueOrText = BeforeValidator(lambda given: "true" if given is True else given)
"""Takes YAML's unquoted true for the text."""

VectorsFrom = Annotated[
    Annotated[
        Annotated[Literal["corrupted", "another_draw", "true"], Tag("(name)")]
        | Annotated[float, Field(gt=0, lt=1), NotBoolean, Tag("(fraction)")],
        Discriminator(lambda given: "(name)" if isinstance(given, str) else "(fraction)"),
    ],
    TrueOrText,
]

Levels = Annotated[tuple[Probability, ...], Field(min_length=1), Distinct] | None


class Edit(Settings):
    """An edit of the readout midway, after which training continues with a fresh optimizer."""

    edit: EditName
    """New rows of the readout. `velpic`: VeLPIC's vectors; `velpic_old_norms`: these, each with the norm of
    the old row; `nearest_mean`: the class means, at norm 1; `blend25`: a quarter of the old row and three
    quarters of VeLPIC's vector, `blend50` and `blend75` likewise; `random`: orthonormal rows. The bias
    becomes zero (in blends, that fraction of the old one). `none`: no change, the control for the fresh
    optimizer."""
    at_epoch: NonNegativeInt
    """The checkpoint that is edited; the last one if training ended before."""
    max_epochs: Epochs = 100
    """Training continues to this epoch; the stop rule does not apply."""
    batch_size: Literal["same"] | PositiveInt = "same"
    """Images per step after the edit. Published protocol: 1."""
    vectors_from: VectorsFrom = Field(default="corrupted", exclude_if=lambda given: given == "corrupted")
    """Examples and labels that the vectors are fitted with. `corrupted`: all training examples with the
    labels that the network is trained on. A number between 0 and 1: that fraction of the examples, drawn at
    random. `another_draw`: all, with labels drawn by the same noise with another seed. `true`: all, with
    their true labels."""
    p: Levels = None
    """Only at these noise levels; at all of them if left out."""

    @field_validator("vectors_from")
    @classmethod
    def _has_vectors(cls, vectors_from: VectorsFrom, given: ValidationInfo) -> VectorsFrom:
        if vectors_from != "corrupted" and given.data.get("edit") in ("none", "random"):
            raise ValueError(f"'{given.data['edit']}' uses no training examples; leave this out")
        return vectors_from

    @field_validator("max_epochs")
    @classmethod
    def _goes_on(cls, max_epochs: int, given: ValidationInfo) -> int:
        if "at_epoch" in given.data and max_epochs <= given.data["at_epoch"]:
            raise ValueError("must come after at_epoch")
        return max_epochs

    @property
    def kind(self) -> str:
        """Kind in figures: an edit of a trained network, or of the untrained one."""
        if self.at_epoch:
            return "edit"
        return "control" if self.edit == "none" else "initialization"

    @property
    def intervention_name(self) -> str:
        """Name in run names and tables, such as `velpic_at_40` or `velpic_at_0_batch1_from_true`."""
        batch = "" if self.batch_size == "same" else f"_batch{self.batch_size}"
        source = "" if self.vectors_from == "corrupted" else f"{FROM}{self.vectors_from}".replace(".", "_")
        return f"{self.edit}_at_{self.at_epoch}{batch}{source}"


class EarlyStop(Settings):
    """A network trained from scratch on the corrupted labels, and stopped early: the control of `relabel`."""

    edit: Literal["early_stop"]
    """Train from scratch on the corrupted labels, from the same initial weights, and stop early."""
    stop_by: Annotated[Literal["test", "held_out"], Field(exclude_if=lambda by: by == "test")] = "test"
    """`test`: by true labels of a fifth of the test images. `held_out`: by the noisy labels of the data set's
    `held_out` examples, the only ones known in practice. In both cases test accuracy is reported on the other
    four fifths."""
    patience: PositiveInt = 10
    """Number of epochs without a higher accuracy on the examples of `stop_by` after which training ends; at
    the latest it ends at `max_epochs`. The result is the network of the best epoch."""
    p: Levels = None
    """Only at these noise levels; at all of them if left out."""

    @property
    def kind(self) -> str:
        """What figures tell apart."""
        return self.edit

    @property
    def intervention_name(self) -> str:
        """Name in run names and tables: `early_stop`, or `early_stop_held_out`."""
        return EARLY_STOP if self.stop_by == "test" else EARLY_STOP_NOISY


class Relabel(Settings):
    """A network trained on MASC's labels for the training images, and stopped early."""

    edit: Literal["relabel"]
    """Train on a probe's labels for the training images: the probe is fitted on the trained network with the
    corrupted labels. Images are labelled once, before training."""
    start: Literal["initial", "memorized"] = "initial"
    """`initial`: train from scratch, from the same initial weights. `memorized`: resume from the final
    weights of the network that has memorized the corrupted labels, with a fresh optimizer; epoch 0 is that
    network. Published protocol: `memorized`."""
    labels_from: Annotated[
        Literal["MASC", "MASC_cross_fitted", "unit_means", "ridge"],
        Field(exclude_if=lambda source: source == "MASC"),
    ] = "MASC"
    """The probe. `MASC` classifies the examples that it is fitted on, as in the papers. The others classify
    each example without its own label: `MASC_cross_fitted` in five folds, `unit_means` (class means at norm
    1) and `ridge` (regression on the labels) with the example left out. For them, layers of more than 1,024
    units are randomly projected to 1,024."""
    subspaces: Annotated[
        Literal["corrupted", "true"],
        TrueOrText,
        Field(exclude_if=lambda labels: labels == "corrupted"),
    ] = "corrupted"
    """Training labels that MASC's subspaces (or another probe) are fitted with. `true`: an oracle, which
    shows how good the new labels could be if the noise were known."""
    layer: str = BEST
    """The layer that the probe is fitted on. `best`: the one whose predictions agree most with those of the
    other probed layers, which requires no true labels; or, for probes other than MASC on data sets with
    `held_out` examples, the one that predicts most of their labels. `best_on_test`: the one that predicts
    most true labels of the held-out fifth of the test images. Published protocol, with memorized weights:
    `best_on_test`."""
    patience: PositiveInt = 10
    """As in `early_stop`. Published protocol, with memorized weights: 3."""
    max_epochs: Epochs | None = None
    """Maximum number of epochs on the new labels; that of `training` if omitted. Published protocol, with
    memorized weights: 30."""
    result: Literal["best", "last"] = "best"
    """The network that is kept: that of the best epoch, or the last one, `patience` epochs later. Published
    protocol, with memorized weights: `last`."""
    p: Levels = None
    """Only at these noise levels; at all of them if left out."""

    @property
    def kind(self) -> str:
        """What figures tell apart."""
        return self.edit

    @property
    def intervention_name(self) -> str:
        """Name in run names and tables: `relabel_masc_fc2`, or `relabel_masc_best_memorized_true`."""
        start = "" if self.start == "initial" else f"_{self.start}"
        oracle = "" if self.subspaces == "corrupted" else f"_{self.subspaces}"
        return f"{RELABEL[self.labels_from]}{_in_names(self.layer)}{start}{oracle}"


class Rewind(Settings):
    """The last layers of the final network, taken from earlier checkpoints; nothing is trained."""

    edit: Literal["rewind"]
    """Take the last layers of the final network from earlier checkpoints, and count the correct predictions;
    nothing is trained or probed."""
    layers_from: str = READOUT
    """The first layer to take: `readout`, or a named layer, with all later ones."""
    to_epoch: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), Distinct] | None = None
    """Checkpoints that layers are taken from: one or several epochs; by default all. Epochs that training did
    not reach are skipped."""
    p: Levels = None
    """Only at these noise levels; at all of them if left out."""

    @field_validator("to_epoch", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        return (given,) if isinstance(given, int) and not isinstance(given, bool) else given

    @property
    def kind(self) -> str:
        """What figures tell apart."""
        return self.edit

    @property
    def intervention_name(self) -> str:
        """Name in run names and tables, such as `rewind_fc2`."""
        return f"{REWIND}{_in_names(self.layers_from)}"


def _in_names(layer: str) -> str:
    """Return a layer as part of the name of an intervention."""
    return re.sub("[^a-z0-9_]", "_", layer.lower())


Intervention = Annotated[Edit | EarlyStop | Relabel | Rewind, Field(discriminator="edit")]
