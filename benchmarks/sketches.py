"""Sketches instead of stored activations, and their accuracy.

If the training activations of a checkpoint no longer fit on the disk (docs/scaling.md), a class can be kept
as a sketch: its ℓ leading directions, scaled by their singular values, updated as examples pass. After ℓ
more rows, both are decomposed together and the ℓ leading directions kept (incremental singular value
decomposition: Brand, Linear Algebra Appl. 415, 2006). The rest is lost, so eigenvalues are too small; their
sum, ‖Z‖²_F, is exact.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.inputs import Probed, fit, probed
from benchmarks.timing import Section, Timing
from latentgen.probes.class_subspace import ClassSubspace
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC, predict_together

LAYER = "fc4"
"""2,048 units."""
ROWS = (64, 128)
BLOCK = 1_000
"""Examples per block, of all classes."""


class Sketch:
    """Leading directions of the examples of one class, updated block by block.

    Parameters
    ----------
    rows, width : int
        ℓ, and the number of units.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.rows, self.filled = rows, 0
        self.kept = torch.zeros((2 * rows, width))
        self.energy = 0.0

    def add(self, items: Tensor) -> None:
        """Add examples (n × d)."""
        self.energy += float(torch.linalg.vector_norm(items).to(torch.float64).square())
        while len(items):
            taken = items[: len(self.kept) - self.filled]
            self.kept[self.filled : self.filled + len(taken)] = taken
            self.filled += len(taken)
            items = items[len(taken) :]
            if self.filled == len(self.kept):
                values, directions = self._decomposed()
                self.kept[: self.rows] = (values.sqrt()[:, None] * directions)[: self.rows].to(self.kept)
                self.filled = self.rows

    def subspace(self, variance: float) -> ClassSubspace:
        """Return the principal subspace from the sketch, of at most ℓ directions."""
        values, directions = self._decomposed()
        values = values[: self.rows]
        k = min(int((values.cumsum(0) <= variance * self.energy).sum()) + 1, self.rows)
        return ClassSubspace(directions[:k].T.contiguous(), values[:k], self.energy, self.filled, "gram")

    def _decomposed(self) -> tuple[Tensor, Tensor]:
        """Squared singular values of the rows, decreasing, and their right singular vectors as rows."""
        rows = self.kept[: self.filled].to(torch.float64)
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        values, vectors = values.flip(0).clamp_min(0.0), vectors.flip(1)
        return values, (vectors.T @ rows) / values.sqrt().clamp_min(1e-12 * float(values[0].sqrt()))[:, None]


def run() -> list[Section]:
    """Sketch a layer of a network in training, and of one that has memorized."""
    return [
        _compare(probed(epochs=2), "after 2 epochs", ROWS),
        _compare(probed(epochs=30, train_items=20_000, fast=True), "memorized", (*ROWS, 320)),
    ]


def _compare(given: Probed, when: str, tried: Sequence[int]) -> Section:
    X, test = given.train[LAYER], given.test[LAYER]
    labels = torch.from_numpy(given.labels.corrupted)
    start = time.perf_counter()
    exact = fit(X, labels)
    timings = [Timing("exact, all examples in memory", (time.perf_counter() - start,))]
    expected = predict_together(exact, test)
    k = exact[0].n_components_
    notes = [f"exact: {k.min()} to {k.max()} directions per class"]
    for rows in tried:
        start = time.perf_counter()
        probes = _sketched(X, labels, rows)
        timings.append(Timing(f"{rows} rows per class", (time.perf_counter() - start,)))
        found = predict_together(probes, test)
        masc, velpic = (100 * float((a != b).double().mean()) for a, b in zip(found, expected, strict=True))
        notes.append(
            f"{rows} rows: MASC's predictions differ for {masc:.2f} % of the test examples, VeLPIC's for "
            f"{velpic:.2f} %"
        )
    size = ", ".join(f"{4 * 2 * rows * 2048 * 1000 / 1e9:.1f} GB with {rows}" for rows in tried)
    notes.append(f"1,000 classes of 2,048 units take {size} rows, for any number of examples")
    return Section(
        f"Sketches instead of stored activations, {when}",
        f"Incremental decomposition of {LAYER} (2,048 units, {len(labels):,} examples, {BLOCK:,} at a time), "
        f"then MASC(0.99) and VeLPIC from the sketches, on {len(test):,} test examples. Fit, timed once.",
        timings,
        notes=notes,
    )


def _sketched(X: Tensor, labels: Tensor, rows: int) -> list[SubspaceProbe]:
    """Fit both probes from sketches of the classes."""
    n_classes = int(labels.max()) + 1
    sketches = [Sketch(rows, X.shape[1]) for _ in range(n_classes)]
    sums = X.new_zeros((n_classes, X.shape[1]), dtype=torch.float64)
    counts = labels.bincount(minlength=n_classes)
    for items, of_items in zip(X.split(BLOCK), labels.split(BLOCK), strict=True):
        sums.index_add_(0, of_items, items.to(torch.float64))
        for label, sketch in enumerate(sketches):
            sketch.add(items[of_items == label])
    probes: list[SubspaceProbe] = [MASC(variance=0.99), VeLPIC()]
    shared = [sketch.subspace(0.99) for sketch in sketches]
    for probe in probes:
        probe._learn_classes(np.arange(n_classes), X)
        probe._learn(shared, sums / counts[:, None], counts)
    return probes
