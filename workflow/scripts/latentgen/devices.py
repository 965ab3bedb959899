"""Where a job computes: threads and GPU."""

import torch


def use_device(threads: int) -> torch.device:
    """Take the number of threads a job was given, and the GPU if it can see one; return the device."""
    torch.set_num_threads(threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
