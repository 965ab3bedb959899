"""The papers' experiments: their titles, and the rows of a table of accuracies that each of them shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

ROW = "row"
"""Column with the panel, or the row of panels, of a curve; empty: in all of them."""

BASELINES = ("logistic", "KNN", "LDA", "QDA", "nearest_mean")
SUBSPACES = ("MASC-1pc", "MASC-0.25", "MASC-0.5", "MASC-0.75", "MASC")
TRANSFERRED = ("transfer-zero", "transfer-kept")

Rows = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Experiment:
    """One of the papers' experiments.

    Attributes
    ----------
    name, title, claim : str
        Its name in file names, its heading, and what the papers' figure is meant to show.
    rows : callable
        Selects the experiment's rows of a table of accuracies (theirs, ours or both), and adds a column
        `ROW`.
    against : str
        ``epoch``, or ``p`` for the end of training.
    limits : str
        What the papers' numbers cannot show.
    """

    name: str
    title: str
    claim: str
    rows: Rows
    against: str = "epoch"
    limits: str = ""


def _test(table: pd.DataFrame, fit_labels: str = "corrupted") -> "pd.Series[bool]":
    return (table["split"] == "test") & (table["eval_labels"] == "true") & (table["fit_labels"] == fit_labels)


def _plain(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["intervention"] == "none"


def _dynamics(table: pd.DataFrame) -> pd.DataFrame:
    training = table["split"].isin(["online", "train"]) & (table["eval_labels"] == "corrupted")
    model = (table["probe"] == "model") & (training | _test(table))
    probes = table["probe"].isin(["MASC", "VeLPIC"]) & _test(table)
    rows = table[_plain(table) & (model | probes)]
    return rows.assign(**{ROW: rows["probe"].where(rows["probe"] != "model", "")})


def _transfer(table: pd.DataFrame) -> pd.DataFrame:
    shown = ((table["probe"] == "model") | table["probe"].isin(TRANSFERRED)) & _test(table)
    return table[_plain(table) & shown].assign(**{ROW: "transfer"})


def _transfer_training(table: pd.DataFrame) -> pd.DataFrame:
    edited = table["probe"].eq("transfer-zero") & table["split"].eq("train")
    model = table["probe"].eq("model") & table["split"].isin(["online", "train"])
    rows = table[_plain(table) & (edited | model)]
    return rows.assign(
        **{ROW: rows["eval_labels"].map({"corrupted": "corrupted labels", "true": "true labels"})}
    )


def _edits(table: pd.DataFrame) -> pd.DataFrame:
    """Select the networks after an edit, and the unedited ones from then on."""
    edited_at = table["intervention"].str.extract(r"^velpic_at_(10|40)(?:_batch1)?$")[0]
    model = table["probe"] == "model"
    shown = edited_at.notna() & model & table["split"].isin(["test", "online", "train"])
    edited = table[shown].assign(**{ROW: "edited at epoch " + edited_at[shown]})
    plain = table[_plain(table) & model & _test(table)]
    parts = [edited]
    for row, rows in edited.groupby(ROW):
        epochs = plain["epoch"].between(int(str(row).split()[-1]), rows["epoch"].max())
        unedited = plain[epochs & plain["p"].isin(rows["p"])]
        parts.append(unedited.assign(split="unedited", **{ROW: row}))
    return pd.concat(parts)


def _end(table: pd.DataFrame, probes: tuple[str, ...], fit_labels: str = "corrupted") -> pd.DataFrame:
    rows = table[_plain(table) & table["probe"].isin(probes) & _test(table, fit_labels)]
    return rows.assign(**{ROW: rows["probe"]})


def _with_model(table: pd.DataFrame, probes: tuple[str, ...]) -> pd.DataFrame:
    model = _end(table, ("model",)).assign(**{ROW: ""})
    return pd.concat([model, _end(table, probes)], ignore_index=True)


EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "dynamics",
            "Accuracy over training, of the network and of probes on its layers",
            "Latent generalization peaks early, with the network's test accuracy; while the network "
            "memorizes, it falls less and stays above the network's test accuracy.",
            _dynamics,
        ),
        Experiment(
            "transfer",
            "VeLPIC's vectors in the readout, without training",
            "The edited network immediately generalizes better than the memorized one.",
            _transfer,
        ),
        Experiment(
            "transfer_training",
            "VeLPIC's vectors in the readout: outputs on training examples",
            "The edited network gives fewer training examples their corrupted label, and more their true "
            "one.",
            _transfer_training,
            limits="The papers published the ordinary network's accuracy on corrupted labels alone, so "
            "only ours can show the second half.",
        ),
        Experiment(
            "edits",
            "Training resumed after the edit",
            "A network edited midway starts from higher test accuracy when training resumes.",
            _edits,
            limits="The papers' edited networks were trained further with batches of one image, the "
            "unedited ones with larger batches, and there is no control with a smaller batch alone. So a "
            "falling curve need not be an effect of the edit.",
        ),
        Experiment(
            "end",
            "End of training, by p: MASC with fewer components",
            "MASC on hidden layers is more accurate than the memorized network, whatever fraction of the "
            "variance its subspaces keep.",
            lambda table: _with_model(table, SUBSPACES),
            against="p",
        ),
        Experiment(
            "baselines",
            "End of training, by p: other probes fitted with the corrupted labels",
            "Other probes show latent generalization too.",
            lambda table: _with_model(table, BASELINES),
            against="p",
            limits="The papers' QDA divides by variances that are zero up to rounding.",
        ),
        Experiment(
            "true_labels",
            "End of training, by p: other probes fitted with true labels",
            "Fitted with true labels, probes on a memorized network are even more accurate.",
            lambda table: _end(table, BASELINES, "true"),
            against="p",
            limits="The papers' QDA divides by variances that are zero up to rounding.",
        ),
    )
}
"""The experiments with accuracies; `geometry` and `best_layers` have their own tables."""
