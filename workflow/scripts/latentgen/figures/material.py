"""What figures are drawn from: the tables of a study, cut to one pair and noise."""

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
    """Tables of a study, cut to one pair and noise.

    Attributes
    ----------
    accuracy : DataFrame
        As `select` returns it.
    published : DataFrame, optional
        The papers' numbers that can be drawn with ours, as `comparable` returns them.
    cost : DataFrame, optional
        What probes cost.
    other : DataFrame, optional
        Accuracies of the same pair in another study, whose name is in ``study``.
    geometry : DataFrame, optional
        Angles of VeLPIC's vectors (`latentgen.tables.geometry`).
    all_runs : DataFrame, optional
        Accuracies of all the pair's runs, those with an intervention too, and with all fit labels.
    audit, repair : DataFrame, optional
        What audits of the pair's runs found, and what was done to their networks.
    label_quality : DataFrame, optional
        How good the labels are that probes predict for the pair's training examples.
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
    """Return what most figures of a pair show: runs without intervention, of one kind of noise.

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
    """Return the papers' numbers that can be drawn with ours: of the pair, without intervention."""
    rows = of_pair(fidelity, dataset, model, noise)
    return rows[is_drawable(rows["why_not"]) & (rows["intervention"] == "none")]


def read_material(
    folder: str | Path, dataset: str, model: str, noise: str = "symmetric", compared: bool = False
) -> Material:
    """Read what the figures of a pair are drawn from.

    Parameters
    ----------
    folder : str or Path
        Where the study's tables are.
    dataset, model, noise : str
        Whose runs are shown.
    compared : bool
        Whether another study is among the tables, to be drawn with this one. Where this one has the papers'
        noise, the other may have ours instead, or the other way round: both follow the same rule.

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
    """Select from another study: the same noise if it has it, else the same by the other generator."""
    if noise in NOISES and not (accuracy["noise"] == noise).any():
        (noise,) = set(NOISES) - {noise}
    return select(accuracy, dataset, model, noise)
