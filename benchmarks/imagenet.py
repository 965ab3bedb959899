"""Layers of ImageNet's size: 1.28 million examples, 1,000 classes, read from a file in bounded memory."""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.inputs import CPU
from benchmarks.timing import Goal, Section, Timing, gemm_flops, in_process, own_peak
from latentgen.data.noise.registry import corrupt
from latentgen.networks.activation_files import create
from latentgen.networks.activations import round_mantissa
from latentgen.probes.fitting import counted_examples
from latentgen.probes.stored import StoredLayer
from latentgen.probes.stored_fits import fit_stored, predict_stored
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC
from latentgen.runtime.files import read_h5, write_h5

HOW = (
    "Simulated activations: class means, and directions around them whose variance decays as a power of "
    "their rank, j^-α, in one random rotation. α = 1.55 gives about 250 of 768 directions for 99 % of a "
    "class's energy, as in trained networks; α = 1.15 about 540, as when 1,000 classes are memorized. "
    "Labels: p = 0.4."
)
EXAMPLES = {"train": 1_281_000, "test": 50_000}
N_CLASSES = 1000
MEGABYTES = 2300
"""Memory that the probing job requests."""
BLOCK = 1 << 14


def run() -> list[Section]:
    """Three layers, each written and then probed in a separate process."""
    return [
        _section("a layer of 768 units", 768, 1.55, minutes=4),
        _section("the same, memorized", 768, 1.15, minutes=5),
        _section("a layer of 2,048 units", 2048, 1.65, minutes=60),
    ]


def _section(title: str, width: int, alpha: float, minutes: float) -> Section:
    with tempfile.TemporaryDirectory(dir="results") as folder:
        path = Path(folder) / "activations.h5"
        in_process(write_layer, path, width, alpha)
        stored = path.stat().st_size / 1e9
        found, _ = in_process(probe_layer, path)
    goals = [
        Goal(
            f"1.28 M × {width:,}, 1,000 classes: fit, test and counted training",
            found["seconds"],
            60 * minutes,
            "s",
        ),
        Goal("peak of its own memory", found["peak"], 3, "GiB"),
        Goal("prediction relative to the product alone", found["of_product"], 0.7, "×", at_least=True),
    ]
    timings = [Timing(step, (found[step],)) for step in ("fit", "predict test", "predict training")]
    notes = [
        f"directions per class: {found['fewest']:.0f} to {found['most']:.0f}, mean {found['mean']:.0f}; "
        f"{found['fell_back']:.0f} classes fell back",
        f"file: {stored:.1f} GB; MASC {found['masc']:.1%}, VeLPIC {found['velpic']:.1%} of the test examples",
    ]
    return Section(f"ImageNet's size: {title}", HOW, timings, goals, notes)


def write_layer(path: Path, width: int, alpha: float, examples: dict[str, int] | None = None) -> None:
    """Write activations of both splits and the labels, block by block."""
    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(torch.randn((width, width), generator=generator)).Q
    spread = torch.arange(1, width + 1, dtype=torch.float32).pow(-alpha / 2)
    directions = spread[:, None] * rotation.T
    means = 0.5 * torch.randn((N_CLASSES, width), generator=generator) * spread @ rotation.T
    with write_h5(path) as file:
        for split, n in (examples or EXAMPLES).items():
            labels = torch.randint(N_CLASSES, (n,), generator=generator)
            data = create(file, f"0/layer/{split}", (n, width), "float32")
            for start in range(0, n, BLOCK):
                of_block = labels[start : start + BLOCK]
                noise = torch.randn((len(of_block), width), generator=generator)
                block = means[of_block] + noise @ directions
                round_mantissa(block, 13)
                data[start : start + len(of_block)] = block.numpy()
            file[f"labels/{split}"] = labels.numpy()


def probe_layer(path: Path) -> dict[str, float]:
    """Fit both probes with corrupted labels and predict both splits, like a job with a memory limit."""
    probes: list[SubspaceProbe] = [MASC(0.99), VeLPIC()]
    found: dict[str, float] = {}
    with read_h5(path) as file, own_peak() as peak:
        labels = {split: file[f"labels/{split}"][...] for split in EXAMPLES}
        corrupted = corrupt(labels["train"], N_CLASSES, "symmetric", 0.4, seed=1).corrupted
        layer = StoredLayer(file["0/layer"], CPU, (MEGABYTES - 700) * 10**6 // 3)
        start = time.perf_counter()
        fit_stored(probes, layer, corrupted, N_CLASSES)
        found["fit"] = time.perf_counter() - start
        start = time.perf_counter()
        masc, velpic = predict_stored(probes, layer, "test")
        found["predict test"] = time.perf_counter() - start
        start = time.perf_counter()
        predict_stored(probes, layer, "train", counted_examples(len(corrupted)))
        found["predict training"] = time.perf_counter() - start
    used = probes[0].n_components_
    columns = [
        s.n_components if s.complement is None else s.complement.shape[1] + 1 for s in probes[0].decomposition
    ]
    flops = 2 * len(labels["test"]) * probes[0].n_features_in_ * sum(columns)
    return found | {
        "seconds": sum(found.values()),
        "peak": peak[0],
        "of_product": flops / found["predict test"] / gemm_flops(torch.float32),
        "fewest": used.min(),
        "mean": used.mean(),
        "most": used.max(),
        "fell_back": probes[0].n_fallbacks_,
        "masc": float((masc.numpy() == labels["test"]).mean()),
        "velpic": float((velpic.numpy() == labels["test"]).mean()),
    }
