"""A further process of a training on several devices: it does what the first one does, and saves nothing.

Started by `latentgen.training.processes`, as ``python -m latentgen.training.following job.json``.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels
from latentgen.networks.architectures import make_network
from latentgen.runtime.devices import use_threads
from latentgen.training.data import training_data
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.processes import Processes, meet
from latentgen.training.resuming import Resume


class Follower(Resume):
    """Keeps nothing: the first process does."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), "", {})

    def wanted(self) -> bool:
        """Return False: it never saves."""
        return False

    def load(self) -> tuple[dict[str, "np.ndarray[Any, Any]"], dict[str, Any]] | None:
        """Return None: what the first process loads is sent."""
        return None

    def save_checkpoint(self, epoch: int, network: nn.Module) -> None:
        """Do nothing."""

    def drop_checkpoints(self, after: int) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


def follow(job: Mapping[str, Any]) -> None:
    """Train with the other processes.

    Parameters
    ----------
    job : mapping
        ``dataset``, ``labels``: paths. ``model``, ``input_range``, ``normalize``: as in the study file.
        ``plan``: a `TrainingPlan`, as plain values. ``threads``. ``position``, ``count``, ``device``,
        ``meeting``: from `latentgen.training.processes.training_processes`.
    """
    use_threads(job["threads"])
    device = torch.device(job["device"])
    dataset, labels = read_dataset(job["dataset"]), read_labels(job["labels"])
    data = training_data(dataset, labels, job["input_range"], device, job["normalize"])
    network = make_network(job["model"], dataset.input_shape, dataset.n_classes).to(device)
    meet(device, job["position"], job["count"], Path(job["meeting"]))
    train(network, data, TrainingPlan(**job["plan"]), Follower(), Processes(job["position"], job["count"]))
    torch.distributed.destroy_process_group()


def _end_with(parent: int) -> None:
    """End this process when the one that started it has ended, however that was."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    follow(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
