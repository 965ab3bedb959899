"""Training: the workflow's loop compared with a DataLoader loop as in the papers' code."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import published
from benchmarks.inputs import CPU, INPUT_RANGE, corrupted, fashion, network_for, plain
from benchmarks.timing import Goal, Section, in_turn
from latentgen.data.datasets import subset
from latentgen.training.data import training_data
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.resuming import Resume

TRAIN_ITEMS, TEST_ITEMS, EPOCHS = 6_000, 1_000, 2
"""A tenth of the data set: the comparison is of time per example."""


def run() -> list[Section]:
    """Train the papers' convolutional network on Fashion-MNIST, and their MLP in batches of 32."""
    return [
        _compare("CNN", {"name": "Adam", "learning_rate": 2e-4}, 128, 2.5),
        _compare("MLP", {"name": "SGD", "learning_rate": 1e-3, "momentum": 0.9}, 32, 1.5),
    ]


def _compare(architecture: str, optimizer: dict[str, object], batch_size: int, goal: float) -> Section:
    dataset = subset(fashion(), TRAIN_ITEMS, TEST_ITEMS)
    labels = corrupted(dataset)
    losses: dict[str, list[float]] = {}

    def ours() -> None:
        data = training_data(dataset, labels, INPUT_RANGE, CPU)
        settings = {"betas": (0.9, 0.999), **optimizer} if optimizer["name"] == "Adam" else optimizer
        with tempfile.TemporaryDirectory() as folder:
            plan = TrainingPlan(
                optimizer=settings,
                batch_size=batch_size,
                shuffle=False,
                max_epochs=EPOCHS,
                stop=None,
                checkpoints=(),
                seed=1,
            )
            resume = Resume(Path(folder), "benchmark", {})
            result = train(network_for(dataset, architecture), data, plan, resume)
        losses["ours"] = [record.loss or 0.0 for record in result.history[1:]]

    def as_published(way: str = "published") -> None:
        network = plain(network_for(dataset, architecture))
        kind, lr = getattr(torch.optim, str(optimizer["name"])), optimizer["learning_rate"]
        update = kind(network.parameters(), lr=lr, **{k: v for k, v in optimizer.items() if k == "momentum"})
        losses[way] = [
            published.train_epoch(network, update, dataset, labels.corrupted, batch_size)
            for _ in range(EPOCHS)
        ]

    timed = in_turn({"ours": ours, "as published": as_published}, cold=("as published",))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    as_published("with one thread")
    torch.set_num_threads(threads)
    ours_apart, thread_apart = (
        np.abs(np.subtract(losses[way], losses["published"])) for way in ("ours", "with one thread")
    )
    items = EPOCHS * TRAIN_ITEMS
    return Section(
        f"Training the {architecture}, batches of {batch_size}",
        f"{EPOCHS} epochs of {TRAIN_ITEMS:,} examples of Fashion-MNIST and the test accuracy after each "
        f"({TEST_ITEMS:,} examples), float32, unshuffled. As published: a DataLoader that converts and "
        "normalizes one example at a time, `.item()` at every step, the test set in batches of 4.",
        list(timed.values()),
        [
            Goal(
                f"the DataLoader loop relative to ours, {architecture}, batches of {batch_size}",
                timed.ratio("as published", "ours"),
                goal,
                at_least=True,
            ),
            Goal("mean loss of the first epoch, difference", float(ours_apart[0]), 1e-3, "nats"),
        ],
        [
            f"ours: {items / timed['ours'].median:,.0f} examples per second, including test accuracy and "
            "set-up",
            f"mean losses of the epochs differ by {_listed(ours_apart)} nats; those of the published loop "
            f"with one and more threads by {_listed(thread_apart)}: rounding, which training amplifies",
        ],
    )


def _listed(numbers: np.ndarray) -> str:
    return " and ".join(f"{number:.1e}" for number in numbers)
