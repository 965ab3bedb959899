"""The training recipe in the study file: optimizer, schedule, augmentation."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from latentgen.settings import (
    BelowOne,
    Distinct,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Settings,
    left_out_if,
)


class _Optimizer(Settings):
    """Settings of all optimizers."""

    name: str
    """Name of the optimizer."""
    learning_rate: PositiveFloat
    """Learning rate."""
    weight_decay: Annotated[NonNegativeFloat, left_out_if(0.0)] = 0.0
    """Weight decay."""
    not_decayed: Annotated[tuple[Literal["bias", "norm"], ...], Distinct, left_out_if(("bias", "norm"))] = (
        "bias",
        "norm",
    )
    """Parameters without weight decay: biases, and the scales of normalization layers (all other parameters
    with one dimension)."""


class SGD(_Optimizer):
    """Stochastic gradient descent with momentum."""

    name: Literal["SGD"]
    """Stochastic gradient descent with momentum."""
    momentum: BelowOne = 0.9
    """Momentum."""
    nesterov: Annotated[bool, left_out_if(False)] = False
    """Nesterov's momentum."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class _Adam(_Optimizer):
    """Settings of Adam and AdamW."""

    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """Decay rates of the running means of the gradient and of its square."""
    epsilon: Annotated[PositiveFloat, left_out_if(1e-8)] = 1e-8
    """Added to the root of the mean square."""


class Adam(_Adam):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["Adam"]
    """Adam (Kingma and Ba, 2015). Weight decay is added to the gradient."""


class AdamW(_Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["AdamW"]
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""
    weight_decay: NonNegativeFloat = 0.01
    """Weight decay."""


class ParameterGroup(Settings):
    """Parameters with their own learning rate, or frozen ones."""

    match: str
    """Pattern of their names among the network's weights, such as `head.*` or `layer[12].*`; `{*}` is one
    level. The first matching group applies."""
    learning_rate: PositiveFloat | None = None
    """Their learning rate; by default that of the optimizer."""
    frozen: bool = False
    """Whether they are not trained. Parts with only frozen parameters stay in eval mode."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.frozen == (self.learning_rate is not None):
            raise ValueError("give either learning_rate or frozen: true")
        return self


Optimizer = Annotated[SGD | Adam | AdamW, Field(discriminator="name")]


class _WithWarmup(Settings):
    """Settings of all schedules."""

    warmup_epochs: NonNegativeFloat = 0
    """Epochs in which the learning rate first rises linearly to its full value; may be a fraction."""


class Constant(_WithWarmup):
    """A constant learning rate."""

    name: Literal["constant"]
    """Constant."""


class Cosine(_WithWarmup):
    """The learning rate decays along half a cosine (Loshchilov and Hutter, 2017)."""

    name: Literal["cosine"]
    """Decays along half a cosine, to `max_epochs`."""
    final: BelowOne = 0.0
    """Fraction of the learning rate that is left at the end."""


class Linear(_WithWarmup):
    """The learning rate decays linearly."""

    name: Literal["linear"]
    """Decays linearly, to `max_epochs`."""
    final: BelowOne = 0.0
    """Fraction of the learning rate that is left at the end."""


class Step(_WithWarmup):
    """The learning rate is reduced at some epochs."""

    name: Literal["step"]
    """Reduced after some epochs."""
    epochs: Annotated[tuple[PositiveInt, ...], Field(min_length=1), Distinct]
    """Epochs after which it is reduced."""
    factor: BelowOne = 0.1
    """Factor that it is multiplied by each time."""


LearningRates = Annotated[Constant | Cosine | Linear | Step, Field(discriminator="name")]


class Augmentation(Settings):
    """Augmentation of training images at every step; in a study file, a list such as [crop: 4, flip]."""

    crop: NonNegativeInt = 0
    """`crop: 4`: shifted by up to 4 pixels in each direction, padded with black."""
    flip: bool = False
    """`flip`: mirrored left to right, each with probability 1/2."""
    cutout: NonNegativeInt = 0
    """`cutout: 8`: a square of 8 × 8 pixels at a random position is black (DeVries and Taylor, 2017)."""
    mixup: NonNegativeFloat = 0.0
    """`mixup: 0.2`: images and labels are mixed in pairs, with weights from a beta distribution with this
    parameter (Zhang et al., 2018). The online accuracy counts the label with the larger weight."""


USUAL = {"crop": 4, "flip": True, "cutout": 8, "mixup": 0.2}
"""Values of augmentations that are given by name only."""


def _from_list(given: Any) -> Any:
    if not isinstance(given, list | tuple):
        return given
    settings: dict[str, Any] = {}
    for entry in given:
        one = entry if isinstance(entry, dict) else {entry: USUAL.get(str(entry), True)}
        twice = [name for name in one if name in settings]
        if twice:
            raise ValueError(f"each may be given once; twice or more: {', '.join(twice)}")
        settings |= one
    return settings


AugmentationList = Annotated[
    Augmentation,
    BeforeValidator(
        _from_list,
        json_schema_input_type=list[Literal["crop", "flip", "cutout", "mixup"] | Augmentation] | Augmentation,
    ),
]
