"""Peak memory of extraction and probing, at MNIST-MLP size, by number of checkpoints in the shard."""

import tempfile
from pathlib import Path

import torch

from benchmarks.inputs import CPU, INPUT_RANGE, LAYERS, corrupted, fashion, fit, network_for
from benchmarks.timing import Goal, Section, in_process, own_gibibytes, own_peak
from latentgen.data.labels import evaluation_labels, fitting_labels
from latentgen.networks.activations import write_activations
from latentgen.networks.checkpoints import save_weights
from latentgen.networks.forward import as_input
from latentgen.probes.fits import Fits
from latentgen.probes.fitting import probe_activations
from latentgen.probes.subspace_probes import predict_together
from latentgen.runtime.files import read_h5, write_h5

PROBES = {"MASC": {"kind": "MASC", "variance": 0.99}, "VeLPIC": {"kind": "VeLPIC"}}


def run() -> list[Section]:
    """Each step in a separate process, as in the workflow, for shards of 1 and of 2 checkpoints."""
    peaks: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for checkpoints in (1, 2):
            for step, work in (("extract", extract), ("probe", probe)):
                shard = Path(folder) / f"{checkpoints}.h5"
                _, peaks[step, checkpoints] = in_process(work, shard, checkpoints)
    beyond, _ = in_process(probe_many_classes)
    largest = max(peaks.values())
    growth = max(peaks[step, 2] - peaks[step, 1] for step in ("extract", "probe"))
    return [
        Section(
            "Peak memory of extraction and probing",
            "60,000 + 10,000 examples, the four layers of the MLP; each step in a separate process.",
            goals=[
                Goal("peak memory of extract and probe at MNIST-MLP size", largest, 2.5, "GiB"),
                Goal("additional peak memory for a second checkpoint", growth, 0.1, "GiB"),
                Goal("probing 60,000 × 256, 1,000 classes: beyond activations and bases", beyond, 0.1, "GiB"),
            ],
            notes=[
                f"{step}, {n} checkpoint(s): {gibibytes:.2f} GiB" for (step, n), gibibytes in peaks.items()
            ],
        )
    ]


def extract(shard: Path, checkpoints: int, train_items: int | None = None) -> None:
    """Write activations of a number of checkpoints of the MLP, with equal weights, like the workflow."""
    dataset = fashion(train_items)
    network = network_for(dataset)
    weights = shard.with_suffix(".safetensors")
    save_weights(weights, {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    inputs = {
        split: as_input(images, dataset.max_value, INPUT_RANGE, CPU)
        for split, images in (("train", dataset.train_inputs), ("test", dataset.test_inputs))
    }
    with write_h5(shard) as file:
        write_activations(file, network, dict.fromkeys(range(checkpoints), weights), inputs, LAYERS)


def probe(shard: Path, checkpoints: int, train_items: int | None = None) -> None:
    """Fit and score both probes on the output of `extract`."""
    dataset = fashion(train_items)
    labels = corrupted(dataset)
    with read_h5(shard) as activations:
        probe_activations(
            activations,
            evaluation_labels(labels, dataset.test_labels),
            Fits(dataset.n_classes, PROBES, fitting_labels(labels, ("corrupted",), 1), checkpoints - 1),
            device=CPU,
        )


def probe_many_classes(n: int = 60_000, width: int = 256, n_classes: int = 1000) -> float:
    """Fit and score both probes on random activations; return the GiB that take more than these and bases."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn((n, width), generator=generator)
    labels = torch.randint(n_classes, (n,), generator=generator)
    predict_together(fit(X[:2000], labels[:2000] % 10), X[:2000])  # what libraries take once
    before = own_gibibytes()
    with own_peak() as peak:
        probes = fit(X, labels, n_classes)
        predict_together(probes, X)
    bases = sum(subspace.basis.nbytes for subspace in probes[0].decomposition) / 2**30
    return peak[0] - before - bases
