"""A job computes on a GPU only if it was given one. GPUs are pretended here; nothing is computed on them."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from threadpoolctl import threadpool_info

from latentgen.runtime.devices import use_device, use_threads


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "pretended")
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"{tmp_path.name}-{number}")
    )


@pytest.mark.parametrize("resources", [{}, {"gpu": 0}, {"gpu": 0, "gres": "shard:1"}])
def test_a_job_that_was_given_no_gpu_takes_none_that_it_sees(two_gpus, resources):
    assert use_device(1, resources) == torch.device("cpu")


@pytest.mark.parametrize("resources", [{"gpu": 1}, {"gpu": 0, "gres": "gpu:a100:1"}])
def test_a_job_that_was_given_a_gpu_takes_one(two_gpus, resources):
    assert use_device(1, resources) == torch.device("cuda", 0)


def test_without_a_gpu_the_cpu_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert use_device(1, {"gpu": 1}) == torch.device("cpu")


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_is_the_one_that_is_set_whatever_the_cores(threads, monkeypatch):
    before = torch.get_num_threads()
    try:
        use_device(threads, {})
        assert torch.get_num_threads() == threads
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {threads}
    finally:
        use_threads(before)


BITS = """
import hashlib, sys, torch
from latentgen.networks.architectures import make_network
from latentgen.runtime.devices import use_threads
use_threads(int(sys.argv[1]))
network = make_network({"architecture": "CNN"}, (1, 28, 28), 10, seed=1)
images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
loss = torch.nn.functional.cross_entropy(network(images), torch.arange(64) % 10)
gradients = torch.autograd.grad(loss, list(network.parameters()))
print(hashlib.sha256(b"".join(gradient.numpy().tobytes() for gradient in gradients)).hexdigest())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
@pytest.mark.parametrize("threads", ["2", "4"])
def test_fewer_cores_than_threads_change_no_bit(threads):
    """So a training is run with its number of threads wherever it is run."""
    cores = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    bits = {
        subprocess.run(
            [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {allowed})\n{BITS}", threads],
            capture_output=True, text=True, check=True, env=environment,
        ).stdout
        for allowed in (cores[:1], cores)
    }  # fmt: skip
    assert len(bits) == 1
