"""Noise in which a redrawn label is never true: any class but the true one, with equal probability."""

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings, TrueLabels


def none_true(labels: TrueLabels) -> Labels:
    """Redraw labels uniformly over the other classes."""
    rng = labels.stream()
    redrawn = rng.random(len(labels.true)) < labels.p
    steps = rng.integers(1, labels.n_classes, size=len(labels.true))
    return labels.with_redrawn((labels.true + steps) % labels.n_classes, redrawn)


class NoneTrue(NoiseSettings):
    """A label is redrawn uniformly over the other classes: a redrawn label is never true."""

    kind: Literal["none_true"]
    """Redrawn uniformly over the other classes."""

    functions: ClassVar[Mapping[str, Callable[..., Labels]]] = {"study": none_true}
