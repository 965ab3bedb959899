"""Pairs of a data set and a network in the study file, with the training of the network."""

from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Self

from pydantic import BeforeValidator, ValidationInfo, field_validator, model_validator

from latentgen.data.datasets import DatasetInfo
from latentgen.data.inputs import examples_per_input, image_shape, kind_of, shape_in_words
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import Architecture
from latentgen.networks.base import READOUT, Network
from latentgen.networks.layer_choice import expanded, probed
from latentgen.networks.measured import TRIED, MeasuredNetwork
from latentgen.settings import Settings, distinct_by
from latentgen.study.dataset_settings import DatasetChoice
from latentgen.study.error_messages import MistakeBelow, nearest
from latentgen.study.first_examples import first_examples
from latentgen.study.network_measures import with_measures
from latentgen.study.runs import CHOSEN_LAYERS
from latentgen.study.training_settings import (
    Edit,
    InitialWeights,
    Intervention,
    Relabel,
    Rewind,
    TrainedWeights,
    Training,
)
from latentgen.training.schedule import HELD_OUT_SHARE


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
    """How it is trained; required unless `weights` are given."""
    weights: TrainedWeights | None = None
    """Trained weights, to use instead of training."""
    initial_weights: InitialWeights = "run_seed"
    """A file of weights to start from, such as pretrained ones; or `run_seed`: drawn from the run's seed.
    `published`: drawn from torch's generator with seed 42, first for seed 1, then for seed 2, and so on; for
    the CNN always with seed 0. Published protocol: `published`."""

    interventions: Annotated[tuple[Intervention, ...], distinct_by("intervention_name")] = ()
    """Edits midway, and trainings on other labels; each adds a run for every seed and p."""

    @field_validator("interventions")
    @classmethod
    def _can_be_done(
        cls, interventions: tuple[Intervention, ...], given: ValidationInfo
    ) -> tuple[Intervention, ...]:
        dataset, model, training = (given.data.get(key) for key in ("dataset", "model", "training"))
        for one in interventions:
            if given.data.get("weights"):
                raise ValueError(
                    "need `training`: the optimizer of given `weights` is unknown. Remove `interventions`"
                )
            if isinstance(one, Edit):
                if model and not model.has_readout:
                    raise ValueError(f"{one.intervention_name}: with readout: null there is nothing to edit")
                if one.vectors_from == "true" and dataset and dataset.label_kind == "given":
                    raise ValueError(f"{one.intervention_name}: true training labels are not known")
                if training and one.at_epoch not in training.scheduled:
                    raise ValueError(f"there is no checkpoint at epoch {one.at_epoch} to edit")
            elif isinstance(one, Rewind):
                _check_rewind(one, dataset, model, training)
            elif getattr(one, "stop_by", "test") == "held_out" and dataset and not dataset.held_out:
                raise ValueError(f"{one.intervention_name}: the data set has no held_out examples to stop by")
            elif dataset and dataset.n_test < 2 * HELD_OUT_SHARE:
                raise ValueError(f"{one.intervention_name}: too few test examples to hold some out")
            if isinstance(one, Relabel):
                _check_relabel(one, dataset, model)
        return interventions

    @field_validator("model")
    @classmethod
    def _layers_exist(cls, model: Network, given: ValidationInfo) -> Network:
        if "dataset" in given.data:
            info = given.data["dataset"].info
            shape = info.shape
            if kind_of(shape) not in model.TAKES:
                raise ValueError(
                    f"{model.architecture} takes {' or '.join(model.TAKES)}; {info.name} has "
                    f"{shape_in_words(shape)}. Use MLP, which takes all, or a custom network"
                )
            if isinstance(model, MeasuredNetwork):
                return _measured(model, info, given)
            if examples_per_input(shape) > 1:
                raise ValueError(
                    f"{model.architecture} takes a sequence as a whole; targets: next_token needs a causal "
                    "network, such as Transformer with causal: true"
                )
            widths = model.layer_widths(shape)
            if 0 in widths.values():
                _, height, width = image_shape(shape)  # nothing else can become too small
                side = f"{height} × {width}"
                raise ValueError(f"images of {side} are too small for {model.architecture}")
            layers = expanded(model.layers or (), model.layer_shapes(shape))
            messages = [f"no layer '{layer}', {nearest(layer, list(widths))}" for layer in layers.missing]
            messages += [f"{problem}; use mean, max or flatten" for problem in layers.impossible]
            if messages:
                raise MistakeBelow("layers", "; ".join(messages))
        return model

    @model_validator(mode="after")
    def _augments_images(self) -> Self:
        if self.training and self.training.augment and kind_of(self.dataset.info.shape) != "images":
            raise ValueError(f"training.augment is for images; {self.dataset.name} has none")
        return self

    @model_validator(mode="after")
    def _is_trained_in_one_way(self) -> Self:
        if (self.training is None) == (self.weights is None):
            raise ValueError("give either `training` or `weights`, not both")
        return self

    @property
    def scheduled(self) -> tuple[int, ...]:
        """Epochs whose weights are kept, if training reaches them, or are given."""
        if self.weights is not None:
            return self.weights.epochs
        return self.training.scheduled if self.training else ()

    # Cached, since the many runs of a pair all use them.

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds in a forward pass of one image."""
        return self.model.multiply_adds(self.dataset.info.shape)

    @cached_property
    def largest_output(self) -> int:
        """Size of the largest intermediate output for one image, in values."""
        return self.model.largest_output(self.dataset.info.shape)

    @cached_property
    def weight_bytes(self) -> int:
        """Size of a checkpoint."""
        return self.model.weight_bytes(self.dataset.info.shape, self.dataset.info.n_classes)

    @cached_property
    def layers(self) -> dict[str, int]:
        """Width of every probed layer."""
        return self.model.probed_layers(self.dataset.info.shape)

    @cached_property
    def last_layer(self) -> str:
        """The layer whose output is the readout's input."""
        return list(self.model.layer_widths(self.dataset.info.shape))[-1]

    def interventions_at(self, p: Collection[float]) -> set[str]:
        """Return the kinds of interventions at any of these p."""
        return {one.kind for one in self.interventions if one.p is None or set(one.p) & set(p)}

    @property
    def name(self) -> str:
        """Dataset and model, as in figure names."""
        return f"{self.dataset.dataset_id}-{self.model.model_name}"


def _check_relabel(one: Relabel, dataset: DatasetChoice | None, model: Network | None) -> None:
    """Refuse a layer that is not probed, and true labels that are not known."""
    if one.subspaces == "true" and dataset and dataset.label_kind == "given":
        raise ValueError(f"{one.intervention_name}: true training labels are not known")
    if dataset and model and model.is_known and one.layer not in CHOSEN_LAYERS:
        layers = list(model.probed_layers(dataset.info.shape))
        if one.layer not in layers:
            raise ValueError(f"no layer '{one.layer}' is probed, {nearest(one.layer, layers)}")


def _check_rewind(
    one: Rewind, dataset: DatasetChoice | None, model: Network | None, training: Training | None
) -> None:
    """Refuse layers that the network does not have, and epochs without a checkpoint."""
    if dataset and model and model.is_known:
        layers = [probed(name).layer for name in model.layer_widths(dataset.info.shape)]
        names = [*dict.fromkeys(layers), *([READOUT] if model.has_readout else [])]
        if one.layers_from not in names:
            raise ValueError(f"no layer '{one.layers_from}', {nearest(one.layers_from, names)}")
    strange = [epoch for epoch in one.to_epoch or () if training and epoch not in training.scheduled]
    if strange:
        raise ValueError(f"there is no checkpoint at epoch {strange[0]} to rewind to")


def _measured(model: MeasuredNetwork, info: DatasetInfo, given: ValidationInfo) -> MeasuredNetwork:
    context = given.context or {}
    try:
        return with_measures(
            model,
            info.shape,
            info.n_classes,
            context.get("run_own_code", False),
            context.get("trusted", ()),
            lambda: first_examples(given.data["dataset"], TRIED),
        )
    except LatentgenError as error:
        raise ValueError(str(error)) from error


def one_layer_per_name(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """Return the pairs of a study; refuse two layers with the same name in relabelling's runs and tables.

    Raises
    ------
    ValueError
        If there are two.
    """
    known: dict[str, str] = {}
    for one in (one for pair in pairs for one in pair.interventions if isinstance(one, Relabel)):
        same = known.setdefault(one.intervention_name, one.layer)
        if one.layer != same:
            raise ValueError(
                f"relabelling by the layers {same} and {one.layer} has the same name in tables, "
                f"{one.intervention_name}; rename one of the layers"
            )
    return pairs
