"""Optimizers on torch's fused kernels, with a state that can be saved and loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd


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
