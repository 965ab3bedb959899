"""A job computes on a GPU only if it was given one. GPUs are pretended here; nothing is computed on them."""

from types import SimpleNamespace

import pytest
import torch

from latentgen.runtime.devices import use_device


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
