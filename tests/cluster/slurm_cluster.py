"""Folders in which studies are computed on a SLURM cluster, and what the cluster says of their jobs."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from project_copy import copy_of_project

SECONDS_TO_WAIT = float(os.environ.get("LATENTGEN_TEST_PATIENCE", "600"))
"""For anything that is waited for; to be raised on a machine that is busy with something else."""


def run(*command, check=True, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for(what: str, found, every: float = 0.3):
    """Ask again and again until something is found; return it."""
    end = time.monotonic() + SECONDS_TO_WAIT
    while not (it := found()):
        assert time.monotonic() < end, f"no {what} after {SECONDS_TO_WAIT} s: {run('squeue', check=False)}"
        time.sleep(every)
    return it


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

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start the study on the cluster with the shipped profile; what it says goes to a file."""
        return self.begin("--workflow-profile", "profiles/slurm", *arguments)

    def start_here(self) -> subprocess.Popen:
        """Start the study without SLURM."""
        return self.begin("--cores", "2")

    def begin(self, *arguments: str) -> subprocess.Popen:
        ours = {"PYTHONPATH": str(self.folder / "workflow/scripts"), "PYTHONDONTWRITEBYTECODE": "1"}
        with (self.folder / "said.txt").open("a") as file:
            return subprocess.Popen(
                self.command(*arguments), cwd=self.folder, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, **ours},
            )  # fmt: skip

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def submissions(self) -> list[str]:
        return list(dict.fromkeys(re.findall(r"SLURM jobid (\d+)", self.said())))

    def states(self) -> dict[str, tuple[str, int, str]]:
        """State, seconds and what was given of each submission, in order."""
        listed = run(
            "sacct", "-XnPD", "-o", "jobid,state,elapsedraw,alloctres", "-j", ",".join(self.submissions())
        )
        rows = (line.split("|") for line in listed.splitlines())
        return {
            f"{place} {job}": (state, int(seconds), given)
            for place, (job, state, seconds, given) in enumerate(rows)
        }

    def nodes(self, rule: str) -> list[str]:
        """Return the node of each submission of a rule."""
        jobs = re.findall(rf"SLURM jobid (\d+) \(log: \S*/rule_{rule}/", self.said())
        return run("sacct", "-XnP", "-o", "nodelist", "-j", ",".join(jobs)).split()

    def finish(self, process: subprocess.Popen) -> None:
        """Wait for a study to succeed."""
        try:
            process.wait(2 * SECONDS_TO_WAIT)
        finally:
            process.kill()
            for job in self.submissions():
                run("scancel", job, check=False)
        assert process.returncode == 0, self.said() + run("squeue", "-t", "all", check=False)

    def running(self, rule: str) -> str | None:
        """Return the number of the running submission of a rule or group of this study, if there is one."""
        for line in run("squeue", "-h", "-t", "running", "-o", "%i %k", check=False).splitlines():
            number, comment = line.split(" ", 1)
            if rule in comment and number in self.submissions():
                return number
        return None

    def saved_state(self) -> Path | None:
        """Return the file with the state of a training under way, if there is one."""
        return next(self.folder.glob("results/*/runs/*/.resume/state.safetensors"), None)

    def script(self, rule: str) -> int | None:
        """Return the process of a rule's script, if it runs: it works in the folder, and is no Snakemake."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                inside = (path / "cwd").resolve() == self.folder
                words = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if inside and len(words) > 1 and words[1].endswith(f".{rule}.py".encode()):
                return int(path.name)
        return None

    def tables(self) -> dict[str, object]:
        """All counts, losses and statistics; the times of epochs left out."""
        folder = next(self.folder.glob("results/*/tables"))
        history = pd.read_parquet(folder / "history.parquet").drop(columns="seconds")
        same = ("accuracy.parquet", "summary.csv", "comparisons.csv")
        return {"history": history.to_csv()} | {name: (folder / name).read_bytes() for name in same}

    def times_resumed(self) -> list[int]:
        found = sorted(self.folder.glob("results/*/runs/*/training.json"))
        return [int(re.search(r'"times_resumed": (\d+)', path.read_text())[1]) for path in found]


def make_folder(folder: Path, study: dict) -> Folder:
    folder.mkdir(parents=True)
    copy_of_project(folder).write_study(study)
    resume = folder / "workflow/scripts/latentgen/training/resuming.py"
    text, changed = re.subn(r"SECONDS_BETWEEN = 60\.0", "SECONDS_BETWEEN = 2.0", resume.read_text())
    assert changed == 1, "state is saved every two seconds here, so that there is some after a kill"
    resume.write_text(text)
    return Folder(folder)
