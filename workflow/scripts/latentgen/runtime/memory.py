"""Running out of memory, told in words: what was done, and what takes less."""

from collections.abc import Iterator
from contextlib import contextmanager

from latentgen.errors import LatentgenError

FEWER_JOBS = (
    "run fewer jobs at a time (--cores, or --resources mem_mb=… with the megabytes there are), or take fewer "
    "items (dataset.train_items)"
)
"""What helps any step."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so: Python's and NumPy's own, or torch's on a GPU or a CPU, by its words."""
    in_words = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    # By name, so that steps without torch need not import it.
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or in_words


@contextmanager
def explain_out_of_memory(what: str, way_out: str) -> Iterator[None]:
    """Say what ran out of memory in the block, and what to do.

    Parameters
    ----------
    what : str
        What is done there: "Training in batches of 64".
    way_out : str
        What to change: "try training.batch_size: 32".

    Raises
    ------
    LatentgenError
        If the memory of the processor or of the GPU is used up.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).split("\n", 1)[0]
        raise LatentgenError(
            f"{what} ran out of memory: {way_out}. ({type(error).__name__}: {said})"
        ) from error
