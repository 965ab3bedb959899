"""What the benchmark of audit and repair shows: sections of the report, with goals, from its table."""

import numpy as np
import pandas as pd

from benchmarks.repair_data import NOISES, SETS
from benchmarks.timing import Goal, Section

STOPPED, OF_STOPPED = "early stopping (held-out)", "repair of the early-stopped network"
CHOICE = "no held-out labels: "
CLEANLAB, RETRAINED = "cleanlab, self confidence", "cleanlab, filter and retrain"


def sections(table: pd.DataFrame) -> list[Section]:
    """Return the sections of all data sets in `table`, one row for each case and method."""
    of_choice = table["way"].str.startswith(CHOICE)
    found = [
        section(name, rows)
        for name, rows in table[~of_choice].groupby("data", sort=False)
        for section in (_audit_section, _repair_section)
    ]
    if of_choice.any():
        found.append(_choice_section(table[of_choice].assign(way=table["way"].str.removeprefix(CHOICE))))
    return found


def _choice_section(table: pd.DataFrame) -> Section:
    """One line per way: average precision and test accuracy in each case, means over seeds."""
    notes = []
    for way, rows in table.groupby("way", sort=False):
        cases = rows.groupby(["data", "noise"], sort=False)[["precision", "test_accuracy"]].mean()
        parts = [
            f"{name}, {noise} {100 * row['precision']:.1f}; {100 * row['test_accuracy']:.1f}"
            for (name, noise), row in cases.iterrows()
        ]
        notes.append(f"{way}: {' | '.join(parts)}")
    return Section(
        "Choosing without held-out labels",
        "The same networks; average precision of the ranking; accuracy on true test labels; both in %.",
        notes=notes,
    )


def _means(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.pivot_table(index="way", columns="noise", values=column, sort=False)


def _lines(table: pd.DataFrame, column: str) -> list[str]:
    """One line per method: the mean for each noise, with lowest … highest over seeds."""
    found = []
    for way, of_way in table.dropna(subset=[column]).groupby("way", sort=False):
        parts = [
            f"{noise} {g.mean():.1f} ({g.min():.1f} … {g.max():.1f})"
            for noise, g in (100 * of_way[column]).groupby(of_way["noise"], sort=False)
        ]
        found.append(f"{way}: {'; '.join(parts)}{_time(of_way['seconds'])}")
    return found


def _time(seconds: pd.Series) -> str:
    return f"; {seconds.mean():.1f} s of processor time" if seconds.max() > 0 else ""


def _seeds(table: pd.DataFrame) -> str:
    counts = table.groupby("noise", sort=False)["seed"].nunique()
    return "seeds: " + ", ".join(f"{noise} {count}" for noise, count in counts.items())


def _goals(*goals: tuple[str, float, float, str]) -> list[Goal]:
    """Return goals with lower limits: what, measured value, limit, unit; without missing measurements."""
    return [
        Goal(what, reached, limit, unit, at_least=True)
        for what, reached, limit, unit in goals
        if not np.isnan(reached)
    ]


def _times_as_fast(table: pd.DataFrame, ours: str, other: str) -> float:
    """Return the mean ratio of two methods' times, over the cases in which both were timed together."""
    seconds = table.pivot_table(index=["noise", "seed"], columns="way", values="seconds")
    seconds = seconds.reindex(columns=[ours, other])
    return float((seconds[other] / seconds[ours]).mean())


def _audit_section(name: str, table: pd.DataFrame) -> Section:
    means = 100 * _means(table, "precision")
    cleanlab = means.reindex([CLEANLAB, "cleanlab, normalized margin"]).max()
    raw = means.loc[["ridge, raw input", "kNN, raw input"]].max()
    section = Section(
        f"Finding wrong labels, {name}",
        f"{SETS[name].n_train:,} examples, a network that memorized; average precision in % by noise: mean "
        f"over seeds (lowest … highest); {_seeds(table)}. cleanlab: five networks, each stopped early by the "
        "same held-out labels.",
        notes=_lines(table, "precision"),
    )
    ours = means.loc["audit, held-out"]
    what = f"{name}, {{}}: audit with held-out labels minus {{}}, average precision"
    for noise in [noise for noise in NOISES if noise in means.columns]:
        limit = -1.0 if noise.startswith("s") else 0.0
        beside_cleanlab, beside_raw = ours[noise] - cleanlab[noise], ours[noise] - raw[noise]
        section.goals += _goals(
            (what.format(noise, "cleanlab's better score"), beside_cleanlab, limit, "points"),
            *([(what.format(noise, "raw pixels"), beside_raw, 1.0, "points")] if name == "cluttered" else []),
        )
    ratio = _times_as_fast(table, "audit, held-out", CLEANLAB)
    section.goals += _goals((f"{name}, audit: times as fast as cleanlab's five folds", ratio, 20.0, "×"))
    return section


def _repair_section(name: str, table: pd.DataFrame) -> Section:
    means = 100 * _means(table, "test_accuracy")
    section = Section(
        f"Repairing a network, {name}",
        "The same networks; accuracy on true test labels in % by noise: mean over seeds (lowest … highest).",
        notes=_lines(table, "test_accuracy"),
    )
    noisy = [noise for noise in means.columns if noise != "p=0"]
    retrained = means.reindex([RETRAINED]).loc[RETRAINED, noisy]
    for way, limit in (("repair, held-out", -1.0), ("repair, held-out and checkpoints", 0.0)):
        gap = (means.loc[way, noisy] - retrained).mean()
        what = f"{name}: {way} minus cleanlab's filter and retrain, test accuracy"
        section.goals += _goals((what, gap, limit, "points"))
    by_case = 100 * table.pivot_table(index=["noise", "seed"], columns="way", values="test_accuracy")
    for way in ("repair", "repair, held-out", "repair, held-out and checkpoints"):
        worst = (by_case[way] - by_case["memorized network"]).min()
        section.goals += _goals((f"{name}: {way} minus the given network, worst case", worst, -0.5, "points"))
    for way in (OF_STOPPED, f"{OF_STOPPED}, held-out"):
        if way in by_case:
            worst = (by_case[way] - by_case[STOPPED]).min()
            section.goals += _goals((f"{name}: {way} minus that network, worst case", worst, -0.5, "points"))
    ratio = _times_as_fast(table, "repair, held-out", RETRAINED)
    section.goals += _goals((f"{name}, repair: times as fast as filter and retrain", ratio, 30.0, "×"))
    return section
