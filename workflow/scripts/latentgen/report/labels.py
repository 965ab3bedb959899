"""Tables of predicted labels: those that networks are retrained on, and confusion matrices."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from latentgen.figures.wording import percent, three_digits
from latentgen.report.lookup import Tables
from latentgen.report.readable_tables import PAIR, Column, ReadableTable, percent_or_none, readable
from latentgen.tables.columns import GROUP, QUALITY, RELABEL_FACTS

MOST_SHOWN = 20
"""Classes up to which confusion is shown: a column each."""

_COUNTS = [name for name, kind in QUALITY.items() if kind == "int64"]


def label_quality_tables(tables: Tables) -> list[ReadableTable]:
    """Return how good the labels are that networks are retrained on, by layer; none without any."""
    rows = tables.label_quality
    if rows is None or rows.empty:
        return []
    by = [*GROUP, "p", *RELABEL_FACTS, "layer"]
    sums = rows.groupby(by, sort=False)[[*_COUNTS, "chosen"]].sum().reset_index()
    labels = sums["wrong"] + sums["right"]
    shown = sums.assign(
        set_right=sums["set_right"] / sums["wrong"].where(sums["wrong"] > 0),
        spoilt=sums["spoilt"] / sums["right"].where(sums["right"] > 0),
        before=sums["wrong"] / labels,
        after=sums["wrong_after"] / labels,
        drop=1 - sums["wrong_after"] / sums["wrong"].where(sums["wrong"] > 0),
    )
    return [
        readable(
            "The labels that networks are retrained on",
            "Labels that a probe on a layer of the memorized network predicts for the training examples, "
            "over all seeds, in percent: wrong labels that it corrects; correct ones that it spoils; labels "
            "that are wrong before and afterwards, and by how much their number drops. “Chosen” counts the "
            "seeds whose network is trained on the labels of that layer. Probes fitted with true labels are "
            "an oracle.",
            shown,
            {
                **PAIR,
                "noise": Column("noise"),
                "p": Column("p", three_digits, number=True),
                "intervention": Column("retraining"),
                "relabel_from": Column("labels from"),
                "relabel_subspaces": Column("fitted with"),
                "relabel_start": Column("weights"),
                "layer": Column("layer"),
                "chosen": Column("chosen", number=True),
                "set_right": Column("corrected", percent_or_none, number=True),
                "spoilt": Column("spoilt", percent_or_none, number=True),
                "before": Column("wrong before", percent, number=True),
                "after": Column("wrong afterwards", percent, number=True),
                "drop": Column("drop", percent_or_none, number=True),
            },
        )
    ]


def confusion_tables(tables: Tables) -> list[ReadableTable]:
    """Return confusion matrices of the final networks, and of MASC and VeLPIC on the chosen layer.

    None without the table of classes, or if no data set has few enough of them.
    """
    if tables.confusion is None or tables.best_layers is None:
        return []
    place = [*GROUP, "p"]
    best = tables.best_layers.assign(intervention="none").rename(columns={"what": "probe"})
    rule = {"stage": "end", "chosen_by": "training", "fit_labels": "corrupted"}
    best = best[(best[list(rule)] == pd.Series(rule)).all(axis=1)]
    chosen = pd.concat([best[[*place, "probe", "layer"]], best[place].assign(probe="model", layer="readout")])
    rows = tables.confusion[tables.confusion["fit_labels"] == "corrupted"]
    rows = rows[rows.groupby("dataset")["class"].transform("max") < MOST_SHOWN]
    rows = rows.merge(chosen.drop_duplicates(), on=[*place, "probe", "layer"])
    if rows.empty:
        return []
    by = [*place, "probe", "layer", "class"]
    sums = rows.groupby(by, sort=False)["predicted_as"].agg(_added_percents).reset_index()
    n_classes = int(sums["class"].max()) + 1
    for c in range(n_classes):
        sums[str(c)] = [percents[c] if c < len(percents) else np.nan for percents in sums["predicted_as"]]
    return [
        readable(
            "Confusion matrices",
            "Of the test examples of each class, how many the final network predicts as each class, over all "
            "seeds, in percent; likewise for MASC and VeLPIC, fitted with corrupted labels, on the layer "
            "where they give most training examples their true label. All classes and layers are in "
            "tables/classes.parquet.",
            sums,
            {
                **PAIR,
                "noise": Column("noise"),
                "p": Column("p", three_digits, number=True),
                "probe": Column("model or probe"),
                "layer": Column("layer"),
                "class": Column("true class", number=True),
                **{str(c): Column(f"as {c}", percent_or_none, number=True) for c in range(n_classes)},
            },
        )
    ]


def _added_percents(rows: Iterable[str]) -> tuple[float, ...]:
    """Add up rows of confusion matrices; return fractions."""
    counts = np.sum([np.array(row.split(), dtype=np.int64) for row in rows], axis=0)
    return tuple(counts / max(counts.sum(), 1))
