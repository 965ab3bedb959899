"""Reading a folder of images: one decoding thread compared with two."""

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import Goal, Section, Timing, Ways, in_process
from latentgen.data.custom_sources import decoding
from latentgen.data.custom_sources.image_folder import read_image_folder
from latentgen.data.reshaping import Reshaping

PICTURES = {
    "small: 5,000 PNG of 32 × 32": (5_000, (32, 32), ".png", Reshaping()),
    "large: 500 JPEG of 500 × 375, resized to 224": (500, (375, 500), ".jpg", Reshaping(resize=224)),
}
"""Number, height and width, format, and changes as they are read."""
ROUNDS, CLASSES = 3, 10
THREADS = {"1 thread": 1, "2 threads": 2}


def run() -> list[Section]:
    """Both kinds of pictures, each number of threads in a process of its own."""
    return [_section(title, *how) for title, how in PICTURES.items()]


def _section(title: str, n: int, size: tuple[int, int], suffix: str, reshaping: Reshaping) -> Section:
    with tempfile.TemporaryDirectory(dir="results") as folder:
        draw(Path(folder), n, size, suffix)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in THREADS}
        for _ in range(ROUNDS):
            for name, threads in THREADS.items():
                taken[name].append(in_process(read, Path(folder), reshaping, threads)[0])
    timed = Ways({name: Timing(name, tuple(wall for wall, _ in times)) for name, times in taken.items()})
    return Section(
        f"Reading a folder of images, {title}",
        "Smooth colours with noise, read as a data set is: decoded, checked, resized, kept and stacked.",
        list(timed.values()),
        [
            Goal(
                "one decoding thread against two",
                timed.ratio("1 thread", "2 threads"),
                1.5,
                at_least=True,
            )
        ],
        [
            f"processor time: {min(cpu for _, cpu in times):.2f} s with {name}"
            for name, times in taken.items()
        ],
    )


def draw(folder: Path, n: int, size: tuple[int, int], suffix: str) -> None:
    """Save pictures by class."""
    rng = np.random.default_rng(0)
    for c in range(CLASSES):
        (folder / f"class{c}").mkdir()
    for number in range(n):
        small = Image.fromarray(rng.integers(256, size=(6, 8, 3), dtype=np.uint8))
        pixels = np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC)).astype(np.int16)
        pixels = np.clip(pixels + rng.integers(-8, 9, size=pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"class{number % CLASSES}" / f"{number:05d}{suffix}")


def read(folder: Path, reshaping: Reshaping, threads: int) -> tuple[float, float]:
    """Read a folder; return seconds and processor time."""
    decoding.MOST_THREADS = threads
    wall, cpu = time.perf_counter(), time.process_time()
    read_image_folder(folder, reshaping)
    return time.perf_counter() - wall, time.process_time() - cpu
