"""All network architectures, and building one with its initial weights.

To add an architecture, add a module with its settings, a `latentgen.networks.layered.LayeredNetwork` or a
`latentgen.networks.measured.MeasuredNetwork`, and its name to `Architecture`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from latentgen.data.inputs import InputShape
from latentgen.networks.alexnet import AlexNet
from latentgen.networks.base import Network
from latentgen.networks.cnn import CNN
from latentgen.networks.custom import CustomNetwork, TimmNetwork, TorchvisionNetwork, TransformersNetwork
from latentgen.networks.mlp import MLP
from latentgen.networks.resnet18 import ResNet18
from latentgen.networks.transformer import Transformer
from latentgen.networks.vit import ViT
from latentgen.randomness import Purpose, integer_seed

if TYPE_CHECKING:
    from torch import nn

BuiltIn = MLP | CNN | AlexNet | ResNet18 | ViT | Transformer
ByName = CustomNetwork | TorchvisionNetwork | TimmNetwork | TransformersNetwork

Architecture = Annotated[BuiltIn | ByName, Field(discriminator="architecture")]
"""A network in a study file, of the kind named by `architecture`."""


def make_network(
    settings: Mapping[str, Any],
    input_shape: InputShape,
    n_classes: int,
    seed: int = 0,
    initial_weights: Literal["run_seed", "published"] = "run_seed",
) -> "nn.Module":
    """Build the network that a study file describes; its initial weights depend only on `seed`.

    torch's default initialization draws from the global generator, whose state is restored afterwards.

    Parameters
    ----------
    settings : mapping
        A model as in the study file, with the keys of `MLP`, `ViT` or another of `Architecture`.
    input_shape : tuple of int, or Tokens
        Shape of an example.
    n_classes : int
    seed : int
        The run's seed.
    initial_weights : {"run_seed", "published"}
        ``published``: torch's generator gets the papers' seed, and seed 1 is the first network built, as in
        their run 1. For their later runs, training had advanced the generator, which cannot be reproduced;
        here seed 2 is the second network built, and so on.
    """
    import torch

    from latentgen.linalg import use_fast_products

    network_settings: Network = TypeAdapter(Architecture).validate_python(settings)
    with torch.random.fork_rng(devices=[]):
        if initial_weights == "run_seed":
            torch.manual_seed(integer_seed(seed, Purpose.INITIAL_WEIGHTS))
        else:
            torch.manual_seed(network_settings.PUBLISHED_SEED)
            for _ in range(0 if network_settings.RESEEDS_IN_CONSTRUCTOR else seed - 1):
                network_settings.build(input_shape, n_classes)
        network = network_settings.build(input_shape, n_classes)
    if network_settings.convolutional:
        network = network.to(memory_format=torch.channels_last)
    use_fast_products(network)
    return network
