"""The steps of the workflow, in the order data flows: outputs, runs, time and memory of each.

A step is a rule of the same name. Resources, the cost estimate, the status and the provenance of a study
follow from this table. No rule's code digest includes it: changing an estimate reruns nothing.

The rates are measured on one core and rounded down, since a scheduler kills jobs that exceed their request.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import NamedTuple

from latentgen.data.inputs import IN_MEMORY, input_bytes, is_in_memory, kind_of, raw_width
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

FLOPS = 20e9
"""Floating-point operations per second of one core, in large products."""
STEP_SECONDS = 1e-3
"""Seconds of overhead per optimizer step."""
BYTES_PER_SECOND = 100e6
"""Bytes per second when compressing, writing and reading activations."""
LARGEST_LAYER = 4 * 10**9
"""Largest number of bytes of a layer's activations that a probing job holds in memory: larger layers are read
in parts, if their probes allow it."""
BLOCK_ITEMS = 1024
"""Largest number of examples in a forward pass (`forward.MOST_ITEMS`)."""
TRANSFERRED_BYTES = 64 << 20
"""Bytes of activations that are read at a time for a new readout (`interventions.transfer.READ_BYTES`)."""
IMPORTS = 150 * 10**6
"""What SciPy and scikit-learn take, where they are needed."""
WIDEST = 1024
"""Largest number of features of a layer that an audit keeps (`repairing.features.WIDEST`)."""


class Work(NamedTuple):
    """Time and memory of a job."""

    seconds: float
    memory: int
    """Bytes of memory beyond those of the process itself."""


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


def _input_bytes(run: Run, all_held: bool = False) -> int:
    """Return what the inputs of all splits take, as they are stored and as a network takes them.

    Those that are read as they are needed take a few blocks.
    """
    dataset = run.pair.dataset
    shape = dataset.info.shape
    as_stored = 0.25 if kind_of(shape) == "images" else 0.5
    held = sum(
        n if all_held or is_in_memory(n, shape) else min(n, BLOCK_ITEMS)
        for n in (
            count // dataset.per_input for count in (dataset.n_train, dataset.n_test, dataset.n_held_out)
        )
    )
    return ceil((1 + as_stored) * held * input_bytes(shape))


def _widest_bytes(run: Run) -> int:
    return 4 * run.pair.dataset.n_items * max(run.layers.values())


def _forward_bytes(run: Run) -> int:
    """Input and output of the largest layer, and a copy that a convolution makes."""
    dataset = run.pair.dataset
    return 3 * 4 * min(BLOCK_ITEMS, dataset.n_train) * run.pair.largest_output


def _per_shard(run: Run) -> int:
    return min(run.checkpoints_per_shard, len(run.scheduled))


def _shard_bytes(run: Run) -> int:
    return _per_shard(run) * run.checkpoint_bytes


def _weight_bytes(run: Run) -> int:
    return run.pair.weight_bytes


def _checkpoints_bytes(run: Run) -> int:
    return len(run.scheduled) * _weight_bytes(run)


def _vectors_bytes(run: Run) -> int:
    n_classes = run.pair.dataset.info.n_classes
    return 4 * _per_shard(run) * n_classes * sum(run.layers.values()) * len(run.study.fit_labels)


def _edited_models_bytes(run: Run) -> int:
    if not run.transfer:
        return 0
    models = len(run.transfer.keep_models_at) + 1
    return models * len(run.transfer.bias) * _weight_bytes(run) // len(run.shards)


def _training(run: Run, forward_seconds: float) -> Work:
    epochs = run.training["max_epochs"]
    steps = epochs * ceil(run.pair.dataset.n_train_inputs / run.training["batch_size"])
    seconds = 3 * forward_seconds * epochs + steps * STEP_SECONDS
    # Weights, gradients, two moments of Adam, new weights, and a copy of these that is saved.
    memory = _input_bytes(run) + _forward_bytes(run) + 6 * _weight_bytes(run)
    if any(group["frozen"] for group in run.training.get("groups", ())):  # what frozen layers give is held
        memory += min(IN_MEMORY, 4 * run.pair.dataset.n_items * run.pair.largest_output)
    if run.edit:  # of the layer that the vectors are fitted on: its blocks, these together, and a copy
        memory += 3 * 4 * run.pair.dataset.n_train * run.layers[run.last_layer]
    return Work(seconds, memory)


def _taking_weights(run: Run, forward_seconds: float) -> Work:
    memory = _input_bytes(run) + _forward_bytes(run) + 3 * _weight_bytes(run)
    return Work(len(run.scheduled) * forward_seconds, memory)


def _relabelling(run: Run, forward_seconds: float) -> Work:
    memory = _input_bytes(run) + _forward_bytes(run) + 3 * _widest_bytes(run)
    return Work(20 * forward_seconds * len(run.relabel_layers), memory)


def _extracting(run: Run, forward_seconds: float) -> Work:
    seconds = _per_shard(run) * forward_seconds + _shard_bytes(run) / BYTES_PER_SECOND
    # What layers give for a block, together, rounded and compressed, while the next one is computed.
    block = 4 * 4 * min(BLOCK_ITEMS, run.pair.dataset.n_train) * sum(run.layers.values())
    return Work(seconds, _input_bytes(run) + _forward_bytes(run) + block + run.moment_bytes)


def _probing(run: Run, forward_seconds: float) -> Work:
    seconds = 20 * _per_shard(run) * forward_seconds + _shard_bytes(run) / BYTES_PER_SECOND
    return Work(seconds, 3 * _in_memory(run))


def _in_memory(run: Run) -> int:
    """Bytes of activations that a probing job holds: the widest layer, or the largest part read at a time."""
    widest = _widest_bytes(run)
    if run.moment_bytes:
        dataset = run.pair.dataset
        matrices = 8 * dataset.info.n_classes * max(run.layers.values()) ** 2
        return matrices + widest * (dataset.n_items - dataset.n_train) // dataset.n_items
    return min(widest, LARGEST_LAYER) if all(probe.in_parts for probe in run.study.probes) else widest


def _probing_scratch(run: Run) -> int:
    """Return room for a layer in parts, sorted by class, and for bases of at most half its directions."""
    if _in_memory(run) == _widest_bytes(run) or run.moment_bytes:
        return 0
    dataset, widest = run.pair.dataset, max(run.layers.values())
    directions = min(dataset.n_train, dataset.info.n_classes * widest // 2)
    return _widest_bytes(run) + 8 * widest * directions


def _transferring(run: Run, forward_seconds: float) -> Work:
    width = run.layers[run.last_layer] + run.pair.dataset.info.n_classes
    block = min(TRANSFERRED_BYTES, 4 * run.pair.dataset.n_train * width)
    return Work(_shard_bytes(run) / BYTES_PER_SECOND, 3 * block // 2 + 3 * _weight_bytes(run))


def _transferring_heads(run: Run, forward_seconds: float) -> Work:
    dataset, width = run.pair.dataset, run.layers[run.last_layer]
    # Products and decompositions of ridge and LDA in float64, and 200 passes of logistic regression.
    passes = 200 * 4 * dataset.n_train * width * dataset.info.n_classes
    flops = passes + 6 * dataset.n_train * width**2 + 40 * width**3
    seconds = _shard_bytes(run) / BYTES_PER_SECOND + _per_shard(run) * flops / (FLOPS / 2)
    return Work(seconds, 4 * 4 * dataset.n_items * width + IMPORTS)


def _has_other_heads(run: Run) -> bool:
    return bool(run.transfer and run.transfer.other_heads)


def _features(run: Run) -> int:
    """Return the number of features per example that an audit keeps, including the raw input."""
    widths = [*run.layers.values(), raw_width(run.pair.dataset.info.shape)]
    return sum(min(width, WIDEST) for width in widths)


def _auditing(run: Run, forward_seconds: float) -> Work:
    dataset, features = run.pair.dataset, _features(run)
    # For two checkpoints: products and decompositions of ridge regression, in float64.
    heads = 2 * features * (4 * dataset.n_train * WIDEST + 20 * WIDEST**2) / (FLOPS / 2)
    kept = 3 * 4 * (dataset.n_train + dataset.n_held_out) * features
    seconds = (len(run.scheduled) + 2) * forward_seconds + heads
    return Work(seconds, _input_bytes(run, all_held=True) + _forward_bytes(run) + kept + IMPORTS)


def _of_training(layout: Layout) -> tuple[str, ...]:
    return layout.checkpoints, layout.history, layout.training


def _trained_by(step: str) -> Callable[[Run], bool]:
    return lambda run: run.training_step == step


STEPS: Mapping[str, Step] = {
    "prepare_dataset": Step(lambda layout: (DATASET,)),
    "corrupt_labels": Step(lambda layout: (layout.labels,), "labels", lambda run: not run.relabel),
    "train": Step(_of_training, "train", _trained_by("train"), _training, _checkpoints_bytes, trains=True),
    "edit_and_train": Step(
        _of_training, "train", _trained_by("edit_and_train"), _training, _checkpoints_bytes, trains=True
    ),
    "relabel": Step(
        lambda layout: (layout.relabelled, layout.label_quality),
        "labels",
        lambda run: bool(run.relabel),
        _relabelling,
    ),
    "take_weights": Step(
        _of_training, "train", _trained_by("take_weights"), _taking_weights, _checkpoints_bytes
    ),
    "rewind": Step(
        lambda layout: (layout.history, layout.training), "train", _trained_by("rewind"), _taking_weights
    ),
    "extract_activations": Step(
        lambda layout: (layout.activations,),
        "activations",
        work=_extracting,
        written=_shard_bytes,
        temporary=lambda run: not run.study.activations.keep,
    ),
    "fit_probes": Step(
        lambda layout: (layout.probe_accuracy, layout.probe_vectors, layout.probe_cost),
        "probes",
        work=_probing,
        written=_vectors_bytes,
        scratch=_probing_scratch,
    ),
    "transfer_weights": Step(
        lambda layout: (layout.transfer_accuracy, layout.transfer_models),
        "transfer",
        lambda run: bool(run.transfer),
        _transferring,
        _edited_models_bytes,
        torch=False,
        gpu=False,
    ),
    "transfer_heads": Step(
        lambda layout: (layout.heads_accuracy, layout.heads_calibration),
        "transfer",
        _has_other_heads,
        _transferring_heads,
        gpu=False,
    ),
    "audit_labels": Step(
        lambda layout: (layout.audit,),
        "audit",
        lambda run: run.audited,
        _auditing,
        lambda run: 100 * run.pair.dataset.n_train,
    ),
    "repair_network": Step(
        lambda layout: (layout.repair,), "repair", lambda run: run.repaired, _auditing, _weight_bytes
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
        "figure": list(run.study.drawings),
    }
    return [dict(zip(names, chosen, strict=True)) for chosen in product(*(values[name] for name in names))]
