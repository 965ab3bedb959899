"""Groups of a network's parameters: trained or frozen, with learning rate and weight decay."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from torch import nn

from latentgen.errors import LatentgenError
from latentgen.networks.layer_choice import matches
from latentgen.runtime.import_paths import nearest_few
from latentgen.training.optimizers import Group

Excluded = Literal["bias", "norm"]


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.0,
    not_decayed: Collection[Excluded] = (),
    special: Sequence[Mapping[str, Any]] = (),
) -> list[Group]:
    """Return the trained parameters of a network, grouped by learning rate and weight decay.

    Frozen parameters require no gradient afterwards.

    Parameters
    ----------
    network : nn.Module
        Parameters whose ``requires_grad`` is false are left out.
    learning_rate : float
    weight_decay : float
    not_decayed : collection of {"bias", "norm"}
        Parameters without weight decay. ``bias``: those whose name ends in ``bias``. ``norm``: all others
        with one dimension, which are the scales of normalization layers (and of layer scale).
    special : sequence of mapping
        Groups as in the study file (`latentgen.study.recipe_settings.ParameterGroup`).

    Raises
    ------
    LatentgenError
        If a group matches no parameter, or none is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    for group in special:
        if not any(matches(name, group["match"]) for name in names):
            near = nearest_few(group["match"], names)
            raise LatentgenError(f"training.groups: '{group['match']}' matches no parameter; {near}.")
    groups: dict[tuple[float, float], Group] = {}
    for name, parameter in network.named_parameters():
        own = next((group for group in special if matches(name, group["match"])), None)
        if own and own["frozen"]:
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        kind = "bias" if name.endswith("bias") else "norm" if parameter.ndim <= 1 else "weight"
        rate = own["learning_rate"] if own else learning_rate
        settings = (rate, 0.0 if kind in not_decayed else weight_decay)
        groups.setdefault(settings, Group([], *settings)).parameters.append(parameter)
    if not groups:
        raise LatentgenError("training.groups: all parameters are frozen. Leave some to be trained.")
    return list(groups.values())


def train_mode(network: nn.Module) -> None:
    """Put a network into train mode, except its frozen parts, which stay in eval mode.

    A part is frozen if it has parameters and none is trained: its batch statistics do not change, and it has
    no dropout.
    """
    network.train()
    for part in network.modules():
        trained = [parameter.requires_grad for parameter in part.parameters()]
        if trained and not any(trained):
            part.eval()
