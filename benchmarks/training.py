"""Training: the loop compared with a DataLoader loop as in the papers' code, and a map with memory."""

import math
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks import published
from benchmarks.inputs import CPU, INPUT_RANGE, corrupted, fashion, network_for, plain
from benchmarks.timing import Goal, Section, Timing, Ways, in_process, in_turn
from latentgen.data import inputs as data_inputs
from latentgen.data.datasets import Dataset, read_dataset, subset, write_dataset
from latentgen.jobs.resources import job_size
from latentgen.networks import examples
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.training.data import training_data
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.resuming import Resume

TRAIN_ITEMS, TEST_ITEMS, EPOCHS = 6_000, 1_000, 2
"""A tenth of the data set: the comparison is of time per example."""


def run() -> list[Section]:
    """Train the papers' convolutional network on Fashion-MNIST and their MLP; and from a map."""
    return [
        _compare("CNN", {"name": "Adam", "learning_rate": 2e-4}, 128, 2.5),
        _compare("MLP", {"name": "SGD", "learning_rate": 1e-3, "momentum": 0.9}, 32, 1.5),
        _from_a_map(),
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
            f"ours: {EPOCHS * TRAIN_ITEMS / timed['ours'].median:,.0f} examples per second, including test "
            "accuracy and set-up",
            f"mean losses of the epochs differ by {_listed(ours_apart)} nats; those of the published loop "
            f"with one and more threads by {_listed(thread_apart)}: rounding, which training amplifies",
        ],
    )


def _listed(numbers: np.ndarray) -> str:
    return " and ".join(f"{number:.1e}" for number in numbers)


# --- Training from a map --------------------------------------------------------------------------

MAPPED_ITEMS, MAPPED_SHAPE = 10_000, (3, 64, 64)
LARGER_ITEMS = 100_000
"""Whose bytes in the file are more than the memory that a training job requests."""
MAPPED_MODEL = {"architecture": "MLP", "widths": [256]}


def _from_a_map() -> Section:
    """Train an epoch from memory, from a map that fits into it, and from one that does not."""
    with tempfile.TemporaryDirectory(dir="results") as folder:
        path = Path(folder) / "drawn.h5"
        in_process(write_drawn, path, MAPPED_ITEMS)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        peaks: dict[str, float] = {}
        for _ in range(3):
            for way in WAYS:
                taken, peaks[way] = in_process(train_drawn, path, way)
                seconds[way].append(taken)
        in_process(write_drawn, path, LARGER_ITEMS)
        _, peak = in_process(train_drawn, path, "map")
    timed = Ways({way: Timing(way, tuple(times)) for way, times in seconds.items()})
    return Section(
        "Training from a map of the file",
        f"One epoch of {MAPPED_ITEMS:,} drawn images of 3 × 64 × 64 in random order, an MLP of 256 units, "
        "batches of 128; each in a process of its own. One that does not fit: whatever was read is dropped "
        "from the system's cache at once, so that every image comes from the disk.",
        list(timed.values()),
        [
            Goal(
                "training from a map that fits, against memory",
                timed.ratio("memory", "map"),
                0.95,
                at_least=True,
            ),
            Goal(
                "training from a map that does not fit, against memory",
                timed.ratio("memory", "map, not cached"),
                0.7,
                at_least=True,
            ),
            Goal(
                "peak memory of a training from a larger map, relative to its request", peak / _requested(), 1
            ),
        ],
        [
            *(f"peak memory, {way}: {gibibytes:.2f} GiB" for way, gibibytes in peaks.items()),
            f"peak memory, map of {_gibibytes(LARGER_ITEMS):.2f} GiB: {peak:.2f} GiB",
        ],
    )


WAYS = ("memory", "map", "map, not cached")


def _gibibytes(n: int) -> float:
    return n * math.prod(MAPPED_SHAPE) / 2**30


def _requested() -> float:
    """Return the memory in GiB that the job of a training on the larger data set requests."""
    own = {"path": "drawn", "shape": list(MAPPED_SHAPE), "classes": 10, "train": LARGER_ITEMS, "test": 100}
    training = {"optimizer": {"name": "SGD", "learning_rate": 1e-3}, "batch_size": 128, "max_epochs": 1}
    pair = {"dataset": {"name": "drawn", "own": own}, "model": MAPPED_MODEL, "training": training}
    study = {"study": "map", "seeds": [1], "noise": [{"kind": "symmetric", "p": [0.4]}], "pairs": [pair]}
    (run,) = read_study(study).runs.values()
    return job_size("train", run).megabytes * 10**6 / 2**30


def write_drawn(path: Path, n: int) -> None:
    """Write a data set of drawn images."""
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=n + 100)
    images = rng.integers(256, size=(len(labels), *MAPPED_SHAPE), dtype=np.uint8)
    train, test = slice(n), slice(n, None)
    names = tuple(map(str, range(10)))
    write_dataset(
        path,
        Dataset(
            "drawn", images[train], labels[train], images[test], labels[test],
            np.arange(n), np.arange(100), names, 255, "drawn", {},
        ),
    )  # fmt: skip


def train_drawn(path: Path, way: str) -> float:
    """Train an epoch; return its seconds."""
    data_inputs.IN_MEMORY = 10**12 if way == "memory" else 0
    if way == "map, not cached":
        cached = vars(examples)["forget"]

        def dropped(inputs: np.ndarray) -> None:
            cached(inputs)
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

        vars(examples)["forget"] = dropped
    dataset = read_dataset(path)
    data = training_data(dataset, corrupted(dataset), INPUT_RANGE, CPU)
    network = make_network(MAPPED_MODEL, MAPPED_SHAPE, 10, seed=1)
    plan = TrainingPlan(
        {"name": "SGD", "learning_rate": 1e-3, "momentum": 0.9}, 128, True, 1, None, (), seed=1
    )
    with tempfile.TemporaryDirectory() as folder:
        return train(network, data, plan, Resume(Path(folder), "benchmark", {})).history[1].seconds
