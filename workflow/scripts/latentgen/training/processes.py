"""Several processes of one machine that train one network together, each on a device of its own.

Each has the whole network and the data. Of every part of a batch, each takes a share; gradients, losses and
statistics of batch normalization are added up over all of them, so all take the same step. The first is the
job: only it saves anything. It starts the others (`latentgen.training.following`), which end with it.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from latentgen.errors import LatentgenError
from latentgen.networks.blocks import depends_on_batch
from latentgen.networks.ranges import equal_part
from latentgen.training.plan import TrainingPlan

logger = logging.getLogger(__name__)

Value = TypeVar("Value")

GRACE_SECONDS = 20.0
"""After another process has failed, the first one usually notices within this time; otherwise it is ended."""
LONGEST = timedelta(hours=2)
"""Time that a process waits for another one: it may be reading the data."""
END_SECONDS = 60.0
"""Time for the other processes to end once the training has ended."""


class Processes:
    """The processes of a training, as one of them sees them; by default it is alone.

    Parameters
    ----------
    position : int
        Its number, from 0.
    count : int
        Number of processes.
    """

    def __init__(self, position: int = 0, count: int = 1) -> None:
        self.position, self.count = position, count

    def share(self, part: slice) -> slice:
        """Return this process's share of a range of examples."""
        own = equal_part(part.stop - part.start, self.position, self.count)
        return slice(part.start + own.start, part.start + own.stop)

    def add(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of such tensors over all processes, in their memory layout."""
        if self.count == 1:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [
            torch.empty_like(tensor).copy_(part.view(tensor.shape))
            for tensor, part in zip(tensors, parts, strict=True)
        ]

    def same(self, value: Value) -> Value:
        """Return the first process's value."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]

    def share_weights(self, network: nn.Module) -> None:
        """Give all networks the weights of the first one."""
        if self.count == 1:
            return
        for tensor in network.state_dict().values():
            dense = tensor.contiguous()
            torch.distributed.broadcast(dense, 0)
            tensor.copy_(dense)

    def normalize_together(self, network: nn.Module) -> None:
        """Let batch normalization in training use the examples of all processes.

        Raises
        ------
        LatentgenError
            If the network has other parts whose output depends on the examples beside one.
        """
        if self.count == 1:
            return
        if depends_on_batch(network):
            raise LatentgenError(
                "training.gpus: this network renormalizes over a batch, which cannot be divided among GPUs. "
                "Leave training.gpus out."
            )
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.forward = partial(_batch_norm, module, module.forward)  # type: ignore[method-assign]


ALONE = Processes()


class _Sum(torch.autograd.Function):
    """The sum over all processes, through which gradients flow to all of them."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, upstream: Tensor) -> Tensor:
        total = upstream.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


def _batch_norm(module: _BatchNorm, usual: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Batch normalization over the examples of all processes, which may have unequal numbers of them."""
    if not module.training:
        return usual(x)
    dims, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    values = x.to(torch.promote_types(x.dtype, torch.float32))
    count = values.new_full((1,), values.numel() / values.shape[1])
    sums: Tensor = _Sum.apply(torch.cat([values.sum(dims), count]))
    n = sums[-1].detach()
    mean = sums[:-1] / n
    centred = values - mean.view(shape)
    variance: Tensor = _Sum.apply(centred.square().sum(dims)) / n
    if module.track_running_stats:
        with torch.no_grad():
            _update(module, mean, variance * (n / (n - 1)))
    normalized = centred * (variance + module.eps).rsqrt().view(shape)
    if module.affine:
        normalized = normalized * module.weight.view(shape) + module.bias.view(shape)
    return normalized.to(x.dtype)


def _update(module: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update running statistics as torch does."""
    assert module.num_batches_tracked is not None
    module.num_batches_tracked.add_(1)
    momentum = 1 / module.num_batches_tracked if module.momentum is None else module.momentum
    for running, new in ((module.running_mean, mean), (module.running_var, variance)):
        assert running is not None
        running.mul_(1 - momentum).add_(new * momentum)


@contextmanager
def training_processes(devices: Sequence[torch.device], job: Mapping[str, Any]) -> Iterator[Processes]:
    """Start the other processes of a training, one for each further device, and end them afterwards.

    If one of them fails, this one fails too, or is ended with status 1.

    Parameters
    ----------
    devices : sequence of torch.device
        The first is that of this process. With only one, nothing is started.
    job : mapping of plain values
        What the others need: arguments of `latentgen.training.following.follow`.
    """
    if len(devices) == 1:
        yield ALONE
        return
    with TemporaryDirectory() as folder:
        meeting = Path(folder, "meeting")
        followers, over = [], threading.Event()
        try:
            for position, device in enumerate(devices[1:], 1):
                place = {
                    "position": position,
                    "count": len(devices),
                    "device": str(device),
                    "meeting": str(meeting),
                }
                path = Path(folder, f"{position}.json")
                path.write_text(json.dumps({**job, **place}), encoding="utf-8")
                command = [sys.executable, "-m", "latentgen.training.following", str(path)]
                # In a session of its own: signals are for the job, which saves its state first.
                environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
                followers.append(subprocess.Popen(command, env=environment, start_new_session=True))
            threading.Thread(target=_watch, args=(followers, over), daemon=True).start()
            meet(devices[0], 0, len(devices), meeting)
            yield Processes(0, len(devices))
            over.set()
            torch.distributed.destroy_process_group()  # each of them does, before it ends
            for follower in followers:
                with suppress(subprocess.TimeoutExpired):
                    follower.wait(END_SECONDS)
        finally:
            over.set()
            for follower in followers:
                follower.kill()
                follower.wait()
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def followers_job(given: Any, params: Any, plan: TrainingPlan) -> dict[str, Any]:
    """Return what the other processes need, from the inputs and params of a training's job."""
    names = ("model", "input_range", "normalize", "threads")
    return {
        "dataset": str(given.dataset),
        "labels": str(given.labels),
        "plan": asdict(plan),
        **{name: getattr(params, name) for name in names},
    }


def meet(device: torch.device, position: int, count: int, meeting: Path) -> None:
    """Wait for the other processes of a training; `meeting` is the path of a file that does not exist yet."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=meeting.as_uri(),
        rank=position,
        world_size=count,
        timeout=LONGEST,
    )


def _watch(followers: Sequence["subprocess.Popen[bytes]"], over: threading.Event) -> None:
    """End this process if another one has failed and it does not notice: it may be waiting for it forever."""
    while not over.wait(1):
        if any(follower.poll() not in (None, 0) for follower in followers):
            time.sleep(GRACE_SECONDS)
            if not over.is_set():
                message = "another process of this training failed: its message is above"
                print(f"latentgen: failed: {message}", file=sys.stderr, flush=True)
                os._exit(1)
            return
