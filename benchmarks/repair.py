"""Audit and repair compared with other methods to find wrong labels and to improve a network.

10,000 training examples (or all), 1,000 held-out ones with equally noisy labels, 10,000 true test examples,
and a network that memorized (`benchmarks.repair_data.SETS`). Results are kept in ``repair.csv``. ``python -m
benchmarks repair`` reports them, and measures audit and repair again in one case. ``python -m
benchmarks.repair`` measures the missing cases, or those of the data named: minutes per case, hours in all. It
can be stopped and started again. It needs ``pip install cleanlab==2.9.0 timm``.

Seconds are processor time on one core. All methods of a case are measured one after the other in one process,
so the ratios of their times hold even on a busy machine, where the times themselves are longer. Rows without
seconds were measured with earlier versions of this benchmark and are measured again when their case's turn
comes.
"""

import csv
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import nn

from benchmarks.repair_choice import DEFAULT, ways
from benchmarks.repair_data import Case, Examples, case, train_epoch
from benchmarks.repair_sections import CHOICE, CLEANLAB, OF_STOPPED, RETRAINED, STOPPED, sections
from benchmarks.timing import Section
from latentgen import audit, repair
from latentgen.repairing.audit import margins
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, collect, examine
from latentgen.repairing.heads import KNNHead, Ridge, VeLPICHead

RESULTS = Path(__file__).with_name("repair.csv")
SEEDS = (1, 2, 3)
CASES = [
    *((name, "s.4", 1) for name in ("Fashion-MNIST", "text", "cluttered")),
    ("cluttered", "a.3", 1),
    *(("Fashion-MNIST", noise, 1) for noise in ("a.3", "i.3", "p=0", "s.2", "s.6")),
    ("Fashion-MNIST, CNN", "s.4", 1),
    ("text, transformer", "s.4", 1),
    *(("text", "s.4", seed) for seed in SEEDS[1:]),
    *(("MNIST", noise, 1) for noise in ("s.4", "a.3")),
    *(("cluttered", noise, seed) for seed in SEEDS[1:] for noise in ("s.4", "a.3")),
    ("Fashion-MNIST, CNN", "a.3", 1),
    ("Fashion-MNIST, ResNet-18", "s.4", 1),
    ("Fashion-MNIST, whole", "s.4", 1),
    *((name, "s.4", seed) for name in ("Fashion-MNIST, CNN", "text, transformer") for seed in SEEDS[1:]),
    *(
        ("Fashion-MNIST", noise, seed)
        for seed in SEEDS[1:]
        for noise in ("s.4", "a.3", "i.3", "p=0", "s.2", "s.6")
    ),
    *(("MNIST", noise, seed) for seed in SEEDS[1:] for noise in ("s.4", "a.3")),
]
"""The cases in the order in which they are measured: the first tell most."""
MOST_EPOCHS, PATIENCE = 30, 5

Row = dict[str, object]


def _ours(of: Case) -> Iterator[Row]:
    """Yield audit and repair without held-out labels, with them, and also with checkpoints."""
    held_out = (of.held_out.inputs, of.held_out.given)
    ways = {"": {}, ", held-out": {"held_out": held_out}}
    ways[", held-out and checkpoints"] = {"held_out": held_out, "checkpoints": of.checkpoints}
    for given, keywords in ways.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.process_time()
            found = audit(of.network, of.train.inputs, of.train.given, **keywords)
            seconds = time.process_time() - start
            yield _scores(of, f"audit{given}", found.table["score"].to_numpy(), seconds) | {
                "detail": f"{found.choice.checkpoint}, {found.choice.layer}, {found.choice.probe}",
                "estimated_noise": "" if found.n_issues is None else found.n_issues.value / len(found.table),
            }
            start = time.process_time()
            fixed = repair(of.network, of.train.inputs, of.train.given, **keywords)
            seconds = time.process_time() - start
        yield _network(of, f"repair{given}", fixed.network, seconds) | {
            "detail": f"{fixed.kind}: {fixed.checkpoint}, {fixed.layer}, {fixed.probe}"
        }


def _heads(of: Case) -> Iterator[Row]:
    """Yield the network itself, VeLPIC on its last layer as in the papers, ridge and kNN on the raw input."""
    yield _network(of, "memorized network", of.network, 0.0)
    layers = {layer.name: layer for layer in examine(of.network, of.train.inputs).layers}
    labels = torch.from_numpy(of.train.given)
    for way, layer, head in (
        ("VeLPIC, last layer", READOUT_INPUT, VeLPICHead()),
        ("ridge, raw input", RAW_INPUT, Ridge()),
        ("kNN, raw input", RAW_INPUT, KNNHead()),
    ):
        start = time.process_time()
        train, test = (
            collect(of.network, x.inputs, [layers[layer]]).by_layer[layer] for x in (of.train, of.test)
        )
        head.fit(train, labels, of.n_classes)
        predicted = head.scores(test).argmax(1).numpy()
        left_out = head.left_out_scores().numpy()
        seconds = time.process_time() - start
        own = np.take_along_axis(left_out, of.train.given[:, None], 1)[:, 0]
        np.put_along_axis(left_out, of.train.given[:, None], -np.inf, 1)
        yield _scores(of, way, own - left_out.max(1), seconds) | {"test_accuracy": _right(of, predicted)}


def _early_stopping(of: Case) -> Iterator[Row]:
    """Yield the checkpoint that predicts the most held-out labels, and what repair makes of that."""
    network, best = of.new_network().eval(), -1.0
    for state in [*of.checkpoints.values(), of.network.state_dict()]:
        network.load_state_dict(state)
        right = float((_predicted(network, of.held_out) == of.held_out.given).mean())
        if right > best:
            best, kept = right, state
    network.load_state_dict(kept)
    yield _network(of, STOPPED, network, 0.0)
    for given, held_out in (("", None), (", held-out", (of.held_out.inputs, of.held_out.given))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.process_time()
            fixed = repair(network, of.train.inputs, of.train.given, held_out)
            seconds = time.process_time() - start
        yield _network(of, f"{OF_STOPPED}{given}", fixed.network, seconds) | {
            "detail": f"{fixed.kind}: {fixed.checkpoint}, {fixed.layer}, {fixed.probe}"
        }


def _choices(of: Case) -> Iterator[Row]:
    """Yield ways to choose without held-out labels."""
    labels = torch.from_numpy(of.train.given)
    for way in ways(of):
        scores = margins(way.left_out, labels).numpy()
        right = _right(of, way.test.argmax(1).numpy())
        row = _scores(of, CHOICE + way.name, scores, 0.0)
        yield row | {"test_accuracy": right, "detail": way.chosen}


def _cleanlab(of: Case) -> Iterator[Row]:
    """Yield cleanlab's scores from five early-stopped networks, and a network trained after its filter."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    torch.manual_seed(of.seed)
    start = time.process_time()
    probabilities = np.zeros((len(of.train.given), of.n_classes))
    folds = StratifiedKFold(5, shuffle=True, random_state=of.seed)
    for inside, outside in folds.split(of.train.given, of.train.given):
        part = Examples(of.train.inputs[inside], of.train.given[inside], of.train.true[inside])
        network, _ = _trained(of, part)
        with torch.no_grad():
            blocks = of.train.inputs[outside].split(1000)
            logits = torch.cat([network(block) for block in blocks])
        probabilities[outside] = logits.softmax(1).double().numpy()
    seconds = time.process_time() - start
    for method in ("self_confidence", "normalized_margin"):
        scores = get_label_quality_scores(of.train.given, probabilities, method=method)
        yield _scores(of, f"cleanlab, {method.replace('_', ' ')}", scores, seconds)
    start = time.process_time()
    kept = ~find_label_issues(of.train.given, probabilities)
    part = Examples(of.train.inputs[kept], of.train.given[kept], of.train.true[kept])
    network, _ = _trained(of, part)
    yield _network(of, RETRAINED, network, seconds + time.process_time() - start)


def _features(of: Case) -> Iterator[Row]:
    """Yield cleanlab's scores from logistic regression on the network's last layer, in five folds."""
    from cleanlab.rank import get_label_quality_scores

    (layer,) = (x for x in examine(of.network, of.train.inputs).layers if x.name == READOUT_INPUT)
    start = time.process_time()
    X = collect(of.network, of.train.inputs, [layer]).by_layer[READOUT_INPUT].numpy()
    model = LogisticRegression(max_iter=200)
    probabilities = cross_val_predict(model, X, of.train.given, cv=5, method="predict_proba")
    seconds = time.process_time() - start
    scores = get_label_quality_scores(of.train.given, probabilities, method="self_confidence")
    yield _scores(of, "cleanlab on the network's features", scores, seconds)


def _area_under_margin(of: Case) -> Iterator[Row]:
    """Yield the area under the margin (Pleiss et al. 2020), of a network trained until the early stop."""
    torch.manual_seed(of.seed)
    start = time.process_time()
    network, areas = _trained(of, of.train)
    yield _scores(of, "area under the margin", areas, time.process_time() - start) | {
        "test_accuracy": _right(of, _predicted(network, of.test))
    }


def _trained(of: Case, train: Examples) -> tuple[nn.Module, np.ndarray]:
    """Train until the prediction of held-out labels has not improved for `PATIENCE` epochs.

    Return the network of the best epoch, and the mean margin of each training example's label up to it,
    while it was trained on.
    """
    network, labels = of.new_network(), torch.from_numpy(train.given)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    best, best_epoch, kept, areas = -1.0, 0, network.state_dict(), []
    for epoch in range(MOST_EPOCHS):
        logits = train_epoch(network, optimizer, train.inputs, labels)
        areas.append(margins(logits, labels).numpy())
        right = float((_predicted(network, of.held_out) == of.held_out.given).mean())
        if right > best:
            best, best_epoch = right, epoch
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if epoch == best_epoch + PATIENCE:
            break
    network.load_state_dict(kept)
    return network.eval(), np.mean(areas[: best_epoch + 1], axis=0)


def _predicted(network: nn.Module, examples: Examples) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([network(block).argmax(1) for block in examples.inputs.split(1000)]).numpy()


def _right(of: Case, predicted: np.ndarray) -> float:
    return float((predicted == of.test.true).mean())


def _network(of: Case, way: str, network: nn.Module, seconds: float) -> Row:
    right = _right(of, _predicted(network, of.test))
    return {**_named(of, way), "test_accuracy": right, "seconds": seconds}


def _named(of: Case, way: str) -> Row:
    return {"data": of.data, "noise": of.noise, "seed": of.seed, "way": way}


def _scores(of: Case, way: str, scores: np.ndarray, seconds: float) -> Row:
    """AUROC and average precision of scores that are lower for wrong labels."""
    wrong = of.train.given != of.train.true
    row: Row = {**_named(of, way), "seconds": seconds}
    if wrong.any():
        row |= {"auroc": roc_auc_score(wrong, -scores), "precision": average_precision_score(wrong, -scores)}
    return row | {"true_noise": float(wrong.mean())}


COLUMNS = (
    "data", "noise", "seed", "way", "test_accuracy", "auroc", "precision", "seconds", "detail", "true_noise",
    "estimated_noise",
)  # fmt: skip

GROUPS: dict[str, Callable[[Case], Iterator[Row]]] = {
    "audit": _ours,
    "memorized network": _heads,
    OF_STOPPED: _early_stopping,
    CHOICE + DEFAULT: _choices,
    "area under the margin": _area_under_margin,
    "cleanlab on the network's features": _features,
    CLEANLAB: _cleanlab,
}
"""Measurements that are done together, by one of their methods."""


def measure(names: Collection[str]) -> None:
    """Measure what is not in `RESULTS` yet, of all data or that named; each group is kept at once."""
    rows: list[Row] = list(csv.DictReader(RESULTS.open())) if RESULTS.exists() else []
    for name, noise, seed in CASES:
        here = [row for row in rows if (row["data"], row["noise"], row["seed"]) == (name, noise, str(seed))]
        done = {row["way"] for row in here if row["seconds"]}
        missing = [group for way, group in GROUPS.items() if way not in done]
        if not missing or (names and name not in names):
            continue
        print(f"  {name}, {noise}, seed {seed} …", flush=True)
        of = case(name, noise, seed)
        for group in missing:
            new = [
                {
                    key: f"{value:.4f}" if isinstance(value, float) else str(value)
                    for key, value in row.items()
                }
                for row in group(of)
            ]
            again = {row["way"] for row in new}
            rows = [row for row in rows if row not in here or row["way"] not in again] + new
            with RESULTS.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def run() -> list[Section]:
    """Measure audit and repair in one case, and report all results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    measured = pd.DataFrame(_ours(case(*CASES[0])))
    torch.set_num_threads(threads)
    table = pd.read_csv(RESULTS)
    return [
        Section(
            "Audit and repair in one case, measured again",
            f"{', '.join(map(str, CASES[0]))}; seconds of processor time on one core.",
            notes=[
                f"{row['way']}: {row['seconds']:.1f} s; average precision {100 * row['precision']:.1f} %"
                if row["way"].startswith("audit")
                else f"{row['way']}: {row['seconds']:.1f} s; test accuracy {100 * row['test_accuracy']:.1f} %"
                for row in measured.to_dict("records")
            ],
        ),
        *sections(table),
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(sys.argv[1:])
