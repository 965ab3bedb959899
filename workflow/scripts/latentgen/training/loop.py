"""Training a network on corrupted labels, keeping its weights at chosen epochs."""

import logging
import math
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

from latentgen.data.datasets import Dataset
from latentgen.data.labels import Labels
from latentgen.errors import LatentgenError
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.forward import as_input, items_per_block
from latentgen.randomness import Purpose, integer_seed, random_generator
from latentgen.runtime.logs import Progress, peak_megabytes
from latentgen.runtime.memory import FEWER_JOBS, explain_out_of_memory
from latentgen.training.resuming import Resume, content_digest
from latentgen.training.schedule import HELD_OUT_SHARE

logger = logging.getLogger(__name__)


class Optimizer(Protocol):
    """Changes parameters in place, given their gradients."""

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take one step."""

    def state(self) -> dict[str, Tensor]:
        """Return by name all that the next step depends on besides the parameters."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""


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

    def state(self) -> dict[str, Tensor]:
        """Return the momenta; none before the first step."""
        return {f"momentum/{i}": momentum for i, momentum in enumerate(self.momenta) if momentum is not None}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        if state:
            self.momenta = [torch.empty_like(parameter) for parameter in self.parameters]
        _copy(state, self.state())


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

    def state(self) -> dict[str, Tensor]:
        """Return the running means and the number of steps."""
        lists = {"mean": self.means, "square": self.squares, "step": self.steps}
        return {f"{name}/{i}": tensor for name, tensors in lists.items() for i, tensor in enumerate(tensors)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        _copy(state, self.state())


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors into others, which keep their device and memory layout."""
    for name, tensor in target.items():
        tensor.copy_(source[name])


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
    """Test items classified as their true label; without the held-out fifth where training stops by it."""
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
    rest_correct: int | None = None
    """Of the test items but the held-out fifth: those classified as their true label."""
    rest_total: int | None = None
    held_out_correct: int | None = None
    """Of the held-out fifth of the test items, likewise."""
    held_out_total: int | None = None


@dataclass(frozen=True)
class TrainingResult:
    """How a training went."""

    history: list[EpochRecord]
    ended: str
    """Why it ended."""
    items_per_second: float
    """Training throughput without evaluation and saving."""
    seconds: float
    """Wall time in all, the times before interruptions included."""
    times_resumed: int
    """How often it went on from a saved state."""
    identity: str
    """Digest of all that the result depends on."""
    peak_memory_mb: int
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

    Inputs are float32 N × C × H × W, labels int64 N, and which of them were redrawn bool N; None is what is
    not known.
    """

    train_inputs: Tensor
    corrupted_labels: Tensor
    true_labels: Tensor | None
    redrawn: Tensor | None
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
    if not np.array_equal(labels.corrupted if labels.true is None else labels.true, dataset.train_labels):
        raise LatentgenError(
            f"The labels file belongs to another data set than {dataset.name}. Delete it and run again."
        )
    return TrainingData(
        train_inputs=as_input(dataset.train_images, dataset.max_value, input_range, device),
        corrupted_labels=torch.from_numpy(labels.corrupted).to(device),
        true_labels=None if labels.true is None else torch.from_numpy(labels.true).to(device),
        redrawn=None if labels.redrawn is None else torch.from_numpy(labels.redrawn).to(device),
        test_inputs=as_input(dataset.test_images, dataset.max_value, input_range, device),
        test_labels=torch.from_numpy(dataset.test_labels).to(device),
    )


def training_identity(
    params: Mapping[str, Any], dataset: Dataset, labels: Labels, device: torch.device
) -> dict[str, Any]:
    """Return all that a training's result depends on, but for the number of threads.

    Parameters
    ----------
    params : mapping
        The settings of the training, the digest of its code among them.
    dataset, labels
        What is trained on.
    device : torch.device
        Where.
    """
    return {
        **params,
        "dataset content": content_digest(dataset.train_images, dataset.test_images, dataset.test_labels),
        "labels content": content_digest(
            *(array for array in (labels.corrupted, labels.true, labels.redrawn) if array is not None)
        ),
        "torch": str(torch.__version__),
        "device": device.type,
    }


def weights_identity(network: nn.Module) -> dict[str, str]:
    """Return what a training that goes on from given weights depends on besides `training_identity`."""
    weights = [tensor.cpu().numpy() for tensor in network.state_dict().values()]
    return {"initial weights": content_digest(*weights)}


@dataclass
class EpochSums:
    """What is counted while an epoch goes on: tensors, since reading a number would wait for the device."""

    items: int
    """How many items are done."""
    loss: Tensor
    """Sum of their losses, float64."""
    correct: Tensor
    """How many of them were classified as labelled, int64."""
    seconds: float = 0.0
    """Wall time so far."""

    @classmethod
    def zero(cls, device: torch.device) -> "EpochSums":
        """Return those of an epoch that has not begun."""
        return cls(
            0,
            torch.zeros((), dtype=torch.float64, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
        )


class _Trainer:
    """A network, its optimizer, and how far they have come: what `Resume` keeps."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        device: torch.device,
        resume: Resume,
        logits: Callable[[Tensor], Tensor],
    ) -> None:
        self.network, self.optimizer, self.resume, self.device = network, optimizer, resume, device
        self.logits = logits
        self.generator: Tensor | None = None
        self.sums = EpochSums.zero(device)
        self.history: list[EpochRecord] = []
        self.started = time.monotonic()
        saved = resume.load()
        if saved is not None:
            self._load(*saved)

    def save_if_wanted(self) -> None:
        """Keep the state if it is time to, or if a signal has come (which may end the job)."""
        if self.resume.wanted():
            tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
            tensors |= {f"optimizer/{name}": tensor for name, tensor in self.optimizer.state().items()}
            if self.sums.items:
                tensors["generator/state"] = _generator_state(self.device)
            values = {
                "history": [asdict(record) for record in self.history],
                "items": self.sums.items,
                "loss": self.sums.loss.item(),
                "correct": self.sums.correct.item(),
                "epoch_seconds": self.sums.seconds,
                "seconds": time.monotonic() - self.started,
                "threads": torch.get_num_threads(),
            }
            self.resume.save(
                {name: t.detach().cpu().contiguous().numpy() for name, t in tensors.items()}, values
            )

    def go_on_drawing(self) -> None:
        """Let dropout go on in the middle of an epoch where it was; at the start of one this does nothing."""
        if self.generator is not None:
            _set_generator_state(self.device, self.generator)
            self.generator = None

    def _load(self, tensors: Mapping[str, np.ndarray[Any, Any]], values: Mapping[str, Any]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "generator": {}}
        for name, array in tensors.items():
            part, _, key = name.partition("/")
            parts[part][key] = torch.from_numpy(array)
        self.network.load_state_dict(parts["network"])
        self.optimizer.load_state(parts["optimizer"])
        self.generator = parts["generator"].get("state")
        self.history = [EpochRecord(**record) for record in values["history"]]
        self.sums.items, self.sums.seconds = values["items"], values["epoch_seconds"]
        self.sums.loss.fill_(values["loss"])
        self.sums.correct.fill_(values["correct"])
        self.started -= values["seconds"]
        logger.info(
            "going on from a saved state: epoch %d, item %d (resumed %d times so far)",
            len(self.history),
            self.sums.items,
            self.resume.times_resumed,
        )
        if values["threads"] != torch.get_num_threads():
            logger.warning(
                "it was saved with %d threads, and now there are %d: the last digits of the weights may be "
                "others than in a training that was never interrupted",
                values["threads"],
                torch.get_num_threads(),
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
    resume: Resume,
    precision: str = "float32",
    compile: bool = False,
    start: int = 0,
    patience: int | None = None,
) -> TrainingResult:
    """Train `network` in place on the corrupted labels with cross entropy, or go on from a saved state.

    Parameters
    ----------
    network : nn.Module
        With its initial weights, on the device of the data.
    data : TrainingData
        What to train and measure on.
    optimizer, batch_size, shuffle, max_epochs, stop, precision, compile
        As in the study file (`latentgen.study.training_settings.Training`).
    checkpoints : sequence of int
        Epochs whose weights are kept and at which training accuracy is measured; the last one trained is too.
    seed : int
        The run's seed; the order of every epoch follows from it.
    resume : Resume
        Keeps the checkpoints, and the state of a training that is interrupted.
    start : int
        Epochs that the network has been trained for already; the first checkpoint.
    patience : int, optional
        Stop early: once the accuracy on the held-out fifth of the test items (`held_out_items`) has not risen
        for so many epochs. Every epoch that is the best so far is a checkpoint, and what follows the best of
        all is dropped: history and checkpoints end there.

    Raises
    ------
    LatentgenError
        If the loss becomes NaN or infinite, or the memory does not suffice.
    Stopped
        After a signal, with the state saved.
    """
    update = make_optimizer(_trained(network), **optimizer)
    device = data.train_inputs.device
    n_items = len(data.corrupted_labels)
    target = math.ceil(stop["train_accuracy"] * n_items - 1e-9) if stop else n_items + 1
    measured = stop["measured"] if stop else None
    trainer = _Trainer(network, update, device, resume, training_forward(network, device, precision, compile))
    history = trainer.history
    count = partial(
        count_correct,
        network,
        # Where an output depends on the items beside it, these are to be as many as in training.
        block_size=batch_size if depends_on_batch(network) else None,
        after_block=trainer.save_if_wanted,  # a signal need not wait for the end of counting
    )
    progress = Progress(max_epochs, "epoch", before=start + max(len(history) - 1, 0))
    ended = f"max_epochs: {max_epochs} epochs trained"

    measured_labels = labels_to_measure(data)
    n_redrawn = None if data.redrawn is None else int(data.redrawn.sum())
    held_out = held_out_items(len(data.test_labels), seed).to(device)
    n_held_out, n_test = int(held_out.sum()), len(data.test_labels)
    of_held_out = torch.where(held_out, data.test_labels, -1)

    for epoch in range(start + len(history), max_epochs + 1):
        loss = online = corrupted = true = redrawn_corrupted = redrawn_true = None
        if epoch > start:
            order = epoch_order(n_items, seed, epoch) if shuffle else None
            with dropout_stream(seed, epoch, device), explain_out_of_memory(*smaller_batches(batch_size)):
                trainer.go_on_drawing()
                loss, online = _train_epoch(trainer, data, batch_size, order)
            if not math.isfinite(loss):
                resume.discard()
                raise LatentgenError(
                    f"The loss became {loss} in epoch {epoch}, with {optimizer['name']} at learning rate "
                    f"{optimizer['learning_rate']:g}. Training has diverged: try a learning rate of "
                    f"{optimizer['learning_rate'] / 10:g} (training.optimizer.learning_rate)."
                )
        test, test_held_out = count(data.test_inputs, data.test_labels, of_held_out)
        best_so_far = max((record.held_out_correct or 0 for record in history), default=-1)
        improved = patience is not None and test_held_out > best_so_far
        memorized = measured == "online" and online is not None and online >= target
        if memorized or improved or epoch in checkpoints or epoch == max_epochs or 0 < epoch == start:
            resume.save_checkpoint(epoch, network)
            counts = count(data.train_inputs, *measured_labels)
            corrupted, true, redrawn_corrupted, redrawn_true = [*counts, None, None, None][:4]
            memorized = memorized or (measured == "eval" and counts[0] >= target)
        history.append(
            EpochRecord(
                epoch=epoch,
                loss=loss,
                online_correct=online,
                online_total=None if online is None else n_items,
                test_correct=test - (0 if patience is None else test_held_out),
                test_total=n_test - (0 if patience is None else n_held_out),
                train_corrupted_correct=corrupted,
                train_true_correct=true,
                train_total=None if corrupted is None else n_items,
                redrawn_corrupted_correct=redrawn_corrupted,
                redrawn_true_correct=redrawn_true,
                redrawn_total=None if corrupted is None else n_redrawn,
                seconds=trainer.sums.seconds,
                rest_correct=test - test_held_out,
                rest_total=n_test - n_held_out,
                held_out_correct=test_held_out,
                held_out_total=n_held_out,
            )
        )
        trainer.sums = EpochSums.zero(device)
        if online is not None:
            shares = f"train {online / n_items:.4f} (online), test {test / n_test:.4f}"
            progress.step(epoch, f"loss {loss:.4g}, {shares}")
        if memorized:
            ended = (
                f"stop rule: train accuracy {stop and stop['train_accuracy']:g} ({measured}) at epoch {epoch}"
            )
            break
        if patience is not None and epoch - best_epoch(history) >= patience:
            break
        trainer.save_if_wanted()

    if patience is not None:
        best = best_epoch(history)
        ended = (
            f"early stop: best held-out accuracy at epoch {best}, not surpassed by epoch {history[-1].epoch}"
        )
        del history[best - start + 1 :]
        resume.drop_checkpoints(after=best)
    logger.info("ended by %s", ended)
    training_seconds = sum(record.seconds for record in history)
    return TrainingResult(
        history=history,
        ended=ended,
        items_per_second=n_items * (len(history) - 1) / training_seconds if training_seconds else 0.0,
        seconds=time.monotonic() - trainer.started,
        times_resumed=resume.times_resumed,
        identity=resume.digest,
        peak_memory_mb=peak_megabytes(),
        device=str(device),
        threads=torch.get_num_threads(),
        torch_version=str(torch.__version__),
    )


def training_forward(
    network: nn.Module, device: torch.device, precision: str, compile: bool
) -> Callable[[Tensor], Tensor]:
    """Return what gives a batch its logits (float32) while training: the network, or a faster way through it.

    `precision` and `compile` are as in the study file (`latentgen.study.training_settings.Training`).
    """
    forward: Callable[[Tensor], Tensor] = network
    if compile and device.type == "cuda":
        forward = torch.compile(network, mode="reduce-overhead")
    elif compile:
        logger.info("training.compile is for GPUs; this training is on the CPU and is not compiled")
    if precision == "float32":
        return forward
    logger.info("products while training are in %s (training.precision)", precision)

    def in_half_precision(inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, getattr(torch, precision)):
            return forward(inputs).float()

    return in_half_precision


def smaller_batches(batch_size: int) -> tuple[str, str]:
    """Return what training does, and what takes less memory, in words."""
    smaller = f"try training.batch_size: {batch_size // 2}, or " if batch_size > 1 else ""
    return f"Training in batches of {batch_size}", smaller + FEWER_JOBS


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Return the first epoch of the highest accuracy on the held-out test items."""
    return max(history, key=lambda record: (record.held_out_correct or 0, -record.epoch)).epoch


def held_out_items(n_test: int, seed: int) -> Tensor:
    """Return which test items are held out to stop early by: a fifth, drawn with the run's seed; bool."""
    order = random_generator(seed, Purpose.HELD_OUT).permutation(n_test)
    held_out = torch.zeros(n_test, dtype=torch.bool)
    held_out[torch.from_numpy(order[: n_test // HELD_OUT_SHARE])] = True
    return held_out


def labels_to_measure(data: TrainingData) -> list[Tensor]:
    """Return the label vectors that training items are held against; what is not to be counted is -1.

    Corrupted labels and, if they are known, true ones; then both on the items whose label was redrawn.
    """
    if data.true_labels is None or data.redrawn is None:
        return [data.corrupted_labels]
    both = [data.corrupted_labels, data.true_labels]
    return [*both, *(torch.where(data.redrawn, labels, -1) for labels in both)]


def _trained(network: nn.Module) -> list[Tensor]:
    """Return the parameters that are trained; a network of one's own may have frozen ones."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


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


def _generator_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_generator_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def _train_epoch(
    trainer: _Trainer, data: TrainingData, batch_size: int, order: Tensor | None
) -> tuple[float, int]:
    """Go once through the training items that are left of an epoch.

    Returns the mean loss of all its items and how many of them were classified as labelled.
    """
    network, sums = trainer.network, trainer.sums
    parameters = _trained(network)
    network.train()
    inputs, labels = data.train_inputs, data.corrupted_labels
    if order is not None:
        order = order.to(inputs.device)
    started = time.monotonic() - sums.seconds
    for start in range(sums.items, len(labels), batch_size):
        batch: slice | Tensor = (
            slice(start, start + batch_size) if order is None else order[start : start + batch_size]
        )
        targets = labels[batch]
        logits = trainer.logits(inputs[batch])
        loss = cross_entropy(logits, targets)
        trainer.optimizer.step(torch.autograd.grad(loss, parameters))
        sums.loss += loss.detach() * len(targets)
        sums.correct += (logits.detach().argmax(1) == targets).sum()
        sums.items = start + len(targets)
        sums.seconds = time.monotonic() - started
        trainer.save_if_wanted()
    mean_loss, correct = sums.loss.item() / len(labels), int(sums.correct.item())
    sums.seconds = time.monotonic() - started  # on a GPU, the steps are over only now
    return mean_loss, correct


def count_correct(
    network: nn.Module,
    inputs: Tensor,
    *labels: Tensor,
    block_size: int | None = None,
    after_block: Callable[[], None] | None = None,
) -> list[int]:
    """Count, in eval mode, the items classified as each of the given label vectors says, block by block."""
    block_size = block_size or items_per_block(network, inputs)
    network.eval()
    correct = torch.zeros(len(labels), dtype=torch.int64, device=inputs.device)
    with torch.inference_mode():
        for start in range(0, len(inputs), block_size):
            block = slice(start, start + block_size)
            predicted = network(inputs[block]).argmax(1)
            for index, vector in enumerate(labels):
                correct[index] += (predicted == vector[block]).sum()
            if after_block:
                after_block()
    return [int(count) for count in correct.tolist()]
