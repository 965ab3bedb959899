"""Time and memory of the jobs of each step, and the size of what they write.

The rates are measured on one core and rounded down, since a scheduler kills jobs that exceed their request.
"""

from math import ceil
from typing import NamedTuple

from latentgen.data.inputs import IN_MEMORY, input_bytes, is_in_memory, kind_of, raw_width
from latentgen.runtime.memory import PROCESS_MEGABYTES
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


def processes(run: Run) -> int:
    return int(run.training.get("gpus", 1))


def _input_bytes(run: Run) -> int:
    """Return what the inputs of all splits take, as they are stored and as a network takes them.

    Those that are read as they are needed take a few blocks.
    """
    dataset = run.pair.dataset
    shape = dataset.info.shape
    as_stored = 0.25 if kind_of(shape) == "images" else 0.5
    held = sum(
        n if is_in_memory(n, shape) else min(n, BLOCK_ITEMS)
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


def shard_bytes(run: Run) -> int:
    return _per_shard(run) * run.checkpoint_bytes


def range_bytes(run: Run) -> int:
    return shard_bytes(run) // run.n_ranges


def classes_bytes(run: Run) -> int:
    """Bases of a range of classes: half of the most directions that they can have, in every layer."""
    dataset, n_classes = run.pair.dataset, run.pair.dataset.info.n_classes
    numbers = sum(width * min(width * n_classes, dataset.n_train) for width in run.layers.values())
    fits = len(run.study.fit_labels) + len(run.other_labels)
    return _per_shard(run) * fits * 8 * numbers // (2 * run.n_ranges)


def weight_bytes(run: Run) -> int:
    return run.pair.weight_bytes


def checkpoints_bytes(run: Run) -> int:
    return len(run.scheduled) * weight_bytes(run)


def vectors_bytes(run: Run) -> int:
    n_classes = run.pair.dataset.info.n_classes
    return 4 * _per_shard(run) * n_classes * sum(run.layers.values()) * len(run.study.fit_labels)


def edited_models_bytes(run: Run) -> int:
    if not run.transfer:
        return 0
    models = len(run.transfer.keep_models_at) + 1
    return models * len(run.transfer.bias) * weight_bytes(run) // len(run.shards)


def training(run: Run, forward_seconds: float) -> Work:
    epochs = run.training["max_epochs"]
    steps = epochs * ceil(run.pair.dataset.n_train_inputs / run.training["batch_size"])
    seconds = 3 * forward_seconds * epochs / processes(run) + steps * STEP_SECONDS
    # Weights, gradients, two moments of Adam, new weights, and a copy of these that is saved.
    memory = _input_bytes(run) + _forward_bytes(run) + 6 * weight_bytes(run)
    if any(group["frozen"] for group in run.training.get("groups", ())):  # what frozen layers give is held
        memory += min(IN_MEMORY, 4 * run.pair.dataset.n_items * run.pair.largest_output)
    if run.edit:  # of the layer that the vectors are fitted on: its blocks, these together, and a copy
        memory += 3 * 4 * run.pair.dataset.n_train * run.layers[run.last_layer]
    memory = processes(run) * (memory + PROCESS_MEGABYTES * 10**6) - PROCESS_MEGABYTES * 10**6
    return Work(seconds, memory)


def taking_weights(run: Run, forward_seconds: float) -> Work:
    memory = _input_bytes(run) + _forward_bytes(run) + 3 * weight_bytes(run)
    return Work(len(run.scheduled) * forward_seconds, memory)


def relabelling(run: Run, forward_seconds: float) -> Work:
    memory = _input_bytes(run) + _forward_bytes(run) + 3 * _widest_bytes(run)
    return Work(20 * forward_seconds * len(run.relabel_layers), memory)


def extracting(run: Run, forward_seconds: float) -> Work:
    seconds = _per_shard(run) * forward_seconds + shard_bytes(run) / BYTES_PER_SECOND
    # What layers give for a block, together, rounded and compressed, while the next one is computed.
    block = 4 * 4 * min(BLOCK_ITEMS, run.pair.dataset.n_train) * sum(run.layers.values())
    return Work(seconds, _input_bytes(run) + _forward_bytes(run) + block + run.moment_bytes)


def extracting_range(run: Run, forward_seconds: float) -> Work:
    return _of_range(run, extracting(run, forward_seconds))


def probing(run: Run, forward_seconds: float) -> Work:
    if run.n_ranges > 1 and _in_parts(run):
        return _joining(run)
    seconds = 20 * _per_shard(run) * forward_seconds + shard_bytes(run) / BYTES_PER_SECOND
    return Work(seconds, 3 * _in_memory(run))


def _joining(run: Run) -> Work:
    """Nothing is left but to put together what jobs on ranges found: vectors of classes, and predictions."""
    dataset, n_probes = run.pair.dataset, len(run.study.probes) + 1
    vectors = 8 * dataset.info.n_classes * max(run.layers.values())
    memory = 4 * vectors + 2 * 8 * dataset.n_items * n_probes
    return Work(run.n_ranges * classes_bytes(run) / BYTES_PER_SECOND, memory)


def probing_range(run: Run, forward_seconds: float) -> Work:
    """Every range of classes is picked from all examples; every range of examples meets all classes."""
    fitted = 20 * _per_shard(run) * forward_seconds / run.n_ranges
    read = (shard_bytes(run) + run.n_ranges * classes_bytes(run)) / BYTES_PER_SECOND
    return Work(fitted + read, 3 * min(_widest_bytes(run), LARGEST_LAYER))


def _of_range(run: Run, work: Work) -> Work:
    return work._replace(seconds=work.seconds / run.n_ranges)


def _in_memory(run: Run) -> int:
    """Bytes of activations that a probing job holds: the widest layer, or the largest part read at a time."""
    widest = _widest_bytes(run)
    if run.moment_bytes:
        dataset = run.pair.dataset
        matrices = 8 * dataset.info.n_classes * max(run.layers.values()) ** 2
        return matrices + widest * (dataset.n_items - dataset.n_train) // dataset.n_items
    return min(widest, LARGEST_LAYER) if _in_parts(run) else widest


def _in_parts(run: Run) -> bool:
    return all(probe.in_parts for probe in run.study.probes)


def probing_scratch(run: Run) -> int:
    """Return room for a layer that is read in parts; what was divided among jobs is not read again so."""
    if run.n_ranges > 1 or _in_memory(run) == _widest_bytes(run) or run.moment_bytes:
        return 0
    return range_scratch(run)


def range_scratch(run: Run) -> int:
    """Return room for a layer sorted by class, and for bases of at most half its directions."""
    dataset, widest = run.pair.dataset, max(run.layers.values())
    directions = min(dataset.n_train, dataset.info.n_classes * widest // 2)
    return (_widest_bytes(run) + 8 * widest * directions) // run.n_ranges


def transferring(run: Run, forward_seconds: float) -> Work:
    width = run.layers[run.last_layer] + run.pair.dataset.info.n_classes
    block = min(TRANSFERRED_BYTES, 4 * run.pair.dataset.n_train * width)
    return Work(shard_bytes(run) / BYTES_PER_SECOND, 3 * block // 2 + 3 * weight_bytes(run))


def transferring_heads(run: Run, forward_seconds: float) -> Work:
    dataset, width = run.pair.dataset, run.layers[run.last_layer]
    # Products and decompositions of ridge and LDA in float64, and 200 passes of logistic regression.
    passes = 200 * 4 * dataset.n_train * width * dataset.info.n_classes
    flops = passes + 6 * dataset.n_train * width**2 + 40 * width**3
    seconds = shard_bytes(run) / BYTES_PER_SECOND + _per_shard(run) * flops / (FLOPS / 2)
    return Work(seconds, 4 * 4 * dataset.n_items * width + IMPORTS)


def _features(run: Run) -> int:
    """Return the number of features per example that an audit keeps, including the raw input."""
    widths = [*run.layers.values(), raw_width(run.pair.dataset.info.shape)]
    return sum(min(width, WIDEST) for width in widths)


def auditing(run: Run, forward_seconds: float) -> Work:
    dataset, features = run.pair.dataset, _features(run)
    # For two checkpoints: products and decompositions of ridge regression, in float64.
    heads = 2 * features * (4 * dataset.n_train * WIDEST + 20 * WIDEST**2) / (FLOPS / 2)
    kept = 3 * 4 * (dataset.n_train + dataset.n_held_out) * features
    # Of all classes, in float64: each layer's, all of these together, their sum, and a copy.
    scores = 8 * (dataset.n_train + dataset.n_held_out) * dataset.info.n_classes
    held = kept + 2 * (len(run.layers) + 2) * scores
    seconds = (len(run.scheduled) + 2) * forward_seconds + heads
    return Work(seconds, _input_bytes(run) + _forward_bytes(run) + held + IMPORTS)
