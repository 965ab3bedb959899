"""What probes cost: the formulas count what is done, and measuring changes no result."""

import math
from functools import partial

import h5py
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from latentgen import linalg as products
from latentgen.probes.costs import cost_of
from latentgen.probes.discriminant import LDA, QDA
from latentgen.probes.fits import Fits
from latentgen.probes.fitting import probe_activations
from latentgen.probes.logistic import LogisticRegression
from latentgen.probes.nearest import KNN, NearestMean
from latentgen.probes.subspace_probes import MASC, VeLPIC

ATEN = torch.ops.aten
N_CLASSES = 4


def qr_flops(m, n):
    return 4 * m * n**2 - 4 * n**3 / 3


COUNTED = {
    ATEN.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1],
    torch.ops.mkldnn._linear_pointwise: lambda a, b, *_, **__: 2 * a[0] * a[1] * b[0],
    ATEN.mv: lambda a, _, **__: 2 * math.prod(a),
    ATEN.index_add_: lambda _, __, ___, source, **____: math.prod(source),
    ATEN._linalg_eigh: lambda a, *_, **__: 9 * a[0] ** 3,
    ATEN.linalg_qr: lambda a, *_, **__: qr_flops(*a),
    ATEN.linalg_cholesky_ex: lambda a, *_, **__: a[0] ** 3 / 3,
    ATEN.linalg_solve_triangular: lambda a, b, *_, **__: a[0] ** 2 * b[1],
    ATEN._linalg_svd: lambda a, *_, **__: 6 * max(a) * min(a) ** 2 + 20 * min(a) ** 3,
}
"""Operations that torch's own counter leaves out."""


@pytest.fixture(autouse=True)
def all_by_torch(monkeypatch):
    """Let torch do all in this thread, where the counter sees it."""
    monkeypatch.setattr(products, "_by_numpy", lambda matrix: False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def counted(step, also=None):
    with FlopCounterMode(display=False, custom_mapping=COUNTED | (also or {})) as counter:
        step()
    return counter.get_total_flops()


def data(n, d, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % N_CLASSES
    centres = 3 * torch.rand(N_CLASSES, d, generator=generator, dtype=dtype)
    return centres[y] + torch.rand(n, d, generator=generator, dtype=dtype), y.numpy()


PROBES = {
    "MASC, moment": (MASC, 200, 30),
    "MASC, gram": (partial(MASC, variance=0.999), 40, 60),
    "MASC, one component": (partial(MASC, components=1), 200, 30),
    "VeLPIC": (VeLPIC, 200, 30),
    "nearest mean": (NearestMean, 200, 30),
    "KNN": (KNN, 200, 30),
    "LDA": (LDA, 400, 30),
    "QDA": (QDA, 200, 12),
    "logistic, lbfgs": (LogisticRegression, 200, 12),
    "logistic, adam": (partial(LogisticRegression, "adam"), 200, 12),
}


@pytest.mark.parametrize("name", PROBES)
def test_operations_are_those_that_a_counter_sees(name):
    make, n, d = PROBES[name]
    X, y = data(n, d)
    probe, m = make(), 17
    also = {}
    if name == "KNN":
        also[ATEN.linalg_vector_norm] = lambda a, *_, **__: 3 * math.prod(a)
    if isinstance(probe, MASC | VeLPIC):  # of a product with its own transpose, BLAS forms one half
        also[ATEN.mm] = lambda a, b, *_, **__: (1 if a == b[::-1] else 2) * a[0] * a[1] * b[1]
    fit = counted(lambda: probe.fit(X, y, N_CLASSES), also)
    predict = counted(lambda: probe.predict(X[:m]), also)
    work = probe.work(np.bincount(y, minlength=N_CLASSES).tolist(), m, X.element_size())
    assert work.fit_flops == pytest.approx(fit, rel=1e-9)
    assert work.predict_flops == predict
    assert fit + predict > 0


def test_operations_of_the_krylov_way_are_those_that_a_counter_sees():
    X, y = data(4 * 800, 780, dtype=torch.float32)
    probe = MASC(variance=0.9)
    fit = counted(lambda: probe.fit(X, y, N_CLASSES))
    assert {subspace.route for subspace in probe.subspaces_} == {"krylov"}
    assert probe.work([800] * 4, 1, 4).fit_flops == pytest.approx(fit, rel=1e-9)


@pytest.mark.parametrize("name", PROBES)
def test_what_was_learned_is_as_large_as_its_tensors(name):
    make, n, d = PROBES[name]
    X, y = data(n, d)
    probe = make().fit(X, y, N_CLASSES)
    match probe:
        case MASC():
            held = [subspace.basis for subspace in probe.subspaces_]
        case VeLPIC():
            held = [*(subspace.basis for subspace in probe.subspaces_), probe._signs]
        case KNN():
            held = [probe._items, probe._labels]
        case QDA():
            held = [probe._means, *probe._axes, torch.tensor(probe._offsets, dtype=torch.float64)]
        case NearestMean():
            held = [probe.means_]
        case _:
            held = [probe.coef_, probe.intercept_]
    work = probe.work(np.bincount(y, minlength=N_CLASSES).tolist(), 1, X.element_size())
    assert work.fitted_bytes == sum(tensor.nbytes for tensor in held)


def test_bytes_are_what_goes_in_and_what_comes_out():
    X, y = data(100, 10, dtype=torch.float32)
    cost = cost_of(NearestMean, X, y, N_CLASSES, X[:30])
    learned = N_CLASSES * 10 * 8
    assert cost["fit_bytes"] == 100 * 10 * 4 + 100 * 8 + learned
    assert cost["predict_bytes"] == 30 * 10 * 4 + 30 * 8 + learned
    assert (cost["fit_items"], cost["predict_items"]) == (100, 30)
    assert min(cost["fit_seconds"], cost["predict_seconds"]) > 0


def test_costs_are_of_the_last_checkpoint_and_change_no_result():
    X, y = data(80, 12, dtype=torch.float32)
    labels = {split: {"true": y[:n]} for split, n in (("train", 80), ("test", 40))}
    probes = {"MASC": {"kind": "MASC"}, "VeLPIC": {"kind": "VeLPIC"}, "KNN": {"kind": "KNN"}}
    found = {}
    for final in (3, 7):
        with h5py.File("memory", "w", driver="core", backing_store=False) as file:
            file.attrs["layers"] = ["fc1"]
            for split, items in labels.items():
                file[f"3/fc1/{split}"] = X[: len(items["true"])].numpy()
            found[final] = probe_activations(
                file, labels, Fits(N_CLASSES, probes, {"corrupted": y}, final), torch.device("cpu")
            )
    # Which examples are correct, and which classes are confused, is stored for the last checkpoint only.
    at_the_end = dict.fromkeys(("correct_examples", "confusion"))
    counts = {final: [row | at_the_end for row in results.rows] for final, results in found.items()}
    assert counts[3] == counts[7]
    assert found[7].costs == []
    rows = [(row["epoch"], row["layer"], row["width"], row["probe"]) for row in found[3].costs]
    assert rows == [(3, "fc1", 12, probe) for probe in probes]
