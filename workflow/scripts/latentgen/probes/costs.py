"""The cost of a probe: measured seconds, and floating-point operations and bytes by formula.

It is that of one probe fitted alone, on all training examples of one layer, and predicting all test examples.
In a study the probes on subspaces share one decomposition of each class, so together they cost little more
than the most demanding of them. The formulas are beside the computation, in the method `work` of each probe.

The formulas count products of matrices (2 m k n for m × k by k × n), sums of examples (1 per number), norms
and the division by them (3 per number), and decompositions, by their usual counts (Golub and Van Loan,
*Matrix Computations*, 4th edition): symmetric eigenvalues and vectors 9 n³ (§ 8.3), or 4 n³/3 + 2 n² k if
only k vectors are computed from the tridiagonal form (§ 8.3.1, and § 5.1.6 for the back transformation),
thin QR with Q formed 4 m n² − 4 n³/3 (§ 5.2), thin SVD 6 m n² + 20 n³ (§ 8.6). Work that grows more slowly
is left out: element-wise functions, sorting, the optimizer's own steps, and the second scoring of near ties
in float64.

With n examples to fit, n_c of them of class c, d units, C classes, m examples to predict:

======================  ==========================================================  =================
probe                   fit                                                         predict
======================  ==========================================================  =================
MASC, VeLPIC, exact     Σ_c n_c d r + 9 r³, or 4 r³/3 + 2 r² k_c for large r         2 m d Σ k_c (or
                        (+ 2 n_c d k_c if n_c < d), with r = min(n_c, d)            d − k_c, if fewer)
the same, krylov        see `_krylov_flops`                                         2 m d Σ k_c
VeLPIC's signs          n d + 4 C d more
nearest mean            n d                                                         2 m d C
KNN                     3 n d                                                       2 m n d + 3 m d
LDA                     n d + 2 n d² + 9 d³, and about 8 C d²                       2 m d C
QDA                     n d + Σ_c 2 n_c d² + 9 C d³                                 2 m d² C
logistic, lbfgs         4 C D (n + D) per evaluation of the objective, with         2 m d C
                        D = d + 1, and once about 3 n D² + 10 D³/3
logistic, adam          4 n d C per epoch, of 20 epochs                             2 m d C
======================  ==========================================================  =================

Bytes are those that must be moved at least once: to fit, activations and labels in, learned parameters out;
to predict, activations and learned parameters in, predictions out.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from latentgen.probes.base import Probe
from latentgen.probes.class_subspace import ClassSubspace, KrylovWork
from latentgen.probes.exact import LAPACK_FROM
from latentgen.probes.krylov import KRYLOV_BLOCK

LABEL_BYTES = 8


def cost_of(make: Callable[[], Probe], X: Tensor, y: Any, n_classes: int, X_test: Tensor) -> dict[str, Any]:
    """Fit a probe alone and predict with it, to measure the time; the results are discarded.

    Parameters
    ----------
    make : callable
        Returns an unfitted probe.
    X, X_test : Tensor, n × d and m × d
        Activations to fit, and to predict.
    y : array, n, integer
    n_classes : int

    Returns
    -------
    dict
        ``fit_items``, ``predict_items``, and for both steps ``…_seconds``, ``…_flops``, ``…_bytes``.
    """
    probe = make()
    fit_seconds = _seconds(lambda: probe.fit(X, y, n_classes), X.device)
    predict_seconds = _seconds(lambda: probe.predict(X_test), X.device)
    counts = torch.as_tensor(y, dtype=torch.int64).bincount(minlength=n_classes).tolist()
    work = probe.work(counts, len(X_test), X.element_size())
    return {
        "fit_items": len(X),
        "predict_items": len(X_test),
        "fit_seconds": fit_seconds,
        "fit_flops": work.fit_flops,
        "fit_bytes": X.nbytes + LABEL_BYTES * len(X) + work.fitted_bytes,
        "predict_seconds": predict_seconds,
        "predict_flops": work.predict_flops,
        "predict_bytes": X_test.nbytes + LABEL_BYTES * len(X_test) + work.fitted_bytes,
        "device": X.device.type,
        "threads": torch.get_num_threads(),
    }


def subspace_flops(subspace: ClassSubspace, d: int) -> float:
    """Return the operations for one class, without an abandoned attempt at the Krylov method."""
    n, k = subspace.n_items, subspace.n_components
    if subspace.krylov is not None:
        return _krylov_flops(subspace.krylov, n, d, k)
    r = min(n, d)
    formed = r**2 * max(n, d)  # only half of the symmetric product
    if k == 0:  # its activations are zero, so nothing is decomposed
        return formed
    decomposed = eigh_flops(r) if r < LAPACK_FROM else 4 * r**3 / 3 + 2 * r**2 * k
    back = (2 * n * d * k + (qr_flops(d, k) if subspace.orthogonalized else 0)) if n < d else 0
    return formed + decomposed + back


def _krylov_flops(work: KrylovWork, n: int, d: int, k: int) -> float:
    """Operations of `krylov_subspace` for one class: its block steps, its checks, its float64 rounds."""
    b, p = KRYLOV_BLOCK, work.kept
    flops = 0.0
    for s in range(b, work.columns + 1, b):  # columns after each step
        flops += 2 * qr_flops(d, b) + 4 * d * (s - b) * b  # orthonormalized against the previous ones
        flops += 4 * n * d * b + 4 * d * s * b  # times M, minus the part along V
    for s, kept in work.checks:
        flops += eigh_flops(s) + 2 * d * b * kept
    flops += 2 * d * work.columns * p
    flops += work.rounds * (qr_flops(d, p) + 4 * n * d * p + 6 * d * p**2 + eigh_flops(p))
    return flops + qr_flops(d, k)


def eigh_flops(n: int) -> float:
    """Return the operations of all eigenvalues and vectors of a symmetric n × n matrix."""
    return 9 * n**3


def qr_flops(m: int, n: int) -> float:
    """Return the operations of a thin QR decomposition, m × n, with Q formed."""
    return 4 * m * n**2 - 4 * n**3 / 3


def svd_flops(m: int, n: int) -> float:
    """Return the operations of a thin singular value decomposition, m × n."""
    long, short = max(m, n), min(m, n)
    return 6 * long * short**2 + 20 * short**3


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = perf_counter()
    step()
    _wait(device)
    return perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
