"""Which parameters of a network are trained, at which learning rate and with how much weight decay."""

from collections.abc import Collection
from typing import Literal

from torch import nn

from latentgen.training.optimizers import Group

Excluded = Literal["bias", "norm"]


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.0,
    not_decayed: Collection[Excluded] = (),
) -> list[Group]:
    """Return the trained parameters of a network, grouped by what an optimizer does with them.

    Parameters
    ----------
    network : nn.Module
        Parameters whose ``requires_grad`` is false are left out.
    learning_rate : float
    weight_decay : float
    not_decayed : collection of {"bias", "norm"}
        Parameters without weight decay. ``bias``: those whose name ends in ``bias``. ``norm``: all others
        with one dimension, which are the scales of normalization layers (and of layer scale).
    """
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        kind = "bias" if name.endswith("bias") else "norm" if parameter.ndim <= 1 else "weight"
        settings = (learning_rate, 0.0 if kind in not_decayed else weight_decay)
        groups.setdefault(settings, Group([], *settings)).parameters.append(parameter)
    return list(groups.values())


def train_mode(network: nn.Module) -> None:
    """Put a network into train mode, but its frozen parts, which stay as they are in eval mode.

    A part is frozen if it has parameters and none is trained: its batch statistics do not change, and nothing
    is dropped in it.
    """
    network.train()
    for part in network.modules():
        trained = [parameter.requires_grad for parameter in part.parameters()]
        if trained and not any(trained):
            part.eval()
