"""Refusals that belong to no one module: memory, permissions, GPUs, and files of another run.

docs/refusals.md lists all refusals, with the test of each.
"""

import errno
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.networks.activation_files import check_run
from latentgen.networks.activations import write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint
from latentgen.runtime.damage import check
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import atomic_path, read_h5, write_csv, write_h5
from latentgen.study.config import read_study
from latentgen.training.data import TrainingData
from trainings import train_here

PROJECT = Path(__file__).parents[2]
MLP = {"architecture": "MLP", "widths": [6]}
RUN, OTHER = "digits-mlp-symmetric0.40-seed1", "digits-mlp-symmetric0.40-seed2"


class TestOutOfMemory:
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError("no room"),
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nand much more"),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        ],
    )
    @pytest.mark.parametrize(
        ("accumulate", "parts"), [(1, "training.accumulate: 2 (the same step in less memory) or "), (32, "")]
    )
    def test_in_training_says_which_batch_size_to_try(self, accumulate, parts, error, monkeypatch):
        def use_up(*_, **__):
            raise error

        monkeypatch.setattr("latentgen.training.steps.cross_entropy", use_up)
        labels = torch.arange(40) % 4
        inputs = torch.rand(40, 1, 2, 2)
        data = TrainingData(inputs, labels, labels, torch.zeros(40, dtype=torch.bool), inputs, labels)
        with pytest.raises(LatentgenError) as refusal:
            train_here(
                make_network(MLP, (1, 2, 2), 4),
                data,
                optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
                batch_size=32,
                accumulate=accumulate,
                shuffle=True,
                max_epochs=2,
                stop=None,
                checkpoints=[0],
                seed=1,
            )
        said = str(refusal.value)
        assert said.startswith(
            f"Training in batches of 32 ran out of memory: try {parts}training.batch_size: 16, or "
        )
        assert str(error).split("\n")[0] in said
        assert "and much more" not in said

    def test_in_extraction_says_what_takes_less(self, tmp_path, monkeypatch):
        network = make_network(MLP, (1, 2, 2), 4)
        save_checkpoint(tmp_path, RUN, 0, network)

        def use_up(*_, **__):
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr("latentgen.networks.activations._storable", use_up)
        inputs = {"train": torch.rand(9, 1, 2, 2)}
        with (
            pytest.raises(
                LatentgenError, match=r"Passing \d+ examples at a time .* out of memory: run fewer jobs"
            ),
            write_h5(tmp_path / "shard.h5") as file,
        ):
            write_activations(file, network, checkpoint_paths(tmp_path), inputs, ["fc1"])
        assert not (tmp_path / "shard.h5").exists()

    def test_in_any_job_it_is_printed_without_a_trace(self, tmp_path):
        job = (
            "import sys; from latentgen.runtime.logs import job_log\n"
            "with job_log(sys.argv[1]): bytearray(1 << 62)"
        )
        done = subprocess.run(
            [sys.executable, "-c", job, tmp_path / "log"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "The job ran out of memory: run fewer jobs at a time" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Traceback" in (tmp_path / "log").read_text()


@contextmanager
def forbidden_folder():
    """Yield a folder that may not be written; root, who may write all, becomes somebody else meanwhile."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        folder.rmdir()


def fill_h5(path):
    with write_h5(path) as file:
        file["x"] = np.zeros(3)


@pytest.mark.parametrize("place", ["file", "new/folder/file"])
@pytest.mark.parametrize("write", [fill_h5, lambda path: write_csv(path, [{"a": 1}])], ids=["HDF5", "CSV"])
def test_a_folder_that_may_not_be_written_is_named_and_left_as_it_is(write, place):
    with forbidden_folder() as folder:
        with pytest.raises(LatentgenError, match=rf"{folder / place} may not be written .*Get permission"):
            write(folder / place)
        assert os.listdir(folder) == []


def test_a_forbidden_file_elsewhere_is_not_taken_for_it(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "Permission denied", "/somewhere/else")


class TestNoGpu:
    @pytest.fixture(autouse=True)
    def _none(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def test_where_one_was_asked_for_by_name_it_is_refused(self):
        with pytest.raises(
            LatentgenError, match=r"A GPU was requested \(gres: gpu:a100:1\), but torch .* none"
        ):
            use_device(1, {"gpu": 0, "gres": "gpu:a100:1"})

    def test_where_a_job_only_may_use_one_the_cpu_is_used(self):
        assert use_device(1, {"gpu": 1}) == torch.device("cpu")


class TestOfAnotherRun:
    @pytest.mark.parametrize(("run", "epoch"), [(OTHER, 2), (RUN, 3)])
    def test_a_checkpoint(self, run, epoch, tmp_path):
        network = make_network(MLP, (1, 2, 2), 4)
        save_checkpoint(tmp_path, run, epoch, network)
        (path,) = checkpoint_paths(tmp_path).values()
        paths = {2: path.rename(tmp_path / "epoch-0002.safetensors")}
        found = f"holds run {run} at epoch {epoch}, where run {RUN} at epoch 2 belongs. Delete it"
        with pytest.raises(DamagedFileError, match=found), write_h5(tmp_path / "shard.h5") as file:
            write_activations(file, network, paths, {"test": torch.rand(3, 1, 2, 2)}, ["fc1"], run=RUN)
        assert not (tmp_path / "shard.h5").exists()

    def test_activations(self, tmp_path):
        network = make_network(MLP, (1, 2, 2), 4)
        save_checkpoint(tmp_path, OTHER, 0, network)
        inputs = {"test": torch.rand(3, 1, 2, 2)}
        with write_h5(tmp_path / "shard.h5") as file:
            write_activations(file, network, checkpoint_paths(tmp_path), inputs, ["fc1"], run=OTHER)
        with read_h5(tmp_path / "shard.h5") as file:
            check_run(file, OTHER)
            with pytest.raises(DamagedFileError, match=f"activations of run {OTHER}, where those of {RUN}"):
                check_run(file, RUN)

    def test_a_table(self, tmp_path):
        for run in (RUN, OTHER):
            write_csv(tmp_path / run / "history.csv", [{"epoch": 0, "seed": run[-1]}])
        os.replace(tmp_path / OTHER / "history.csv", tmp_path / RUN / "history.csv")
        with pytest.raises(DamagedFileError, match=r"history\.csv does not hold what was written"):
            check(tmp_path / RUN / "history.csv")


@pytest.mark.parametrize(
    ("place", "key", "number", "said"),
    [
        ("model", "widths", [10**30], "widths[0]: must be at most 1e+09"),
        ("training", "max_epochs", 10**12, "max_epochs: must be at most 100000"),
        ("training", "max_epochs", 10**30, "max_epochs: must be at most 100000"),
        ("training", "batch_size", 10**400, "batch_size: must be at most 1e+09"),
    ],
)
def test_numbers_beyond_all_measure_are_refused_at_once(study, place, key, number, said):
    study["pairs"][0][place][key] = number
    with pytest.raises(LatentgenError, match=re.escape(said)):
        read_study(study)


def test_every_refusal_in_the_documentation_names_a_test_that_is_there():
    rows = re.findall(r"`(tests/\S+\.py)::(\w+)(?:::(\w+))?`", (PROJECT / "docs/refusals.md").read_text())
    assert len(rows) > 20
    for file, *names in rows:
        text = (PROJECT / file).read_text()
        for name in filter(None, names):
            assert re.search(rf"^ *(def|class) {name}\b", text, re.MULTILINE), f"{file}::{name}"
