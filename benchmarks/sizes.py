"""What jobs ask for and what they take: the peak memory of every sized step, on five sizes of data."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.project import copy_of_project, snakemake
from benchmarks.timing import Goal, Section
from latentgen.jobs.resources import job_size
from latentgen.jobs.steps import SIZED, STEPS, jobs_of
from latentgen.runtime.logs import read_log
from latentgen.study.config import read_study
from latentgen.study.layout import Layout
from latentgen.study.plan import Run

FACTOR = 1.5
"""What is asked for may be so many times what is taken, or that part of it."""

PAPERS = [128, 512, 2048, 2048]
SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "digits": ({"name": "digits"}, {"architecture": "MLP"}),
    "10,000 × 784": (
        {"name": "fashion_mnist", "train_items": 10_000, "test_items": 2_000},
        {"architecture": "MLP", "widths": PAPERS},
    ),
    "5,000 through convolutions": (
        {"name": "fashion_mnist", "train_items": 5_000, "test_items": 1_000},
        {"architecture": "CNN"},
    ),
    "20,000 of 200 classes": (
        {"name": "drawn", "kind": "vectors", "shape": [256], "classes": 200, "train": 20_000, "test": 5_000},
        {"architecture": "MLP", "widths": [1024]},
    ),
    "30,000 × 12,288, mapped": (
        {"name": "drawn", "shape": [3, 64, 64], "classes": 10, "train": 30_000, "test": 2_000},
        {"architecture": "MLP", "widths": [256]},
    ),
}
"""Data set and network of each size; what is ``drawn`` is noise."""


def run() -> list[Section]:
    """Run every sized step of a study of each size, and compare."""
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory(dir="results") as folder:
            rows += [(size, *row) for row in measured(copy_of_project(Path(folder)), *SIZES[size])]
    ratios = [asked / taken for _, _, asked, taken in rows]
    return [
        Section(
            "Memory that jobs ask for",
            "Every step whose jobs ask for what follows from the sizes of data and network, in a study of "
            "one epoch of each size: asked for against the peak in the job's log.",
            goals=[
                Goal("asked for against taken, most", max(ratios), FACTOR),
                Goal("asked for against taken, least", min(ratios), 1 / FACTOR, at_least=True),
            ],
            notes=[
                f"{size}, {step}: asks for {asked} MB, takes {taken} ({asked / taken:.2f})"
                for size, step, asked, taken in rows
            ],
        )
    ]


def measured(tree: Path, dataset: dict[str, Any], model: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return step, megabytes asked for and megabytes taken, of one job of each step."""
    study = _study(tree, dict(dataset), model)
    (tree / "study.yaml").write_text(json.dumps(study))
    runs = read_study(study).runs.values()
    jobs = {step: found for step in SIZED if (found := _a_job(step, runs))}
    targets = [
        STEPS[step].outputs(Layout("sizes"))[0].format(**wildcards) for step, (_, wildcards) in jobs.items()
    ]
    snakemake(tree, "--cores", "1", "--configfile", "study.yaml", "--notemp", *targets)
    taken = {}
    for step, (_, wildcards) in jobs.items():
        log = tree / f"results/sizes/logs/{step}/{'-'.join(wildcards.values())}.log"
        state = read_log(log)
        assert state is not None
        taken[step] = state.megabytes or 0
    return [(step, job_size(step, of).megabytes, taken[step]) for step, (of, _) in jobs.items()]


def _a_job(step: str, runs: Any) -> tuple[Run, dict[str, str]] | None:
    """Return the first run that has a step, with the wildcards of its last job."""
    return next(((run, jobs[-1]) for run in runs if (jobs := jobs_of(step, run))), None)


def _study(tree: Path, dataset: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    if dataset["name"] == "drawn":
        _draw(tree / "drawn", dataset)
        own = {name: dataset.pop(name) for name in list(dataset) if name != "name"}
        dataset["own"] = own | {"path": "drawn"}
    return {
        "study": "sizes",
        "seeds": [1],
        "noise": [{"kind": "symmetric", "p": [0.4]}],
        "pairs": [
            {
                "dataset": dataset | {"held_out": 0.1},
                "model": model,
                "training": {
                    "optimizer": {"name": "SGD", "learning_rate": 0.001},
                    "batch_size": 64,
                    "max_epochs": 1,
                    "stop": None,
                    "checkpoints": [0],
                    "threads": 1,
                },
                "interventions": [
                    {"edit": "velpic", "at_epoch": 0, "max_epochs": 1},
                    {"edit": "relabel"},
                    {"edit": "rewind"},
                ],
            }
        ],
        "transfer": {"heads": ["velpic", "ridge", "lda"]},
        "audit": True,
        "repair": True,
    }


def _draw(folder: Path, dataset: dict[str, Any]) -> None:
    folder.mkdir()
    rng, kind = np.random.default_rng(0), dataset.get("kind", "images")
    for split in ("train", "test"):
        n, shape = dataset[split], dataset["shape"]
        labels = np.arange(n) % dataset["classes"]
        if kind == "images":
            inputs = rng.integers(256, size=(n, *shape[1:], shape[0]), dtype=np.uint8)
        else:
            inputs = rng.normal(size=(n, *shape)).astype(np.float32)
            inputs += rng.permuted(np.eye(dataset["classes"], *shape), axis=0)[labels] * 10
        np.save(folder / f"{split}_{kind}.npy", inputs)
        np.save(folder / f"{split}_labels.npy", labels)
