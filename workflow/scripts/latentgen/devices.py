"""Where a job computes: threads and GPU."""

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from latentgen.locks import take_first_free

logger = logging.getLogger(__name__)


def use_device(threads: int, resources: Mapping[str, Any]) -> torch.device:
    """Take the number of threads a job was given, and a GPU if it was given one; return the device.

    It was if its resources name one (`gpu`, or `gres` on SLURM) and it can see one. Snakemake says how many
    GPUs a job may use, and not which. So of several that it sees, a job takes one that no other job of this
    machine has taken, and keeps it until it ends; with too few GPUs, jobs share.
    """
    torch.set_num_threads(threads)
    given = resources.get("gpu", 0) > 0 or "gpu" in str(resources.get("gres", ""))
    if not given or not torch.cuda.is_available():
        return torch.device("cpu")
    names = [
        str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())
    ]
    number = take_gpu(names)
    logger.info("computing on GPU %d of %d, %s", number, len(names), torch.cuda.get_device_name(number))
    return torch.device("cuda", number)


def take_gpu(names: list[str]) -> int:
    """Return the number of a GPU that no other job has taken; `names` are the same for all jobs here."""
    folder = Path(tempfile.gettempdir())
    place = take_first_free([folder / f"latentgen-gpu-{os.getuid()}-{name}.lock" for name in names])
    return os.getpid() % len(names) if place is None else place
