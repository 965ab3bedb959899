"""Write the activations of a network's layers for all examples, at several checkpoints, to one HDF5 file."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentgen.errors import LatentgenError
from latentgen.networks.activation_files import PREDICTIONS, create
from latentgen.networks.base import INPUT
from latentgen.networks.blocks import depends_on_batch, single_images
from latentgen.networks.checkpoints import load_network
from latentgen.networks.class_moments import MOMENTS, ClassMoments
from latentgen.networks.examples import Examples, spans, taken
from latentgen.networks.forward import items_per_block
from latentgen.networks.layer_choice import Pool, probed
from latentgen.networks.pooling import channels_first, first_tensor, pooled
from latentgen.networks.ranges import CHUNK_ITEMS
from latentgen.networks.tokens import TokenInput, token_input
from latentgen.runtime.logs import Progress
from latentgen.runtime.memory import FEWER_JOBS, explain_out_of_memory

MANTISSA_BITS = 23
"""Mantissa bits of float32, without the leading one."""


@contextmanager
def captured(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that has, after each forward pass, the probed outputs by name, as examples × units.

    Names are those of layers, or of layers with a pool (`latentgen.networks.layer_choice`); padding is left
    out. The hooks are always removed at the end. Outputs are cloned, since a later layer may overwrite its
    input in place.
    """
    outputs: dict[str, Tensor] = {}
    given: list[Tensor] = []
    tokens = token_input(network)

    def keep_given(_network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given[:] = inputs[:1]

    def keep(name: str, pool: Pool, module: nn.Module, _inputs: object, output: Any) -> None:
        tensor = first_tensor(output)
        assert tensor is not None, f"{name} gives no tensor"
        tensor = channels_first(tensor, given[0])
        if isinstance(module, TokenInput):
            tensor = module.as_layer(tensor)
        if tokens:
            tensor = tokens.examples(tensor)
        outputs[name] = pooled(tensor.detach(), pool, tokens.mask if tokens else None).clone()

    with ExitStack() as hooks:
        hooks.callback(network.register_forward_pre_hook(keep_given).remove)
        for name in layers:
            layer, pool = probed(name)
            handle = network.get_submodule(layer).register_forward_hook(partial(keep, name, pool))
            hooks.callback(handle.remove)
        yield outputs


@torch.no_grad()
def layer_activations(network: nn.Module, inputs: Examples, layer: str) -> Tensor:
    """Return the outputs of one layer for all inputs in eval mode: examples × units, in memory.

    If an output depends on the other examples in a batch, each example is a batch of its own.
    """
    network.eval()
    alone = single_images(network) if depends_on_batch(network) else nullcontext()
    with captured(network, [layer]) as outputs, alone:
        blocks = []
        for block in taken(inputs, spans(len(inputs), items_per_block(network, inputs))):
            network(block)
            blocks.append(outputs[layer])
    return torch.cat(blocks)


def write_activations(
    file: h5py.File,
    network: nn.Module,
    checkpoints: Mapping[int, Path],
    inputs: Mapping[str, Examples],
    layers: Sequence[str],
    dtype: str = "float32",
    mantissa_bits: int = MANTISSA_BITS,
    mode: Literal["eval", "single_images"] = "eval",
    run: str | None = None,
    moments: tuple[Mapping[str, NDArray[np.int64]], int] | None = None,
) -> None:
    """Write the activations of every layer at every checkpoint, a block of examples at a time.

    The raw input, the same at every checkpoint, is written once; the other checkpoints link to it.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    network : nn.Module
        Receives each checkpoint's weights in turn.
    checkpoints : mapping of int to path
        Files of weights by epoch.
    inputs : mapping of str to tensor or StoredExamples
        Inputs by split (``train``, ``test``, ``held_out``), as `dataset_inputs` returns them.
    layers : sequence of str
        Named layers to write.
    dtype : str
        Number format in the file.
    mantissa_bits : int
        Bits of the mantissa that float32 is rounded to; the others are zero, so that they compress to nothing
        (Klöwer et al., 2021, doi 10.1038/s43588-021-00156-2).
    mode : {"eval", "single_images"}
        Whether the network is run in eval mode, or as in the papers (`networks.blocks.single_images`).
    run : str, optional
        The run that the checkpoints must belong to.
    moments : (mapping of str to array, int), optional
        Labels of the training examples by name, and the number of classes: of the training split, only the
        moments of the classes are written (`latentgen.networks.class_moments`).

    Raises
    ------
    LatentgenError
        If an activation is NaN, infinite, or too large for `dtype`; if a checkpoint belongs to another run or
        epoch; or if memory runs out.
    """
    network.eval()
    per_input = outputs_per_input(network, next(iter(inputs.values())))
    block_size = min(items_per_block(network, items) for items in inputs.values() if len(items))
    first = next(iter(checkpoints), None)
    file.attrs["layers"] = list(layers)
    file.attrs["run"] = run or ""
    progress, done = Progress(len(checkpoints) * sum(map(len, inputs.values())), "item"), 0
    with (
        explain_out_of_memory(f"Passing {block_size} examples at a time through the network", FEWER_JOBS),
        captured(network, layers) as outputs,
        single_images(network) if mode == "single_images" else nullcontext(),
        torch.inference_mode(),
        ThreadPoolExecutor(1) as writer,  # compresses and writes a chunk while the next one is computed
    ):
        writing: Future[None] | None = None
        for epoch, path in checkpoints.items():
            load_network(network, path, (run, epoch) if run else None)
            for split, items in inputs.items():
                if not len(items):  # a range of the examples may have none of a small split
                    continue
                predicted: list[Tensor] = []
                how = file, epoch, split, len(items) * per_input, dtype, mantissa_bits
                kept = _Sums(*how, moments=moments) if moments and split == "train" else _Rows(*how)
                written = [layer for layer in layers if layer != INPUT or epoch == first]
                chunks = [
                    spans(chunk.stop, block_size, chunk.start)
                    for chunk in spans(len(items), max(1, CHUNK_ITEMS // per_input))
                ]
                blocks = taken(items, [block for chunk in chunks for block in chunk])
                for chunk in chunks:
                    outputs_of_chunk: dict[str, list[Tensor]] = {layer: [] for layer in written}
                    for _ in chunk:
                        predicted.append(network(next(blocks)).argmax(1))
                        for layer in written:
                            outputs_of_chunk[layer].append(outputs[layer])
                    if writing:
                        writing.result()
                    writing = writer.submit(kept.add, chunk[0].start * per_input, outputs_of_chunk)
                    done += chunk[-1].stop - chunk[0].start
                    progress.step(done, f"epoch {epoch}")
                if split == "test" and predicted:
                    file[f"{epoch}/{PREDICTIONS}/{split}"] = torch.cat(predicted).cpu().numpy()
        if writing:
            writing.result()
    for epoch in checkpoints:
        if epoch != first and f"{first}/{INPUT}" in file:
            file[f"{epoch}/{INPUT}"] = file[f"{first}/{INPUT}"]


def outputs_per_input(network: nn.Module, inputs: Examples) -> int:
    """Return how many examples an input of a network has: one for each token if next tokens are classes."""
    tokens = token_input(network)
    return inputs[:1].shape[1] if tokens and tokens.next_token else 1


class _Rows:
    """Writes what the layers give for the examples of a split."""

    def __init__(
        self, file: h5py.File, epoch: int, split: str, n_items: int, dtype: str, mantissa_bits: int
    ) -> None:
        self.file, self.epoch, self.split, self.n_items = file, epoch, split, n_items
        self.dtype, self.mantissa_bits = dtype, mantissa_bits

    def add(self, start: int, outputs: Mapping[str, Sequence[Tensor]]) -> None:
        """Take what the layers gave for the examples from `start` on, block after block."""
        for layer, blocks in outputs.items():
            where = f"Layer {layer} at epoch {self.epoch}"
            rows = _storable(torch.cat(list(blocks)), getattr(torch, self.dtype), self.mantissa_bits, where)
            self._keep(layer, start, rows)

    def _keep(self, layer: str, start: int, rows: Tensor) -> None:
        name = f"{self.epoch}/{layer}/{self.split}"
        if start == 0:
            create(self.file, name, (self.n_items, rows.shape[1]), self.dtype)
        self.file[name][start : start + len(rows)] = rows.cpu().numpy()


class _Sums(_Rows):
    """Adds up the moments of classes instead, by each of several labels, and writes these."""

    def __init__(self, *how: Any, moments: tuple[Mapping[str, NDArray[np.int64]], int]) -> None:
        super().__init__(*how)
        self.labels, self.n_classes = moments
        self.sums: dict[tuple[str, str], ClassMoments] = {}

    def _keep(self, layer: str, start: int, rows: Tensor) -> None:
        for name, labels in self.labels.items():
            sums = self.sums.setdefault((layer, name), ClassMoments(labels, self.n_classes))
            sums.add(rows, start)
            if start + len(rows) == self.n_items:
                sums.write(self.file.create_group(f"{self.epoch}/{layer}/{MOMENTS}/{name}"))


def _storable(output: Tensor, dtype: torch.dtype, mantissa_bits: int, where: str) -> Tensor:
    rows = output.to(dtype)
    # A sum is not finite if one of its terms is not, and is much faster than checking each.
    if not rows.sum(dtype=torch.float32).isfinite() and not rows.isfinite().all():
        if output.isfinite().all():
            kind = str(dtype).removeprefix("torch.")
            raise LatentgenError(
                f"{where} has values too large for {kind}: set activations.dtype to float32."
            )
        raise LatentgenError(
            f"{where} has values that are NaN or infinite: the weights are unusable. Check whether training "
            "diverged (history.csv)."
        )
    if dtype == torch.float32 and mantissa_bits < MANTISSA_BITS:
        round_mantissa(rows, mantissa_bits)
        if not rows.sum().isfinite() and not rows.isfinite().all():
            raise LatentgenError(
                f"{where} has values so large that rounding makes them infinite: set "
                f"activations.mantissa_bits: {MANTISSA_BITS}."
            )
    return rows


def round_mantissa(rows: Tensor, mantissa_bits: int) -> None:
    """Round float32 in place to the nearest number with this many bits; halfway, away from 0."""
    dropped = MANTISSA_BITS - mantissa_bits
    bits = rows.view(torch.int32)
    bits += 1 << (dropped - 1)  # carries into the exponent as it should
    bits &= -1 << dropped
