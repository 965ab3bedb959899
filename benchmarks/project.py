"""Run and time Snakemake in a copy of the project."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
PARTS = ("Snakefile", "rules", "workflow", "config", "profiles", "envs", "resources")


class Ran(NamedTuple):
    """Time and output of a run of Snakemake."""

    seconds: float
    """Wall time."""
    cpu: float
    """Processor time of Snakemake and of all its jobs on this machine."""
    said: str


def copy_of_project(folder: Path) -> Path:
    """Copy the files that a study needs to a new folder, and return it."""
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder


def snakemake(tree: Path, *arguments: str) -> Ran:
    """Run Snakemake in a copy of the project; if it fails, exit with its output."""
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve() / "workflow/scripts")}
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=tree,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(done.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(seconds, cpu, done.stdout)
