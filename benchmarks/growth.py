"""Growth of costs: probing with examples, width, classes and checkpoints, planning with runs."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from benchmarks.inputs import fashion, fit
from benchmarks.memory import extract, probe
from benchmarks.project import PROJECT, copy_of_project, snakemake
from benchmarks.timing import Growth, Section
from latentgen.probes.subspace_probes import predict_together

USUAL = {"examples": 20_000, "width": 1_024, "classes": 10}
LAYER_SIZES = {
    "examples": (5_000, 10_000, 20_000, 40_000),
    "width": (256, 512, 1_024, 2_048),
    "classes": (10, 25, 50, 100),
}
"""Sizes, each varied alone. Classes are parts of true ones."""

CHECKPOINTS = (1, 2, 4)
SHARD_ITEMS = 2_500
SEEDS = (1, 8, 64)


def run() -> list[Section]:
    """Measure, and fit the exponents."""
    found = [
        *(_measured(varied, sizes, ("fit", "predict"), _layer) for varied, sizes in LAYER_SIZES.items()),
        _measured("checkpoints", CHECKPOINTS, ("extract", "probe"), _shard),
        [_planning()],
    ]
    usual = ", ".join(f"{size:,} {name}" for name, size in USUAL.items())
    return [
        Section(
            "Growth",
            f"Fit and predict: MASC(0.99) and VeLPIC on a layer; unless stated otherwise, {usual}. "
            f"Extract and probe: shards of the MLP, {SHARD_ITEMS:,} + 10,000 examples. Plan: the dry run of "
            "`config/digits.yaml` with more seeds. Each size is timed once, after a warm-up with the "
            "smallest layer or shard.",
            growth=[growth for group in found for growth in group],
        )
    ]


def _measured(
    varied: str, sizes: Sequence[int], steps: Sequence[str], measure: Callable[..., tuple[float, float]]
) -> list[Growth]:
    measure(**{varied: sizes[0]})
    seconds = np.array([measure(**{varied: size}) for size in sizes])
    return [
        Growth(varied, step, tuple(sizes), tuple(map(float, column)))
        for step, column in zip(steps, seconds.T, strict=True)
    ]


def _layer(**varied: int) -> tuple[float, float]:
    """Seconds to fit, and to predict as many examples, on random rectified features of images."""
    count, width, classes = (USUAL | varied).values()
    dataset = fashion()
    order = np.argsort(dataset.train_labels[:count], kind="stable")  # parts of true classes
    images = torch.from_numpy(dataset.train_inputs[order].reshape(count, -1)).to(torch.float32) / 255
    generator = torch.Generator().manual_seed(1)
    X = ((images - images.mean()) @ (torch.randn((784, width), generator=generator) / 28)).relu_()
    labels = torch.arange(count) * classes // count
    start = time.perf_counter()
    probes = fit(X, labels, classes)
    fitted = time.perf_counter()
    predict_together(probes, X)
    return fitted - start, time.perf_counter() - fitted


def _shard(checkpoints: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "shard.h5"
        start = time.perf_counter()
        extract(shard, checkpoints, SHARD_ITEMS)
        extracted = time.perf_counter()
        probe(shard, checkpoints, SHARD_ITEMS)
        return extracted - start, time.perf_counter() - extracted


def _planning() -> Growth:
    study = yaml.safe_load((PROJECT / "config/digits.yaml").read_text())
    (noise,) = study["noise"]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_project(Path(folder))
        for seeds in SEEDS:
            (tree / "study.yaml").write_text(yaml.safe_dump(study | {"seeds": list(range(seeds))}))
            seconds.append(snakemake(tree, "-n", "--quiet", "all", "--configfile", "study.yaml").seconds)
    return Growth("runs", "plan", tuple(seeds * len(noise["p"]) for seeds in SEEDS), tuple(seconds))
