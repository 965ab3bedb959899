"""What the jobs that are to run will cost: shown at the end of a dry run, and checked before a start.

Estimates are upper bounds: training may meet its stop rule early. Where jobs of the same rule have run for
this study, their measured time is taken instead.
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
"""Starting Python and importing torch."""


class Cost(NamedTuple):
    """What jobs will cost."""

    jobs: int
    seconds: float
    """On the given number of cores."""
    megabytes: int
    """Memory of the largest job."""
    kept_bytes: int
    """Disk that is kept."""
    peak_bytes: int
    """Disk at the peak, with the activations that are being used."""


def planned_cost(
    jobs: Iterable[tuple[str, Run | None]], cores: int, measured: Mapping[str, float] | None = None
) -> Cost:
    """Return what jobs will cost.

    Parameters
    ----------
    jobs : pairs
        Rule of each job, and the run that it is about.
    cores : int
        How many there are.
    measured : mapping, optional
        Mean seconds of the rules of which jobs have run.
    """
    count, core_seconds, longest, memory, kept, shards = 0, 0.0, 0.0, PROCESS_MEGABYTES, 0, []
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
        seconds = START_SECONDS + (measured or {}).get(rule, seconds)
        longest = max(longest, seconds)
        core_seconds += threads * seconds
    # As many shards as there are jobs at a time, each used by one job while the next is being written.
    at_a_time = sum(sorted(shards, reverse=True)[: 2 * cores])
    return Cost(count, max(core_seconds / cores, longest), memory, kept, kept + at_a_time)


def free_bytes(folder: str | Path) -> int:
    """Return the free space of the disk that a folder lies on, or will."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    return disk_usage(folder).free


def cost_in_words(cost: Cost, cores: int, free: int) -> str:
    """Return what jobs will cost for people to read."""
    text = (
        f"Estimate: {cost.jobs} jobs, at most about {duration(cost.seconds)} on {cores} "
        f"core{'' if cores == 1 else 's'}; the largest job asks for {cost.megabytes / 1000:.1f} GB of "
        f"memory; disk: at most {_size(cost.kept_bytes)} kept and {_size(cost.peak_bytes)} at the peak, of "
        f"{_size(free)} free."
    )
    return text + (f"\n{_will_not_fit(cost, free)}" if cost.peak_bytes > free else "")


def check_disk(cost: Cost, free: int) -> None:
    """Refuse what will not fit the disk.

    Raises
    ------
    LatentgenError
        If there is less free space than the jobs may take.
    """
    if cost.peak_bytes > free:
        raise LatentgenError(_will_not_fit(cost, free))


def _will_not_fit(cost: Cost, free: int) -> str:
    return (
        f"The study will not fit the disk: it may take {_size(cost.peak_bytes)} at the peak; {_size(free)} "
        "are free. Lower activations.shard_gigabytes, set activations.keep to false, keep fewer checkpoints, "
        "run with fewer cores, or make room. If you know that training will end early enough, start with "
        "--no-hooks."
    )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
        count /= 1000
    raise AssertionError
