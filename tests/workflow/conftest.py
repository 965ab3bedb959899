"""A copy of the project in which a tiny study is run for real, once for all tests here."""

import copy
import os
import shutil
from pathlib import Path

import pytest
from project_copy import Workflow, copy_of_project

from latentgen.runtime.locks import locked
from studies import TINY_STUDY


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
