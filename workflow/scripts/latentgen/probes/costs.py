"""What a probe costs: seconds as measured, floating-point operations and bytes by formula.

Each is of one probe fitted alone, on all training items of one layer, and then predicting all test items. In
a study the probes on subspaces share one decomposition of each class, so together they cost little more than
the most demanding of them.

Counted are products of matrices (2 m k n for m × k by k × n), sums of items (1 a number), lengths and
the division by them (3 a number), and decompositions, by their usual counts (Golub and Van Loan, *Matrix
Computations*, 4th edition): symmetric eigenvalues and vectors 9 n³ (§ 8.3), or 4 n³/3 + 2 n² k where
k vectors alone are found from the tridiagonal form (§ 8.3.1, and § 5.1.6 for the way back), thin QR with
Q formed 4 m n² − 4 n³/3 (§ 5.2), thin SVD 6 m n² + 20 n³ (§ 8.6). Work that grows more slowly is left out:
element-wise functions, sorting, the optimizer's own steps, and the second scoring of near ties in float64.

With n items to fit, n_c of them of class c, d units, C classes, m items to predict:

======================  ==========================================================  =================
probe                   fit                                                         predict
======================  ==========================================================  =================
MASC, VeLPIC, exact     Σ_c n_c d r + 9 r³, or 4 r³/3 + 2 r² k_c for large r         2 m d Σ k_c
                        (+ 2 n_c d k_c if n_c < d), with r = min(n_c, d)
the same, krylov        as `_krylov_flops` adds up                                  2 m d Σ k_c
nearest mean            n d                                                         2 m d C
KNN                     3 n d                                                       2 m n d + 3 m d
LDA                     n d + 2 n d² + 9 d³, and 8 C d² or so                       2 m d C
QDA                     n d + Σ_c 2 n_c d² + 9 C d³                                 2 m d² C
logistic, lbfgs         4 C D (n + D) an evaluation of the objective, with          2 m d C
                        D = d + 1, and once 3 n D² + 10 D³/3 or so
logistic, adam          4 n d C an epoch, of which there are 20                     2 m d C
======================  ==========================================================  =================

Bytes are those that must be moved at least once: to fit, activations and labels in, what was
learned out; to predict, activations and what was learned in, predictions out.
"""

from collections.abc import Callable
from math import nan
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latentgen.probes.classifiers import KNN, LDA, QDA, Classifier, LogisticRegression, NearestMean
from latentgen.probes.custom import SklearnProbe
from latentgen.probes.subspace_probes import SubspaceProbe, VeLPIC
from latentgen.probes.subspaces import KRYLOV_BLOCK, LAPACK_FROM, ClassSubspace, KrylovWork

LABEL_BYTES = 8


class Work(NamedTuple):
    """What fitting and predicting take, by formula."""

    fit_flops: float
    predict_flops: float
    fitted_bytes: float
    """Size of what was learned."""


UNKNOWN = Work(nan, nan, nan)
"""What somebody else's classifier takes: how it works is not known here. Seconds are measured even so."""


def cost_of(
    make: Callable[[], SubspaceProbe | Classifier], X: Tensor, y: Any, n_classes: int, X_test: Tensor
) -> dict[str, Any]:
    """Fit a probe alone and predict with it, for the time that takes; what it finds is thrown away.

    Parameters
    ----------
    make : callable
        Gives an unfitted probe.
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
    work = work_of(probe, counts, X.shape[1], len(X_test), X.element_size())
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


def work_of(probe: SubspaceProbe | Classifier, counts: list[int], d: int, m: int, item_size: int) -> Work:
    """Return what fitting a probe took and what predicting with it takes.

    Parameters
    ----------
    probe : SubspaceProbe or Classifier
        Fitted: some formulas need what it found (directions, evaluations).
    counts : list of int, C
        Items of each class that it was fitted on.
    d, m : int
        Number of units, and of items to predict.
    item_size : int
        Bytes of one activation.
    """
    n, C = sum(counts), len(counts)
    match probe:
        case SubspaceProbe():
            k = int(probe.n_components_.sum())
            fit = sum(_subspace_flops(subspace, d) for subspace in probe.subspaces_)
            signs = 2 * C * d if isinstance(probe, VeLPIC) else 0
            return Work(fit + signs, 2 * m * d * k, 8 * k * d + (4 * C if signs else 0))
        case NearestMean():
            return Work(n * d, 2 * m * d * C, 8 * C * d)
        case KNN():
            return Work(3 * n * d, 2 * m * n * d + 3 * m * d, n * (item_size * d + LABEL_BYTES))
        case LDA():
            present = sum(count > 0 for count in counts)
            return Work(_lda_flops(n, d, C, present), 2 * m * d * C, 8 * C * (d + 1))
        case QDA():
            fit = n * d + sum(2 * count * d**2 for count in counts) + C * _eigh_flops(d)
            return Work(fit, 2 * m * d**2 * C, 8 * C * (d**2 + d + 1))
        case LogisticRegression():
            if probe.solver == "adam":
                fit = 4 * n * d * C * probe.n_passes_
            else:
                fit = _minimum_flops(n, d, C - len(probe.missing_classes_), probe.n_passes_)
            return Work(fit, 2 * m * d * C, probe.coef_.element_size() * C * (d + 1))
        case SklearnProbe():
            return UNKNOWN
    raise TypeError(f"{type(probe).__name__} has no formula for its cost")


def _subspace_flops(subspace: ClassSubspace, d: int) -> float:
    """Operations that one class took; an attempt at the Krylov way that was given up is left out."""
    n, k = subspace.n_items, subspace.n_components
    if subspace.krylov is not None:
        return _krylov_flops(subspace.krylov, n, d, k)
    r = min(n, d)
    formed = r**2 * max(n, d)  # half of the product, which is symmetric
    if k == 0:  # its activations are zero: seen before anything is decomposed
        return formed
    decomposed = _eigh_flops(r) if r < LAPACK_FROM else 4 * r**3 / 3 + 2 * r**2 * k
    back = (2 * n * d * k + (_qr_flops(d, k) if subspace.orthogonalized else 0)) if n < d else 0
    return formed + decomposed + back


def _krylov_flops(work: KrylovWork, n: int, d: int, k: int) -> float:
    """Operations of `subspaces._krylov`, of one class: its block steps, its looks, its float64 rounds."""
    b, p = KRYLOV_BLOCK, work.kept
    flops = 0.0
    for s in range(b, work.columns + 1, b):  # columns after each step
        flops += 2 * _qr_flops(d, b) + 4 * d * (s - b) * b  # orthonormal to those before
        flops += 4 * n * d * b + 4 * d * s * b  # times M, less what lies along V
    for s, kept in work.looks:
        flops += _eigh_flops(s) + 2 * d * b * kept
    flops += 2 * d * work.columns * p
    flops += work.rounds * (_qr_flops(d, p) + 4 * n * d * p + 6 * d * p**2 + _eigh_flops(p))
    return flops + _qr_flops(d, k)


def _lda_flops(n: int, d: int, C: int, present: int) -> float:
    """Operations of `classifiers.LDA`, if no direction is left out."""
    r = present - 1
    small = 2 * C * d + 2 * C * d**2 + 2 * d * d * r + 2 * C * d * r + 2 * C * r * d + 2 * C * d
    return n * d + 2 * n * d**2 + _eigh_flops(d) + _svd_flops(d, present) + small


def _minimum_flops(n: int, d: int, C: int, evaluations: int) -> float:
    """Operations of `classifiers.LogisticRegression`: preconditioner, evaluations, and the way back."""
    D = d + 1
    turned = 2 * n * D**2 + D**3 / 3 + n * D**2 + D**3 + 2 * D**2 * d
    return turned + evaluations * (4 * n * D * C + 4 * C * D**2) + 2 * C * D**2


def _eigh_flops(n: int) -> float:
    return 9 * n**3


def _qr_flops(m: int, n: int) -> float:
    return 4 * m * n**2 - 4 * n**3 / 3


def _svd_flops(m: int, n: int) -> float:
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
