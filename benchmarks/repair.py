"""Audit and repair beside other ways to find wrong labels and to get a better network.

Fashion-MNIST, 10,000 training and 1,000 held-out examples with labels noisy alike, 10,000 true test examples;
an MLP that memorized. What was measured is kept in ``repair.csv``, case by case; cases that are there are not
measured again. ``python -m benchmarks repair``.
"""

import csv
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

from benchmarks.repair_data import N_CLASSES, NOISES, Case, Examples, case, mlp, train_epoch
from benchmarks.timing import Goal, Section
from latentgen import audit, repair
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, collect, examine
from latentgen.repairing.heads import KNNHead, Ridge, VeLPICHead

RESULTS = Path(__file__).with_name("repair.csv")
SEEDS = (1, 2, 3)
CASES = [
    (noise, seed) for noises in (("s.4", "a.3"), ("p=0",), ("i.3",)) for seed in SEEDS for noise in noises
]
MOST_EPOCHS, PATIENCE = 30, 5

Row = dict[str, object]


def measure(of: Case) -> Iterator[Row]:
    """Yield what each way gives: test accuracy, or average precision and AUROC of its scores, and seconds."""
    held_out = (of.held_out.inputs, of.held_out.given)
    ways = {"": {}, ", held-out": {"held_out": held_out}}
    ways[", held-out and checkpoints"] = {"held_out": held_out, "checkpoints": of.checkpoints}
    yield _network(of, "memorized network", of.network, 0.0)
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
    yield from _heads(of)
    yield from _early_stopping(of)
    yield from _cleanlab(of)


def _heads(of: Case) -> Iterator[Row]:
    """Yield VeLPIC in the last layer, as in the papers, and ridge and kNN on the raw input."""
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
        head.fit(train, labels, N_CLASSES)
        predicted = head.scores(test).argmax(1).numpy()
        left_out = head.left_out_scores().numpy()
        seconds = time.process_time() - start
        own = np.take_along_axis(left_out, of.train.given[:, None], 1)[:, 0]
        np.put_along_axis(left_out, of.train.given[:, None], -np.inf, 1)
        yield _scores(of, way, own - left_out.max(1), seconds) | {"test_accuracy": _right(of, predicted)}


def _early_stopping(of: Case) -> Iterator[Row]:
    """Yield the checkpoint that predicts the most held-out labels."""
    network, best = mlp().eval(), -1.0
    for state in [*of.checkpoints.values(), of.network.state_dict()]:
        network.load_state_dict(state)
        right = float((_predicted(network, of.held_out) == of.held_out.given).mean())
        if right > best:
            best, kept = right, state
    network.load_state_dict(kept)
    yield _network(of, "early stopping (held-out)", network, 0.0)


def _cleanlab(of: Case) -> Iterator[Row]:
    """Yield cleanlab's scores from five early-stopped networks, and one trained on what its filter leaves."""
    torch.manual_seed(of.seed)
    start = time.process_time()
    probabilities = np.zeros((len(of.train.given), N_CLASSES))
    folds = StratifiedKFold(5, shuffle=True, random_state=of.seed)
    for inside, outside in folds.split(of.train.given, of.train.given):
        part = Examples(of.train.inputs[inside], of.train.given[inside], of.train.true[inside])
        network = _trained(part, of.held_out)
        with torch.no_grad():
            probabilities[outside] = network(of.train.inputs[outside]).softmax(1).double().numpy()
    seconds = time.process_time() - start
    for method in ("self_confidence", "normalized_margin"):
        scores = get_label_quality_scores(of.train.given, probabilities, method=method)
        yield _scores(of, f"cleanlab, {method.replace('_', ' ')}", scores, seconds)
    start = time.process_time()
    kept = ~find_label_issues(of.train.given, probabilities)
    part = Examples(of.train.inputs[kept], of.train.given[kept], of.train.true[kept])
    network = _trained(part, of.held_out)
    yield _network(of, "cleanlab, filter and retrain", network, seconds + time.process_time() - start)


def _trained(train: Examples, held_out: Examples) -> nn.Module:
    """Train until the held-out labels have not been predicted better for `PATIENCE` epochs."""
    network, labels = mlp(), torch.from_numpy(train.given)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    best, since, kept = -1.0, 0, network.state_dict()
    for _ in range(MOST_EPOCHS):
        train_epoch(network, optimizer, train.inputs, labels)
        right = float((_predicted(network, held_out) == held_out.given).mean())
        if right > best:
            best, since = right, 0
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        else:
            since += 1
        if since == PATIENCE:
            break
    network.load_state_dict(kept)
    return network.eval()


def _predicted(network: nn.Module, examples: Examples) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([network(block).argmax(1) for block in examples.inputs.split(2000)]).numpy()


def _right(of: Case, predicted: np.ndarray) -> float:
    return float((predicted == of.test.true).mean())


def _network(of: Case, way: str, network: nn.Module, seconds: float) -> Row:
    right = _right(of, _predicted(network, of.test))
    return {"noise": of.noise, "seed": of.seed, "way": way, "test_accuracy": right, "seconds": seconds}


def _scores(of: Case, way: str, scores: np.ndarray, seconds: float) -> Row:
    """AUROC and average precision of scores that are lower for wrong labels."""
    wrong = of.train.given != of.train.true
    row: Row = {"noise": of.noise, "seed": of.seed, "way": way, "seconds": seconds}
    if wrong.any():
        row |= {"auroc": roc_auc_score(wrong, -scores), "precision": average_precision_score(wrong, -scores)}
    return row | {"true_noise": float(wrong.mean())}


COLUMNS = (
    "noise", "seed", "way", "test_accuracy", "auroc", "precision", "seconds", "detail", "true_noise",
    "estimated_noise",
)  # fmt: skip


def measure_all() -> pd.DataFrame:
    """Measure the cases that are not in `RESULTS` yet, and return all."""
    rows = list(csv.DictReader(RESULTS.open())) if RESULTS.exists() else []
    done = {(row["noise"], int(row["seed"])) for row in rows}
    for noise, seed in CASES:
        if (noise, seed) not in done:
            print(f"  {noise}, seed {seed} …", flush=True)
            rows += [
                {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}
                for row in measure(case(noise, seed))
            ]
            with RESULTS.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    return pd.read_csv(RESULTS)


def run() -> list[Section]:
    """Measure, and say what it shows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    table = measure_all()
    torch.set_num_threads(threads)
    return [_audit_section(table), _repair_section(table)]


def _means(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.pivot_table(index="way", columns="noise", values=column, sort=False)


def _lines(table: pd.DataFrame, column: str) -> list[str]:
    """One line for each way: the mean of each noise, and from … to over seeds."""
    found = []
    for way, of_way in table.dropna(subset=[column]).groupby("way", sort=False):
        parts = [
            f"{noise} {g.mean():.1f} ({g.min():.1f} … {g.max():.1f})"
            for noise, g in (100 * of_way[column]).groupby(of_way["noise"], sort=False)
        ]
        found.append(f"{way}: {'; '.join(parts)}; {of_way['seconds'].mean():.1f} s of processor time")
    return found


def _audit_section(table: pd.DataFrame) -> Section:
    means = _means(table, "precision")
    cleanlab = means.loc[[way for way in means.index if way.startswith("cleanlab")]].max()
    section = Section(
        "Finding wrong labels",
        "Fashion-MNIST, 10,000 examples, an MLP that memorized; average precision in % by noise: mean over "
        f"seeds (from … to); {len(SEEDS)} seeds. cleanlab: five networks, each stopped early by the same "
        "held-out labels.",
        notes=_lines(table, "precision"),
    )
    ours = means.loc["audit, held-out"]
    for noise in [name for name in NOISES if name in means.columns]:
        symmetric = noise.startswith("s")
        section.goals.append(
            Goal(
                f"Audit with held-out labels less cleanlab's better score, average precision, {noise}",
                float(100 * (ours[noise] - cleanlab[noise])),
                -1.0 if symmetric else 0.0,
                "points",
                at_least=True,
            )
        )
    seconds = table.groupby("way")["seconds"].mean()
    ratio = float(seconds["cleanlab, self confidence"] / seconds["audit, held-out"])
    section.goals.append(Goal("Audit: times as fast as cleanlab's five folds", ratio, 20.0, at_least=True))
    return section


def _repair_section(table: pd.DataFrame) -> Section:
    means = _means(table, "test_accuracy")
    retrained = "cleanlab, filter and retrain"
    section = Section(
        "Repairing a network",
        "The same networks; accuracy on true test labels in % by noise: mean over seeds (from … to).",
        notes=_lines(table, "test_accuracy"),
    )
    for way, limit in (("repair, held-out", -1.0), ("repair, held-out and checkpoints", 0.0)):
        noisy = [noise for noise in means.columns if noise != "p=0"]
        gap = float(100 * (means.loc[way, noisy] - means.loc[retrained, noisy]).mean())
        section.goals.append(
            Goal(
                f"{way} less cleanlab's filter and retrain, test accuracy",
                gap,
                limit,
                "points",
                at_least=True,
            )
        )
    for way in ("repair", "repair, held-out", "repair, held-out and checkpoints"):
        by_case = table.pivot_table(index=["noise", "seed"], columns="way", values="test_accuracy")
        worst = float(100 * (by_case[way] - by_case["memorized network"]).min())
        section.goals.append(
            Goal(f"{way} less the given network, worst case", worst, -0.5, "points", at_least=True)
        )
    seconds = table.groupby("way")["seconds"].mean()
    ratio = float(seconds[retrained] / seconds["repair, held-out"])
    section.goals.append(Goal("Repair: times as fast as filter and retrain", ratio, 30.0, at_least=True))
    return section
