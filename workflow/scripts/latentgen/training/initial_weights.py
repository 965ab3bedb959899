"""Initial weights from a file, such as pretrained ones."""

import logging
from pathlib import Path

from torch import nn

from latentgen.networks.checkpoints import checkpoint_paths
from latentgen.training.given_weights import put_weights, read_weights

logger = logging.getLogger(__name__)


def start_from(network: nn.Module, path: str | Path, prefix: str = "", new_layer: str = "") -> None:
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
    put_weights(network, {name: values for name, values in weights.items() if name in expected} | kept, path)
