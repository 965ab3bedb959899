"""Training a network on corrupted labels, keeping its weights at chosen epochs."""

import logging
import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from latentgen.blocks import depends_on_batch
from latentgen.datasets import Dataset
from latentgen.errors import LatentgenError
from latentgen.joblog import Progress
from latentgen.labels import Labels
from latentgen.models import as_input
from latentgen.randomness import Purpose, integer_seed

logger = logging.getLogger(__name__)

EVALUATION_BLOCK = 1024
"""Items per forward pass where no gradient is needed: large enough to be fast, small enough for memory."""


class Optimizer(Protocol):
    """Changes parameters in place, given their gradients."""

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step."""


class SGD:
    """Stochastic gradient descent with momentum, on torch's fused kernels.

    torch's optimizer functions are used rather than its optimizer classes, which take as long to import as
    the rest of torch: half the time of a small run.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float, momentum: float) -> None:
        self.parameters = list(parameters)
        self.settings: dict[str, Any] = {"lr": learning_rate, "momentum": momentum}
        self.momenta: list[Tensor | None] = [None for _ in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step."""
        sgd(
            self.parameters,
            list(gradients),
            self.momenta,
            **self.settings,
            weight_decay=0.0,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            fused=True,
        )


class Adam:
    """Adam (Kingma and Ba, 2015), on torch's fused kernels; see `SGD` for why not `torch.optim.Adam`."""

    def __init__(
        self, parameters: Sequence[Tensor], learning_rate: float, betas: tuple[float, float]
    ) -> None:
        self.parameters = list(parameters)
        self.settings: dict[str, Any] = {"lr": learning_rate, "beta1": betas[0], "beta2": betas[1]}
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step."""
        adam(
            self.parameters,
            list(gradients),
            self.means,
            self.squares,
            [],
            self.steps,
            **self.settings,
            eps=1e-8,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
            fused=True,
        )


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"SGD": SGD, "Adam": Adam}


def make_optimizer(parameters: Sequence[Tensor], name: str, **settings: Any) -> Optimizer:
    """Return the optimizer of a name with its settings, as the study file gives them."""
    return OPTIMIZERS[name](parameters, **settings)


@dataclass(frozen=True)
class EpochRecord:
    """What is known of one epoch: counts, not rates. None is what was not measured then."""

    epoch: int
    loss: float | None
    """Mean over the epoch's items of the loss before each step (nats)."""
    online_correct: int | None
    """Items classified as their corrupted label while training, in train mode."""
    online_total: int | None
    test_correct: int
    test_total: int
    train_corrupted_correct: int | None
    """Training items classified as their corrupted label, in eval mode; at checkpoints."""
    train_true_correct: int | None
    """Training items classified as their true label, in eval mode; at checkpoints."""
    train_total: int | None
    redrawn_corrupted_correct: int | None
    """Of the items whose label was redrawn: those classified as their corrupted label."""
    redrawn_true_correct: int | None
    """Of the same items: those classified as their true label."""
    redrawn_total: int | None
    seconds: float
    """Wall time of the epoch's training, without evaluation and saving."""


@dataclass(frozen=True)
class TrainingResult:
    """How a training went."""

    history: list[EpochRecord]
    ended: str
    """Why it ended."""
    items_per_second: float
    """Training throughput without evaluation and saving."""
    seconds: float
    peak_memory_mb: float
    device: str
    threads: int
    torch_version: str

    def summary(self) -> dict[str, Any]:
        """Return everything but the history, as plain values."""
        return {key: value for key, value in asdict(self).items() if key != "history"}

    def history_rows(self) -> list[dict[str, Any]]:
        """Return the history as rows of a table."""
        return [asdict(record) for record in self.history]


@dataclass(frozen=True)
class TrainingData:
    """The tensors that a network is trained and measured on, all on one device.

    Inputs are float32 N × C × H × W, labels int64 N, and which of them were redrawn bool N.
    """

    train_inputs: Tensor
    corrupted_labels: Tensor
    true_labels: Tensor
    redrawn: Tensor
    test_inputs: Tensor
    test_labels: Tensor


def training_data(
    dataset: Dataset, labels: Labels, input_range: Sequence[float], device: torch.device
) -> TrainingData:
    """Put a data set and its corrupted labels on a device, whole: nothing is loaded while training.

    Raises
    ------
    LatentgenError
        If the labels are not those of this data set.
    """
    if not np.array_equal(labels.true, dataset.train_labels):
        raise LatentgenError(
            f"The labels file belongs to another data set than {dataset.name}. Delete it and run again."
        )
    return TrainingData(
        train_inputs=as_input(dataset.train_images, dataset.max_value, input_range, device),
        corrupted_labels=torch.from_numpy(labels.corrupted).to(device),
        true_labels=torch.from_numpy(labels.true).to(device),
        redrawn=torch.from_numpy(labels.redrawn).to(device),
        test_inputs=as_input(dataset.test_images, dataset.max_value, input_range, device),
        test_labels=torch.from_numpy(dataset.test_labels).to(device),
    )


def train(
    network: nn.Module,
    data: TrainingData,
    *,
    optimizer: Mapping[str, Any],
    batch_size: int,
    shuffle: bool,
    max_epochs: int,
    stop: Mapping[str, Any] | None,
    checkpoints: Sequence[int],
    seed: int,
    save: Callable[[int, nn.Module], None],
    start: int = 0,
) -> TrainingResult:
    """Train `network` in place on the corrupted labels with cross entropy.

    Parameters
    ----------
    network : nn.Module
        Already with its initial weights, on the device of the data.
    data : TrainingData
        What to train and measure on.
    optimizer, batch_size, shuffle, max_epochs, stop
        As in the study file (`latentgen.config.Training`).
    checkpoints : sequence of int
        Epochs at which `save` is called and training accuracy is measured; the last one trained always is.
    seed : int
        The run's seed; the order of every epoch follows from it.
    save : callable
        Given the epoch and the network at each checkpoint.
    start : int
        Epochs that the network has been trained for already; the first checkpoint.

    Raises
    ------
    LatentgenError
        If the loss becomes NaN or infinite.
    """
    started = time.monotonic()
    parameters = list(network.parameters())
    update = make_optimizer(parameters, **optimizer)
    n_items = len(data.corrupted_labels)
    # Where an output depends on the items beside it, these are to be as many as in training.
    count = partial(
        count_correct, network, block_size=batch_size if depends_on_batch(network) else EVALUATION_BLOCK
    )
    target = math.ceil(stop["train_accuracy"] * n_items - 1e-9) if stop else n_items + 1
    measured = stop["measured"] if stop else None
    history: list[EpochRecord] = []
    progress = Progress(max_epochs, "epoch")
    ended = f"max_epochs: {max_epochs} epochs trained"

    on_redrawn = [
        torch.where(data.redrawn, labels, -1) for labels in (data.corrupted_labels, data.true_labels)
    ]
    n_redrawn = int(data.redrawn.sum())

    for epoch in range(start, max_epochs + 1):
        loss = online = corrupted = true = redrawn_corrupted = redrawn_true = None
        seconds = 0.0
        if epoch > start:
            epoch_started = time.monotonic()
            order = epoch_order(n_items, seed, epoch) if shuffle else None
            with dropout_stream(seed, epoch, data.train_inputs.device):
                loss, online = _train_epoch(network, parameters, update, data, batch_size, order)
            seconds = time.monotonic() - epoch_started
            if not math.isfinite(loss):
                raise LatentgenError(
                    f"The loss became {loss} in epoch {epoch}, with {optimizer['name']} at learning rate "
                    f"{optimizer['learning_rate']:g}. Training has diverged: try a learning rate of "
                    f"{optimizer['learning_rate'] / 10:g} (training.optimizer.learning_rate)."
                )
        memorized = measured == "online" and online is not None and online >= target
        if memorized or epoch in checkpoints or epoch in (start, max_epochs):
            save(epoch, network)
            corrupted, true, redrawn_corrupted, redrawn_true = count(
                data.train_inputs, data.corrupted_labels, data.true_labels, *on_redrawn
            )
            memorized = memorized or (measured == "eval" and corrupted >= target)
        (test,) = count(data.test_inputs, data.test_labels)
        history.append(
            EpochRecord(
                epoch=epoch,
                loss=loss,
                online_correct=online,
                online_total=None if online is None else n_items,
                test_correct=test,
                test_total=len(data.test_labels),
                train_corrupted_correct=corrupted,
                train_true_correct=true,
                train_total=None if corrupted is None else n_items,
                redrawn_corrupted_correct=redrawn_corrupted,
                redrawn_true_correct=redrawn_true,
                redrawn_total=None if corrupted is None else n_redrawn,
                seconds=seconds,
            )
        )
        if online is not None:
            shares = f"train {online / n_items:.4f} (online), test {test / len(data.test_labels):.4f}"
            progress.step(epoch, f"loss {loss:.4g}, {shares}")
        if memorized:
            ended = (
                f"stop rule: train accuracy {stop and stop['train_accuracy']:g} ({measured}) at epoch {epoch}"
            )
            break

    logger.info("ended by %s", ended)
    training_seconds = sum(record.seconds for record in history)
    return TrainingResult(
        history=history,
        ended=ended,
        items_per_second=n_items * (len(history) - 1) / training_seconds if training_seconds else 0.0,
        seconds=time.monotonic() - started,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        device=str(data.train_inputs.device),
        threads=torch.get_num_threads(),
        torch_version=str(torch.__version__),
    )


def epoch_order(n_items: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the items in an epoch: it depends on the run's seed and the epoch alone."""
    generator = torch.Generator().manual_seed(integer_seed(seed, Purpose.ORDER, epoch))
    return torch.randperm(n_items, generator=generator)


@contextmanager
def dropout_stream(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Let dropout, which draws from torch's global generator, draw what belongs to a run's seed and an epoch.

    The generator's state is put back afterwards.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(integer_seed(seed, Purpose.DROPOUT, epoch))
        yield


def _train_epoch(
    network: nn.Module,
    parameters: Sequence[Tensor],
    optimizer: Optimizer,
    data: TrainingData,
    batch_size: int,
    order: Tensor | None,
) -> tuple[float, int]:
    """Go through the training items once; return their mean loss and how many were classified as labelled."""
    network.train()
    inputs, labels = data.train_inputs, data.corrupted_labels
    if order is not None:
        order = order.to(inputs.device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=inputs.device)
    correct = torch.zeros((), dtype=torch.int64, device=inputs.device)
    for start in range(0, len(labels), batch_size):
        batch: slice | Tensor = (
            slice(start, start + batch_size) if order is None else order[start : start + batch_size]
        )
        targets = labels[batch]
        logits = network(inputs[batch])
        loss = cross_entropy(logits, targets)
        optimizer.step(torch.autograd.grad(loss, parameters))
        loss_sum += loss.detach() * len(
            targets
        )  # read once an epoch: reading it here would wait for the device
        correct += (logits.detach().argmax(1) == targets).sum()
    return loss_sum.item() / len(labels), int(correct.item())


def count_correct(
    network: nn.Module, inputs: Tensor, *labels: Tensor, block_size: int = EVALUATION_BLOCK
) -> list[int]:
    """Count, in eval mode, the items classified as each of the given label vectors says."""
    network.eval()
    correct = torch.zeros(len(labels), dtype=torch.int64, device=inputs.device)
    with torch.inference_mode():
        for start in range(0, len(inputs), block_size):
            block = slice(start, start + block_size)
            predicted = network(inputs[block]).argmax(1)
            for index, vector in enumerate(labels):
                correct[index] += (predicted == vector[block]).sum()
    return [int(count) for count in correct.tolist()]
