"""Where a job computes: threads and GPU."""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

import torch

from latentgen.errors import LatentgenError
from latentgen.runtime.locks import private_folder, take_first_free

logger = logging.getLogger(__name__)


def use_device(threads: int, resources: Mapping[str, Any]) -> torch.device:
    """Take the number of threads a job was given, and a GPU if it was given one; return the device.

    It was if its resources name one (`gpu`, or `gres` on SLURM) and it can see one. Snakemake says how many
    GPUs a job may use, and not which. So of several that it sees, a job takes one that no other job of this
    machine has taken, and keeps it until it ends; with too few GPUs, jobs share.

    Raises
    ------
    LatentgenError
        If `gres` asks for a GPU and torch sees none.
    """
    use_threads(threads)
    given = resources.get("gpu", 0) > 0 or "gpu" in str(resources.get("gres", ""))
    if not given:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if resources.get("gres"):  # `gpu` alone is said by every job, for the case that there is one
            refuse_without_gpu(f"gres: {resources['gres']}")
        return torch.device("cpu")
    names = [
        str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())
    ]
    number = take_gpu(names)
    logger.info("computing on GPU %d of %d, %s", number, len(names), torch.cuda.get_device_name(number))
    return torch.device("cuda", number)


def use_threads(threads: int) -> None:
    """Let torch and SciPy compute, and Blosc compress, with so many threads."""
    torch.set_num_threads(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)  # read when SciPy is imported, where it is needed
    os.environ["BLOSC_NTHREADS"] = str(threads)  # read at every chunk


def refuse_without_gpu(asked: str) -> None:
    """Refuse to compute on the CPU where a GPU was asked for.

    Raises
    ------
    LatentgenError
        If torch sees no GPU.
    """
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
        raise LatentgenError(
            f"A GPU was asked for ({asked}), and torch {torch.__version__}, built for {built}, sees none on "
            f"{socket.gethostname()}. Look at nvidia-smi and CUDA_VISIBLE_DEVICES there, or ask for none "
            "(--resources gpu=0) to compute on the CPU."
        )


def take_gpu(names: list[str]) -> int:
    """Return the number of a GPU that no other job has taken; `names` are the same for all jobs here."""
    folder = private_folder()
    if folder is None:
        logger.warning("no private folder for locks in the temporary folder: jobs may share a GPU")
        return os.getpid() % len(names)
    position = take_first_free([folder / f"gpu-{name}.lock" for name in names])
    return os.getpid() % len(names) if position is None else position
