"""Compare the papers' published numbers with ours.

A cell is one accuracy that can be compared, of a data set, model, p, intervention, epoch, layer and probe.
The papers' value is the mean over their runs, ours the mean over our seeds.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from latentgen.errors import LatentgenError
from latentgen.tables.columns import COUNTS, IDENTITY, MEASURE
from latentgen.tables.published_settings import PROTOCOL, Comparison, Differences, differences
from latentgen.tables.reading import read_csv
from latentgen.tables.statistics import mean_over_seeds

PAIRS = frozenset(
    {
        ("cifar10", "cnn"),
        ("cifar10", "mlp"),
        ("fashion_mnist", "cnn"),
        ("mnist", "cnn"),
        ("mnist", "mlp"),
        ("tiny_imagenet", "alexnet"),
    }
)
"""Data sets and models with published numbers."""

NOISES = ("symmetric_published", "symmetric")
"""The noise of the papers, from their generator and from ours."""

TEXT = [
    *("dataset", "model", "intervention", "layer", "probe", "fit_labels", "split", "eval_labels"),
    *("repository", "table"),
]
"""Text columns in the file of published accuracies."""

PLACE = ["dataset", "model", "p", "intervention", "final", "epoch"]
WHAT = ["layer", "probe", "fit_labels", "split", "eval_labels"]
CELL = [*PLACE, *WHAT]
"""Columns that identify a cell. At the end of training the epoch is left out: theirs and ours may differ."""

FIDELITY = {
    "dataset": "str",
    "model": "str",
    "noise": "str",
    "p": "float64",
    "intervention": "str",
    "final": "bool",
    "epoch": "Int64",
    "layer": "str",
    "probe": "str",
    "fit_labels": "str",
    "split": "str",
    "eval_labels": "str",
    "theirs": "float64",
    "their_low": "float64",
    "their_high": "float64",
    "their_runs": "int64",
    "their_epoch": "float64",
    "ours": "float64",
    "our_seeds": "Int64",
    "our_epoch": "float64",
    "low": "float64",
    "high": "float64",
    "difference": "float64",
    "inside": "boolean",
    "why_not": "str",
    "table": "str",
}
"""Columns and types of the fidelity table; ``why_not`` is empty if a cell is compared.

``their_low`` and ``their_high`` are the lowest and highest of their runs, ``low`` and ``high`` the ends of
our 95 % interval.
"""

NO_CHECKPOINT = "no checkpoint at this epoch"
"""The reason if a cell could be compared except that ours is missing."""


def read_published(path: str | Path) -> pd.DataFrame:
    """Return the papers' accuracies, one row per run and cell."""
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(TEXT, "str"), keep_default_na=False)
    except (OSError, ValueError) as error:
        raise LatentgenError(f"{path}, the papers' numbers, cannot be read: {error}") from error


def of_older_networks(published: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the logs of older networks, trained in another way than the ones that were probed."""
    logs = published["repository"].eq("MASC_DNN") & published["table"].eq("model_accuracy_by_epoch")
    return logs & published["model"].isin(["mlp", "alexnet"])


def without_older_networks(published: pd.DataFrame) -> pd.DataFrame:
    """Drop the logs of older networks wherever there is a log of the ones that were probed."""
    older = of_older_networks(published)
    place = pd.MultiIndex.from_frame(published[["dataset", "model", "p"]])
    probed = place[published["table"].eq("model_accuracy_by_epoch") & ~older]
    return published[~(older & place.isin(probed))]


def read_fidelity(path: str | Path) -> pd.DataFrame:
    """Return the fidelity table of a study, columns `FIDELITY`.

    Raises
    ------
    LatentgenError
        If it is missing, unreadable or lacks a column.
    """
    return read_csv(Path(path), FIDELITY)


def fidelity_table(
    accuracy: pd.DataFrame,
    history: pd.DataFrame,
    published: pd.DataFrame,
    study: Mapping[str, Any],
    published_settings: Mapping[str, Any],
) -> pd.DataFrame:
    """Return every published cell of the study's pairs with ours beside it: columns `FIDELITY`.

    ``difference`` is ours minus theirs, and ``inside`` is whether theirs is within our 95 % interval.
    ``why_not`` has the reason if a cell cannot be compared.

    Parameters
    ----------
    accuracy, history : DataFrame
        The tables of a study.
    published : DataFrame
        As `read_published` returns it.
    study : mapping
        All settings of the study, as plain values, as in ``study.json``.
    published_settings : mapping
        As `read_published_settings` returns it.
    """
    ours = _our_cells(accuracy, history)
    parts = [
        _compared(
            _their_cells(published, dataset, model),
            of_pair.drop(columns="noise"),
            noise,
            differences(study, published_settings, str(dataset), str(model), noise),
        )
        for (dataset, model), of_model in ours.groupby(["dataset", "model"])
        for noise in NOISES
        if (dataset, model) in PAIRS and not (of_pair := of_model[of_model["noise"] == noise]).empty
    ]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=list(FIDELITY))
    return table[list(FIDELITY)].astype(FIDELITY).reset_index(drop=True)


def online_counts(accuracy: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the running training accuracy of each epoch, which the papers report, as rows of accuracies.

    Its split is ``online``. Columns: those of `IDENTITY`, `MEASURE` and `COUNTS`, and ``replicate``.
    """
    online = history[history["online_total"].notna()]
    online = online.rename(columns={"online_correct": "correct", "online_total": "total"}).assign(
        layer="readout", probe="model", fit_labels="corrupted", split="online", eval_labels="corrupted"
    )
    online = online.merge(accuracy[["run", "replicate"]].drop_duplicates("run"), on="run", how="left")
    return online[[*IDENTITY, *MEASURE, *COUNTS, "replicate"]].astype(COUNTS)


def _our_cells(accuracy: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies of a study over its seeds, at every checkpoint and once more at the end."""
    online = online_counts(accuracy, history)
    counts = pd.concat([accuracy[list(online)], online], ignore_index=True)
    counts = counts.astype({"correct": float, "total": float})
    who = ["dataset", "model", "noise", "p", "intervention", *WHAT]
    last = counts["epoch"] == counts.groupby([*who, "seed"])["epoch"].transform("max")
    at_epochs = mean_over_seeds(counts, [*who, "epoch"]).assign(final=False)
    at_epochs["our_epoch"] = at_epochs["epoch"]
    at_end = mean_over_seeds(counts[last], who).assign(final=True)
    epochs = counts[last].groupby(who)["epoch"].mean().rename("our_epoch").reset_index()
    cells = pd.concat([at_epochs, at_end.merge(epochs, on=who)])
    return cells.astype({"epoch": "Int64"}).rename(columns={"mean": "ours", "seeds": "our_seeds"})


def _their_cells(published: pd.DataFrame, dataset: Hashable, model: Hashable) -> pd.DataFrame:
    rows = published[(published["dataset"] == dataset) & (published["model"] == model)]
    rows = rows.assign(their_epoch=rows["epoch"], epoch=rows["epoch"].astype("Int64").mask(rows["final"]))
    cells = rows.groupby([*CELL, "repository", "table"], sort=False, dropna=False).agg(
        theirs=("accuracy", "mean"),
        their_low=("accuracy", "min"),
        their_high=("accuracy", "max"),
        their_runs=("run", "size"),
        their_epoch=("their_epoch", "mean"),
    )
    return cells.reset_index()


def _compared(theirs: pd.DataFrame, ours: pd.DataFrame, noise: str, different: Comparison) -> pd.DataFrame:
    values = ["ours", "our_seeds", "our_epoch", "low", "high"]
    table = theirs.merge(ours[[*CELL, *values]], on=CELL, how="left").assign(noise=noise)
    table["why_not"] = _reasons(table, ours, different)
    table.loc[table["why_not"] != "", values] = pd.NA
    table["difference"] = table["ours"] - table["theirs"]
    inside = table["theirs"].between(table["low"], table["high"]).astype("boolean")
    table["inside"] = inside.mask(table["why_not"] != "")
    return table


def _reasons(table: pd.DataFrame, ours: pd.DataFrame, different: Comparison) -> "pd.Series[str]":
    """Return for each cell why it is not compared: the first applicable reason, and those of the protocol."""
    reasons = _reasons_of(table, different.settings, after={
        "their logs of this model are of older networks, trained in another way": of_older_networks(table),
        "their QDA divides by variances that are zero up to rounding": table["probe"].eq("QDA"),
        "p is not in the study": ~table["p"].isin(ours["p"]),
        "the intervention is not in the study": ~table["intervention"].isin(ours["intervention"]),
        "the probe is not in the study": ~table["probe"].isin(ours["probe"]),
        "the layer is not probed": ~table["layer"].isin(ours["layer"]),
    })  # fmt: skip
    reasons |= {
        NO_CHECKPOINT: table["ours"].isna(),
        "training ended after less than half as many epochs": table["final"]
        & (table["our_epoch"] < 0.5 * table["their_epoch"]),
    }
    protocol = pd.Series("", index=table.index, dtype="str")
    for text, holds in _reasons_of(table, different.protocol).items():
        protocol = protocol.mask(holds, protocol.where(protocol.eq(""), protocol + "; ") + text)
    protocol = protocol.where(protocol.eq(""), PROTOCOL + protocol)
    texts = pd.Series("", index=table.index, dtype="str")
    for reason, holds in reasons.items():
        texts = texts.mask(holds & texts.eq(""), reason)
    both = texts.where(texts.eq("") | protocol.eq(""), texts + "; ")
    return both + protocol


def _reasons_of(
    table: pd.DataFrame, different: Differences, after: Mapping[str, "pd.Series[bool]"] = MappingProxyType({})
) -> dict[str, "pd.Series[bool]"]:
    """Return the differences, and the cells for which each matters."""
    reasons = {different.always: pd.Series(True, index=table.index)} if different.always else {}
    reasons |= {text: table["probe"] == kind for kind, text in different.by_probe.items()}
    reasons |= after
    return reasons | ({different.at_the_end: table["final"]} if different.at_the_end else {})


def is_drawable(why_not: "pd.Series[str]") -> "pd.Series[bool]":
    """Whether published cells can be drawn beside ours: compared ones, and those of another protocol.

    A published value at an epoch without a checkpoint of ours can still be drawn as a point of a curve.
    """
    other = why_not.fillna("").astype("str").str.split(PROTOCOL).str[0].str.removesuffix("; ")
    return other.isin(["", NO_CHECKPOINT])
