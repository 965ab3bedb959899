"""Decode image files, several at a time, in their order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 4
"""Threads at most, which Pillow lets run in parallel while it decodes. The rule `prepare_dataset` asks for
them."""
AHEAD = 8
"""Items per thread that are held at a time."""


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Yield each item with the result of a function, in order; few are held at a time.

    An exception is raised when its item's turn comes: the first one in the order of the items.
    """
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    ahead: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads, "decoder") as pool:
        try:
            for item in items:
                ahead.append((item, pool.submit(work, item)))
                if len(ahead) > AHEAD * threads:
                    first, result = ahead.popleft()
                    yield first, result.result()
            for first, result in ahead:
                yield first, result.result()
        finally:
            for _, result in ahead:
                result.cancel()
