"""Resources of a job (threads, GPUs, memory, time, disk), from the sizes of its data and its network."""

from functools import cache
from math import ceil
from typing import NamedTuple

from latentgen.jobs.steps import STEPS, Step
from latentgen.jobs.work import FLOPS
from latentgen.runtime.memory import PLAIN_MEGABYTES, PROCESS_MEGABYTES
from latentgen.study.plan import Run

SMALL = 100e6
"""Bytes of activations per checkpoint below which a second thread does not pay off."""
SMALL_EPOCH, SMALL_STEP = 2e10, 1e7
"""Multiply-adds of the forward passes of an epoch, or of a step, below which the same holds for training."""
THREADS = 4
"""Threads of a job for which more than one pays off."""


class JobSize(NamedTuple):
    """Resources of a job."""

    threads: int
    """Used even with fewer cores, since the last digits of results depend on this number."""
    gpus: int
    """0 if the job cannot use a GPU, else usually 1. Profiles and `--resources gpu=0` lower it to the
    available number."""
    megabytes: int
    minutes: int
    disk_megabytes: int
    seconds: int
    """Computing time. `minutes` is more than twice that, since a scheduler kills jobs that take longer."""


@cache
def job_size(step: str, run: Run) -> JobSize:
    """Return the resources of a job of a step.

    Parameters
    ----------
    step : str
        One of `latentgen.jobs.steps.SIZED`.
    run : Run
        The job's run.
    """
    known = STEPS[step]
    assert known.work, f"{step} has no size"
    dataset = run.pair.dataset
    threads = _threads(known, run)
    multiply_adds = dataset.n_items * run.pair.multiply_adds
    seconds, memory = known.work(run, 2 * multiply_adds / (FLOPS * threads))
    return JobSize(
        threads,
        known.gpus(run),
        (PROCESS_MEGABYTES if known.torch else PLAIN_MEGABYTES) + ceil(memory / 10**6),
        10 + ceil(2 * seconds / 60),
        1 + (known.written(run) + known.scratch(run)) // 10**6,
        ceil(seconds),
    )


def _threads(step: Step, run: Run) -> int:
    """Return the threads of a step, which depend on the study and not on the machine."""
    if not step.trains:
        return 1 if run.checkpoint_bytes < SMALL else THREADS
    if run.pair.training is not None and run.pair.training.threads != "auto":
        return run.pair.training.threads
    dataset, one_example = run.pair.dataset, run.pair.multiply_adds
    is_small = one_example * dataset.n_items < SMALL_EPOCH
    in_step = one_example * run.training["batch_size"] * dataset.per_input
    return 1 if is_small or in_step < SMALL_STEP else THREADS
