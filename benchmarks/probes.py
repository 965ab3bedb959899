"""How long probing takes, beside the forward pass and beside other ways to the same numbers.

Real Fashion-MNIST images go through an MLP 784-128-512-2048-2048-10 that is first trained for a few epochs
on labels of which 40 % are redrawn. MASC(0.99) and VeLPIC are fitted on the corrupted labels of 60,000 items
and predict these and 10,000 test items, at all four layers. Timed in turn, in one process, on the same
activations:

* the forward pass of the 70,000 items in blocks of 2,000;
* ours;
* the plain way: float64 moment matrix and all its eigenvectors, for one class of each layer, times the
  classes (the predictions are ours);
* the published procedure in our own words, MASC only: one class of each layer is fitted and
  `--published-items` items are scored; both are scaled to the whole.

Run from the root of the repository, with Debian's package dataset-fashion-mnist installed or --data given:

    PYTHONPATH=workflow/scripts python benchmarks/probes.py [--wide] [--huge]
"""

import argparse
import gzip
import platform
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentgen.probes import MASC, VeLPIC, fit_together, predict_together

WIDTHS = (784, 128, 512, 2048, 2048)


def main() -> None:
    """Run the comparisons asked for on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=2, help="of training before probing")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of timing, after one to warm up")
    parser.add_argument("--published-items", type=int, default=300)
    parser.add_argument(
        "--wide", action="store_true", help="one 4,096-wide layer, 200 classes × 500, instead"
    )
    parser.add_argument("--huge", action="store_true", help="one 16,384-wide layer, 10 × 5,000, instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    )
    images, labels = (read(options.data, f"train-{kind}") for kind in ("images-idx3", "labels-idx1"))
    test_images = read(options.data, "t10k-images-idx3")
    if options.wide:  # 20 parts of each true class, so that items of a class look alike
        flipped = images.reshape(-1, 28, 28).flip(2).reshape(-1, 784)
        both, classes = torch.cat([images, flipped]), torch.cat([labels, labels])
        kept = first_of_each(classes, 10_000)
        random_layer(both[kept], test_images, 4_096, torch.arange(100_000) // 500)
    if options.huge:
        kept = first_of_each(labels, 5_000)
        random_layer(images[kept], test_images, 16_384, labels[kept])
    if not options.wide and not options.huge:
        mlp(images, labels, test_images, options)


def mlp(images: Tensor, labels: Tensor, test_images: Tensor, options: argparse.Namespace) -> None:
    """Time all four layers of the trained MLP."""
    generator = torch.Generator().manual_seed(0)
    redrawn = torch.rand(len(labels), generator=generator) < 0.4
    corrupted = torch.where(redrawn, torch.randint(0, 10, labels.shape, generator=generator), labels)
    weights = trained(images, corrupted, options.epochs, generator)
    everything = torch.cat([images, test_images])
    activations = forward(weights, everything)
    train, test = ([h[:60_000] for h in activations], [h[60_000:] for h in activations])

    n_published = options.published_items
    ways: dict[str, tuple[Callable[[], object], float]] = {
        "forward pass": (lambda: forward(weights, everything), 1),
        "ours: fit": (lambda: [fit(h, corrupted) for h in train], 1),
        "ours: predict": (
            lambda: [
                predict_together(probes, h)
                for p in (train, test)
                for probes, h in zip(fitted, p, strict=True)
            ],
            1,
        ),
        "plain float64: fit": (lambda: [plain(h[corrupted == 0]) for h in train], 10),
        "published: fit": (lambda: [published_fit(h[corrupted == 0]) for h in train], 10),
        "published: predict": (
            lambda: [
                published_predict(b, h[:n_published], corrupted) for b, h in zip(bases, train, strict=True)
            ],
            len(everything) / n_published,
        ),
    }
    fitted = [fit(h, corrupted) for h in train]
    bases = [[s.basis for s in probes[0].subspaces_] for probes in fitted]
    for layer, (masc, _) in enumerate(fitted, start=1):
        routes = {s.route for s in masc.subspaces_}
        print(
            f"fc{layer}: k_c {masc.n_components_.tolist()}, by {routes}, fell back {masc.n_fallbacks_} times"
        )

    seconds = {name: [] for name in ways}
    for _ in range(options.rounds + 1):
        for name, (run, scale) in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(scale * (time.perf_counter() - start))
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        low, high = min(seconds[name][1:]), max(seconds[name][1:])
        print(f"{name:20s} {median:9.2f} s   ({low:.2f} … {high:.2f})")
    ours = medians["ours: fit"] + medians["ours: predict"]
    print(f"ours / forward pass  {ours / medians['forward pass']:9.2f}")
    print(f"plain float64 / ours {(medians['plain float64: fit'] + medians['ours: predict']) / ours:9.1f}")
    print(f"published / ours     {(medians['published: fit'] + medians['published: predict']) / ours:9.1f}")


def fit(X: Tensor, y: Tensor) -> tuple[MASC, VeLPIC]:
    """Fit both probes as the workflow does."""
    probes = MASC(variance=0.99), VeLPIC()
    fit_together(probes, X, y)
    return probes


def random_layer(images: Tensor, test_images: Tensor, width: int, labels: Tensor) -> None:
    """Time one wide layer of random rectified features of real images: fit, and predict the test items."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn((784, width), generator=generator) / 28
    X, test = ((A - A.mean()).mm(weights).relu_() for A in (images, test_images))
    cpu = time.process_time()
    start = time.perf_counter()
    probes = fit(X, labels)
    fitted = time.perf_counter()
    predict_together(probes, test)
    done = time.perf_counter()
    k = probes[0].n_components_
    routes = {s.route for s in probes[0].subspaces_}
    print(f"{width} wide, {len(k)} classes, {len(X)} + {len(test)} items")
    print(f"k_c {k.min()} … {k.max()}, by {routes}, fell back {probes[0].n_fallbacks_} times")
    print(f"fit {fitted - start:.1f} s, predict {done - fitted:.1f} s, together {done - start:.1f} s")
    print(f"(processor time {time.process_time() - cpu:.1f} s)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB, of it activations {(X.nbytes + test.nbytes) / 2**30:.2f} GiB")


def first_of_each(labels: Tensor, n: int) -> Tensor:
    """Find the first n items of each of the ten classes, class by class."""
    return torch.cat([(labels == c).nonzero()[:n, 0] for c in range(10)])


def plain(Z: Tensor) -> object:
    """Find the subspace of one class as one would without thinking of time."""
    Z = Z.to(torch.float64)
    values, vectors = torch.linalg.eigh(Z.T @ Z)
    values, vectors = values.flip(0), vectors.flip(1)
    k = int((values.cumsum(0) / values.sum() <= 0.99).sum()) + 1
    return vectors[:, :k]


def published_fit(Z: Tensor) -> object:
    """Features and their negatives stacked, float64 covariance, all eigenvectors."""
    stacked = np.vstack([Z.numpy(), -Z.numpy()]).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(stacked, rowvar=False))
    order = np.argsort(values)[::-1]
    share = np.cumsum(values[order]) / values.sum()
    return vectors[:, order[: np.sum(share <= 0.99) + 1]]


def published_predict(bases: list[Tensor], X: Tensor, y: Tensor) -> float:
    """Batches of 100; the angle of each item to its projection; accuracy counted item by item."""
    correct = 0
    for start in range(0, len(X), 100):
        batch = X[start : start + 100].to(torch.float64)
        angles = []
        for U in bases:
            projection = batch @ U @ U.T
            inner = torch.diagonal(batch @ projection.T)
            cosines = inner / (batch.norm(dim=1) * projection.norm(dim=1))
            angles.append(torch.arccos(cosines.clamp(-1, 1)))
        predicted = torch.stack(angles, dim=1).argmin(dim=1)
        for i in range(len(batch)):
            correct += int(predicted[i].item() == y[start + i].item())
    return correct / len(X)


def trained(
    images: Tensor, labels: Tensor, epochs: int, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of the MLP after some epochs of SGD (0.01, momentum 0.9, batches of 64)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = [torch.nn.Linear(a, b) for a, b in zip(WIDTHS, (*WIDTHS[1:], 10), strict=True)]
    parameters = [p for layer in linear for p in layer.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            x = images[batch]
            for layer in linear[:-1]:
                x = layer(x).relu()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(linear[-1](x), labels[batch]).backward()
            optimizer.step()
    return [(layer.weight.detach(), layer.bias.detach()) for layer in linear]


def forward(weights: list[tuple[Tensor, Tensor]], images: Tensor) -> list[Tensor]:
    """Activations of the hidden layers; the output, which a model's accuracy needs, is dropped."""
    hidden = [images.new_empty((len(images), len(bias))) for _, bias in weights[:-1]]
    for start in range(0, len(images), 2_000):
        x = images[start : start + 2_000]
        for (weight, bias), kept in zip(weights, hidden, strict=False):
            x = torch.addmm(bias, x, weight.T, out=kept[start : start + 2_000]).relu_()
        torch.addmm(weights[-1][1], x, weights[-1][0].T)
    return hidden


def read(folder: Path, name: str) -> Tensor:
    """Images as rows of 784 numbers in 0 … 1, or labels, from a compressed idx file."""
    raw = np.frombuffer(gzip.decompress((folder / f"{name}-ubyte.gz").read_bytes()), np.uint8)
    if "labels" in name:
        return torch.from_numpy(raw[8:].astype(np.int64))
    return torch.from_numpy(raw[16:].reshape(-1, 784) / np.float32(255))


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
