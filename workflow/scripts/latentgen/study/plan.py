"""The runs of a study and the figures to draw, derived from its file."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from latentgen.errors import LatentgenError
from latentgen.networks.ranges import most_ranges
from latentgen.study.custom_figures import CustomFigure
from latentgen.study.figure_kinds import FigureKind
from latentgen.study.noise_settings import Noise
from latentgen.study.pairs import Pair
from latentgen.study.runs import BEST, BEST_ON_TEST, CHOSEN_LAYERS, RunSpec, decimals
from latentgen.study.training_settings import (
    EarlyStop,
    Edit,
    GivenWeights,
    Intervention,
    Relabel,
    Rewind,
)
from latentgen.training.schedule import checkpoint_epochs, shard_ranges

if TYPE_CHECKING:
    from latentgen.study.config import Study
    from latentgen.study.transfer_settings import Transfer

ANOTHER_DRAW = 10**9
"""Offset of the label seed for another draw of labels, larger than any seed of a study."""

FLOAT_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Drawing:
    """One figure: its kind and the runs that it shows."""

    kind: FigureKind
    pair: Pair
    noise: Noise
    custom: CustomFigure | None = None
    """Settings of a custom figure."""

    @property
    def name(self) -> str:
        """Its name, which includes the pair, unless it shows the whole study."""
        return self.kind.name if self.kind.of_study else f"{self.kind.name}-{self.pair.name}"


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a study: its identity, and the settings that its steps use.

    There is one object per run, which many jobs use: so runs are equal only to themselves, and cache their
    properties.

    A run with an intervention is the edited network of another run, which has the same name without the
    intervention; or a network trained from scratch on labels derived from that run.
    """

    spec: RunSpec
    pair: Pair
    noise: Noise
    study: "Study"
    intervention: Intervention | None = None

    @cached_property
    def label_seed(self) -> int:
        """Seed of the labels: the run's, or the published 42."""
        return 42 if self.noise.label_settings["generator"] == "published" else self.spec.seed

    @property
    def label_seeds(self) -> list[int]:
        """Seed of the labels, and that of another draw if an edit's vectors are fitted with one."""
        another = self.edit is not None and self.edit.vectors_from == "another_draw"
        return [self.label_seed, *([self.label_seed + ANOTHER_DRAW] if another else [])]

    @property
    def truth_known(self) -> bool:
        """Whether the true training labels are known."""
        return self.pair.dataset.own is None or self.pair.dataset.own.labels != "given"

    @cached_property
    def layers(self) -> dict[str, int]:
        """Width of every probed layer."""
        return self.pair.layers

    @property
    def edit(self) -> Edit | None:
        """The edit of an edited run."""
        return self.intervention if isinstance(self.intervention, Edit) else None

    @property
    def rewind(self) -> Rewind | None:
        """The rewinding of a rewound run."""
        return self.intervention if isinstance(self.intervention, Rewind) else None

    @property
    def relabel(self) -> Relabel | None:
        """The relabelling of a run that is trained on predicted labels."""
        return self.intervention if isinstance(self.intervention, Relabel) else None

    @property
    def stops_by_held_out(self) -> bool:
        """Whether held-out noisy labels stop its training."""
        return isinstance(self.intervention, EarlyStop) and self.intervention.stop_by == "held_out"

    @property
    def relabel_layers(self) -> list[str]:
        """The candidate layers, or the one that is named."""
        named = self.relabel.layer if self.relabel else BEST
        return list(self.layers) if named in CHOSEN_LAYERS else [named]

    @property
    def layer_by(self) -> Literal["agreement", "held_out", "test"]:
        """What chooses that layer: the argument of `latentgen.repairing.relabelling.deciding_examples`."""
        assert self.relabel is not None
        if self.relabel.layer == BEST_ON_TEST:
            return "test"
        return "agreement" if self.relabel.labels_from == "MASC" else "held_out"

    @property
    def starts_memorized(self) -> bool:
        """Whether its training starts from the last weights of the run that it is an intervention of."""
        return self.relabel is not None and self.relabel.start == "memorized"

    @property
    def original(self) -> RunSpec:
        """The run that an intervention starts from."""
        return replace(self.spec, intervention="none")

    @property
    def training_step(self) -> Literal["train", "edit_and_train", "take_weights", "rewind"]:
        """The rule that trains it, or writes its given weights."""
        if self.pair.weights is not None:
            return "take_weights"
        if self.rewind:
            return "rewind"
        return "edit_and_train" if self.edit else "train"

    @property
    def weight_files(self) -> list[str]:
        """Files of trained weights, one for each scheduled epoch."""
        weights = self.pair.weights
        p = self.spec.noise_level.removeprefix(self.spec.noise)
        return [weights.file_of(epoch, self.spec.seed, p) for epoch in self.scheduled] if weights else []

    @property
    def given_weights(self) -> GivenWeights | None:
        """The file that the network starts from, if there is one."""
        given = self.pair.initial_weights
        return given if isinstance(given, GivenWeights) else None

    @property
    def start(self) -> dict[str, Any] | None:
        """Arguments of `latentgen.training.initial_weights.start_from`, if it starts from given weights."""
        if self.starts_memorized:
            return {"new_layer": "", "prefix": ""}
        given = self.given_weights
        if given is None:
            return None
        new_layer = self.pair.model.readout_name if given.readout == "new" else ""
        channels = {"channels": given.channels} if given.channels else {}
        return {"new_layer": new_layer, "prefix": given.prefix, **channels}

    @cached_property
    def other_labels(self) -> dict[str, RunSpec]:
        """Labels of other runs that a clean network's probes are also fitted with, by name in tables."""
        if self.spec.p or self.intervention or "every_p" not in self.study.fit_labels:
            return {}
        others = (replace(self.spec, p=p) for p in self.noise.p if p)
        return {f"corrupted{decimals(other.p)}": other for other in others}

    @property
    def transfer(self) -> "Transfer | None":
        """The transfer of vectors, if any: none in runs with an intervention or without readout."""
        return self.study.transfer if self.pair.model.has_readout and not self.intervention else None

    @property
    def audited(self) -> bool:
        """Whether its labels are audited: not in runs with an intervention."""
        return self.study.audit and self.intervention is None

    @property
    def repaired(self) -> bool:
        """Whether its network is repaired; likewise."""
        return self.study.repair and self.intervention is None and self.pair.model.has_readout

    @property
    def inner_layers(self) -> list[str]:
        """The probed layers without the last one."""
        return [layer for layer in self.layers if layer != self.last_layer]

    @cached_property
    def last_layer(self) -> str:
        """The layer that the readout sees."""
        return self.pair.last_layer

    @cached_property
    def checkpoint_bytes(self) -> int:
        """Size of the activations of one checkpoint, uncompressed."""
        n_items = self.pair.dataset.n_items - (self.pair.dataset.n_train if self.moment_bytes else 0)
        width = sum(self.layers.values())
        return n_items * width * FLOAT_BYTES[self.study.activations.dtype] + self.moment_bytes

    @property
    def moment_bytes(self) -> int:
        """Size of the classes' moments of one checkpoint, if they are what is stored."""
        if self.study.activations.store != "moments":
            return 0
        numbers = sum(width * (width + 1) for width in self.layers.values())
        return 8 * len(self.study.fit_labels) * self.pair.dataset.info.n_classes * numbers

    @cached_property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose checkpoints are kept, if training reaches them."""
        if self.intervention is None:
            return self.pair.scheduled
        assert self.pair.training is not None  # interventions require it
        if self.rewind:
            return self.rewind.to_epoch or self.pair.scheduled
        if self.edit is None:
            most = self.relabel.max_epochs if self.relabel else None
            return checkpoint_epochs([0], most or self.pair.training.max_epochs)
        epochs = checkpoint_epochs(self.pair.training.checkpoints, self.edit.max_epochs)
        return tuple(epoch for epoch in epochs if epoch >= self.edit.at_epoch)

    @cached_property
    def training(self) -> dict[str, Any]:
        """Settings of the run's training, as plain values, for `latentgen.training.loop.train`."""
        if self.pair.training is None:
            raise LatentgenError(f"{self.spec.slug} is not trained here: its weights are given.")
        settings = self.pair.training.model_dump(mode="json", exclude={"threads"}) | {
            "checkpoints": list(self.scheduled)
        }
        if self.intervention is None:
            return settings
        if isinstance(self.intervention, EarlyStop | Relabel):
            settings |= {"stop": None, "patience": self.intervention.patience}
            if self.relabel:
                settings |= {"max_epochs": self.relabel.max_epochs or settings["max_epochs"]}
                return settings | ({"result": "last"} if self.relabel.result == "last" else {})
            return settings | ({"stop_by": "held_out"} if self.stops_by_held_out else {})
        assert self.edit is not None  # rewound networks are not trained
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
    def n_ranges(self) -> int:
        """Ranges of examples and of classes that each shard is divided into, a job each; 1: not divided."""
        dataset, activations = self.pair.dataset, self.study.activations
        # Moments would be of the same size for any range, and positions of a sequence belong together.
        if activations.store == "moments" or dataset.per_input > 1:
            return 1
        wanted = ceil(self.checkpoint_bytes / (activations.job_gigabytes * 1e9))
        return min(wanted, most_ranges(dataset.n_train, dataset.info.n_classes))

    @cached_property
    def shards(self) -> list[range]:
        """Ranges of epochs whose checkpoints share an activations file; retrained networks have none."""
        if self.intervention and not self.edit:
            return []
        return shard_ranges(self.scheduled, self.checkpoints_per_shard)
