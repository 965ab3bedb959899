"""The workflow itself: the default study from scratch, and runs with nothing to do."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.project import copy_of_project, snakemake
from benchmarks.timing import Goal, Section, Timing
from latentgen.runtime.logs import read_log

DIGITS = ("all", "--cores", "all", "--configfile", "config/digits.yaml")


def run() -> list[Section]:
    """Run digits in a copy of the tree; then again, with nothing to do; and plan the paper's study."""
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_project(Path(folder))
        digits, cpu, _ = snakemake(tree, *DIGITS)
        work = _work(tree / "results/digits/logs")
        again = [snakemake(tree, *DIGITS).seconds for _ in range(3)]
        planned = ("-n", "--quiet", "all", "--configfile", "config/paper.yaml")
        plan = snakemake(tree, *planned).seconds
        imports = _seconds([sys.executable, "-c", "import torch"])
    overhead = cpu - sum(work.values())
    return [
        Section(
            "The workflow itself",
            "`config/digits.yaml` from scratch: 18 runs to memorization. The times of steps are from the "
            "jobs' logs, without imports and the start of Python.",
            [
                Timing("digits", (digits,)),
                Timing("digits again", tuple(again)),
                Timing("paper, -n", (plan,)),
            ],
            [
                Goal("the default digits study, after set-up", digits, 120, "s"),
                Goal("imports and workflow in it, of its processor time", 100 * overhead / cpu, 40, "%"),
                Goal("a run with nothing to do", sorted(again)[1], 5, "s"),
                Goal("dry run of the paper study", plan, 15, "s"),
            ],
            [
                f"processor time {cpu:.0f} s; of it "
                + ", ".join(f"{rule} {seconds:.0f} s" for rule, seconds in work.items())
                + f", imports and workflow {overhead:.0f} s",
                f"`import torch` alone: {imports:.2f} s",
            ],
        )
    ]


def _work(logs: Path) -> dict[str, float]:
    """Seconds of each rule's jobs, without imports, from their logs."""
    seconds = {}
    for rule in sorted(logs.iterdir()):
        states = [read_log(path) for path in rule.rglob("*.log")]
        seconds[rule.name] = sum(state.seconds or 0.0 for state in states if state)
    return seconds


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start
