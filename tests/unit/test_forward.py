"""How many items go through a network at a time."""

import pytest
import torch
from torch import nn

from latentgen.networks.architectures import make_network
from latentgen.networks.forward import CACHE_BYTES, MOST_ITEMS, items_per_block


@pytest.mark.parametrize(
    ("settings", "shape", "largest"),
    [
        ({"architecture": "MLP"}, (1, 28, 28), 2048),
        ({"architecture": "CNN"}, (1, 28, 28), 16 * 28 * 28),
        ({"architecture": "ResNet18"}, (3, 32, 32), 64 * 32 * 32),
    ],
)
def test_the_largest_map_of_a_block_fills_the_cache_and_no_more(settings, shape, largest):
    block = items_per_block(make_network(settings, shape, 10), torch.zeros(2, *shape))
    assert block == min(MOST_ITEMS, CACHE_BYTES // (4 * largest))


def test_a_single_item_may_be_larger_than_the_cache():
    assert items_per_block(nn.Identity(), torch.zeros(2, CACHE_BYTES)) == 1


def test_the_network_is_left_as_it_was():
    network = make_network({"architecture": "ResNet18"}, (3, 16, 16), 10)
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    items_per_block(network, torch.randn(3, 3, 16, 16))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
