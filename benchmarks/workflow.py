"""The workflow itself: the default study from nothing, and what runs that do nothing cost."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Goal, Section, Timing
from latentgen.joblog import read_log

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def run() -> list[Section]:
    """Run digits in a copy of the tree; then again, with nothing to do; and plan the paper's study."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in tracked.stdout.splitlines():
            if (ROOT / name).exists():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tree / name)
        digits, cpu = _timed(tree, "all", "--cores", "all", "--configfile", "config/digits.yaml")
        work = _work(tree / "results/digits/logs")
        again = [
            _timed(tree, "all", "--cores", "all", "--configfile", "config/digits.yaml")[0] for _ in range(3)
        ]
        plan = [
            _timed(tree, "-n", "--quiet", "all", "--configfile", "config/paper.yaml")[0] for _ in range(3)
        ]
        imports = _seconds([sys.executable, "-c", "import torch"])
    overhead = cpu - sum(work.values())
    return [
        Section(
            "The workflow itself",
            "`config/digits.yaml` from nothing: 18 runs to memorization. Work is what the jobs' logs say "
            "that their steps took, imports and Python's start excluded.",
            [
                Timing("digits", (digits,)),
                Timing("digits again", tuple(again)),
                Timing("paper, -n", tuple(plan)),
            ],
            [
                Goal("the default digits study, after set-up", digits, 120, "s"),
                Goal("imports and workflow in it, of its processor time", 100 * overhead / cpu, 40, "%"),
                Goal("a run with nothing to do", sorted(again)[1], 5, "s"),
                Goal("dry run of the paper study", sorted(plan)[1], 15, "s"),
            ],
            [
                f"processor time {cpu:.0f} s; of it "
                + ", ".join(f"{rule} {seconds:.0f} s" for rule, seconds in work.items())
                + f", imports and workflow {overhead:.0f} s",
                f"`import torch` alone: {imports:.2f} s",
            ],
        )
    ]


def _timed(tree: Path, *arguments: str) -> tuple[float, float]:
    """Wall and processor seconds of Snakemake and all its jobs."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "workflow/scripts")}
    before, start = os.times(), time.perf_counter()
    subprocess.run([*SNAKEMAKE, *arguments], cwd=tree, env=environment, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu


def _work(logs: Path) -> dict[str, float]:
    """Seconds of each rule's jobs, imports excluded, as their logs have them."""
    seconds = {}
    for rule in sorted(logs.iterdir()):
        states = [read_log(path) for path in rule.rglob("*.log")]
        seconds[rule.name] = sum(state.seconds or 0.0 for state in states if state)
    return seconds


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start
