"""The steps of the workflow, in the order data flows: outputs, runs, time and memory of each.

A step is a rule of the same name. Resources, the cost estimate, the status and the provenance of a study
follow from this table. No rule's code digest includes it: changing an estimate reruns nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from latentgen.jobs import work
from latentgen.jobs.work import Work
from latentgen.study.layout import (
    AUDIT_TABLES,
    DATASET,
    FIGURE_FORMATS,
    LATER_TABLES,
    REPAIR_TABLES,
    TABLE_OF_ANGLES,
    TABLE_OF_CALIBRATION,
    TABLE_OF_CLASSES,
    TABLE_OF_LABEL_QUALITY,
    TABLES,
    TABLES_BESIDE,
    Layout,
)
from latentgen.study.plan import Run


def _nothing(run: Run) -> int:
    return 0


@dataclass(frozen=True)
class Step:
    """A step of the workflow.

    It has one job for each value of the wildcards in the paths of its outputs.
    """

    outputs: Callable[[Layout], tuple[str, ...]]
    """Path templates."""
    column: str = ""
    """Column of the status that counts its jobs; empty if they do not belong to a single run."""
    applies: Callable[[Run], bool] = lambda run: True
    """Whether a run needs it."""
    work: Callable[[Run, float], Work] | None = None
    """Time and memory of a job, given the seconds of a forward pass of all examples; None: little."""
    written: Callable[[Run], int] = _nothing
    """Bytes that a job writes."""
    scratch: Callable[[Run], int] = _nothing
    """Bytes of files without names that a job needs while it runs."""
    temporary: Callable[[Run], bool] = lambda run: False
    """Whether its outputs are deleted once the steps that read them are done."""
    trains: bool = False
    torch: bool = True
    """Whether it imports torch, which takes most of a small job's memory."""
    gpu: bool = True
    """Whether it can use a GPU."""

    def gpus(self, run: Run) -> int:
        """Return the number of GPUs that a job can use."""
        return (work.processes(run) if self.trains else 1) if self.gpu else 0


def _is_divided(run: Run) -> bool:
    return run.n_ranges > 1


def _has_other_heads(run: Run) -> bool:
    return bool(run.transfer and run.transfer.other_heads)


def _of_training(layout: Layout) -> tuple[str, ...]:
    return layout.checkpoints, layout.history, layout.training


def _trained_by(step: str) -> Callable[[Run], bool]:
    return lambda run: run.training_step == step


STEPS: Mapping[str, Step] = {
    "prepare_dataset": Step(lambda layout: (DATASET,)),
    "corrupt_labels": Step(lambda layout: (layout.labels,), "labels", lambda run: not run.relabel),
    "train": Step(
        _of_training, "train", _trained_by("train"), work.training, work.checkpoints_bytes, trains=True
    ),
    "edit_and_train": Step(
        _of_training,
        "train",
        _trained_by("edit_and_train"),
        work.training,
        work.checkpoints_bytes,
        trains=True,
    ),
    "relabel": Step(
        lambda layout: (layout.relabelled, layout.label_quality),
        "labels",
        lambda run: bool(run.relabel),
        work.relabelling,
    ),
    "take_weights": Step(
        _of_training, "train", _trained_by("take_weights"), work.taking_weights, work.checkpoints_bytes
    ),
    "rewind": Step(
        lambda layout: (layout.history, layout.training), "train", _trained_by("rewind"), work.taking_weights
    ),
    "extract_activations": Step(
        lambda layout: (layout.activations,),
        "activations",
        lambda run: not _is_divided(run),
        work.extracting,
        work.shard_bytes,
        temporary=lambda run: not run.study.activations.keep,
    ),
    "extract_range": Step(
        lambda layout: (layout.activations_range,),
        "activations",
        _is_divided,
        work.extracting_range,
        work.range_bytes,
        temporary=lambda run: not run.study.activations.keep,
    ),
    "fit_range": Step(
        lambda layout: (layout.classes_range,),
        "probes",
        _is_divided,
        work.probing_range,
        work.classes_bytes,
        scratch=work.range_scratch,
        temporary=lambda run: True,
    ),
    "score_range": Step(
        lambda layout: (layout.scores_range,),
        "probes",
        _is_divided,
        work.probing_range,
        temporary=lambda run: True,
    ),
    "fit_probes": Step(
        lambda layout: (layout.probe_accuracy, layout.probe_vectors, layout.probe_cost),
        "probes",
        work=work.probing,
        written=work.vectors_bytes,
        scratch=work.probing_scratch,
    ),
    "transfer_weights": Step(
        lambda layout: (layout.transfer_accuracy, layout.transfer_models),
        "transfer",
        lambda run: bool(run.transfer),
        work.transferring,
        work.edited_models_bytes,
        torch=False,
        gpu=False,
    ),
    "transfer_heads": Step(
        lambda layout: (layout.heads_accuracy, layout.heads_calibration),
        "transfer",
        _has_other_heads,
        work.transferring_heads,
        gpu=False,
    ),
    "audit_labels": Step(
        lambda layout: (layout.audit,),
        "audit",
        lambda run: run.audited,
        work.auditing,
        lambda run: 100 * run.pair.dataset.n_train,
    ),
    "repair_network": Step(
        lambda layout: (layout.repair,), "repair", lambda run: run.repaired, work.auditing, work.weight_bytes
    ),
    "collect_tables": Step(
        lambda layout: tuple(
            f"{layout.tables}/{name}" for name in (*TABLES, TABLE_OF_CLASSES) if name != "fidelity.csv"
        )
    ),
    "compare_published": Step(
        lambda layout: tuple(f"{layout.tables}/{name}" for name in ("fidelity.csv", *LATER_TABLES))
    ),
    "measure_geometry": Step(
        lambda layout: (f"{layout.tables}/{TABLE_OF_ANGLES}",),
        applies=lambda run: "geometry" in run.study.figures,
    ),
    "collect_calibration": Step(
        lambda layout: (f"{layout.tables}/{TABLE_OF_CALIBRATION}",), applies=_has_other_heads
    ),
    "collect_label_quality": Step(
        lambda layout: (f"{layout.tables}/{TABLE_OF_LABEL_QUALITY}",), applies=lambda run: bool(run.relabel)
    ),
    "compare_study": Step(
        lambda layout: (f"{layout.tables}/{TABLES_BESIDE}",),
        applies=lambda run: run.study.compare_with is not None,
    ),
    "collect_audits": Step(
        lambda layout: tuple(f"{layout.tables}/{name}" for name in AUDIT_TABLES),
        applies=lambda run: run.study.audit,
    ),
    "collect_repairs": Step(
        lambda layout: tuple(f"{layout.tables}/{name}" for name in REPAIR_TABLES),
        applies=lambda run: run.study.repair,
    ),
    "draw_figure": Step(
        lambda layout: tuple(f"{layout.figures}/{{figure}}.{suffix}" for suffix in FIGURE_FORMATS)
    ),
}
"""Every step that `snakemake all` may need; to add one, add a rule and an entry here."""

SIZED = tuple(name for name, step in STEPS.items() if step.work)
"""The steps whose resources depend on the sizes of data and network."""

BEFORE_TABLES = tuple(STEPS)[: list(STEPS).index("collect_tables")]
"""The steps whose cost is part of a study's provenance."""


def jobs_of(step: str, run: Run) -> list[dict[str, str]]:
    """Return the wildcards of each job of a step that a run needs."""
    if not STEPS[step].applies(run):
        return []
    layout = Layout(run.study.study)
    names = re.findall(r"{(\w+)}", STEPS[step].outputs(layout)[0])
    values: Mapping[str, list[str]] = {
        "dataset": [run.spec.dataset],
        "noise": [run.spec.noise_level],
        "label_seed": [str(seed) for seed in run.label_seeds],
        "run": [run.spec.slug],
        "shard": [str(shard) for shard in range(len(run.shards))],
        "range": [str(index) for index in range(run.n_ranges)],
        "figure": list(run.study.drawings),
    }
    return [dict(zip(names, chosen, strict=True)) for chosen in product(*(values[name] for name in names))]
