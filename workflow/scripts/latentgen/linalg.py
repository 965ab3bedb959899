"""Matrix products and eigenvectors on the CPU with the fastest library available, and parallel loops.

torch uses MKL, which uses half the vector width on processors that are not Intel's. In float32, oneDNN, which
torch includes for convolutions, uses all of it: 2.2 times as fast on an AMD EPYC, and as fast elsewhere. In
float64, NumPy's OpenBLAS does. The libraries differ in the last digits.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

LEAST_WORK = 2**21
"""Multiplications of a product below which call overhead outweighs the gain."""

FLOAT64_BLOCK = 2**20
"""Numbers converted to float64 at a time, which bounds the memory and fits into the processor's cache."""

LEAST_WEIGHTS = 2**18
"""Number of weights of a linear layer below which it is a small part of a training step."""

_available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_onednn: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if _available else None
"""The function that torch's compiler uses for linear layers on the CPU; None if torch was built without
it."""


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return ab, for a (m × k) and b (k × n) in any memory layout; without gradients."""
    if _by_numpy(a):
        with np.errstate(all="ignore"):  # like torch: values that are not finite are refused where it matters
            return torch.from_numpy(a.numpy() @ b.numpy())
    if not _suits(a) or a.shape[0] * a.shape[1] * b.shape[1] < LEAST_WORK:
        return a @ b
    if a.is_contiguous() or a.numel() <= b.numel():
        return _times_transposed(a.contiguous(), _dense(b).T)
    return _times_transposed(b.T.contiguous(), _dense(a)).T


def eigh(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Return increasing eigenvalues and unit eigenvectors of a symmetric matrix, given its upper triangle."""
    if _by_numpy(symmetric):  # two thirds of torch's time
        values, vectors = np.linalg.eigh(symmetric.numpy(), UPLO="U")
        return torch.from_numpy(values), torch.from_numpy(vectors)
    values, vectors = torch.linalg.eigh(symmetric, UPLO="U")
    return values, vectors


def falling_eigh(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Return decreasing eigenvalues and unit eigenvectors of a symmetric matrix, given its upper triangle."""
    values, vectors = eigh(symmetric)
    return values.flip(0), vectors.flip(1)


def float64_blocks(
    X: Tensor, dim: int, rows: Tensor | None = None, numbers: int | None = None
) -> Iterator[Tensor]:
    """Yield blocks of whole rows (dim 0) or columns (dim 1) of some rows of a matrix, dense float64."""
    other = X.shape[1] if dim == 0 else len(X) if rows is None else len(rows)
    size = max(1, (numbers or FLOAT64_BLOCK) // max(1, other))
    if dim == 0 and rows is not None:
        for some in torch.split(rows, size):
            yield X.index_select(0, some).to(torch.float64)
        return
    for block in torch.split(X, size, dim):
        yield (block if rows is None else block.index_select(0, rows)).to(torch.float64)


def class_means(X: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of each class (C × d, float64), given its number of rows; zero for an empty class."""
    return class_sums(X, labels, len(counts)) / counts.clamp_min(1)[:, None]


def class_sums(X: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Return the sum of each class's rows: C × d, float64."""
    sums = torch.zeros((n_classes, X.shape[1]), dtype=torch.float64, device=X.device)
    size = max(1, FLOAT64_BLOCK // X.shape[1])  # fits into the cache: five times as fast as larger blocks
    for rows, rows_labels in zip(torch.split(X, size), torch.split(labels, size), strict=True):
        sums.index_add_(0, rows_labels, rows.to(torch.float64))
    return sums


def _by_numpy(matrix: Tensor) -> bool:
    """Whether NumPy is faster: in float64, with one thread (more would busy-wait and slow torch's)."""
    return matrix.device.type == "cpu" and matrix.dtype == torch.float64 and torch.get_num_threads() == 1


def _suits(matrix: Tensor) -> bool:
    return _onednn is not None and matrix.device.type == "cpu" and matrix.dtype == torch.float32


def _times_transposed(source: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return source · weightᵀ + bias by oneDNN; source by rows, weight by rows or columns, both dense."""
    result: Tensor = _onednn(source, weight, bias, "none", [], "")
    return result


def _dense(matrix: Tensor) -> Tensor:
    """Return a matrix without gaps in memory: with gaps, oneDNN is a thousand times slower."""
    return matrix if matrix.is_contiguous() or matrix.T.is_contiguous() else matrix.contiguous()


class _LinearFunction(torch.autograd.Function):
    """The products of a linear layer and of its gradients."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(inputs, weight)
        return _times_transposed(inputs, weight, bias)

    @staticmethod
    def backward(context: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = context.saved_tensors
        of_inputs, of_weight, of_bias = context.needs_input_grad
        return (
            _times_transposed(upstream.contiguous(), weight.T) if of_inputs else None,
            # Row-major like the weights, which torch's fused optimizers assume.
            _times_transposed(upstream.T.contiguous(), inputs.T) if of_weight else None,
            upstream.sum(0) if of_bias else None,
        )


class Linear(nn.Linear):
    """A linear layer that uses oneDNN for float32 on the CPU; torch otherwise, and in exported programs."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs · weightᵀ + bias."""
        suits = _suits(inputs) and _suits(self.weight) and inputs.ndim == 2
        if not suits or torch.is_autocast_enabled("cpu") or torch.compiler.is_exporting():
            return super().forward(inputs)
        result: Tensor = _LinearFunction.apply(inputs.contiguous(), self.weight, self.bias)
        return result


def use_fast_products(network: nn.Module) -> None:
    """Make the large linear layers of a network compute like `Linear`; its weights do not change."""
    for module in network.modules():
        if type(module) is nn.Linear and module.weight.numel() >= LEAST_WEIGHTS:
            module.__class__ = Linear


Item = TypeVar("Item")
Result = TypeVar("Result")


def workers(device: torch.device) -> int:
    """Return the number of workers: one for each thread, or one on a GPU."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def parallel_map(work: Callable[[Item], Result], items: Sequence[Item], at_most: int) -> list[Result]:
    """Return the result of a function for each item, in order.

    Parameters
    ----------
    work : callable
        The function; it should release Python's lock most of the time, as torch and NumPy do.
    items : sequence
    at_most : int
        Largest number of items at a time, besides the number of threads.
    """
    threads = torch.get_num_threads()
    n_workers = max(1, min(threads, len(items), at_most))
    share = threads // n_workers
    with _blas().limit(limits=share):
        if n_workers == 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            return list(pool.map(work, items))


@cache
def _blas() -> ThreadpoolController:
    """Return a controller of the BLAS libraries loaded so far, including NumPy's."""
    return ThreadpoolController().select(user_api="blas")
