"""Probes from moment matrices compared with probes from stored examples: 60,000 × 256, 10 classes."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from benchmarks.inputs import CPU, INPUT_RANGE, corrupted, data_of, fashion, train_network
from benchmarks.timing import Goal, Section, Timing, in_process
from latentgen.networks.activations import write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import save_weights
from latentgen.networks.forward import as_input
from latentgen.probes.stored import StoredLayer
from latentgen.probes.stored_fits import fit_moments, fit_stored, predict_stored
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC
from latentgen.runtime.files import read_h5, write_h5

MODEL = {"architecture": "MLP", "widths": [256]}
LAYER, WIDTH = "fc1", 256
WAYS = ("examples", "moments")
NEAR_TIE = 1e-4
"""Relative difference of the two best scores up to which predictions may differ."""


class Predictions(NamedTuple):
    """What probes fitted one way say of the test examples."""

    seconds: float
    predicted: list[np.ndarray]
    near_ties: list[np.ndarray]
    """Whether the two best scores are that close."""


def run() -> list[Section]:
    """Extract and probe a layer both ways, each step in a process of its own."""
    with tempfile.TemporaryDirectory(dir="results") as folder:
        weights = Path(folder) / "mlp.safetensors"
        in_process(train_to, weights)
        files = {way: Path(folder) / f"{way}.h5" for way in WAYS}
        extracted = {way: in_process(extract, weights, files[way], way) for way in WAYS}
        probed = {way: in_process(probe, files[way]) for way in WAYS}
        stored = {way: bytes_by_split(path) for way, path in files.items()}
    results = [probed[way][0] for way in WAYS]
    differ = [one != other for one, other in zip(*(result.predicted for result in results), strict=True)]
    apart = sum(int((d & ~tie).sum()) for d, tie in zip(differ, results[0].near_ties, strict=True))
    n, n_train = len(differ[0]), len(fashion().train_labels)
    return [
        Section(
            f"Moments in place of examples, {n_train:,} × {WIDTH}",
            "The layer of an MLP trained for two epochs on Fashion-MNIST, p = 0.4, extracted with "
            f"`store: examples` and with `store: moments`; MASC(0.99) and VeLPIC on {n:,} test examples. "
            f"Near ties: the two best scores differ by at most {NEAR_TIE:g} of the best. Timed once.",
            [
                Timing(f"{step}, {way}", (seconds,))
                for way in WAYS
                for step, seconds in (("extract", extracted[way][0]), ("probe", probed[way][0].seconds))
            ],
            [
                Goal("from moments predicted differently, without near ties", apart, 0, "examples"),
                Goal("bytes of training examples on disk", stored["moments"].get("train", 0), 0, "bytes"),
            ],
            [
                *(
                    f"{name}: {d.sum()} predictions differ; {tie.sum()} near ties"
                    for name, d, tie in zip(("MASC", "VeLPIC"), differ, results[0].near_ties, strict=True)
                ),
                *(
                    f"{way}: {', '.join(f'{size / 1e6:.1f} MB of {what}' for what, size in parts.items())}; "
                    f"peak {extracted[way][1]:.2f} GiB to extract, {probed[way][1]:.2f} to probe"
                    for way, parts in stored.items()
                ),
            ],
        )
    ]


def train_to(path: Path) -> None:
    """Train the network and save its weights."""
    dataset = fashion()
    network = make_network(MODEL, dataset.input_shape, dataset.n_classes, seed=1)
    train_network(network, data_of(dataset), epochs=2, fast=True)
    save_weights(path, {name: tensor.numpy() for name, tensor in network.state_dict().items()})


def extract(weights: Path, path: Path, way: str) -> float:
    """Write the layer, or its moments; return the seconds."""
    dataset = fashion()
    labels = {"corrupted": corrupted(dataset).corrupted}
    network = make_network(MODEL, dataset.input_shape, dataset.n_classes)
    inputs = {
        split: as_input(images, dataset.max_value, INPUT_RANGE, CPU)
        for split, images in (("train", dataset.train_inputs), ("test", dataset.test_inputs))
    }
    start = time.perf_counter()
    with write_h5(path) as file:
        moments = (labels, dataset.n_classes) if way == "moments" else None
        write_activations(file, network, {0: weights}, inputs, [LAYER], mantissa_bits=13, moments=moments)
    return time.perf_counter() - start


def probe(path: Path) -> Predictions:
    """Fit both probes on what a file has, and predict the test examples."""
    dataset = fashion()
    labels = corrupted(dataset).corrupted
    probes: list[SubspaceProbe] = [MASC(0.99), VeLPIC()]
    with read_h5(path) as file:
        layer = StoredLayer(file[f"0/{LAYER}"], CPU)
        start = time.perf_counter()
        if moments := layer.moments("corrupted"):
            fit_moments(probes, moments)
        else:
            fit_stored(probes, layer, labels, dataset.n_classes)
        predicted = predict_stored(probes, layer, "test")
        seconds = time.perf_counter() - start
        best = [fitted.class_scores(layer.whole("test")).topk(2, dim=1).values for fitted in probes]
    ties = [(two[:, 0] - two[:, 1] <= NEAR_TIE * two[:, 0].abs()).numpy() for two in best]
    return Predictions(seconds, [torch.as_tensor(classes).numpy() for classes in predicted], ties)


def bytes_by_split(path: Path) -> dict[str, int]:
    """Return the bytes on disk of each split, or of moments in its place."""
    sizes: dict[str, int] = {}

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and f"/{LAYER}/" in name:
            split = name.split("/")[2]
            sizes[split] = sizes.get(split, 0) + item.id.get_storage_size()

    with read_h5(path) as file:
        file.visititems(add)
    return sizes
