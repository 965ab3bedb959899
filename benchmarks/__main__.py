"""Run the benchmarks: all, or those named (``python -m benchmarks probing wide``), which are only printed."""

import sys
import time
from importlib import import_module

import torch

from benchmarks import report
from benchmarks.timing import Section, copy_bandwidth, gemm_flops, machine

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
)


def main() -> None:
    """Measure and write, or print."""
    torch.set_num_threads(2)
    names = sys.argv[1:] or NAMES
    start = time.perf_counter()
    sections: list[Section] = []
    for name in names:
        print(f"{name} …", flush=True)
        found = import_module(f"benchmarks.{name}").run()
        sections += found
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
    if not sys.argv[1:]:
        flops = [gemm_flops(dtype) / 1e9 for dtype in (torch.float32, torch.float64)]
        at_best = (
            f"at best, a matrix product does {flops[0]:.0f} GFLOP/s in float32, {flops[1]:.0f} in float64, "
            f"and a copy {copy_bandwidth() / 1e9:.0f} GB/s"
        )
        report.write(sections, f"{machine()}; {at_best}", time.perf_counter() - start)


if __name__ == "__main__":
    main()
