"""The estimated cost of planned jobs, shown at the end of a dry run and checked before a start.

Estimates are upper bounds: training may meet its stop rule early. If jobs of the same rule have already run
in this study, their measured time is used instead.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import disk_usage
from typing import NamedTuple

from latentgen.errors import LatentgenError
from latentgen.jobs.resources import job_size
from latentgen.jobs.steps import SIZED, STEPS
from latentgen.runtime.logs import duration
from latentgen.runtime.memory import PROCESS_MEGABYTES
from latentgen.study.plan import Run

START_SECONDS = 4.0
"""Seconds to start Python and import torch."""


class Cost(NamedTuple):
    """Estimated cost of jobs."""

    jobs: int
    seconds: float
    """Wall time on the given number of cores."""
    megabytes: int
    """Memory of the largest job."""
    kept_bytes: int
    """Disk space of the files that are kept."""
    peak_bytes: int
    """Disk space at the peak, including activations in use."""


def planned_cost(
    jobs: Iterable[tuple[str, Run | None]], cores: int, measured: Mapping[str, float] | None = None
) -> Cost:
    """Return the estimated cost of jobs.

    Parameters
    ----------
    jobs : pairs
        Rule of each job, and its run.
    cores : int
        Number of cores.
    measured : mapping, optional
        Mean seconds of the rules whose jobs have already run.
    """
    count, core_seconds, longest, memory, kept = 0, 0.0, 0.0, PROCESS_MEGABYTES, 0
    shards, scratch = [], []
    for rule, run in jobs:
        count += 1
        seconds, threads = 0.0, 1
        if run and rule in SIZED:
            size, step = job_size(rule, run), STEPS[rule]
            seconds, threads = size.seconds, min(size.threads, cores)
            memory = max(memory, size.megabytes)
            if step.temporary(run):
                shards.append(step.written(run))
            else:
                kept += step.written(run)
            scratch.append(step.scratch(run))
        seconds = START_SECONDS + (measured or {}).get(rule, seconds)
        longest = max(longest, seconds)
        core_seconds += threads * seconds
    # As many shards as jobs run in parallel, each in use by one job while the next is being written.
    at_a_time = sum(sorted(shards, reverse=True)[: 2 * cores])
    at_a_time += sum(sorted(scratch, reverse=True)[:cores])
    return Cost(count, max(core_seconds / cores, longest), memory, kept, kept + at_a_time)


def free_bytes(folder: str | Path) -> int:
    """Return the free space of the disk that a folder is on, or will be."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return disk_usage(folder).free


def cost_in_words(cost: Cost, cores: int, free: int) -> str:
    """Return the cost of jobs in words."""
    text = (
        f"Estimate: {cost.jobs} jobs, at most about {duration(cost.seconds)} on {cores} "
        f"core{'' if cores == 1 else 's'}; the largest job asks for {cost.megabytes / 1000:.1f} GB of "
        f"memory; disk: at most {_size(cost.kept_bytes)} kept and {_size(cost.peak_bytes)} at the peak, of "
        f"{_size(free)} free."
    )
    return text + (f"\n{_will_not_fit(cost, free)}" if cost.peak_bytes > free else "")


def check_disk(cost: Cost, free: int) -> None:
    """Refuse jobs that will not fit on the disk.

    Raises
    ------
    LatentgenError
        If the free space is less than the jobs may need.
    """
    if cost.peak_bytes > free:
        raise LatentgenError(_will_not_fit(cost, free))


def _will_not_fit(cost: Cost, free: int) -> str:
    return (
        f"The study will not fit on the disk: it may take {_size(cost.peak_bytes)} at the peak; "
        f"{_size(free)} are free. Lower activations.shard_gigabytes, set activations.keep to false, keep "
        "fewer checkpoints, run with fewer cores, or make room. If you know that training will end early "
        "enough, start with --no-hooks."
    )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
        count /= 1000
    raise AssertionError
