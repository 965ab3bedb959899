"""Work on several things at a time, classes most often, each with its share of a job's threads.

The matrices of one class are seldom large enough to keep several threads busy: two classes side by side take
half the time of one after the other, where two threads for each in turn save a quarter.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


def places(device: torch.device) -> int:
    """Return how many things can be worked on at a time: one for each thread, or one on a GPU."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], at_most: int) -> list[Result]:
    """Return what some work gives for each item, in their order.

    Parameters
    ----------
    work : callable
        Should leave Python's lock to the others for most of its time, as torch and NumPy do.
    items : sequence
    at_most : int
        Of them at a time. No more than there are threads are worked on in any case.
    """
    threads = torch.get_num_threads()
    workers = max(1, min(threads, len(items), at_most))
    share = threads // workers
    with _blas().limit(limits=share):
        if workers == 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            return list(pool.map(work, items))


@cache
def _blas() -> ThreadpoolController:
    """Return the libraries loaded so far, NumPy's among them. Torch's is told along with torch, by thread."""
    return ThreadpoolController().select(user_api="blas")
