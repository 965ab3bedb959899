"""Extraction: one checkpoint of the MLP, 70,000 examples, four layers, to HDF5."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from benchmarks.inputs import LAYERS, Probed, fashion, fit_layers, forward, plain, probed
from benchmarks.timing import Goal, Section, in_process, in_turn
from latentgen.networks.activations import captured, write_activations
from latentgen.networks.checkpoints import save_weights
from latentgen.probes.subspace_probes import SubspaceProbe, predict_together
from latentgen.runtime.files import read_h5, write_h5
from latentgen.study.activation_settings import Activations

ONE_BY_ONE = 2_000
"""Number of examples, of 70,000, that are processed one by one; the time is scaled."""

BITS = Activations().mantissa_bits
ROUNDED = f"float32 rounded to {BITS} bits"
FORMATS = {ROUNDED: ("float32", BITS), "float16": ("float16", BITS)}
"""Number format and bits of the mantissa, by name. The first is the default of studies."""


def run() -> list[Section]:
    """Speed, in a separate process like a job, and size with its effect on the counts."""
    speed, _ = in_process(_speed)
    given, memorized = probed(epochs=2), probed(epochs=30, train_items=20_000, fast=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            speed,
            _size(given, "after 2 epochs", folder, tuple(FORMATS)),
            _size(memorized, "memorized", folder, (ROUNDED,)),
        ]


def _write(given: Probed, folder: Path, dtype: str = "float32", mantissa_bits: int = BITS) -> Path:
    checkpoint, shard = folder / "epoch_0002.safetensors", folder / "shard.h5"
    save_weights(checkpoint, {name: t.numpy() for name, t in given.network.state_dict().items()})
    with write_h5(shard) as file:
        inputs = {"train": given.train_inputs, "test": given.test_inputs}
        write_activations(file, given.network, {2: checkpoint}, inputs, LAYERS, dtype, mantissa_bits)
    return shard


def _speed() -> Section:
    given = probed(epochs=2)
    with tempfile.TemporaryDirectory() as folder:
        return _compare(given, Path(folder))


def _compare(given: Probed, folder: Path) -> Section:
    inputs = torch.cat([given.train_inputs, given.test_inputs])
    network = plain(given.network)
    stored = {layer: torch.cat([given.train[layer], given.test[layer]]).numpy() for layer in LAYERS}

    def write_raw() -> None:
        with (folder / "raw").open("wb") as file:
            for rows in stored.values():
                file.write(rows.data)

    def one_by_one() -> None:
        with h5py.File(folder / "single.h5", "w") as file, captured(network, LAYERS) as outputs:
            for index in range(ONE_BY_ONE):
                with torch.no_grad():
                    network(inputs[index : index + 1])
                for layer in LAYERS:
                    file.create_dataset(f"{index}/{layer}", data=outputs[layer].numpy())

    timed = in_turn(
        {
            "forward pass": lambda: forward(network, inputs),
            "forward pass, ours": lambda: forward(given.network, inputs),
            "writing the same bytes uncompressed": write_raw,
            "ours": lambda: _write(given, folder),
            "one example at a time": one_by_one,
        },
        scales={"one example at a time": len(inputs) / ONE_BY_ONE},
        cold=("one example at a time",),
    )
    limit = ("forward pass", "writing the same bytes uncompressed")
    return Section(
        "Extraction of an MLP checkpoint",
        f"{len(inputs):,} examples, four layers, {ROUNDED}, to a compressed HDF5 file with checksums.",
        list(timed.values()),
        [
            Goal(
                "extraction relative to forward pass + writing the same bytes uncompressed",
                timed.ratio("ours", limit),
                1.3,
            ),
            Goal(
                "one example at a time relative to extraction",
                timed.ratio("one example at a time", "ours"),
                20,
                at_least=True,
            ),
        ],
        [
            f"{sum(rows.nbytes for rows in stored.values()) / 1e9:.2f} GB uncompressed",
            f"{timed.ratio('ours', ('forward pass, ours', limit[1])):.2f} × with our forward pass",
        ],
    )


def _size(given: Probed, when: str, folder: Path, formats: Sequence[str]) -> Section:
    """Size of a shard, and the effect of its number format on counts."""
    raw = sum(rows.nbytes for split in (given.train, given.test) for rows in split.values())
    exact = _counts(given, given.fitted, given.train, given.test)
    notes, goals = [], []
    for name in formats:
        shard = _write(given, folder, *FORMATS[name])
        with read_h5(shard) as file:
            train, test = (
                {layer: torch.from_numpy(file[f"2/{layer}/{split}"][...]) for layer in LAYERS}
                for split in ("train", "test")
            )
        found = _counts(given, fit_layers(train, given.labels), train, test)
        moved = float(np.abs(found - exact).max())
        fraction = shard.stat().st_size / raw
        notes.append(
            f"{name}: {fraction:.3f} of raw float32; counts changed by at most {moved:.3f} % of the examples"
        )
        if name == ROUNDED:
            goals.append(Goal(f"size of a shard, of raw float32 ({when})", fraction, 0.40))
            goals.append(Goal(f"counts changed by its rounding ({when})", moved, 0.05, "%"))
    return Section(
        f"Size of an activations shard, {when}",
        "Counts for MASC(0.99) and VeLPIC on all four layers and both splits.",
        goals=goals,
        notes=notes,
    )


def _counts(
    given: Probed,
    fitted: Mapping[str, list[SubspaceProbe]],
    train: Mapping[str, torch.Tensor],
    test: Mapping[str, torch.Tensor],
) -> np.ndarray:
    """Percentage of examples classified correctly: layers × splits and probes."""
    labels, true = torch.from_numpy(given.labels.corrupted), torch.from_numpy(fashion().test_labels)
    rows = []
    for layer in LAYERS:
        found = [
            100 * float((torch.as_tensor(predicted) == expected).double().mean())
            for items, expected in ((train[layer], labels), (test[layer], true))
            for predicted in predict_together(fitted[layer], items)
        ]
        rows.append(found)
    return np.array(rows)
