"""How the cost of probing grows with items, width and classes: random rectified features of real images."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.inputs import fashion
from benchmarks.probing import fit
from benchmarks.timing import Section
from latentgen.probes import predict_together

USUAL = {"items": 20_000, "width": 1_024, "classes": 10}
VARIED = {
    "items": (5_000, 10_000, 20_000, 40_000),
    "width": (256, 512, 1_024, 2_048),
    "classes": (10, 25, 50, 100),
}
"""Each is varied alone. Classes are parts of true ones."""


@dataclass(frozen=True)
class Point:
    """One measurement."""

    varied: str
    size: int
    fit: float
    """Seconds."""
    predict: float
    """Seconds, for as many items as were fitted."""


def run() -> list[Section]:
    """Measure, and fit the exponents."""
    found = points()
    notes = []
    for varied in VARIED:
        of_it = [point for point in found if point.varied == varied]
        sizes = np.log([point.size for point in of_it])
        slopes = {
            step: np.polyfit(sizes, np.log([getattr(point, step) for point in of_it]), 1)[0]
            for step in ("fit", "predict")
        }
        measured = ", ".join(f"{point.size:,}: {point.fit:.2f} + {point.predict:.2f} s" for point in of_it)
        notes.append(
            f"{varied}: fit grows with the power {slopes['fit']:.2f}, predict with {slopes['predict']:.2f} "
            f"(fit + predict: {measured})"
        )
    usual = ", ".join(f"{size:,} {name}" for name, size in USUAL.items())
    return [Section("Growth", f"MASC(0.99) and VeLPIC; where nothing else is said, {usual}.", notes=notes)]


def points() -> list[Point]:
    """Take the least of two runs for every size."""
    return [
        Point(varied, size, *np.min([_seconds(**{**USUAL, varied: size}) for _ in range(2)], axis=0))
        for varied, sizes in VARIED.items()
        for size in sizes
    ]


def _seconds(items: int, width: int, classes: int) -> tuple[float, float]:
    dataset = fashion()
    order = np.argsort(dataset.train_labels[:items], kind="stable")  # parts of true classes
    images = torch.from_numpy(dataset.train_images[order].reshape(items, -1)).to(torch.float32) / 255
    generator = torch.Generator().manual_seed(1)
    X = ((images - images.mean()) @ (torch.randn((784, width), generator=generator) / 28)).relu_()
    labels = torch.arange(items) * classes // items
    start = time.perf_counter()
    probes = fit(X, labels, classes)
    fitted = time.perf_counter()
    predict_together(probes, X)
    return fitted - start, time.perf_counter() - fitted
