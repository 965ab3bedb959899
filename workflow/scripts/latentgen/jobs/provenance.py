"""Provenance of a study: software, commit, machine and data, and the time and memory of its steps."""

import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from latentgen.runtime.files import read_h5
from latentgen.runtime.logs import read_log

logger = logging.getLogger(__name__)

PACKAGES = (
    "h5py", "hdf5plugin", "matplotlib", "numpy", "pandas", "pillow", "pyarrow", "pydantic", "safetensors",
    "scikit-learn", "scipy", "seaborn", "snakemake", "torch", "torchvision",
)  # fmt: skip
"""Packages whose versions can affect results."""


def provenance(
    datasets: Iterable[str | Path],
    trainings: Sequence[str | Path],
    logs: str | Path,
    steps: Iterable[str],
    kept: Mapping[str, Path],
) -> dict[str, Any]:
    """Return the provenance of a study, as plain values.

    Parameters
    ----------
    datasets : paths
        ``results/datasets/{dataset}.h5``
    trainings : paths
        ``runs/{run}/training.json``
    logs : str or Path
        Folder of the jobs' logs, which record each job's time and memory.
    steps : iterable of str
        The steps to include.
    kept : mapping
        The study's kept folders or files, by kind; their size is reported.
    """
    return {
        "latentgen": _version("latentgen") or "not installed: used from its folder",
        "commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "machine": machine(),
        "devices": _devices(trainings),
        "training_threads": _threads(trainings),
        "datasets": {Path(path).stem: _origin(path) for path in sorted(map(str, datasets))},
        "steps": step_costs(logs, steps),
        "kept_bytes": {what: bytes_of(path) for what, path in kept.items()},
    }


def git_commit() -> str | None:
    """Return the commit of the code, with ``+changes`` if files differ from it; None outside git."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        # The package may be in another project's repository without belonging to it: not our commit then.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, Any]:
    """Return system, processor, usable cores and memory of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gigabytes": round(memory / 1e9, 1),
    }


def step_costs(logs: str | Path, steps: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the finished jobs, their total seconds and largest memory, for each step that has a log."""
    costs = {}
    for step in steps:
        states = [state for path in sorted(Path(logs, step).glob("*.log")) if (state := read_log(path))]
        done = [state for state in states if state.seconds is not None]
        if done:
            costs[step] = {
                "jobs": len(done),
                "seconds": round(sum(state.seconds or 0 for state in done), 1),
                "peak_megabytes": max(state.megabytes or 0 for state in done),
            }
    return costs


def bytes_of(path: str | Path) -> int:
    """Return the size of a file, or of all files in a folder; files that vanish meanwhile are ignored."""
    path = Path(path)
    total = 0
    for file in path.rglob("*") if path.is_dir() else [path]:
        try:
            total += file.lstat().st_size if not file.is_dir() else 0
        except FileNotFoundError:
            continue
    return total


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _devices(trainings: Iterable[str | Path]) -> list[str]:
    """Return the devices that runs were trained on; warn if there are several."""
    devices = sorted(
        {f"{_kind(training['device'])}, torch {training['torch_version']}" for training in _read(trainings)}
    )
    if len(devices) > 1:
        logger.warning(
            "runs were trained on different devices or torch versions (%s), so the last digits of their "
            "weights may differ. To train all on one, delete the folders of the other runs and run again.",
            "; ".join(devices),
        )
    return devices


def _threads(trainings: Iterable[str | Path]) -> list[int]:
    """Return the numbers of threads that runs were trained with, as set by the study."""
    return sorted({int(training["threads"]) for training in _read(trainings)})


def _read(trainings: Iterable[str | Path]) -> list[dict[str, Any]]:
    return [json.loads(Path(path).read_text(encoding="utf-8")) for path in trainings]


def _kind(device: str) -> str:
    """Return ``cuda`` for ``cuda:1``: the number of the GPU does not matter."""
    return device.partition(":")[0]


def _origin(path: str | Path) -> dict[str, Any]:
    with read_h5(path) as file:
        return {
            "source": str(file.attrs["source"]),
            "checksums": json.loads(file.attrs["checksums"]),
            "classes": len(json.loads(file.attrs["class_names"])),
            "training_items": len(file["train_labels"]),
            "test_items": len(file["test_labels"]),
        }
