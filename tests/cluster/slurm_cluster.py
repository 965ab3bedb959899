"""A real SLURM cluster, and folders in which studies are computed on it."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

PROJECT = Path(__file__).parents[2]
SLURM_UP = Path(os.environ.get("LATENTGEN_SLURM_UP", "not given"))
"""A script that brings up a SLURM cluster that the tests may break; beside it lies `slurm-down`."""


def run(*command, check=True, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Cluster:
    """How to break parts of the cluster and mend them; `up` is None where it is not ours to break."""

    up: Path | None

    def mend(self) -> None:
        run(self.up)

    def break_(self, *what: str) -> None:
        run(self.up.with_name("slurm-down"), *what)

    def job_of(self, comment: str, state: str = "RUNNING") -> str:
        """Wait for a job whose comment holds some text to be in a state; return its number."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for line in run("squeue", "-h", "-o", "%i %T %k", check=False).splitlines():
                number, found, said = line.split(" ", 2)
                if comment in said and found == state:
                    return number
            time.sleep(0.5)
        raise AssertionError(f"no {state} job of {comment}: {run('squeue', '-o', '%i %T %k %r')}")


def answers() -> bool:
    """Whether there is a cluster; asked several times, for a busy one may not answer at once."""
    return bool(shutil.which("sinfo")) and any(
        not subprocess.run(["sinfo"], capture_output=True).returncode for _ in range(3)
    )


@dataclass(frozen=True)
class Folder:
    """A copy of the project with a study, and how to compute it."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "tables", "--configfile", "study.yaml", *arguments]

    def start(self, *arguments: str, said: str = "said.txt") -> subprocess.Popen:
        """Start the study on the cluster with the shipped profile; what it says goes to a file."""
        with (self.folder / said).open("a") as file:
            return subprocess.Popen(
                self.command("--workflow-profile", "profiles/slurm", *arguments),
                cwd=self.folder, stdout=file, stderr=subprocess.STDOUT, env=environment(self.folder),
            )  # fmt: skip

    def finish(self, process: subprocess.Popen, seconds: float = 540) -> str:
        """Wait for a study to succeed; return what it said."""
        try:
            process.wait(seconds)
        finally:
            process.kill()
            said = (self.folder / "said.txt").read_text()
            for job in re.findall(r"SLURM jobid (\d+)", said):
                run("scancel", job, check=False)
        assert process.returncode == 0, said + run("sacct", "-X", "-o", "jobid,state,exitcode,comment%60")
        return said

    def tables(self):
        """All counts, losses and statistics; the times of epochs left out."""
        folder = next(self.folder.glob("results/*/tables"))
        history = pd.read_parquet(folder / "history.parquet").drop(columns="seconds")
        same = ("accuracy.parquet", "summary.csv", "comparisons.csv")
        return {"history": history.to_csv()} | {name: (folder / name).read_bytes() for name in same}

    def log(self, rule: str) -> str:
        return "".join(path.read_text() for path in self.folder.glob(f"results/*/logs/{rule}/*.log"))


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder / "workflow/scripts"), "PYTHONDONTWRITEBYTECODE": "1"}


def make_folder(folder: Path, study: dict) -> Folder:
    for name in ("Snakefile", "rules", "workflow", "config", "profiles", "envs", "resources"):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    resume = folder / "workflow/scripts/latentgen/resume.py"
    text, changed = re.subn(r"SECONDS_BETWEEN = 60\.0", "SECONDS_BETWEEN = 2.0", resume.read_text())
    assert changed == 1, "state is saved every two seconds here, so that there is some after a kill"
    resume.write_text(text)
    return Folder(folder)


def computed_here(folder: Folder) -> Folder:
    """Compute a study without SLURM, undisturbed."""
    run(*folder.command("--cores", "2"), cwd=folder.folder, env=environment(folder.folder))
    return folder
