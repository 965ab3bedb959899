"""Extraction: one checkpoint of the MLP, 70,000 items, four layers, to HDF5."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch

from benchmarks.inputs import LAYERS, Probed, fashion, forward, probed
from benchmarks.timing import Goal, Section, in_turn
from latentgen.activations import captured, write_activations
from latentgen.checkpoints import save_weights
from latentgen.config import Activations
from latentgen.files import write_h5
from latentgen.probes import MASC, VeLPIC, fit_together, predict_together

ONE_BY_ONE = 500
"""Of 70,000 items that the item-by-item way does; its time is scaled."""


def run() -> list[Section]:
    """Speed, and size with what it does to the counts."""
    given = probed(epochs=2)
    with tempfile.TemporaryDirectory() as folder:
        return [_speed(given, Path(folder)), _size(given, Path(folder))]


def _write(
    given: Probed, folder: Path, dtype: str = "float32", mantissa_bits: int = Activations().mantissa_bits
) -> Path:
    checkpoint, shard = folder / "epoch_0002.safetensors", folder / f"{dtype}.h5"
    save_weights(checkpoint, {name: t.numpy() for name, t in given.network.state_dict().items()})
    with write_h5(shard) as file:
        inputs = {"train": given.train_inputs, "test": given.test_inputs}
        write_activations(file, given.network, {2: checkpoint}, inputs, LAYERS, dtype, mantissa_bits)
    return shard


def _speed(given: Probed, folder: Path) -> Section:
    inputs = torch.cat([given.train_inputs, given.test_inputs])
    stored = {layer: torch.cat([given.train[layer], given.test[layer]]).numpy() for layer in LAYERS}

    def write_raw() -> None:
        with (folder / "raw").open("wb") as file:
            for rows in stored.values():
                file.write(rows.data)

    def one_by_one() -> None:
        with h5py.File(folder / "single.h5", "w") as file, captured(given.network, LAYERS) as outputs:
            for index in range(ONE_BY_ONE):
                with torch.no_grad():
                    given.network(inputs[index : index + 1])
                for layer in LAYERS:
                    file.create_dataset(f"{index}/{layer}", data=outputs[layer].numpy())

    timed = in_turn(
        {
            "forward pass": lambda: forward(given.network, inputs),
            "the same bytes written raw": write_raw,
            "ours": lambda: _write(given, folder),
            "item by item": one_by_one,
        },
        scales={"item by item": len(inputs) / ONE_BY_ONE},
    )
    limit = ("forward pass", "the same bytes written raw")
    return Section(
        "Extraction of an MLP checkpoint",
        f"{len(inputs):,} items, four layers, float32, to a compressed HDF5 file with checksums.",
        list(timed.values()),
        [
            Goal(
                "extraction against forward pass + the same bytes written raw",
                timed.ratio("ours", limit),
                1.3,
            ),
            Goal(
                "one item at a time against extraction",
                timed.ratio("item by item", "ours"),
                20,
                at_least=True,
            ),
        ],
        [f"{sum(rows.nbytes for rows in stored.values()) / 1e9:.2f} GB uncompressed"],
    )


def _size(given: Probed, folder: Path) -> Section:
    raw = sum(rows.nbytes for split in (given.train, given.test) for rows in split.values())
    notes, goals = [], []
    for dtype in ("float32", "float16"):
        share = _write(given, folder, dtype).stat().st_size / raw
        moved = _moved(given, dtype)
        notes.append(f"{dtype}: {share:.3f} of raw float32; counts moved by at most {moved:.3%} of the items")
        goals.append(Goal(f"size of a shard in {dtype}, of raw float32", share, 0.40))
    return Section("Size of an activations shard", "After 2 epochs.", goals=goals, notes=notes)


def _moved(given: Probed, dtype: str) -> float:
    """Largest change of a share of items classified correctly, over layers, probes and splits."""
    labels = torch.from_numpy(given.labels.corrupted)
    worst = 0.0
    for layer in LAYERS:
        shares = []
        for kind in ("float32", dtype):
            train, test = (
                split[layer].to(getattr(torch, kind)).to(torch.float32) for split in (given.train, given.test)
            )
            probes = [MASC(variance=0.99), VeLPIC()]
            fit_together(probes, train, labels, 10)
            shares.append(
                [
                    float((torch.as_tensor(predicted) == truth).double().mean())
                    for rows, truth in ((train, labels), (test, _test_labels()))
                    for predicted in predict_together(probes, rows)
                ]
            )
        worst = max(worst, float(np.abs(np.subtract(*shares)).max()))
    return worst


def _test_labels() -> torch.Tensor:
    return torch.from_numpy(fashion().test_labels)
