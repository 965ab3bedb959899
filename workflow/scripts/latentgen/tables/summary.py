"""The summary of a study: peak and end of every curve."""

import pandas as pd

from latentgen.tables.columns import CHOSEN, IDENTITY, SUMMARY
from latentgen.tables.reading import typed
from latentgen.tables.selection import last_checkpoint

CURVE = [*IDENTITY, "probe", "layer", "fit_labels"]
"""Columns that identify a curve over training."""


def summary_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return peak and final test accuracy against true labels, as fractions: columns `SUMMARY`.

    With held-out examples in the study, the column ``chosen`` marks the layer on which most of their noisy
    labels are predicted at the end, by run and probe.

    One row per run, probe (``what``), layer and fit labels. The peak is the highest accuracy at any
    checkpoint, including epoch 0, and the first of equals. Final is the run's last checkpoint.
    """
    test = accuracy[(accuracy["split"] == "test") & (accuracy["eval_labels"] == "true")]
    test = test.assign(value=test["correct"] / test["total"]).sort_values("epoch", kind="stable")
    groups = test.groupby(CURVE, sort=False)
    columns = [*CURVE, "value", "epoch"]
    peak, final = test.loc[groups["value"].idxmax(), columns], groups.tail(1)[columns]
    # The first checkpoint has every curve, in the order of the table, which is also that of the peaks.
    summary = peak.merge(final, on=CURVE, suffixes=("", "_final"), validate="one_to_one")
    summary = summary.rename(
        columns={
            "probe": "what",
            "value": "peak",
            "epoch": "peak_epoch",
            "value_final": "final",
            "epoch_final": "final_epoch",
        }
    )
    summary = summary.sort_values(["dataset", "model", "noise", "intervention", "p", "seed"], kind="stable")
    if not (accuracy["split"] == "held_out").any():
        return typed(summary, SUMMARY).reset_index(drop=True)
    return typed(_with_chosen(summary, accuracy), SUMMARY | CHOSEN).reset_index(drop=True)


def _with_chosen(summary: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    of_probes = (accuracy["split"] == "held_out") & (accuracy["probe"] != "model")
    last = last_checkpoint(accuracy[of_probes])
    right = last.rename(columns={"probe": "what"}).set_index(["run", "what", "layer", "fit_labels"])[
        "correct"
    ]
    names = ["run", "what", "layer", "fit_labels"]
    correct = summary[names].join(right.rename("right"), on=names)["right"]
    groups = [summary[name] for name in ("run", "what", "fit_labels")]
    ranks = correct.groupby(groups).rank(method="first", ascending=False)
    return summary.assign(chosen=(ranks == 1).where(correct.notna()).astype("boolean"))
