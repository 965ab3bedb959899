"""Wide layers: random rectified features of real images, at the widths of the papers' largest layers."""

import time
from collections.abc import Iterator

import torch

from benchmarks.inputs import fashion, fit
from benchmarks.timing import Goal, Section, Timing, in_process
from latentgen.probes.subspace_probes import predict_together


def run() -> list[Section]:
    """One layer of 4,096 units and 200 classes, one of 16,384 units and 10 classes, each in a process."""
    tiny_imagenet, _ = in_process(_tiny_imagenet)
    resnet, peak = in_process(_resnet)
    resnet.goals.append(Goal("peak memory of that, making its inputs included", peak, 6, "GiB"))
    return [tiny_imagenet, resnet]


def _tiny_imagenet() -> Section:
    """100,000 examples, including mirrored images; 20 parts of each class, so that a class is homogeneous."""
    images, test, true = _images()
    mirrored = images.reshape(-1, 28, 28).flip(2).reshape(-1, 784)
    kept = _first_of_each(torch.cat([true, true]), 10_000)
    X, X_test = _features(torch.cat([images, mirrored])[kept], test, 4_096)
    del images, test, mirrored
    return _layer(X, X_test, torch.arange(100_000) // 500, limit=20)


def _resnet() -> Section:
    images, test, true = _images()
    kept = _first_of_each(true, 5_000)
    X, X_test = _features(images[kept], test, 16_384)
    del images, test
    return _layer(X, X_test, true[kept], limit=150)


def _images() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dataset = fashion()
    train, test = (
        torch.from_numpy(images.reshape(-1, 784)).to(torch.float32) / 255
        for images in (dataset.train_inputs, dataset.test_inputs)
    )
    return train, test, torch.from_numpy(dataset.train_labels)


def _features(images: torch.Tensor, test: torch.Tensor, width: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn((784, width), generator=generator) / 28
    return ((A - A.mean()).mm(weights).relu_() for A in (images, test))


def _layer(X: torch.Tensor, test: torch.Tensor, labels: torch.Tensor, limit: float) -> Section:
    start = time.perf_counter()
    probes = fit(X, labels, n_classes=int(labels.max()) + 1)
    fitted = time.perf_counter()
    predict_together(probes, test)
    done = time.perf_counter()
    k, width = probes[0].n_components_, X.shape[1]
    what = f"one {width:,}-wide layer, {len(k)} classes, {len(X):,} + {len(test):,} examples"
    return Section(
        f"One layer of {width:,} units",
        "Random rectified features of Fashion-MNIST. Timed once.",
        [Timing("fit", (fitted - start,)), Timing("predict", (done - fitted,))],
        [Goal(what, done - start, limit, "s")],
        [
            f"{k.min()} to {k.max()} directions per class (mean {k.mean():.0f}), by "
            f"{' and '.join(sorted({s.route for s in probes[0].subspaces_}))}; "
            f"{probes[0].n_fallbacks_} fell back",
            f"activations: {(X.nbytes + test.nbytes) / 1e9:.2f} GB",
        ],
    )


def _first_of_each(labels: torch.Tensor, n: int) -> torch.Tensor:
    return torch.cat([(labels == c).nonzero()[:n, 0] for c in range(10)])
