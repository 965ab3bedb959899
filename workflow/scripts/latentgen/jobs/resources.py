"""What a job asks for: threads, GPUs, memory, time, disk, from the sizes of its data and its network."""

from functools import cache
from math import ceil
from typing import NamedTuple

from latentgen.jobs.steps import FLOPS, STEPS, Step
from latentgen.runtime.memory import PLAIN_MEGABYTES, PROCESS_MEGABYTES
from latentgen.study.plan import Run

SMALL = 100e6
"""Bytes of activations per checkpoint below which more than one thread does not pay."""
SMALL_EPOCH, SMALL_STEP = 2e10, 1e7
"""Multiply-adds of the forward passes of an epoch, or a step, below which the same holds for training."""
THREADS = 4
"""Threads of a job for which more than one pays."""


class JobSize(NamedTuple):
    """What a job asks for."""

    threads: int
    """These are used even where there are fewer cores: the last digits of results depend on their number."""
    gpus: int
    """One, or none for what cannot use it. Profiles and `--resources gpu=0` lower it to what there is."""
    megabytes: int
    minutes: int
    disk_megabytes: int
    seconds: int
    """Computing time, of which `minutes` is twice and some more: a scheduler ends what takes longer."""


@cache
def job_size(step: str, run: Run) -> JobSize:
    """Return what one job of a step needs.

    Parameters
    ----------
    step : str
        One of `latentgen.jobs.steps.SIZED`.
    run : Run
        The run that the job is about.
    """
    known = STEPS[step]
    assert known.work, f"{step} has no size"
    dataset = run.pair.dataset
    threads = _threads(known, run)
    multiply_adds = dataset.n_items * run.pair.multiply_adds
    seconds, memory = known.work(run, 2 * multiply_adds / (FLOPS * threads))
    return JobSize(
        threads,
        int(known.gpu),
        (PROCESS_MEGABYTES if known.torch else PLAIN_MEGABYTES) + ceil(memory / 10**6),
        10 + ceil(2 * seconds / 60),
        1 + known.written(run) // 10**6,
        ceil(seconds),
    )


def _threads(step: Step, run: Run) -> int:
    """Return the threads of a step: they follow from the study alone, whatever the machine."""
    if not step.trains:
        return 1 if run.checkpoint_bytes < SMALL else THREADS
    if run.pair.training is not None and run.pair.training.threads != "auto":
        return run.pair.training.threads
    one_image = run.pair.multiply_adds
    is_small = one_image * run.pair.dataset.n_items < SMALL_EPOCH
    return 1 if is_small or one_image * run.training["batch_size"] < SMALL_STEP else THREADS
