"""Run all benchmarks, or those named (``python -m benchmarks probing wide``)."""

import sys
from importlib import import_module

import torch

from benchmarks import report
from benchmarks.timing import copy_bandwidth, gemm_flops, machine
from latentgen.runtime.devices import use_threads

NAMES = (
    "probing",
    "wide",
    "extraction",
    "training",
    "classifiers",
    "memory",
    "workflow",
    "growth",
    "sketches",
    "moments",
    "repair",
)


BY_NAME_ONLY = ("imagenet", "sizes", "zoo", "decoding")
"""Benchmarks that take too long to run by default."""


def main() -> None:
    """Measure, print and write each part, keeping the results of the others."""
    use_threads(2)
    flops = [gemm_flops(dtype) / 1e9 for dtype in (torch.float32, torch.float64)]
    described = (
        f"{machine()}; a matrix product reaches {flops[0]:.0f} GFLOP/s in float32, {flops[1]:.0f} in "
        f"float64, and a copy {copy_bandwidth() / 1e9:.0f} GB/s"
    )
    for name in sys.argv[1:] or NAMES:
        print(f"{name} …", flush=True)
        found = import_module(f"benchmarks.{name}").run()
        report.write(NAMES + BY_NAME_ONLY, report.Part(name, described, found))
        for section in found:
            print(f"  {section.title}")
            for timing in section.timings:
                print(f"    {timing.way:34s} {timing.median:9.3f} s")
            for goal in section.goals:
                verdict = "reached" if goal.met else "missed"
                print(f"    {goal.what}: {goal.reached:.3g} {goal.unit} (limit {goal.limit:g}): {verdict}")
            for growth in section.growth:
                print(f"    {growth.step} by {growth.varied}: power {growth.exponent:.2f}")
            for note in section.notes:
                print(f"    {note}")


if __name__ == "__main__":
    main()
