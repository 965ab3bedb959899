"""The settings of a training, from the study file and the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a training.

    Attributes
    ----------
    optimizer, batch_size, shuffle, max_epochs, stop, precision, compile
        As in the study file (`latentgen.study.training_settings.Training`).
    schedule, groups, accumulate, clip_gradients, loss, label_smoothing, augment
        Likewise; their defaults are plain training.
    checkpoints : sequence of int
        Epochs at which weights are kept and training accuracy is measured, besides the last epoch.
    seed : int
        The run's seed, which determines the order of every epoch.
    start : int
        Number of epochs that the network was already trained for; the first checkpoint.
    patience : int, optional
        Epochs for early stopping by held-out images (`latentgen.training.stopping.EarlyStopping`).
    stop_by : {"test", "held_out"}
        By true labels of a fifth of the test images, or by noisy labels of the data set's held-out examples.
    result : {"best", "last"}
        Which network early stopping leaves: that of the best epoch, or the last one.
    gpus : int
        Number of processes that train together, each on a GPU (`latentgen.training.processes`).
    """

    optimizer: Mapping[str, Any]
    batch_size: int
    shuffle: bool
    max_epochs: int
    stop: Mapping[str, Any] | None
    checkpoints: Sequence[int]
    seed: int
    precision: str = "float32"
    compile: bool = False
    schedule: Mapping[str, Any] | None = None
    groups: Sequence[Mapping[str, Any]] = ()
    accumulate: int = 1
    clip_gradients: float | None = None
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    augment: Mapping[str, Any] | None = None
    start: int = 0
    patience: int | None = None
    stop_by: str = "test"
    gpus: int = 1
    result: str = "best"
