"""The figures of a study, each drawn from its tables alone.

Every figure is a pair: a function that aggregates counts in pandas, and one that draws the result and
computes nothing (`curves`, `points`, `cost_figure`). What is plotted is therefore a table too, and
`save_figure` keeps it beside the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from latentgen.errors import LatentgenError
from latentgen.figures import cost as cost_figure
from latentgen.figures import curves, points
from latentgen.figures import edits as edit_figure
from latentgen.figures import relabelling as relabel_figure
from latentgen.figures import subspaces as subspace_figure
from latentgen.runtime.files import atomic_path
from latentgen.tables.columns import ACCURACY, COSTS
from latentgen.tables.published import NO_CHECKPOINT, NOISES, read_fidelity
from latentgen.tables.reading import read_accuracy, read_beside, read_cost

STYLE = Path(__file__).with_name("latentgen.mplstyle")
"""How every figure looks: sizes, fonts, lines."""


@dataclass(frozen=True)
class Material:
    """What a figure may be drawn from: tables of a study, cut to one pair and noise.

    Attributes
    ----------
    accuracy : DataFrame
        As `select` returns it.
    published : DataFrame, optional
        The papers' cells that may stand beside ours, as `beside` returns them.
    cost : DataFrame, optional
        What probes cost.
    other : DataFrame, optional
        Accuracies of the same pair in another study, whose name is in ``study``.
    every : DataFrame, optional
        Accuracies of all the pair's runs, those with an intervention too, and with all fit labels.
    """

    accuracy: pd.DataFrame
    published: pd.DataFrame | None = None
    cost: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COSTS)))
    other: pd.DataFrame | None = None
    every: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(ACCURACY)))


def select(accuracy: pd.DataFrame, dataset: str, model: str, noise: str = "symmetric") -> pd.DataFrame:
    """Return what the figures of a pair show: runs without intervention, of a kind of noise.

    Probes fitted with true labels are left out: they are no part of any figure.

    Raises
    ------
    LatentgenError
        If the table has no such run.
    """
    known = accuracy[["dataset", "model", "noise"]].drop_duplicates()
    rows = accuracy[
        (accuracy["dataset"] == dataset)
        & (accuracy["model"] == model)
        & (accuracy["noise"] == noise)
        & (accuracy["intervention"] == "none")
        & (accuracy["fit_labels"] != "true")
    ]
    if rows.empty:
        pairs = "; ".join(" ".join(row) for row in known.itertuples(index=False, name=None)) or "nothing"
        raise LatentgenError(f"The accuracy table has no run of {dataset} {model} {noise}; it has {pairs}.")
    return rows


def beside(fidelity: pd.DataFrame, dataset: str, model: str, noise: str = "symmetric") -> pd.DataFrame:
    """Return the papers' cells that may be drawn with ours: comparable, of the pair, without intervention.

    A cell at an epoch without a checkpoint of ours is no less comparable as a point of a curve.
    """
    comparable = fidelity["why_not"].isna() | fidelity["why_not"].isin(["", NO_CHECKPOINT])
    return fidelity[
        comparable
        & (fidelity["dataset"] == dataset)
        & (fidelity["model"] == model)
        & (fidelity["noise"] == noise)
        & (fidelity["intervention"] == "none")
    ]


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
        Whether another study is among the tables, to be drawn beside this one. Where this one has the papers'
        noise, that may have ours instead, or the other way round: they are drawn by the same rule.

    Raises
    ------
    LatentgenError
        If a table is missing or damaged, or has no run of the pair.
    """
    folder = Path(folder)
    whole = read_accuracy(folder / "accuracy.parquet")
    accuracy = select(whole, dataset, model, noise)
    every = (whole["dataset"] == dataset) & (whole["model"] == model) & (whole["noise"] == noise)
    cost = read_cost(folder / "cost.csv")
    of_pair = (cost["dataset"] == dataset) & (cost["model"] == model) & (cost["noise"] == noise)
    return Material(
        accuracy,
        beside(read_fidelity(folder / "fidelity.csv"), dataset, model, noise),
        cost[of_pair & (cost["intervention"] == "none")],
        other_study(read_beside(folder / "beside.parquet"), dataset, model, noise) if compared else None,
        whole[every],
    )


def other_study(accuracy: pd.DataFrame, dataset: str, model: str, noise: str) -> pd.DataFrame:
    """Select from another study: the same noise if it has it, else the same by the other generator."""
    if noise in NOISES and not (accuracy["noise"] == noise).any():
        (noise,) = set(NOISES) - {noise}
    return select(accuracy, dataset, model, noise)


class FigureKind(NamedTuple):
    """A figure: what makes its table of a pair's material, and what draws that table."""

    aggregate: Callable[[Material], pd.DataFrame]
    draw: Callable[[pd.DataFrame, float | None], Figure]
    of_probes: bool = True
    """Whether it shows probes, and not models alone."""


FIGURES = {
    "dynamics": FigureKind(lambda of: curves.dynamics_table(of.accuracy, of.published), curves.draw_dynamics),
    "difference": FigureKind(lambda of: curves.difference_table(of.accuracy), curves.draw_difference),
    "transfer": FigureKind(lambda of: curves.transfer_table(of.accuracy, of.published), curves.draw_transfer),
    "final": FigureKind(lambda of: points.final_table(of.accuracy, of.published), points.draw_final),
    "untrained": FigureKind(lambda of: points.untrained_table(of.accuracy), points.draw_untrained),
    "probes": FigureKind(lambda of: points.probes_table(of.accuracy, of.published), points.draw_probes),
    "sensitivity": FigureKind(
        lambda of: points.sensitivity_table(of.accuracy, of.published), points.draw_sensitivity
    ),
    "cost": FigureKind(lambda of: cost_figure.cost_figure_table(of.cost), cost_figure.draw_cost),
    "protocols": FigureKind(lambda of: curves.protocols_table(of.accuracy, of.other), curves.draw_protocols),
    "edits": FigureKind(
        lambda of: edit_figure.edits_table(of.every), edit_figure.draw_edits, of_probes=False
    ),
    "relabel": FigureKind(
        lambda of: relabel_figure.relabel_table(of.every), relabel_figure.draw_relabel, of_probes=False
    ),
    "subspaces": FigureKind(
        lambda of: subspace_figure.subspaces_table(of.every), subspace_figure.draw_subspaces
    ),
}


def make_figure(
    name: str,
    material: Material,
    stem: str | Path,
    *,
    n_classes: int | None = None,
    style: str | Path = STYLE,
) -> None:
    """Aggregate, draw and save one figure of one pair.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    material : Material
        The tables of the pair.
    stem : str or Path
        Where to: path without suffix, to which ``.pdf``, ``.png`` and ``.csv`` are added.
    n_classes : int, optional
        Number of classes; the level of chance is drawn if it is given.
    style : str or Path
        Matplotlib style file; nothing else sets the look, no settings of the user's.

    Raises
    ------
    LatentgenError
        If the material has none of the probes that the figure shows.
    """
    kind = FIGURES[name]
    table = kind.aggregate(material)
    if table.empty or (kind.of_probes and table["probe"].eq("model").all()):
        raise LatentgenError(
            f"The tables have no probe of {_named(material)} that the figure {name} shows. "
            "Leave the figure out of the study, or put its probes in."
        )
    with matplotlib.rc_context(fname=str(style)):
        figure = kind.draw(table, 1 / n_classes if n_classes else None)
        save_figure(figure, table, stem)


def _named(material: Material) -> str:
    return " ".join(material.accuracy[["dataset", "model", "noise"]].iloc[0])


def save_figure(figure: Figure, table: pd.DataFrame, stem: str | Path) -> None:
    """Write a figure as PDF and PNG and its table as CSV; the same figure gives the same bytes."""
    stem = Path(stem)
    dateless = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    for kind, metadata in dateless.items():
        with atomic_path(stem.with_name(f"{stem.name}.{kind}")) as partial:
            figure.savefig(partial, format=kind, metadata=metadata)
    with atomic_path(stem.with_name(f"{stem.name}.csv")) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
