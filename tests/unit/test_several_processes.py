"""Several processes train the network that one trains, to rounding, and resume from their common state."""

import copy
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from latentgen.data.datasets import Dataset, write_dataset
from latentgen.data.labels import write_labels
from latentgen.data.noise.registry import corrupt
from latentgen.errors import LatentgenError
from latentgen.jobs.resources import job_size
from latentgen.networks.architectures import make_network
from latentgen.networks.blocks import Renorm
from latentgen.networks.checkpoints import checkpoint_paths, load_weights
from latentgen.runtime.devices import use_devices
from latentgen.study.config import read_study
from latentgen.study.training_check import check_trainings
from latentgen.training.data import training_data
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.processes import ALONE, Processes, training_processes
from latentgen.training.resuming import Resume, Stopped
from latentgen.training.schedule import check_shares
from studies import SMALL_STUDY

CPU = torch.device("cpu")
SHAPE, N_TRAIN, N_TEST, N_CLASSES = (1, 8, 8), 103, 41, 4
MLP = {"architecture": "MLP", "widths": [24, 12]}
LIBRARY = str(Path(__file__).parents[2] / "workflow/scripts")
PLAN = TrainingPlan(
    optimizer={"name": "SGD", "learning_rate": 0.05, "momentum": 0.9},
    batch_size=16,
    shuffle=True,
    max_epochs=3,
    stop=None,
    checkpoints=(0, 2),
    seed=5,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write a data set of images, of which each class lights its own row, and its corrupted labels."""
    folder = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    labels = rng.integers(N_CLASSES, size=N_TRAIN + N_TEST)
    images = rng.integers(0, 60, (len(labels), *SHAPE), dtype=np.uint8)
    images[np.arange(len(labels)), 0, 2 * labels] += 150
    dataset = Dataset(
        "rows", images[:N_TRAIN], labels[:N_TRAIN], images[N_TRAIN:], labels[N_TRAIN:],
        np.arange(N_TRAIN), np.arange(N_TEST), tuple("abcd"), 255, "here", {},
    )  # fmt: skip
    noisy = corrupt(dataset.train_labels, N_CLASSES, "symmetric", 0.4, seed=1)
    write_dataset(folder / "data.h5", dataset)
    write_labels(folder / "labels.h5", noisy)
    return {
        "data": training_data(dataset, noisy, (-1, 1), CPU),
        "dataset": str(folder / "data.h5"),
        "labels": str(folder / "labels.h5"),
    }


def trained(files, resume, plan=PLAN, model=MLP, count=2):
    """Train with a number of processes; return the result and the weights by epoch."""
    job = {
        **{name: files[name] for name in ("dataset", "labels")},
        "model": model,
        "input_range": (-1, 1),
        "normalize": None,
        "threads": 1,
        "plan": asdict(plan),
    }
    torch.set_num_threads(1)
    network = make_network(model, SHAPE, N_CLASSES, seed=5)
    with training_processes([CPU] * count, job) as processes:
        result = train(network, files["data"], plan, resume, processes)
    saved = {epoch: load_weights(path) for epoch, path in checkpoint_paths(resume.checkpoints).items()}
    return result, saved


def curve(result):
    return [record.loss for record in result.history[1:]]


def counted(result):
    return [
        (record.online_correct, record.test_correct, record.train_corrupted_correct)
        for record in result.history
    ]


RECIPES = {
    "plain": {},
    "accumulated": {"accumulate": 4, "clip_gradients": 1.0},
    "mixed": {"augment": {"crop": 1, "flip": True, "cutout": 0, "mixup": 0.3}},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_have_the_loss_curve_of_one(files, tmp_path, recipe):
    plan = replace(PLAN, **RECIPES[recipe])
    one, expected = trained(files, Resume(tmp_path / "1", "a-run", {}), plan, count=1)
    two, found = trained(files, Resume(tmp_path / "2", "a-run", {}), plan)
    assert curve(two) == pytest.approx(curve(one), rel=1e-5)
    assert curve(two) != pytest.approx([curve(one)[0]] * 3, rel=1e-2)  # it learns
    assert counted(two) == counted(one)
    assert found.keys() == expected.keys() == {0, 2, 3}
    for epoch, weights in expected.items():
        for name, tensor in weights.items():
            np.testing.assert_allclose(found[epoch][name], tensor, rtol=1e-4, atol=1e-6)


NORMALIZED = """
import sys, torch
from pathlib import Path
from torch import nn
from latentgen.networks.blocks import BatchNorm
from latentgen.training.processes import Processes, meet

def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), BatchNorm(3), nn.ReLU(), nn.Flatten(),
        nn.Linear(12, 5), nn.BatchNorm1d(5, momentum=None),
    ).double()

def step(net, rows, of_all):
    torch.manual_seed(1)
    x, target = torch.randn(7, 2, 4, 4).double(), torch.randn(7, 5).double()
    loss = (net(x[rows]) - target[rows]).square().sum() / of_all
    return [loss.detach(), *torch.autograd.grad(loss, list(net.parameters()))]

position, meeting = int(sys.argv[1]), Path(sys.argv[2])
alone, together, processes = network(), network(), Processes(position, 2)
meet(torch.device("cpu"), position, 2, meeting)
processes.normalize_together(together)
for _ in range(2):
    expected = step(alone, slice(0, 7), 7)
    found = processes.add(step(together, processes.share(slice(0, 7)), 7))
for one, other in zip([*expected, *alone.state_dict().values()], [*found, *together.state_dict().values()]):
    torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)
together.eval(), alone.eval()
x = torch.ones(2, 2, 4, 4).double()
torch.testing.assert_close(together(x), alone(x))
print("equal")
"""


def test_batch_normalization_uses_the_examples_of_all_processes(tmp_path):
    """Loss, gradients and running statistics of two steps are those of one process; shares are 3 and 4."""
    command = [sys.executable, "-c", NORMALIZED]
    environment = os.environ | {"PYTHONPATH": LIBRARY}
    both = [
        subprocess.Popen([*command, str(position), str(tmp_path / "meeting")], env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for position in range(2)
    ]  # fmt: skip
    for one in both:
        said, _ = one.communicate(timeout=300)
        assert said.endswith("equal\n"), said


def test_an_interrupted_training_resumes_bit_by_bit(files, tmp_path, monkeypatch):
    undisturbed, expected = trained(files, Resume(tmp_path / "1", "a-run", {}))
    resume = Resume(tmp_path / "2", "a-run", {})
    steps = []

    def wanted():
        steps.append(1)
        if len(steps) == 12:  # in the second epoch
            resume.note(signal.SIGTERM)
        return Resume.wanted(resume)

    monkeypatch.setattr(resume, "wanted", wanted)
    with pytest.raises(Stopped):
        trained(files, resume)
    result, found = trained(files, Resume(tmp_path / "2", "a-run", {}))
    assert result.times_resumed == 1
    assert curve(result) == curve(undisturbed)
    for epoch, weights in expected.items():
        for name, tensor in weights.items():
            np.testing.assert_array_equal(found[epoch][name], tensor)


def test_the_first_process_notices_that_another_one_failed(files, tmp_path):
    broken = {**files, "labels": str(tmp_path / "none.h5")}
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[2]); import torch;"
        "from latentgen.training import processes; processes.GRACE_SECONDS = 0.1;"
        "cpu = torch.device('cpu');\n"
        "with processes.training_processes([cpu, cpu], json.loads(sys.argv[1])): pass"
    )
    job = {"dataset": broken["dataset"], "labels": broken["labels"], "threads": 1}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(job), LIBRARY], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "another process of this training failed" in done.stderr
    assert "none.h5 does not exist" in done.stderr


def test_shares_are_all_of_a_part_in_order():
    for of in (1, 2, 3, 5):
        shares = [Processes(position, of).share(slice(7, 20)) for position in range(of)]
        assert [i for share in shares for i in range(share.start, share.stop)] == list(range(7, 20))
    assert ALONE.share(slice(3, 5)) == slice(3, 5)


def test_batches_that_cannot_be_divided_are_refused():
    check_shares(103, 16, 2)
    check_shares(3, 16, 3)
    with pytest.raises(LatentgenError, match="some batch has 1: they cannot be divided among 2 GPUs"):
        check_shares(97, 16, 2)
    with pytest.raises(LatentgenError, match="some batch has 2: they cannot be divided among 4 GPUs"):
        check_shares(100, 2, 4)


def study_with(**training):
    study = copy.deepcopy(SMALL_STUDY)
    study["pairs"][0]["training"] |= training
    return read_study(study)


def test_a_study_is_checked_before_it_starts():
    check_trainings(study_with(gpus=2))
    with pytest.raises(
        LatentgenError, match="digits-mlp: With 1437 training examples in batches of 32, some"
    ):
        check_trainings(study_with(gpus=32))
    with pytest.raises(LatentgenError, match="several GPUs cannot train a compiled network"):
        study_with(gpus=2, compile=True)


def test_only_several_gpus_are_part_of_a_run():
    one, two = (next(iter(study_with(**given).runs.values())) for given in ({"gpus": 1}, {"gpus": 2}))
    assert "gpus" not in one.training
    assert two.training["gpus"] == 2
    sizes = [job_size("train", run) for run in (one, two)]
    assert [size.gpus for size in sizes] == [1, 2]
    assert sizes[1].megabytes > 1.8 * sizes[0].megabytes
    assert job_size("fit_probes", two).gpus == 1


def test_a_network_that_renormalizes_is_refused():
    with pytest.raises(LatentgenError, match="renormalizes over a batch"):
        Processes(0, 2).normalize_together(torch.nn.Sequential(Renorm()))


def test_fewer_gpus_than_asked_for_are_refused(monkeypatch):
    with pytest.raises(LatentgenError, match=r"training\.gpus: 2, but the job was given 1"):
        use_devices(2, 1, {"gpu": 1})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(LatentgenError, match=r"training\.gpus: 2, but torch sees 0 on "):
        use_devices(2, 1, {"gpu": 2})
    assert use_devices(1, 1, {"gpu": 0}) == [CPU]
