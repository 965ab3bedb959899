"""Initial weights from a file, such as pretrained ones."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from latentgen.networks.checkpoints import checkpoint_paths
from latentgen.training.given_weights import put_weights, read_weights

logger = logging.getLogger(__name__)


def start_from(
    network: nn.Module,
    path: str | Path,
    prefix: str = "",
    new_layer: str = "",
    channels: Literal["sum", "repeat"] | None = None,
) -> None:
    """Put the weights of a file into a network, optionally except those of one layer.

    Parameters
    ----------
    network : nn.Module
        With weights drawn from the run's seed.
    path : str or Path
        safetensors, or a state_dict saved by torch.save; or a folder of checkpoints, of which the last one is
        used. Other entries are ignored, and counted in the log.
    prefix : str
        Prefix of the names in the file, which the network's names do not have.
    new_layer : str
        Name of the layer that keeps its weights: the readout.
    channels : {"sum", "repeat"}, optional
        What is done with convolutions of images that have another number of channels than the network's
        (`with_channels`); by default they are refused.

    Raises
    ------
    LatentgenError
        If the file cannot be read, lacks weights of the network, or has them in another shape.
    """
    if Path(path).is_dir():
        path = list(checkpoint_paths(path).values())[-1]
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in read_weights(path).items()
        if name.startswith(prefix)
    }
    expected = network.state_dict()
    kept = {
        name: values for name, values in expected.items() if new_layer and name.startswith(f"{new_layer}.")
    }
    extra = sorted(set(weights) - set(expected))
    if extra:
        logger.info(
            "%s has %d tensors that the network does not have (first: %s)", path, len(extra), extra[0]
        )
    fitting = {name: values for name, values in weights.items() if name in expected} | kept
    if channels:
        fitting = {
            name: with_channels(values, expected[name].shape, channels) for name, values in fitting.items()
        }
    put_weights(network, fitting, path)


def with_channels(weight: Tensor, shape: Sequence[int], how: Literal["sum", "repeat"]) -> Tensor:
    """Return the weights of a convolution for another number of input channels.

    Parameters
    ----------
    weight : Tensor
        Outputs × channels × height × width; any other is returned as it is.
    shape : sequence of int
        Shape that the network has. Unless only the number of channels differs, nothing is changed.
    how : {"sum", "repeat"}
        ``sum``, for one channel: a grey image then gives what it would give as three equal channels.
        ``repeat``: the channels are repeated in turn, times the ratio of the numbers of channels.
    """
    there, wanted = tuple(weight.shape), tuple(shape)
    if len(there) != 4 or there == wanted or there[:1] + there[2:] != wanted[:1] + wanted[2:]:
        return weight
    if how == "sum":
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(wanted[1]) % there[1]] * (there[1] / wanted[1])
