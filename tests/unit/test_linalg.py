"""Products by oneDNN are torch's, to rounding, whatever lies how in memory."""

import io
from itertools import product as combinations

import pytest
import torch
from torch import nn

from latentgen import linalg as products
from latentgen.linalg import Linear, product, use_fast_products
from latentgen.networks.architectures import make_network

LAYOUTS = {
    "by rows": lambda matrix: matrix.contiguous(),
    "by columns": lambda matrix: matrix.T.contiguous().T,
    "with gaps": lambda matrix: torch.cat([matrix, matrix], dim=1)[:, : matrix.shape[1]],
    "every other": lambda matrix: torch.stack([matrix, matrix], dim=2)[:, :, 0],
}


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(products, "LEAST_WORK", 0)
    monkeypatch.setattr(products, "LEAST_WEIGHTS", 0)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(found, expected):
    """Whether products of numbers of about one agree to float32's rounding."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("a", "b"), list(combinations(LAYOUTS, LAYOUTS)))
@pytest.mark.parametrize(("m", "k", "n"), [(70, 30, 5), (5, 30, 70), (1, 40, 40), (33, 1, 20), (20, 64, 1)])
def test_products_are_torchs_in_every_memory_layout(m, k, n, a, b):
    A, B = LAYOUTS[a](random(m, k)), LAYOUTS[b](random(k, n, seed=1))
    kept = A.clone(), B.clone()
    close(product(A, B), (A.double() @ B.double()).float())
    assert torch.equal(A, kept[0])
    assert torch.equal(B, kept[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_float64_and_empty_inputs_are_left_to_numpy_or_torch(threads):
    A, B = random(4, 5).double(), random(5, 6).double()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found = product(A, B)
    torch.set_num_threads(before)
    assert torch.equal(found, torch.from_numpy(A.numpy() @ B.numpy()) if threads == 1 else A @ B)
    assert product(random(0, 5), random(5, 6)).shape == (0, 6)


@pytest.mark.skipif(products._onednn is None, reason="torch was built without oneDNN")
def test_large_products_are_taken_by_onednn(monkeypatch):
    taken = []
    by_onednn = products._times_transposed
    monkeypatch.setattr(products, "_times_transposed", lambda *given: taken.append(1) or by_onednn(*given))
    product(random(9, 9), random(9, 9))
    assert taken == [1]
    monkeypatch.setattr(products, "LEAST_WORK", 9**3 + 1)
    product(random(9, 9), random(9, 9))
    assert taken == [1]


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_and_its_gradients_are_torchs(bias):
    plain, fast = nn.Linear(30, 70, bias), nn.Linear(30, 70, bias)
    fast.load_state_dict(plain.state_dict())
    fast.__class__ = Linear
    gradients = []
    for layer in (plain, fast):
        inputs = random(8, 30).requires_grad_()
        output = layer(inputs)
        wanted = [inputs, *layer.parameters()]
        gradients.append([output, *torch.autograd.grad(output.square().sum(), wanted)])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert found.is_contiguous()  # torch's fused optimizers read gradients as they read the weights


def test_inputs_that_need_no_gradient_get_none():
    layer = Linear(30, 70)
    (of_weight,) = torch.autograd.grad(layer(random(8, 30)).sum(), [layer.weight])
    torch.testing.assert_close(of_weight, random(8, 30).sum(0).expand(70, 30), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(30,), (2, 3, 30)])
def test_inputs_of_other_dimensions_are_left_to_torch(shape):
    layer = Linear(30, 70)
    assert torch.equal(layer(random(*shape)), nn.functional.linear(random(*shape), layer.weight, layer.bias))


def test_networks_in_float64_stay_in_float64():
    assert Linear(30, 70).double()(random(8, 30).double()).dtype == torch.float64


def test_half_precision_while_training_stays_half_precision():
    layer = Linear(30, 70)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(random(8, 30)).dtype == torch.bfloat16


def test_large_layers_of_a_network_are_fast_and_nothing_else_is_changed(monkeypatch):
    monkeypatch.setattr(products, "LEAST_WEIGHTS", 2**18)
    network = make_network({"architecture": "MLP"}, (1, 28, 28), 10)
    kinds = {name: type(layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}
    assert {name for name, kind in kinds.items() if kind is Linear} == {"fc3.0", "fc4.0"}
    plain = make_network({"architecture": "MLP"}, (1, 28, 28), 10)
    for layer in plain.modules():
        if isinstance(layer, Linear):
            layer.__class__ = nn.Linear
    assert list(plain.state_dict()) == list(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(
            network(random(16, 1, 28, 28)), plain(random(16, 1, 28, 28)), rtol=1e-4, atol=1e-4
        )


def test_a_layer_that_somebody_derived_from_torchs_is_left_alone():
    class Scaled(nn.Linear):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    network = nn.Sequential(Scaled(600, 600), nn.Linear(600, 600))
    use_fast_products(network)
    assert [type(layer) for layer in network] == [Scaled, Linear]


def test_a_network_with_fast_layers_can_be_exported():
    network = nn.Sequential(Linear(30, 70), nn.ReLU(), Linear(70, 8)).eval()
    inputs = random(5, 30)
    file = io.BytesIO()
    torch.export.save(torch.export.export(network, (inputs,), strict=False), file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(inputs), network(inputs))
