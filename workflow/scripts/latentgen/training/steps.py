"""Training steps: from a batch of images to new weights."""

import logging
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from latentgen.networks.examples import spans
from latentgen.randomness import Purpose, integer_seed
from latentgen.training.augmentation import Mixture, augment
from latentgen.training.data import TrainingData
from latentgen.training.frozen_trunk import without_trunk
from latentgen.training.learning_rates import learning_rate_factor
from latentgen.training.optimizers import Optimizer, make_optimizer
from latentgen.training.parameter_groups import parameter_groups
from latentgen.training.plan import TrainingPlan
from latentgen.training.processes import ALONE, Processes

logger = logging.getLogger(__name__)

GCE_EXPONENT = 0.7
"""The exponent q of generalized cross entropy, as in the paper's experiments."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of a batch, given logits and labels."""


class Steps:
    """Takes the steps of a training: on `data`, of `trained`, which are without the frozen first layers.

    Parameters
    ----------
    network : nn.Module
        Trained in place. Parameters that the plan freezes require no gradient afterwards.
    data : TrainingData
    plan : TrainingPlan
    processes : Processes, optional
        The processes that take each step together.
    """

    def __init__(
        self, network: nn.Module, data: TrainingData, plan: TrainingPlan, processes: Processes = ALONE
    ) -> None:
        self.plan, self.processes = plan, processes
        processes.normalize_together(network)
        optimizer = dict(plan.optimizer)
        groups = parameter_groups(
            network,
            optimizer.pop("learning_rate"),
            optimizer.pop("weight_decay", 0.0),
            optimizer.pop("not_decayed", ()),
            plan.groups,
        )
        self.optimizer: Optimizer = make_optimizer(groups, **optimizer)
        self.trained, self.data = without_trunk(network, data, plan)
        self.per_epoch = math.ceil(len(data.corrupted_labels) / plan.batch_size)
        self._factor = learning_rate_factor(plan.schedule, self.per_epoch, plan.max_epochs)
        self._logits = training_forward(self.trained, data.device, plan.precision, plan.compile)
        self._loss = loss_function(plan.loss, plan.label_smoothing)

    def take(self, epoch: int, start: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step.

        Parameters
        ----------
        epoch, start : int
            The epoch, and the number of its examples that are done.
        images, labels : Tensor
            The training examples of the batch; labels N, or N × L if the next tokens are classes.

        Returns
        -------
        Tensor, Tensor
            Sum of the losses before the step, and number of examples that are classified as labelled.
        """
        plan, parameters = self.plan, self.optimizer.parameters
        mixture = None
        gradients: Sequence[Tensor]
        if plan.augment:
            images, mixture = augment(images, plan.augment, self.data.blank, (plan.seed, epoch, start))
        if self.processes.count > 1:
            loss, correct, gradients = self._shared(epoch, start, images, labels, mixture)
        elif plan.accumulate == 1:
            loss, correct = self._forward(images, labels, mixture and (labels[mixture.partners], mixture))
            gradients = torch.autograd.grad(loss, parameters)
            loss = loss.detach() * labels.numel()
        else:
            loss, correct, gradients = self._accumulated(images, labels, mixture)
        if plan.clip_gradients:
            gradients = clipped(gradients, plan.clip_gradients)
        step = (epoch - 1) * self.per_epoch + start // plan.batch_size
        self.optimizer.step(gradients, self._factor(step))
        return loss, correct

    def _forward(
        self, images: Tensor, labels: Tensor, mixed: tuple[Tensor, Mixture] | None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss, and the number of examples that are classified as labelled."""
        logits, labels = self._logits(images), labels.flatten()
        loss = self._loss(logits, labels)
        if mixed:
            partners, mixture = mixed
            loss = mixture.own * loss + (1 - mixture.own) * self._loss(logits, partners)
        return loss, (logits.detach().argmax(1) == labels).sum()

    def _accumulated(
        self, images: Tensor, labels: Tensor, mixture: Mixture | None
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Return sum of losses, number of correct ones and gradients of a batch processed in parts."""
        size = self.plan.batch_size // self.plan.accumulate
        total = torch.zeros((), device=labels.device)
        correct = torch.zeros((), dtype=torch.int64, device=labels.device)
        gradients = [torch.zeros_like(parameter) for parameter in self.optimizer.parameters]
        for first in range(0, len(labels), size):
            part = slice(first, first + size)
            mixed = (labels[mixture.partners[part]], mixture) if mixture else None
            loss, right = self._forward(images[part], labels[part], mixed)
            weight = len(labels[part])
            for sum_so_far, gradient in zip(
                gradients, torch.autograd.grad(loss, self.optimizer.parameters), strict=True
            ):
                sum_so_far.add_(gradient, alpha=weight / len(labels))
            total, correct = total + loss.detach() * labels[part].numel(), correct + right
        return total, correct, gradients

    def _shared(
        self, epoch: int, start: int, images: Tensor, labels: Tensor, mixture: Mixture | None
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Return the same as `_accumulated`, of which each process computes a share of each part."""
        plan, parameters = self.plan, self.optimizer.parameters
        # Dropout: a stream for each step and process, of which nothing need be saved.
        torch.manual_seed(integer_seed(plan.seed, Purpose.DROPOUT, epoch, start, self.processes.position))
        total = torch.zeros((), device=labels.device)
        correct = torch.zeros((), device=labels.device)
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        for part in spans(len(labels), plan.batch_size // plan.accumulate):
            own = self.processes.share(part)
            mixed = (labels[mixture.partners[own]], mixture) if mixture else None
            loss, right = self._forward(images[own], labels[own], mixed)
            # Scaled before it is differentiated: through batch normalization, it is part of one sum.
            loss = loss * (len(labels[own]) / len(labels))
            for sum_so_far, gradient in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
                sum_so_far.add_(gradient)
            total, correct = total + loss.detach() * labels.numel(), correct + right
        total, correct, *gradients = self.processes.add([total, correct, *gradients])
        return total, correct.long(), gradients


def loss_function(name: str, label_smoothing: float = 0.0) -> Loss:
    """Return the mean loss of a batch by its name in the study file.

    ``gce`` is generalized cross entropy, (1 − p^q) / q of the labelled class's probability p, with q = 0.7
    (Zhang and Sabuncu, 2018).
    """
    if name == "gce":
        return _generalized_cross_entropy
    return lambda logits, labels: cross_entropy(logits, labels, label_smoothing=label_smoothing)


def _generalized_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    log_p = log_softmax(logits, 1).gather(1, labels[:, None])
    return ((1 - (GCE_EXPONENT * log_p).exp()) / GCE_EXPONENT).mean()


def clipped(gradients: Sequence[Tensor], norm: float) -> list[Tensor]:
    """Return gradients scaled down to a joint norm of at most `norm`, like torch's clip_grad_norm_."""
    joint = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in gradients]))
    scale = (norm / (joint + 1e-6)).clamp(max=1.0)
    return [gradient * scale for gradient in gradients]


def training_forward(
    network: nn.Module, device: torch.device, precision: str, compile: bool
) -> Callable[[Tensor], Tensor]:
    """Return the function that computes logits (float32) in training: the network, or a faster version of it.

    `precision` and `compile` are as in the study file (`latentgen.study.training_settings.Training`).
    """
    forward: Callable[[Tensor], Tensor] = network
    if compile and device.type == "cuda":
        forward = torch.compile(network, mode="reduce-overhead")
    elif compile:
        logger.info("training.compile is for GPUs; on the CPU, this training is not compiled")
    if precision == "float32":
        return forward
    logger.info("matrix products in training use %s (training.precision)", precision)

    def in_half_precision(inputs: Tensor) -> Tensor:
        with torch.autocast(device.type, getattr(torch, precision)):
            return forward(inputs).float()

    return in_half_precision
