"""Learning rate schedules: functions of the step alone, so that no state has to be saved."""

import math
from collections.abc import Callable, Mapping
from typing import Any

Factor = Callable[[int], float]
"""Factor of the learning rate at a step; steps count from 0."""


def learning_rate_factor(schedule: Mapping[str, Any] | None, steps_per_epoch: int, max_epochs: int) -> Factor:
    """Return the factor by which a schedule multiplies the learning rate, as a function of the step.

    Parameters
    ----------
    schedule : mapping, optional
        As in the study file (`latentgen.study.recipe_settings`); by default a constant learning rate.
    steps_per_epoch : int
        Optimizer steps of an epoch.
    max_epochs : int
        Epochs over which the schedule extends.

    Notes
    -----
    During a warm-up of W steps the factor is (step + 1) / W. Afterwards, with t of T steps done:

    * ``constant``: 1;
    * ``linear``: from 1 to `final`, f = 1 − (1 − final) t / T;
    * ``cosine``: f = final + (1 − final) (1 + cos(π t / T)) / 2 (Loshchilov and Hutter, 2017);
    * ``step``: multiplied by `factor` at the start of each epoch that follows one of `epochs`.
    """
    if schedule is None:
        return lambda step: 1.0
    warmup = round(schedule["warmup_epochs"] * steps_per_epoch)
    after_warmup = _AFTER_WARMUP[schedule["name"]](schedule, warmup, steps_per_epoch, max_epochs)
    return lambda step: (step + 1) / warmup if step < warmup else after_warmup(step)


def _constant(schedule: Mapping[str, Any], warmup: int, steps_per_epoch: int, max_epochs: int) -> Factor:
    return lambda step: 1.0


def _linear(schedule: Mapping[str, Any], warmup: int, steps_per_epoch: int, max_epochs: int) -> Factor:
    total, final = max_epochs * steps_per_epoch - warmup, schedule["final"]
    return lambda step: 1 - (1 - final) * (step - warmup) / total


def _cosine(schedule: Mapping[str, Any], warmup: int, steps_per_epoch: int, max_epochs: int) -> Factor:
    total, final = max_epochs * steps_per_epoch - warmup, schedule["final"]
    return lambda step: final + (1 - final) * (1 + math.cos(math.pi * (step - warmup) / total)) / 2


def _steps(schedule: Mapping[str, Any], warmup: int, steps_per_epoch: int, max_epochs: int) -> Factor:
    at = [epoch * steps_per_epoch for epoch in schedule["epochs"]]
    return lambda step: float(schedule["factor"] ** sum(step >= first for first in at))


_AFTER_WARMUP: Mapping[str, Callable[[Mapping[str, Any], int, int, int], Factor]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "step": _steps,
}
