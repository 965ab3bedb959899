"""The memory that a job may use, and messages for running out of memory that name the task and a remedy."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from latentgen.errors import LatentgenError

FEWER_JOBS = (
    "run fewer jobs at a time (--cores, or --resources mem_mb=… with the megabytes available), or use fewer "
    "examples (dataset.train_items)"
)
"""Advice that helps in any step."""

PROCESS_MEGABYTES = 700
"""Memory of a process that has imported torch."""


PLAIN_MEGABYTES = 80
"""One that has not."""


def room_for_activations(resources: Mapping[str, Any]) -> int | None:
    """Return the bytes of activations that a probing job may hold: a third of its requested memory.

    The rest is for copies of the largest classes and their matrices. None if the job requested no memory.
    """
    megabytes = resources.get("mem_mb")
    return (megabytes - PROCESS_MEGABYTES) * 10**6 // 3 if isinstance(megabytes, int) else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, in Python or NumPy, or in torch on a GPU or CPU."""
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    # By name, so that steps without torch need not import it.
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or on_cpu


@contextmanager
def explain_out_of_memory(task: str, advice: str) -> Iterator[None]:
    """Report the task that ran out of memory in the block, and what to do.

    Parameters
    ----------
    task : str
        The task of the block: "Training in batches of 64".
    advice : str
        A remedy: "try training.batch_size: 32".

    Raises
    ------
    LatentgenError
        If the memory of the CPU or the GPU is exhausted.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).split("\n", 1)[0]
        raise LatentgenError(
            f"{task} ran out of memory: {advice}. ({type(error).__name__}: {reason})"
        ) from error
