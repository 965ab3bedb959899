"""Optimizers that use torch's fused kernels, with a state that can be saved and loaded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate and a weight decay."""

    parameters: list[Tensor]
    learning_rate: float
    weight_decay: float = 0.0


class Optimizer(Protocol):
    """Changes parameters in place, given their gradients."""

    parameters: list[Tensor]
    """All parameters, group after group: the order of the gradients."""

    def step(self, gradients: Sequence[Tensor], factor: float = 1.0) -> None:
        """Take one step, with every learning rate times a factor."""

    def state(self) -> dict[str, Tensor]:
        """Return by name everything that the next step depends on besides the parameters."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""


class SGD:
    """Stochastic gradient descent with momentum, on torch's fused kernels.

    torch's optimizer functions are used rather than its optimizer classes, which take as long to import as
    the rest of torch: half the time of a small run.
    """

    def __init__(self, groups: Sequence[Group], momentum: float, nesterov: bool = False) -> None:
        self.groups, self.momentum, self.nesterov = groups, momentum, nesterov
        self.parameters = _all_parameters(groups)
        self.momenta: list[list[Tensor | None]] = [[None] * len(group.parameters) for group in groups]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], factor: float = 1.0) -> None:
        """Take one step, with every learning rate times a factor."""
        for group, own_gradients, momenta in zip(
            self.groups, _divided(gradients, self.groups), self.momenta, strict=True
        ):
            sgd(
                group.parameters,
                own_gradients,
                momenta,
                lr=group.learning_rate * factor,
                momentum=self.momentum,
                weight_decay=group.weight_decay,
                dampening=0.0,
                nesterov=self.nesterov,
                maximize=False,
                fused=True,
            )

    def state(self) -> dict[str, Tensor]:
        """Return the momenta; none before the first step."""
        momenta = [momentum for group in self.momenta for momentum in group]
        return {f"momentum/{i}": momentum for i, momentum in enumerate(momenta) if momentum is not None}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        if state:
            self.momenta = [
                [torch.empty_like(parameter) for parameter in group.parameters] for group in self.groups
            ]
        _copy(state, self.state())


class Adam:
    """Adam (Kingma and Ba, 2015), on torch's fused kernels; see `SGD` for why not `torch.optim.Adam`.

    Weight decay is added to the gradient or, if `decoupled`, shrinks the weights separately (AdamW:
    Loshchilov and Hutter, 2019).
    """

    def __init__(
        self,
        groups: Sequence[Group],
        betas: tuple[float, float],
        epsilon: float = 1e-8,
        decoupled: bool = False,
    ) -> None:
        self.groups, self.betas, self.epsilon, self.decoupled = groups, betas, epsilon, decoupled
        self.parameters = _all_parameters(groups)
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], factor: float = 1.0) -> None:
        """Take one step, with every learning rate times a factor."""
        state = (_divided(tensors, self.groups) for tensors in (self.means, self.squares, self.steps))
        for group, own_gradients, means, squares, steps in zip(
            self.groups, _divided(gradients, self.groups), *state, strict=True
        ):
            adam(
                group.parameters,
                own_gradients,
                means,
                squares,
                [],
                steps,
                lr=group.learning_rate * factor,
                beta1=self.betas[0],
                beta2=self.betas[1],
                eps=self.epsilon,
                weight_decay=group.weight_decay,
                decoupled_weight_decay=self.decoupled,
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


def _all_parameters(groups: Sequence[Group]) -> list[Tensor]:
    return [parameter for group in groups for parameter in group.parameters]


def _divided(tensors: Sequence[Tensor], groups: Sequence[Group]) -> Iterator[list[Tensor]]:
    """Yield the tensors of each group, from tensors in the order of all parameters."""
    start = 0
    for group in groups:
        yield list(tensors[start : start + len(group.parameters)])
        start += len(group.parameters)


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors into others, which keep their device and memory layout."""
    for name, tensor in target.items():
        tensor.copy_(source[name])


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "SGD": SGD,
    "Adam": Adam,
    "AdamW": lambda groups, **settings: Adam(groups, **settings, decoupled=True),
}


def make_optimizer(groups: Sequence[Group], name: str, **settings: Any) -> Optimizer:
    """Return the optimizer of a name, with settings as in the study file."""
    return OPTIMIZERS[name](groups, **settings)
