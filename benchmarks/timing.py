"""Time several methods for the same result in turn."""

import multiprocessing
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from latentgen.linalg import product
from latentgen.runtime.devices import use_threads
from latentgen.runtime.logs import peak_megabytes

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing:
    """Seconds of one method, round by round."""

    way: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Goal:
    """A target and the measured value."""

    what: str
    reached: float
    limit: float
    unit: str = "×"
    at_least: bool = False
    """Whether more is better."""

    @property
    def is_speed(self) -> bool:
        """Whether it measures speed or size, and not accuracy."""
        return self.unit in ("×", "s", "GiB")

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.reached >= self.limit if self.at_least else self.reached <= self.limit


@dataclass(frozen=True)
class Growth:
    """Seconds of a step by the varied size."""

    varied: str
    step: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """Slope of the line fitted to them, with both axes logarithmic."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])


@dataclass
class Section:
    """One comparison: its description, the time of each method, and the targets."""

    title: str
    how: str
    timings: list[Timing] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)


class Ways(dict[str, Timing]):
    """Timings by the name of the method."""

    def ratio(self, slow: str | tuple[str, ...], fast: str | tuple[str, ...]) -> float:
        """Ratio of the times of one method (or several in sequence) and another."""
        return self.sum(slow) / self.sum(fast)

    def sum(self, ways: str | tuple[str, ...]) -> float:
        """Seconds of some methods in sequence: the sum of their medians."""
        return sum(self[way].median for way in ([ways] if isinstance(ways, str) else ways))


def in_turn(
    ways: Mapping[str, Callable[[], object]],
    rounds: int = 3,
    scales: Mapping[str, float] | None = None,
    cold: Collection[str] = (),
) -> Ways:
    """Time each method once per round, in turn, after a warm-up round.

    Parameters
    ----------
    ways : mapping
        Functions to call, by name.
    rounds : int
        How often each is timed.
    scales : mapping, optional
        Factors for the seconds of methods that do only part of the work.
    cold : names
        Methods that are too slow, or have run too often, to need a warm-up.
    """
    for way, call in ways.items():
        if way not in cold:
            call()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, call in ways.items():
            start = time.perf_counter()
            call()
            seconds[way].append((scales or {}).get(way, 1.0) * (time.perf_counter() - start))
    return Ways({way: Timing(way, tuple(times)) for way, times in seconds.items()})


def in_process(work: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    """Call a function in a separate process, like a job; return its result and its peak memory in GiB."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, use_threads, (torch.get_num_threads(),)) as pool:
        return pool.submit(_with_peak, work, arguments).result()


def _with_peak(work: Callable[..., Result], arguments: tuple[Any, ...]) -> tuple[Result, float]:
    return work(*arguments), peak_megabytes() / 1024


@contextmanager
def own_peak() -> Iterator[list[float]]:
    """Yield a list whose only number becomes the peak memory of the process itself, in GiB.

    Pages of mapped files do not count, since the system reclaims them when memory is needed.
    """
    most, done = [own_gibibytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], own_gibibytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def own_gibibytes() -> float:
    """Return the memory that the process itself takes at the moment."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**20


def machine() -> str:
    """Describe the machine and the versions."""
    model = (
        next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.machine(),
        )
        if Path("/proc/cpuinfo").exists()
        else platform.machine()
    )
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-learn", "snakemake")
    )
    return (
        f"{model}, {torch.get_num_threads()} threads; Python {platform.python_version()}, {packages}; "
        f"{date.today().isoformat()}"
    )


def gemm_flops(dtype: torch.dtype, size: int = 3072) -> float:
    """Floating-point operations per second of a large matrix product, the machine's peak."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    seconds = in_turn({"gemm": lambda: product(a, b)})["gemm"]
    return 2 * size**3 / min(seconds.seconds)


def copy_bandwidth(megabytes: int = 512) -> float:
    """Bytes per second that can be read and written: twice what a copy moves."""
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds = in_turn({"copy": lambda: target.copy_(source)})["copy"]
    return 2 * source.nbytes / min(seconds.seconds)
