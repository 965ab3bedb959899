"""Stop rules: the network has memorized its labels, or held-out examples show no improvement."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latentgen.randomness import Purpose, random_generator
from latentgen.training.records import EpochRecord
from latentgen.training.schedule import HELD_OUT_SHARE


@dataclass(frozen=True)
class Memorization:
    """Ends training once enough of the (corrupted) training labels are reproduced.

    Parameters
    ----------
    train_accuracy : float
        The sufficient fraction.
    measured : {"eval", "online"}
        In eval mode at checkpoints, or during training after every epoch.
    n_items : int
        Number of training images.
    """

    train_accuracy: float
    measured: str
    n_items: int

    def is_met(self, online: int | None = None, in_eval: int | None = None) -> bool:
        """Whether enough training images are classified correctly, by the count that this rule uses."""
        correct = online if self.measured == "online" else in_eval
        return correct is not None and correct >= math.ceil(self.train_accuracy * self.n_items - 1e-9)

    def reason(self, epoch: int) -> str:
        """Why training ended at an epoch."""
        return f"stop rule: train accuracy {self.train_accuracy:g} ({self.measured}) at epoch {epoch}"


def memorization(stop: Mapping[str, Any] | None, n_items: int) -> Memorization | None:
    """Return the stop rule of a study file; None if there is none."""
    return Memorization(stop["train_accuracy"], stop["measured"], n_items) if stop else None


@dataclass(frozen=True)
class EarlyStopping:
    """Ends training once the accuracy on the held-out test images has not risen for some epochs.

    Parameters
    ----------
    patience : int
        Number of epochs without improvement.
    result : {"best", "last"}
        The network that is kept: that of the best epoch, for which every epoch that is the best so far is a
        checkpoint; or the last one.
    """

    patience: int
    result: str = "best"

    def keeps(self, history: Sequence[EpochRecord], held_out_correct: int) -> bool:
        """Whether to keep the epoch that follows a history, with its count on the held-out images."""
        if held_out_correct > max((record.held_out_correct or 0 for record in history), default=-1):
            return True
        is_over = history[-1].epoch + 1 - best_epoch(history) >= self.patience
        return self.result == "last" and is_over

    def end(self, history: Sequence[EpochRecord]) -> int:
        """Return the epoch whose network is the result."""
        return history[-1].epoch if self.result == "last" else best_epoch(history)

    def is_over(self, history: Sequence[EpochRecord]) -> bool:
        """Whether the best epoch is too long ago."""
        return history[-1].epoch - best_epoch(history) >= self.patience

    def reason(self, history: Sequence[EpochRecord]) -> str:
        """Why training ended."""
        return (
            f"early stop: best held-out accuracy at epoch {best_epoch(history)}, not surpassed by epoch "
            f"{history[-1].epoch}"
        )


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Return the first epoch of the highest accuracy on the held-out test images."""
    return max(history, key=lambda record: (record.held_out_correct or 0, -record.epoch)).epoch


def held_out_items(n_test: int, seed: int) -> Tensor:
    """Return the mask of test images held out for early stopping: a fifth, drawn with the run's seed."""
    order = random_generator(seed, Purpose.HELD_OUT).permutation(n_test)
    held_out = torch.zeros(n_test, dtype=torch.bool)
    held_out[torch.from_numpy(order[: n_test // HELD_OUT_SHARE])] = True
    return held_out
