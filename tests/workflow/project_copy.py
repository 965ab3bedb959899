"""A copy of the project, in which Snakemake and make are run."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


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
