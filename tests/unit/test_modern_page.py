"""Every number with an interval in docs/modern.md can be computed from the archive that its section names."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from latentgen.report.archive import tables_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/modern.md"
ARCHIVE = re.compile(r"resources/reference/\w+\.zip")
INTERVAL = re.compile(r"([−+]?[\d.]+) \(([−+]?[\d.]+) to ([−+]?[\d.]+)\)")
END = -1
"""Stands for the last epoch of a run, which may differ between runs."""


def sections() -> dict[str, str]:
    """Return the text of each section that names an archive, by the archive."""
    texts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return {found[0]: text for text in texts if (found := ARCHIVE.findall(text))}


def rounded(of_seeds: np.ndarray) -> np.ndarray:
    """Return mean and 95 % interval (Student's t over seeds) of rows of percentages, in tenths."""
    of_seeds = np.asarray(of_seeds, dtype=float)
    n = of_seeds.shape[1]
    mean = of_seeds.mean(axis=1)
    half = t.ppf(0.975, n - 1) * of_seeds.std(axis=1, ddof=1) / np.sqrt(n)
    return 10 * np.stack([mean, mean - half, mean + half], axis=1)


def quantities(tables: Path) -> Iterator[np.ndarray]:
    """Yield quantities × seeds: accuracies in %, and their differences from the network and the controls."""
    accuracy = pd.read_parquet(tables / "accuracy.parquet")
    accuracy = accuracy[(accuracy["split"] == "test") & (accuracy["eval_labels"] == "true")]
    last = accuracy["epoch"] == accuracy.groupby("run")["epoch"].transform("max")
    accuracy = accuracy.assign(
        percent=100 * accuracy["correct"] / accuracy["total"], epoch=accuracy["epoch"].mask(last, END)
    )
    history = pd.read_parquet(tables / "history.parquet")
    history = history.assign(percent=100 * history["test_correct"] / history["test_total"])
    repair = pd.read_csv(tables / "repair.csv")
    repair = repair.assign(
        repaired=100 * repair["repaired_correct"] / repair["total"],
        raw_input=100 * repair["raw_input_correct"] / repair["total"],
    )
    for p in accuracy["p"].unique():
        probes = accuracy[accuracy["p"] == p].pivot_table(
            "percent", ["probe", "fit_labels", "layer", "epoch"], "seed", observed=True
        )
        network = probes.loc["model"].groupby("epoch").mean()
        of_history = history[history["p"] == p].sort_values("seed")
        stopped = [
            of_history.loc[of_history.groupby("seed")[choosing].idxmax(), "percent"]
            for choosing in ("held_out_correct", "noisy_correct")
            if choosing in history
        ]
        peaks = [network.max(), of_history.groupby("seed")["percent"].max()]
        repaired, raw_input = (
            repair[repair["p"] == p].sort_values("seed")[["repaired", "raw_input"]].to_numpy().T
        )
        values = np.vstack([probes, *stopped, *peaks, repaired, raw_input])
        yield values
        for reference in [network.loc[END], *peaks, raw_input]:
            yield values - np.asarray(reference)
        for (probe, labels, layer), rows in probes.groupby(["probe", "fit_labels", "layer"], observed=True):
            yield probes.loc[(probe, labels, layer, END)].to_numpy() - rows.to_numpy()
            if (probe, labels, "input", END) in probes.index:
                yield rows.to_numpy() - probes.loc[(probe, labels, "input", END)].to_numpy()


@pytest.mark.parametrize("archive", sections())
def test_intervals_are_those_of_the_archive(archive):
    with tables_of(ROOT / archive) as tables:
        known = np.vstack([rounded(rows) for rows in quantities(tables)])
    known = np.vstack([known, -known[:, [0, 2, 1]]])  # "above" and "below" stand for signs
    text = " ".join(sections()[archive].split())
    found = [match.group() for match in INTERVAL.finditer(text)]
    assert len(found) > 10
    unknown = []
    for interval in found:
        numbers = [10 * float(number.replace("−", "-")) for number in INTERVAL.match(interval).groups()]
        if np.abs(known - numbers).max(axis=1).min() > 0.5 + 1e-6:
            unknown.append(interval)
    assert not unknown
