"""Train a network on corrupted labels, and keep its weights at chosen epochs."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.examples import spans, taken
from latentgen.runtime.logs import Progress, peak_megabytes
from latentgen.runtime.memory import explain_out_of_memory
from latentgen.training.batches import (
    check_batch_of_one,
    dropout_stream,
    epoch_order,
    generator_state,
    set_generator_state,
    smaller_batches,
)
from latentgen.training.data import TrainingData
from latentgen.training.measuring import counting, counts_on_held_out, counts_on_test, counts_on_train
from latentgen.training.parameter_groups import train_mode
from latentgen.training.plan import TrainingPlan
from latentgen.training.processes import ALONE, Processes
from latentgen.training.records import EpochRecord, TrainingResult
from latentgen.training.resuming import Resume
from latentgen.training.schedule import check_shares
from latentgen.training.steps import Steps
from latentgen.training.stopping import EarlyStopping, held_out_items, memorization

logger = logging.getLogger(__name__)


def train(
    network: nn.Module,
    data: TrainingData,
    plan: TrainingPlan,
    resume: Resume,
    processes: Processes = ALONE,
) -> TrainingResult:
    """Train `network` in place on the corrupted labels, or resume from a saved state.

    Parameters
    ----------
    network : nn.Module
        With its initial weights, on the device of the data.
    data : TrainingData
        The data to train and evaluate on.
    plan : TrainingPlan
        The settings of the training.
    resume : Resume
        Keeps the checkpoints, and the state of an interrupted training.
    processes : Processes, optional
        The processes that train this network together; all of them call this function.

    Raises
    ------
    LatentgenError
        If a batch has too few images for the network, the loss becomes NaN or infinite, or memory runs out.
    Stopped
        After a signal, with the state saved.
    """
    check_batch_of_one(
        network, data.train_inputs, len(data.corrupted_labels), plan.batch_size // plan.accumulate
    )
    check_shares(len(data.corrupted_labels), plan.batch_size // plan.accumulate, processes.count)
    trainer = _Trainer(network, data, plan, resume, processes)
    ended = None
    while ended is None:
        ended = trainer.next_epoch()
    logger.info("ended by %s", ended)
    return trainer.result(ended)


@dataclass
class EpochSums:
    """Sums over an epoch, as tensors, since reading a number would wait for the device."""

    items: int
    """Number of examples done (of sequences, if the next tokens are classes)."""
    loss: Tensor
    """Sum of their losses, float64."""
    correct: Tensor
    """How many of them were classified as labelled, int64."""
    seconds: float = 0.0
    """Wall time so far."""

    @classmethod
    def zero(cls, device: torch.device) -> "EpochSums":
        """Return the sums at the start of an epoch."""
        return cls(
            0,
            torch.zeros((), dtype=torch.float64, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
        )


class _Trainer:
    """A network, its optimizer, and their progress, which `Resume` keeps."""

    def __init__(
        self,
        network: nn.Module,
        data: TrainingData,
        plan: TrainingPlan,
        resume: Resume,
        processes: Processes,
    ) -> None:
        self.network, self.plan, self.resume = network, plan, resume
        processes.share_weights(network)
        self.steps = Steps(network, data, plan, processes)
        self.data = data = self.steps.data
        self.memorization = memorization(plan.stop, data.corrupted_labels.numel())
        self.early_stopping = None if plan.patience is None else EarlyStopping(plan.patience, plan.result)
        held_out = held_out_items(len(data.test_labels), plan.seed).to(data.device)
        self.held_out = (
            held_out if data.test_labels.ndim == 1 else held_out[:, None].expand_as(data.test_labels)
        )
        self.count = counting(
            self.steps.trained,
            # If outputs depend on the other images in a block, blocks are as large as in training.
            block_size=plan.batch_size if depends_on_batch(network) else None,
            after_block=self.save_if_wanted,  # a signal does not wait for the end of counting
            processes=processes,
        )
        self.generator: Tensor | None = None
        self.sums = EpochSums.zero(data.device)
        self.history: list[EpochRecord] = []
        self.started = time.monotonic()
        saved = processes.same(resume.load())
        if saved is not None:
            self._load(*saved)
        done = plan.start + max(len(self.history) - 1, 0)
        self.progress = Progress(plan.max_epochs, "epoch", before=done)

    def next_epoch(self) -> str | None:
        """Train, measure and record one epoch; return why training ends, if it does.

        The first epoch is not trained: it is the given network.
        """
        plan, history = self.plan, self.history
        epoch = plan.start + len(history)
        if epoch > plan.max_epochs:  # it was interrupted after its last epoch
            return self._reason_to_end(history[-1])
        trained = self._train(epoch) if epoch > plan.start else {}
        measured: dict[str, Any] = counts_on_test(self.count, self.data, self.held_out)
        measured |= counts_on_held_out(self.count, self.data)
        if self.early_stopping and plan.stop_by == "held_out":
            measured["held_out_correct"] = measured["noisy_correct"]
            measured["held_out_total"] = measured["noisy_total"]
        if self._is_checkpoint(epoch, trained, measured):
            self.resume.save_checkpoint(epoch, self.network)
            measured |= counts_on_train(self.count, self.data)
        test_accuracy = measured["test_correct"] / measured["test_total"]
        if self.early_stopping:
            measured |= {"test_correct": measured["rest_correct"], "test_total": measured["rest_total"]}
        record = EpochRecord(epoch=epoch, seconds=self.sums.seconds, **trained, **measured)
        history.append(record)
        self.sums = EpochSums.zero(self.data.device)
        if trained:
            online_accuracy = trained["online_correct"] / trained["online_total"]
            self.progress.step(
                epoch,
                f"loss {record.loss:.4g}, train {online_accuracy:.4f} (online), test {test_accuracy:.4f}",
            )
        ended = self._reason_to_end(record)
        if ended is None:
            self.save_if_wanted()
        return ended

    def result(self, ended: str) -> TrainingResult:
        """Return the result of the training; after early stopping, up to the epoch that it keeps."""
        history = self.history
        if self.early_stopping:
            end = self.early_stopping.end(history)
            history = [record for record in history if record.epoch <= end]
            self.resume.drop_checkpoints(after=end)
        seconds = sum(record.seconds for record in history)
        n_items = self.data.corrupted_labels.numel() * (len(history) - 1)
        return TrainingResult(
            history=history,
            ended=ended,
            items_per_second=n_items / seconds if seconds else 0.0,
            seconds=time.monotonic() - self.started,
            times_resumed=self.resume.times_resumed,
            identity=self.resume.digest,
            peak_memory_mb=peak_megabytes(),
            device=str(self.data.device),
            threads=torch.get_num_threads(),
            torch_version=str(torch.__version__),
        )

    def _is_checkpoint(self, epoch: int, trained: Mapping[str, Any], measured: Mapping[str, int]) -> bool:
        """Whether the weights of an epoch are kept."""
        plan = self.plan
        if epoch in plan.checkpoints or epoch == plan.max_epochs or 0 < epoch == plan.start:
            return True
        if self.early_stopping and self.early_stopping.keeps(self.history, measured["held_out_correct"]):
            return True
        rule = self.memorization
        return rule is not None and rule.is_met(online=trained.get("online_correct"))

    def _reason_to_end(self, record: EpochRecord) -> str | None:
        """Why training ends after an epoch, if it does."""
        rule = self.memorization
        if rule and rule.is_met(record.online_correct, record.train_corrupted_correct):
            return rule.reason(record.epoch)
        is_last = record.epoch == self.plan.max_epochs
        if self.early_stopping and (is_last or self.early_stopping.is_over(self.history)):
            return self.early_stopping.reason(self.history)
        return f"max_epochs: {self.plan.max_epochs} epochs trained" if is_last else None

    def _train(self, epoch: int) -> dict[str, Any]:
        """Train for the rest of an epoch; return its measurements, by their names in `EpochRecord`."""
        plan, device, labels = self.plan, self.data.device, self.data.corrupted_labels
        order = epoch_order(len(labels), plan.seed, epoch) if plan.shuffle else None
        with (
            dropout_stream(plan.seed, epoch, device),
            explain_out_of_memory(*smaller_batches(plan.batch_size, plan.accumulate)),
        ):
            if self.generator is not None:  # dropout resumes in the middle of the epoch
                set_generator_state(device, self.generator)
                self.generator = None
            self._take_steps(epoch, order)
        loss = self.sums.loss.item() / labels.numel()
        if not math.isfinite(loss):
            self.resume.discard()
            rate = plan.optimizer["learning_rate"]
            raise LatentgenError(
                f"The loss became {loss} in epoch {epoch}, with {plan.optimizer['name']} at learning rate "
                f"{rate:g}. Training has diverged: try a learning rate of {rate / 10:g} "
                "(training.optimizer.learning_rate)."
            )
        return {
            "loss": loss,
            "online_correct": int(self.sums.correct.item()),
            "online_total": labels.numel(),
        }

    def _take_steps(self, epoch: int, order: Tensor | None) -> None:
        """Take the remaining optimizer steps of an epoch."""
        sums, labels = self.sums, self.data.corrupted_labels
        batches = spans(len(labels), self.plan.batch_size, sums.items)
        places = None if order is None else order.to(self.data.device)
        train_mode(self.steps.trained)
        started = time.monotonic() - sums.seconds
        for batch, images in zip(batches, taken(self.data.train_inputs, batches, order), strict=True):
            labels_of_batch = labels[batch if places is None else places[batch]]
            loss, correct = self.steps.take(epoch, batch.start, images, labels_of_batch)
            sums.loss += loss
            sums.correct += correct
            sums.items = batch.stop
            sums.seconds = time.monotonic() - started
            self.save_if_wanted()
        sums.loss.item()  # on a GPU, this waits for the last step
        sums.seconds = time.monotonic() - started

    def save_if_wanted(self) -> None:
        """Save the state if it is time to, or after a signal (which may end the job)."""
        if not self.resume.wanted():
            return
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in self.steps.optimizer.state().items()}
        if self.sums.items:
            tensors["generator/state"] = generator_state(self.data.device)
        values = {
            "history": [asdict(record) for record in self.history],
            "items": self.sums.items,
            "loss": self.sums.loss.item(),
            "correct": self.sums.correct.item(),
            "epoch_seconds": self.sums.seconds,
            "seconds": time.monotonic() - self.started,
        }
        arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
        self.resume.save(arrays, values)

    def _load(self, tensors: Mapping[str, np.ndarray[Any, Any]], values: Mapping[str, Any]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "generator": {}}
        for name, array in tensors.items():
            part, _, key = name.partition("/")
            parts[part][key] = torch.from_numpy(array)
        self.network.load_state_dict(parts["network"])
        self.steps.optimizer.load_state(parts["optimizer"])
        self.generator = parts["generator"].get("state")
        self.history = [EpochRecord(**record) for record in values["history"]]
        self.sums.items, self.sums.seconds = values["items"], values["epoch_seconds"]
        self.sums.loss.fill_(values["loss"])
        self.sums.correct.fill_(values["correct"])
        self.started -= values["seconds"]
        logger.info(
            "resuming from a saved state: epoch %d, example %d (resumed %d times so far)",
            len(self.history),
            self.sums.items,
            self.resume.times_resumed,
        )
