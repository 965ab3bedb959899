"""How far a study is, running or stopped, here or on a cluster: read from its files alone.

A job is done when its outputs are there; else its log says whether it is running or why it failed. What a
changed study file or changed code makes out of date, only Snakemake knows: `snakemake --dry-run`.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from latentgen.jobs.provenance import bytes_of
from latentgen.runtime.logs import JobState, duration, read_log
from latentgen.study.config import Run, Study
from latentgen.study.layout import DATASET, FIGURE_FORMATS, TABLES, Layout

State = Literal["done", "running", "failed", "to do"]

STEPS = ("labels", "train", "activations", "probes", "transfer")
"""The steps of a run, by their names in the table."""

_PROGRESS = re.compile(
    r"epoch (?P<epoch>\d+) of .*at most (?P<left>[\w ]+) left.*train (?P<train>[\d.]+) \(online\), "
    r"test (?P<test>[\d.]+)"
)


@dataclass(frozen=True)
class Job:
    """One job: what it is, how it is, and its log."""

    rule: str
    name: str
    state: State
    log: Path
    message: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class RunStatus:
    """The jobs of a run by step, and how far its training is."""

    run: str
    steps: dict[str, list[Job]]
    epoch: int | None = None
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    left: str = ""


@dataclass(frozen=True)
class StudyStatus:
    """A study's runs, and the jobs that belong to no run."""

    study: str
    runs: list[RunStatus]
    others: list[Job] = field(default_factory=list)
    only_tables: bool = False
    """Whether the tables are there and the runs are not: then figures can be drawn, and no more is needed."""
    bytes_used: int = 0

    @property
    def jobs(self) -> list[Job]:
        """All jobs; those that several runs share, once."""
        jobs = [job for run in self.runs for step in run.steps.values() for job in step]
        return list({(job.rule, job.name): job for job in [*self.others, *jobs]}.values())

    @property
    def seconds_left(self) -> float | None:
        """Computing time of what is to do, if it takes as long as what is done; None if that is not known."""
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
    """Return how far a study is.

    Parameters
    ----------
    study : Study
    root : str or Path
        The folder in which ``results`` lies.
    """
    root, layout = Path(root), Layout(study.study)
    tables = [root / layout.tables / name for name in TABLES]
    figures = {
        name: [root / layout.figures / f"{name}.{suffix}" for suffix in FIGURE_FORMATS]
        for name in study.drawings
    }
    datasets = sorted({run.spec.dataset for run in study.runs.values()})
    logs = root / layout.logs
    others = [
        _job(
            "prepare_dataset",
            name,
            [root / DATASET.format(dataset=name)],
            logs / f"prepare_dataset/{name}.log",
        )
        for name in datasets
    ]
    others.append(_job("collect_tables", "tables", tables, logs / "collect_tables.log"))
    others += [
        _job("draw_figure", name, files, logs / f"draw_figure/{name}.log") for name, files in figures.items()
    ]
    runs_folder = (root / layout.run).parent
    return StudyStatus(
        study.study,
        [_run_status(name, run, layout, root) for name, run in study.runs.items()],
        others,
        only_tables=all(table.exists() for table in tables) and not runs_folder.exists(),
        bytes_used=bytes_of(root / layout.results),
    )


def _job(rule: str, name: str, outputs: Iterable[Path], log: Path, done: bool = False) -> Job:
    said = read_log(log) or JobState("done")  # no log: only the outputs tell
    if said.state == "running":
        return Job(rule, name, "running", log, said.message)
    if done or all(output.exists() for output in outputs):
        return Job(rule, name, "done", log, seconds=said.seconds)
    if said.state == "failed":
        return Job(rule, name, "failed", log, said.message)
    return Job(rule, name, "to do", log)


def _run_status(name: str, run: Run, layout: Layout, root: Path) -> RunStatus:
    logs = root / layout.logs
    labels = {"dataset": run.spec.dataset, "noise": run.spec.noise_level}

    def at(template: str, shard: int = 0) -> Path:
        return root / template.format(run=name, shard=shard, **labels)

    def label_job(seed: int) -> Job:
        of_seed = labels | {"label_seed": str(seed)}
        job, file = "-".join(of_seed.values()), root / layout.labels.format(**of_seed)
        return _job("corrupt_labels", job, [file], logs / f"corrupt_labels/{job}.log")

    steps = {
        "labels": [_job("relabel", name, [at(layout.relabelled)], logs / f"relabel/{name}.log")]
        if run.relabel
        else [label_job(seed) for seed in run.label_seeds],
        "train": [
            _job(
                run.training_step,
                name,
                [
                    *([] if run.rewind else [at(layout.checkpoints)]),
                    *(at(layout.history), at(layout.training)),
                ],
                logs / f"{run.training_step}/{name}.log",
            )
        ],
        "activations": [],
        "probes": [],
        "transfer": [],
    }
    for shard in range(len(run.shards)):
        job, log = f"{name}-{shard}", f"{name}-{shard}.log"
        of_probes = (layout.probe_accuracy, layout.probe_vectors, layout.probe_cost)
        probed = [at(template, shard) for template in of_probes]
        edited = [at(layout.transfer_accuracy, shard), at(layout.transfer_models, shard)]
        used = [*probed, *edited] if run.transfer else probed
        steps["activations"].append(
            _job(
                "extract_activations",
                job,
                [at(layout.activations, shard)],
                logs / "extract_activations" / log,
                done=all(path.exists() for path in used),  # they are deleted once used
            )
        )
        steps["probes"].append(_job("fit_probes", job, probed, logs / "fit_probes" / log))
        if run.transfer:
            steps["transfer"].append(_job("transfer_weights", job, edited, logs / "transfer_weights" / log))
    training = steps["train"][0]
    if training.state == "done":
        return _with_history(name, steps, at(layout.history))
    said = _PROGRESS.search(training.message)
    if training.state == "running" and said:
        return RunStatus(
            name, steps, int(said["epoch"]), float(said["train"]), float(said["test"]), said["left"]
        )
    return RunStatus(name, steps)


def _with_history(name: str, steps: dict[str, list[Job]], history: Path) -> RunStatus:
    """Say how training ended; a file that cannot be read is none of this module's business."""
    try:
        with history.open(newline="", encoding="utf-8") as file:
            *_, last = csv.DictReader(file)
        return RunStatus(
            name,
            steps,
            int(last["epoch"]),
            int(last["train_corrupted_correct"]) / int(last["train_total"]),
            int(last["test_correct"]) / int(last["test_total"]),
        )
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return RunStatus(name, steps)


def status_text(status: StudyStatus) -> str:
    """Return a study's status for people to read."""
    jobs = status.jobs
    counts = Counter(job.state for job in jobs)
    order: tuple[State, ...] = ("done", "running", "failed", "to do")
    states = ", ".join(f"{counts[state]} {state}" for state in order if counts[state])
    head = f"Study {status.study}: {len(status.runs)} runs, {len(jobs)} jobs: {states}"
    if status.only_tables:
        return f"{head}\nThe runs are not here; the tables are, and figures can be drawn from them alone."
    rows = [["run", *STEPS, "epoch", "train %", "test %", ""]]
    rows += [
        [
            run.run,
            *(_cell(run.steps[step]) for step in STEPS),
            "" if run.epoch is None else str(run.epoch),
            _percent(run.train_accuracy),
            _percent(run.test_accuracy),
            f"at most {run.left} left" if run.left else "",
        ]
        for run in status.runs
    ]
    lines = [head, "", *_aligned(rows), ""]
    for rule in ("prepare_dataset", "collect_tables", "draw_figure"):
        lines.append(f"{rule}: {_cell([job for job in status.others if job.rule == rule])}")
    lines.append(f"Disk used: {status.bytes_used / 1e6:.1f} MB")
    left = status.seconds_left
    if counts["done"] < len(jobs):
        known = (
            "not known yet" if left is None else f"about {duration(left)} of computing, in one job at a time"
        )
        lines.append(f"Left: {known}")
    for job in jobs:
        if job.state == "failed":
            message = job.message.replace("\n", "\n    ")
            lines += ["", f"FAILED {job.rule} {job.name}:", f"    {message}", f"    log: {job.log}"]
    return "\n".join(lines)


def _cell(jobs: Sequence[Job]) -> str:
    """Say how the jobs of one step are, in a word or two."""
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


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = slice(len(STEPS) + 1, -1)
    right = set(range(len(widths))[numbers])
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
