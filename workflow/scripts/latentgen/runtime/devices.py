"""The threads and the GPU of a job."""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from latentgen.errors import LatentgenError
from latentgen.runtime.locks import private_folder, take_first_free

logger = logging.getLogger(__name__)


def use_device(threads: int, resources: Mapping[str, Any]) -> torch.device:
    """Use a number of threads, and a GPU if the job was given one; return the device.

    A job is given a GPU if its resources name one (`gpu`, or `gres` on SLURM) and torch sees one. Snakemake
    decides how many GPUs a job may use, but not which. So if there are several, a job takes one that no other
    job on this machine uses, and keeps it until it ends; if there are too few GPUs, jobs share.

    Parameters
    ----------
    threads : int
        The number set by the study, even if there are fewer cores: results depend on it.
    resources : mapping
        The resources of the Snakemake job.

    Raises
    ------
    LatentgenError
        If `gres` requests a GPU and torch sees none.
    """
    use_threads(threads)
    has_gpu = resources.get("gpu", 0) > 0 or "gpu" in str(resources.get("gres", ""))
    if not has_gpu:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if resources.get("gres"):  # every job requests `gpu`, in case there is one
            refuse_without_gpu(f"gres: {resources['gres']}")
        return torch.device("cpu")
    names = [
        str(torch.cuda.get_device_properties(number).uuid) for number in range(torch.cuda.device_count())
    ]
    number = take_gpu(names)
    logger.info("computing on GPU %d of %d, %s", number, len(names), torch.cuda.get_device_name(number))
    return torch.device("cuda", number)


def use_devices(count: int, threads: int, resources: Mapping[str, Any]) -> list[torch.device]:
    """Use a number of threads, and so many GPUs, or the one device of `use_device`; return them.

    Raises
    ------
    LatentgenError
        If several GPUs are asked for, and the job was given fewer, or torch sees fewer that are free.
    """
    if count == 1:
        return [use_device(threads, resources)]
    use_threads(threads)
    given, n_seen = resources.get("gpu", 0), torch.cuda.device_count()
    if "gpu" not in str(resources.get("gres", "")) and given < count:
        raise LatentgenError(
            f"training.gpus: {count}, but the job was given {given}. Allow more (--resources gpu={count}, or "
            "gpu under set-resources in the profile), or set training.gpus to 1."
        )
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in range(n_seen)]
    numbers = take_gpus(names, count) if n_seen >= count else []
    if len(numbers) < count:
        raise LatentgenError(
            f"training.gpus: {count}, but torch sees {n_seen} on {socket.gethostname()}, of which other jobs "
            f"may use some. Check nvidia-smi and CUDA_VISIBLE_DEVICES there, or lower training.gpus."
        )
    logger.info("computing on GPUs %s of %d, %s", numbers, n_seen, torch.cuda.get_device_name(numbers[0]))
    return [torch.device("cuda", number) for number in numbers]


def use_threads(threads: int) -> None:
    """Make torch, NumPy, SciPy and Blosc use this many threads."""
    torch.set_num_threads(threads)
    ThreadpoolController().select(user_api="blas").limit(limits=threads)  # NumPy's, which is loaded
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)  # read when SciPy is imported
    os.environ["BLOSC_NTHREADS"] = str(threads)  # read at every chunk


def refuse_without_gpu(asked: str) -> None:
    """Refuse to compute on the CPU if a GPU was requested.

    Raises
    ------
    LatentgenError
        If torch sees no GPU.
    """
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
        raise LatentgenError(
            f"A GPU was requested ({asked}), but torch {torch.__version__}, built for {built}, sees none on "
            f"{socket.gethostname()}. Check nvidia-smi and CUDA_VISIBLE_DEVICES there, or request none "
            "(--resources gpu=0) to compute on the CPU."
        )


def take_gpu(names: list[str]) -> int:
    """Return the number of a GPU that no other job uses; `names` are the same for all jobs here."""
    folder = private_folder()
    if folder is None:
        logger.warning("no private folder for locks in the temporary folder: jobs may share a GPU")
        return os.getpid() % len(names)
    position = take_first_free([folder / f"gpu-{name}.lock" for name in names])
    return os.getpid() % len(names) if position is None else position


def take_gpus(names: list[str], count: int) -> list[int]:
    """Return the numbers of as many GPUs as are wanted and no other job uses, or of fewer."""
    folder = private_folder()
    if folder is None:
        return list(range(min(count, len(names))))
    paths = [folder / f"gpu-{name}.lock" for name in names]
    taken = (take_first_free(paths) for _ in range(count))
    return [position for position in taken if position is not None]
