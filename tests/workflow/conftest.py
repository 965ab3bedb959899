"""A copy of the project in which a tiny study is run for real, once for all tests here."""

import copy
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from latentgen.locks import locked

PROJECT = Path(__file__).parents[2]

TINY_STUDY = {
    "study": "tiny",
    "seeds": [1],
    "noise": [{"kind": "symmetric", "p": [0, 0.4]}],
    "pairs": [
        {
            "dataset": {"name": "digits", "train_items": 400, "test_items": 120},
            "model": {"architecture": "MLP", "widths": [24, 40]},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.02},
                "batch_size": 32,
                "max_epochs": 12,
                "stop": {"train_accuracy": 0.6},
                "checkpoints": [0, 2, 5, 9],
            },
        },
        {
            "dataset": {"name": "digits", "train_items": 300, "test_items": 100},
            "model": {"architecture": "CNN", "layers": ["flatten", "fc3"]},
            "training": {
                "optimizer": {"name": "Adam", "learning_rate": 0.001},
                "batch_size": 50,
                "max_epochs": 2,
                "shuffle": False,
                "stop": None,
                "checkpoints": [0],
            },
        },
    ],
    "activations": {"shard_gigabytes": 0.0003},
}


@dataclass(frozen=True)
class Workflow:
    """The project's files in a folder of their own, and how to run Snakemake there."""

    folder: Path

    def write_study(self, study: dict, name: str = "study.yaml") -> str:
        (self.folder / name).write_text(yaml.safe_dump(study))
        return name

    def snakemake(self, *arguments: str, study: str = "study.yaml", **environment: str):
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--configfile", study]
        return self.process(command, environment)

    def make(self, *arguments: str, **environment: str):
        """Run make, with the Python that runs the tests in place of a `.venv` of the copy's own."""
        command = ["make", "-o", ".venv/installed", f"BIN={Path(sys.executable).parent}", *arguments]
        return self.process(command, environment)

    def process(self, command: list[str], environment: dict[str, str] | None = None):
        """Run a command in the folder, with the library of the folder."""
        ours = {"PYTHONPATH": str(self.folder / "workflow/scripts"), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=900,
            env={**os.environ, **ours, **(environment or {})},
        )  # fmt: skip

    def run(self, *arguments: str, **options: str) -> str:
        """Run Snakemake, which must succeed; return what it said."""
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str, **options: str) -> dict[str, int]:
        """How many jobs of each rule a dry run lists."""
        said = self.run("--dry-run", *arguments, **options)
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total", said, re.MULTILINE | re.DOTALL)
        rows = re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE) if table else []
        return {rule: int(count) for rule, count in rows}


def copy_of_project(folder: Path) -> Workflow:
    parts = (
        "Snakefile",
        "Makefile",
        "examples",
        "rules",
        "workflow",
        "config",
        "profiles",
        "envs",
        "resources",
    )
    for name in parts:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return Workflow(folder)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """Run the tiny study, once for all processes that test; what changes files does it in `tiny_copy`."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "tiny"
    with locked(shared / "tiny.lock"):
        if not (shared / "tiny.done").exists():
            folder.mkdir()
            workflow = copy_of_project(folder)
            workflow.write_study(TINY_STUDY)
            workflow.run()
            (shared / "tiny.done").touch()
    return Workflow(folder)


@pytest.fixture(scope="session")
def diverged(tmp_path_factory: pytest.TempPathFactory):
    """Run a study whose loss becomes infinite; return it with what Snakemake said."""
    workflow = copy_of_project(tmp_path_factory.mktemp("diverged"))
    pair = copy.deepcopy(TINY_STUDY["pairs"][0])
    pair["training"]["optimizer"]["learning_rate"] = 1e30
    workflow.write_study(TINY_STUDY | {"noise": [{"kind": "symmetric", "p": [0.4]}], "pairs": [pair]})
    return workflow, workflow.snakemake()


@pytest.fixture
def tiny_copy(tiny: Workflow, tmp_path: Path) -> Workflow:
    """Copy the finished tiny study, times of files included, to change at will."""
    shutil.copytree(tiny.folder, tmp_path / "copy")
    return Workflow(tmp_path / "copy")


@pytest.fixture
def empty_copy(tmp_path: Path) -> Workflow:
    """Copy the project without any results."""
    return copy_of_project(tmp_path)
