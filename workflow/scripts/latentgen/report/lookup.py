"""Read the tables of a study for its report, and look up values in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from latentgen.errors import LatentgenError
from latentgen.figures.final import final_table
from latentgen.figures.material import Material, select
from latentgen.study.config import Study
from latentgen.study.figure_kinds import FIGURES
from latentgen.study.layout import TABLE_OF_CLASSES, TABLE_OF_LABEL_QUALITY
from latentgen.study.pairs import Pair
from latentgen.study.plan import Drawing
from latentgen.tables.best_layers import read_best_layers
from latentgen.tables.classes import read_confusion
from latentgen.tables.columns import AUDIT, LABEL_QUALITY, REPAIR
from latentgen.tables.published import read_fidelity
from latentgen.tables.reading import (
    read_accuracy,
    read_beside,
    read_comparisons,
    read_cost,
    read_csv,
    read_history,
    read_summary,
)
from latentgen.tables.selection import of_pair, on_test


@dataclass(frozen=True)
class Tables:
    """The tables and the provenance of a study."""

    accuracy: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    fidelity: pd.DataFrame
    cost: pd.DataFrame
    provenance: dict[str, Any]
    beside: pd.DataFrame | None = None
    audit: pd.DataFrame | None = None
    repair: pd.DataFrame | None = None
    best_layers: pd.DataFrame | None = None
    label_quality: pd.DataFrame | None = None
    confusion: pd.DataFrame | None = None


def read_tables(folder: str | Path) -> Tables:
    """Read the tables that a report needs from a study's folder of tables.

    Raises
    ------
    LatentgenError
        If a table is missing, unreadable or lacks a column.
    """
    folder = Path(folder)
    try:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LatentgenError(f"{folder} cannot be read ({error}). Regenerate the study's tables.") from error
    return Tables(
        read_accuracy(folder / "accuracy.parquet"),
        read_history(folder / "history.parquet"),
        read_summary(folder / "summary.csv"),
        read_comparisons(folder / "comparisons.csv"),
        read_fidelity(folder / "fidelity.csv"),
        read_cost(folder / "cost.csv"),
        provenance,
        read_beside(other) if (other := folder / "beside.parquet").exists() else None,
        audit=read_csv(audit, AUDIT) if (audit := folder / "audit.csv").exists() else None,
        repair=read_csv(repair, REPAIR) if (repair := folder / "repair.csv").exists() else None,
        best_layers=read_best_layers(best) if (best := folder / "best_layers.csv").exists() else None,
        label_quality=read_csv(quality, LABEL_QUALITY)
        if (quality := folder / TABLE_OF_LABEL_QUALITY).exists()
        else None,
        confusion=read_confusion(classes) if (classes := folder / TABLE_OF_CLASSES).exists() else None,
    )


def one_per_pair_and_noise(study: Study) -> list[Drawing]:
    """Return one drawing for each pair and kind of noise: the groups of runs that figures show."""
    return [Drawing(FIGURES["final"], pair, noise) for pair in study.pairs for noise in study.noise]


def names_of(drawing: Drawing) -> dict[str, str]:
    """Return the columns, with their values, that are the same for all runs of a figure."""
    return {
        "dataset": drawing.pair.dataset.dataset_id,
        "model": drawing.pair.model.model_name,
        "noise": drawing.noise.noise_name,
    }


def final_rows(drawing: Drawing, tables: Tables) -> pd.DataFrame:
    """Mean accuracy at the seeds' last checkpoints: columns p, probe, layer, seeds, mean, low, high."""
    table = final_table(Material(select(tables.accuracy, **names_of(drawing))))
    return table[table["fit_labels"] == "corrupted"]


class Peak(NamedTuple):
    """The model's best test accuracy and its epoch, means over seeds."""

    peak: float
    epoch: float


def model_peaks(drawing: Drawing, tables: Tables) -> dict[float, Peak]:
    """Return the model's peak at each p."""
    test = select(tables.accuracy, **names_of(drawing))
    test = test[on_test(test) & (test["probe"] == "model")]
    test = test.assign(value=test["correct"] / test["total"]).sort_values("epoch")
    best = test.loc[test.groupby(["p", "seed"])["value"].idxmax()]
    return {
        p: Peak(float(rows["value"].mean()), float(rows["epoch"].mean())) for p, rows in groups_by_p(best)
    }


def groups_by_p(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """Return the rows of each p, in increasing order."""
    return [(float(p), rows[rows["p"] == p]) for p in sorted(rows["p"].unique())]


def accuracy_of(rows: pd.DataFrame, probe: str) -> float:
    """Return the mean accuracy of a probe, from rows with exactly one for it."""
    return float(rows.loc[rows["probe"] == probe, "mean"].iloc[0])


def best_layers(rows: pd.DataFrame, probes: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return each probe with the layer on which it is best, and its accuracy there."""
    best = []
    for probe in probes:
        layers = rows[rows["probe"] == probe].to_dict("records")
        if layers:
            row = max(layers, key=lambda row: float(row["mean"]))
            best.append((probe, str(row["layer"]), float(row["mean"])))
    return best


def chosen_layers(drawing: Drawing, tables: Tables) -> dict[tuple[float, str], tuple[str, float]]:
    """Return layer and accuracy of each probe, by p and probe, on the layer that held-out labels choose.

    Empty without held-out examples.
    """
    if not drawing.pair.dataset.held_out:
        return {}
    rows = of_pair(tables.comparisons, **names_of(drawing))
    compared = (rows["reference"] == "model") & (rows["intervention"] == "none")
    rows = rows[compared & rows["chosen"].fillna(False)]
    return {
        (float(row["p"]), str(row["what"])): (str(row["layer"]), float(row["final"]))
        for row in rows.to_dict("records")
    }


def layer_widths(pair: Pair) -> dict[str, int]:
    """Return the probed layers and their widths."""
    return pair.model.probed_layers(pair.dataset.info.shape)
