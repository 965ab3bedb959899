"""The tables that figures are drawn from, restricted to one pair and noise."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from latentgen.errors import LatentgenError
from latentgen.study.layout import TABLE_OF_ANGLES
from latentgen.tables.columns import ACCURACY, AUDIT, COSTS, LABEL_QUALITY, REPAIR
from latentgen.tables.geometry import GEOMETRY, read_geometry
from latentgen.tables.published import NOISES, is_drawable, read_fidelity
from latentgen.tables.reading import read_accuracy, read_beside, read_cost, read_csv
from latentgen.tables.selection import of_pair


@dataclass(frozen=True)
class Material:
    """Tables of a study, restricted to one pair and noise.

    Attributes
    ----------
    accuracy : DataFrame
        As `select` returns it.
    published : DataFrame, optional
        The papers' numbers that can be drawn with ours, as `comparable` returns them.
    cost : DataFrame, optional
        Cost of the probes.
    other : DataFrame, optional
        Accuracies of the same pair in another study, whose name is in ``study``.
    geometry : DataFrame, optional
        Angles of VeLPIC's vectors (`latentgen.tables.geometry`).
    all_runs : DataFrame, optional
        Accuracies of all the pair's runs, including those with an intervention, and with all fit labels.
    audit, repair : DataFrame, optional
        Results of audits and repairs of the pair's runs.
    label_quality : DataFrame, optional
        Quality of the labels that probes predict for the pair's training examples.
    study_runs : DataFrame, optional
        Accuracies of all pairs of the study: runs of the same noise without intervention.
    """

    accuracy: pd.DataFrame
    published: pd.DataFrame | None = None
    cost: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COSTS)))
    other: pd.DataFrame | None = None
    all_runs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(ACCURACY)))
    geometry: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(GEOMETRY)))
    audit: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(AUDIT)))
    repair: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(REPAIR)))
    label_quality: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(LABEL_QUALITY)))
    study_runs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(ACCURACY)))

    @property
    def name(self) -> str:
        """Dataset, model and noise."""
        return " ".join(self.accuracy[["dataset", "model", "noise"]].iloc[0])


def select(accuracy: pd.DataFrame, dataset: str, model: str, noise: str = "symmetric") -> pd.DataFrame:
    """Return the rows that most figures of a pair show: runs without intervention, of one kind of noise.

    Probes fitted with true labels are left out.

    Raises
    ------
    LatentgenError
        If the table has no such run.
    """
    rows = of_pair(accuracy, dataset, model, noise)
    rows = rows[(rows["intervention"] == "none") & (rows["fit_labels"] != "true")]
    if rows.empty:
        known = accuracy[["dataset", "model", "noise"]].drop_duplicates()
        pairs = "; ".join(" ".join(row) for row in known.itertuples(index=False, name=None)) or "nothing"
        raise LatentgenError(f"The accuracy table has no run of {dataset} {model} {noise}; it has {pairs}.")
    return rows


def comparable(fidelity: pd.DataFrame, dataset: str, model: str, noise: str = "symmetric") -> pd.DataFrame:
    """Return the papers' numbers that can be drawn with ours: those of the pair, without intervention."""
    rows = of_pair(fidelity, dataset, model, noise)
    return rows[is_drawable(rows["why_not"]) & (rows["intervention"] == "none")]


def read_material(
    folder: str | Path, dataset: str, model: str, noise: str = "symmetric", compared: bool = False
) -> Material:
    """Read the tables that the figures of a pair are drawn from.

    Parameters
    ----------
    folder : str or Path
        Folder of the study's tables.
    dataset, model, noise : str
        The runs to show.
    compared : bool
        Whether the tables include another study, to be drawn with this one. One study may have noise from
        the papers' generator and the other from ours: both follow the same rule.

    Raises
    ------
    LatentgenError
        If a table is missing or damaged, or has no run of the pair.
    """
    folder, pair = Path(folder), (dataset, model, noise)
    accuracy = read_accuracy(folder / "accuracy.parquet")
    cost = of_pair(read_cost(folder / "cost.csv"), *pair)
    file = folder / TABLE_OF_ANGLES
    angles = read_geometry(file) if file.exists() else pd.DataFrame(columns=list(GEOMETRY))
    other = read_beside(folder / "beside.parquet") if compared else None
    return Material(
        select(accuracy, *pair),
        comparable(read_fidelity(folder / "fidelity.csv"), *pair),
        cost[cost["intervention"] == "none"],
        None if other is None else other_study(other, *pair),
        of_pair(accuracy, *pair),
        of_pair(angles, *pair),
        study_runs=accuracy[(accuracy["noise"] == noise) & (accuracy["intervention"] == "none")],
        **{
            name: of_pair(read_csv(path, columns), *pair)
            for name, columns in (("audit", AUDIT), ("repair", REPAIR), ("label_quality", LABEL_QUALITY))
            if (path := folder / f"{name}.csv").exists()
        },
    )


def other_study(accuracy: pd.DataFrame, dataset: str, model: str, noise: str) -> pd.DataFrame:
    """Select from another study: the same noise, or else the same kind from the other generator."""
    if noise in NOISES and not (accuracy["noise"] == noise).any():
        (noise,) = set(NOISES) - {noise}
    return select(accuracy, dataset, model, noise)
