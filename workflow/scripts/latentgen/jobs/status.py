"""The progress of a study, running or stopped, here or on a cluster, read from its files alone.

A job is done if its outputs exist; otherwise its log shows whether it is running or why it failed. Only
Snakemake knows which outputs a changed study file or changed code makes out of date: `snakemake --dry-run`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from latentgen.jobs.provenance import bytes_of
from latentgen.jobs.steps import STEPS, jobs_of
from latentgen.runtime.logs import JobState, duration, read_log
from latentgen.study.config import Study
from latentgen.study.layout import TABLES, Layout
from latentgen.study.plan import Run

State = Literal["done", "running", "failed", "to do"]

COLUMNS = tuple(dict.fromkeys(step.column for step in STEPS.values() if step.column))
"""The steps of a run, as columns of the status."""

_PROGRESS = re.compile(
    r"epoch (?P<epoch>\d+) of .*at most (?P<left>[\w ]+) left.*train (?P<train>[\d.]+) \(online\), "
    r"test (?P<test>[\d.]+)"
)


@dataclass(frozen=True)
class Job:
    """A job: its rule, its state, and its log."""

    rule: str
    name: str
    state: State
    log: Path
    message: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class RunStatus:
    """The jobs of a run by step, and the progress of its training."""

    run: str
    steps: dict[str, list[Job]]
    epoch: int | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    left: str = ""


@dataclass(frozen=True)
class StudyStatus:
    """A study's runs, and the jobs that do not belong to a run."""

    study: str
    runs: list[RunStatus]
    others: list[Job] = field(default_factory=list)
    only_tables: bool = False
    """Whether the tables exist and the runs do not: figures can be drawn, and nothing else is needed."""
    bytes_used: int = 0

    @property
    def jobs(self) -> list[Job]:
        """All jobs, each once, even if several runs share it."""
        jobs = [job for run in self.runs for step in run.steps.values() for job in step]
        return list({(job.rule, job.name): job for job in [*self.others, *jobs]}.values())

    @property
    def seconds_left(self) -> float | None:
        """Computing time of the remaining jobs, at the speed of the finished ones; None if unknown."""
        jobs = self.jobs
        left = Counter(job.rule for job in jobs if job.state != "done")
        took = {
            rule: [job.seconds for job in jobs if job.rule == rule and job.seconds is not None]
            for rule in left
        }
        if not all(took.values()):
            return None
        return sum(count * sum(took[rule]) / len(took[rule]) for rule, count in left.items())


def study_status(study: Study, root: str | Path = ".") -> StudyStatus:
    """Return the status of a study.

    Parameters
    ----------
    study : Study
    root : str or Path
        The folder that contains ``results``.
    """
    root, layout = Path(root), Layout(study.study)
    runs, others = [], {}
    for name, run in study.runs.items():
        columns: dict[str, list[Job]] = {column: [] for column in COLUMNS}
        for rule, step in STEPS.items():
            for wildcards in jobs_of(rule, run):
                job = "-".join(wildcards.values())
                if step.column:
                    columns[step.column].append(_job(rule, job, run, wildcards, root))
                elif (rule, job) not in others:
                    others[rule, job] = _job(rule, job, run, wildcards, root)
        runs.append(_run_status(name, columns, root / layout.history.format(run=name)))
    runs_folder = (root / layout.run).parent
    return StudyStatus(
        study.study,
        runs,
        list(others.values()),
        only_tables=all((root / layout.tables / table).exists() for table in TABLES)
        and not runs_folder.exists(),
        bytes_used=bytes_of(root / layout.results),
    )


def _job(rule: str, name: str, run: Run, wildcards: dict[str, str], root: Path) -> Job:
    layout = Layout(run.study.study)
    log = root / layout.logs / (f"{rule}/{name}.log" if name else f"{rule}.log")
    state = read_log(log) or JobState("done")  # no log: only the outputs show it
    if state.state == "running":
        return Job(rule, name, "running", log, state.message)
    # Temporary outputs count as done if everything made from them exists.
    made = _later(rule, run, wildcards) if STEPS[rule].temporary(run) else []
    if _exist([rule], layout, wildcards, root) or (made and _exist(made, layout, wildcards, root)):
        return Job(rule, name, "done", log, seconds=state.seconds)
    if state.state == "failed":
        return Job(rule, name, "failed", log, state.message)
    return Job(rule, name, "to do", log)


def _later(rule: str, run: Run, wildcards: dict[str, str]) -> list[str]:
    """Return the later steps that leave something of the same shard."""
    rules = list(STEPS)
    shard = {name: value for name, value in wildcards.items() if name != "range"}
    return [later for later in rules[rules.index(rule) + 1 :] if shard in jobs_of(later, run)]


def _exist(rules: Iterable[str], layout: Layout, wildcards: dict[str, str], root: Path) -> bool:
    outputs = (output for rule in rules for output in STEPS[rule].outputs(layout))
    return all((root / output.format(**wildcards)).exists() for output in outputs)


def _run_status(name: str, steps: dict[str, list[Job]], history: Path) -> RunStatus:
    training = steps["train"][0]
    if training.state == "done":
        return _with_history(name, steps, history)
    progress = _PROGRESS.search(training.message)
    if training.state == "running" and progress:
        return RunStatus(
            name,
            steps,
            int(progress["epoch"]),
            float(progress["train"]),
            float(progress["test"]),
            progress["left"],
        )
    return RunStatus(name, steps)


def _with_history(name: str, steps: dict[str, list[Job]], history: Path) -> RunStatus:
    """Add how training ended; an incomplete history is ignored, as jobs that read it report it."""
    try:
        header, *_, last = history.read_text(encoding="utf-8").splitlines(keepends=True)
        row = dict(zip(header.strip().split(","), last.strip().split(","), strict=True))
        epoch = int(row["epoch"])
        train = int(row["train_corrupted_correct"]) / int(row["train_total"])
        test = int(row["test_correct"]) / int(row["test_total"])
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return RunStatus(name, steps)
    if not last.endswith("\n") or not (0 <= train <= 1 and 0 <= test <= 1):
        return RunStatus(name, steps)
    return RunStatus(name, steps, epoch, train, test)


def status_text(status: StudyStatus) -> str:
    """Return a study's status in words."""
    jobs = status.jobs
    counts = Counter(job.state for job in jobs)
    order: tuple[State, ...] = ("done", "running", "failed", "to do")
    states = ", ".join(f"{counts[state]} {state}" for state in order if counts[state])
    head = f"Study {status.study}: {len(status.runs)} runs, {len(jobs)} jobs: {states}"
    if status.only_tables:
        return f"{head}\nOnly the tables are here, without the runs: figures can be drawn from them."
    columns = [name for name in COLUMNS if any(run.steps[name] for run in status.runs)]
    rows = [["run", *columns, "epoch", "train %", "test %", ""]]
    rows += [
        [
            run.run,
            *(_cell(run.steps[step]) for step in columns),
            "" if run.epoch is None else str(run.epoch),
            _percent(run.train_accuracy),
            _percent(run.test_accuracy),
            f"at most {run.left} left" if run.left else "",
        ]
        for run in status.runs
    ]
    lines = [head, "", *_aligned(rows, numbers=slice(len(columns) + 1, -1)), ""]
    for rule in dict.fromkeys(job.rule for job in status.others):
        lines.append(f"{rule}: {_cell([job for job in status.others if job.rule == rule])}")
    lines.append(f"Disk used: {status.bytes_used / 1e6:.1f} MB")
    left = status.seconds_left
    if counts["done"] < len(jobs):
        known = "not known yet" if left is None else f"about {duration(left)} of computing, one job at a time"
        lines.append(f"Left: {known}")
    for job in jobs:
        if job.state == "failed":
            message = job.message.replace("\n", "\n    ")
            lines += ["", f"FAILED {job.rule} {job.name}:", f"    {message}", f"    log: {job.log}"]
    return "\n".join(lines)


def _cell(jobs: Sequence[Job]) -> str:
    """Return the state of the jobs of one step in a word or two."""
    counts = Counter(job.state for job in jobs)
    if not jobs:
        return "-"
    if (len(counts) == 1 and len(jobs) == 1) or set(counts) in ({"done"}, {"to do"}):
        state = jobs[0].state
        return "FAILED" if state == "failed" else state
    shares = [f"{counts['done']}/{len(jobs)}"]
    shares += [f"{counts['running']} running"] if counts["running"] else []
    shares += [f"{counts['failed']} FAILED"] if counts["failed"] else []
    return " ".join(shares)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f}"


def _aligned(rows: list[list[str]], numbers: slice) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = set(range(len(widths))[numbers])
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
