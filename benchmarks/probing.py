"""Probing: MASC(0.99) and VeLPIC, fitted with corrupted labels on all layers of the MLP."""

import torch
from torch import Tensor

from benchmarks import published
from benchmarks.inputs import LAYERS, Probed, fit, forward, plain, probed
from benchmarks.timing import Goal, Section, in_turn
from latentgen.probes.subspace_probes import predict_together

PUBLISHED_ITEMS = 200
"""Number of examples, of 70,000, scored by the published procedure; its time is scaled."""


def run() -> list[Section]:
    """Networks trained for a few epochs, and one that has memorized part of its labels."""
    return [
        _compare(probed(epochs=2), "after 2 epochs", with_published=True),
        _compare(probed(epochs=30, train_items=20_000, fast=True), "memorized", with_published=False),
    ]


def as_defined(Z: Tensor) -> Tensor:
    """Subspace of one class by definition: float64 moment matrix, all its eigenvectors."""
    Z = Z.to(torch.float64)
    values, vectors = torch.linalg.eigh(Z.T @ Z)
    values, vectors = values.flip(0), vectors.flip(1)
    return vectors[:, : int((values.cumsum(0) <= 0.99 * values.sum()).sum()) + 1]


def _compare(given: Probed, when: str, with_published: bool) -> Section:
    labels = torch.from_numpy(given.labels.corrupted)
    inputs = torch.cat([given.train_inputs, given.test_inputs])
    first = labels == 0
    fitted = given.fitted
    bases = {layer: [s.basis for s in probes[0].subspaces_] for layer, probes in fitted.items()}

    network = plain(given.network)
    ways = {
        "forward pass": lambda: forward(network, inputs),
        "forward pass, ours": lambda: forward(given.network, inputs),
        "ours: fit": lambda: [fit(given.train[layer], labels) for layer in LAYERS],
        "ours: predict": lambda: [
            predict_together(fitted[layer], split[layer])
            for layer in LAYERS
            for split in (given.train, given.test)
        ],
        "definition in float64: fit": lambda: [as_defined(given.train[layer][first]) for layer in LAYERS],
    }
    scales = {"definition in float64: fit": 10.0}
    if with_published:
        ways |= {
            # MASC and VeLPIC have separate scripts with separate decompositions.
            "published: fit": lambda: [published.fit(given.train[layer][first]) for layer in LAYERS * 2],
            "published: predict": lambda: [
                published.predict(bases[layer], given.train[layer][:PUBLISHED_ITEMS], labels)
                for layer in LAYERS
            ],
        }
        scales |= {"published: fit": 10.0, "published: predict": len(inputs) / PUBLISHED_ITEMS}
    timed = in_turn(ways, scales=scales, cold=[way for way in ways if "forward" not in way])
    ours = ("ours: fit", "ours: predict")
    section = Section(
        f"Probing an MLP, {when}",
        f"{len(given.train_inputs):,} + {len(given.test_inputs):,} examples of Fashion-MNIST, p = 0.4; the "
        f"network reproduces {given.train_accuracy:.0%} of its labels. Fit on all four layers, predict both "
        "splits. Methods that would take minutes are timed on one of ten classes, or some of the examples, "
        "and scaled.",
        list(timed.values()),
    )
    goal = "MASC(0.99) + VeLPIC, four MNIST-MLP layers, fit and predict, relative to the forward pass"
    section.goals.append(Goal(f"{goal} ({when})", timed.ratio(ours, "forward pass"), 1.5))
    if with_published:
        both = ("published: fit", "published: predict")
        section.goals.append(
            Goal("the published procedure relative to ours", timed.ratio(both, ours), 60, at_least=True)
        )
    section.notes.append(f"{timed.ratio(ours, 'forward pass, ours'):.2f} forward passes of ours")
    for layer, (masc, _) in fitted.items():
        k = masc.n_components_
        routes = sorted({s.route for s in masc.subspaces_})
        section.notes.append(
            f"{layer}: {k.min()} to {k.max()} directions per class, by {' and '.join(routes)}; "
            f"{masc.n_fallbacks_} of {len(k)} classes fell back"
        )
    return section
