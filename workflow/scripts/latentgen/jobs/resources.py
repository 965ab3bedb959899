"""What a step of a run needs: threads, GPUs, memory, time, disk, from the sizes of its data and its network.

The rates are of one core, measured, and on the low side: a scheduler ends a job that exceeds what it
asked for.
"""

from functools import cache
from math import ceil, prod
from typing import Literal, NamedTuple

from latentgen.study.config import Run

Step = Literal[
    "train",
    "edit_and_train",
    "relabel",
    "take_weights",
    "rewind",
    "extract_activations",
    "fit_probes",
    "transfer_weights",
]

PROCESS_MEGABYTES = 700
"""A process that has imported torch."""
FLOPS = 20e9
"""Floating-point operations a second of one core, in large products."""
STEP_SECONDS = 1e-3
"""Overhead of one optimizer step."""
BYTES_PER_SECOND = 100e6
"""Compressing, writing and reading of activations."""
BLOCK_ITEMS = 1024
"""Items of a forward pass at most (`forward.MOST_ITEMS`)."""
SMALL = 100e6
"""Bytes of activations per checkpoint below which more than one thread does not pay."""
SMALL_EPOCH, SMALL_STEP = 2e10, 1e7
"""Multiply-adds of the forward passes of an epoch, or a step, below which the same holds for training."""
THREADS = 4
"""Threads of a job for which more than one pays."""


class JobSize(NamedTuple):
    """What a job asks for."""

    threads: int
    """These are used even where there are fewer cores: the last digits of results depend on their number."""
    gpus: int
    """One, or none for what cannot use it. Profiles and `--resources gpu=0` lower it to what there is."""
    megabytes: int
    minutes: int
    disk_megabytes: int
    seconds: int
    """Computing time, of which `minutes` is twice and some more: a scheduler ends what takes longer."""


@cache
def job_size(step: Step, run: Run) -> JobSize:
    """Return what one job of a step needs.

    Parameters
    ----------
    step : str
        Name of the rule.
    run : Run
        The run that the job is about.
    """
    dataset = run.pair.dataset
    shape = dataset.info.shape
    input_bytes = 4 * dataset.n_items * prod(shape)
    per_shard = min(run.checkpoints_per_shard, len(run.scheduled))
    widest_bytes = 4 * dataset.n_items * max(run.layers.values())
    threads = _threads(step, run)
    forward_seconds = 2 * dataset.n_items * run.pair.model.multiply_adds(shape) / (FLOPS * threads)
    # Input and output of a layer, and a copy that a convolution makes.
    forward_bytes = 3 * 4 * min(BLOCK_ITEMS, dataset.n_train) * run.pair.model.largest_output(shape)
    stored_bytes = per_shard * run.checkpoint_bytes
    match step:
        case "train" | "edit_and_train":
            training = run.training
            steps = training["max_epochs"] * ceil(dataset.n_train / training["batch_size"])
            seconds = 3 * forward_seconds * training["max_epochs"] + steps * STEP_SECONDS
            memory = 4 * input_bytes + forward_bytes
        case "relabel":
            seconds = 20 * forward_seconds * len(run.relabel_layers)
            memory = 3 * input_bytes + forward_bytes + 3 * widest_bytes
        case "take_weights" | "rewind":
            seconds = len(run.scheduled) * forward_seconds
            memory = 4 * input_bytes + forward_bytes
        case "extract_activations":
            seconds = per_shard * forward_seconds + stored_bytes / BYTES_PER_SECOND
            memory = 3 * input_bytes + forward_bytes
        case "fit_probes":
            seconds = 20 * per_shard * forward_seconds + stored_bytes / BYTES_PER_SECOND
            memory = 3 * widest_bytes
        case "transfer_weights":
            seconds = stored_bytes / BYTES_PER_SECOND
            memory = 2 * widest_bytes
    disk = stored_bytes if step == "extract_activations" else 0
    return JobSize(
        threads,
        0 if step == "transfer_weights" else 1,
        PROCESS_MEGABYTES + memory // 10**6,
        10 + ceil(2 * seconds / 60),
        1 + disk // 10**6,
        ceil(seconds),
    )


def _threads(step: Step, run: Run) -> int:
    """Return the threads of a step: they follow from the study alone, whatever the machine."""
    if step not in ("train", "edit_and_train"):
        return 1 if run.checkpoint_bytes < SMALL else THREADS
    if run.pair.training is not None and run.pair.training.threads != "auto":
        return run.pair.training.threads
    one_image = run.pair.model.multiply_adds(run.pair.dataset.info.shape)
    is_small = one_image * run.pair.dataset.n_items < SMALL_EPOCH
    return 1 if is_small or one_image * run.training["batch_size"] < SMALL_STEP else THREADS
