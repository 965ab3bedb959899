"""Tables of a report on audited labels and repaired networks."""

import pandas as pd

from latentgen.figures.wording import percent, plural, three_digits
from latentgen.report.lookup import Tables
from latentgen.report.readable_tables import (
    PAIR,
    Column,
    ReadableTable,
    percent_or_none,
    readable,
    text_or_none,
)

_RUN = {
    **PAIR,
    "noise": Column("noise"),
    "p": Column("p", three_digits, number=True),
    "seed": Column("seed", number=True),
}
_CHOSEN = {"checkpoint": Column("checkpoint"), "layer": Column("layer"), "probe": Column("probe")}


def audit_tables(tables: Tables) -> list[ReadableTable]:
    """Return the results of audits, a row for each run; none if no labels were audited."""
    rows = tables.audit
    if rows is None:
        return []
    counted = rows["estimated"].notna().any()
    note = (
        "Labels that a trained network's layers contradict (docs/how-to-audit.md). "
        "tables/label_issues.parquet has every label with its score; runs/{run}/audit/audit.html shows "
        "images. Precision: average precision of the ranking, in percent; at random, the fraction of wrong "
        "labels. "
    )
    note += (
        "Held-out noisy labels chose checkpoint, layer and probe, and give the estimated number of wrong "
        "labels. The interval covers the sampling of held-out labels, not errors of the method."
        if counted
        else "Without held-out examples nothing is chosen, and the number of wrong labels is not estimated."
    )
    return [
        readable(
            "Labels that are probably wrong",
            note,
            rows,
            {
                **_RUN,
                **_CHOSEN,
                "labels": Column("labels", number=True),
                "wrong": Column("wrong", text_or_none, number=True),
                "estimated": Column("estimated", _count, number=True),
                "low": Column("low", _count, number=True),
                "high": Column("high", _count, number=True),
                "marked": Column("marked", number=True),
                "marked_wrong": Column("of these wrong", text_or_none, number=True),
                "average_precision": Column("precision", percent_or_none, number=True),
                "network_average_precision": Column("of the network itself", percent_or_none, number=True),
                "raw_input_average_precision": Column("of raw input", percent_or_none, number=True),
            },
        )
    ]


def repair_tables(tables: Tables) -> list[ReadableTable]:
    """Return the results of repairs, a row for each run; none if no network was repaired."""
    rows = tables.repair
    if rows is None:
        return []
    fractions = {
        name: rows[f"{name}_correct"] / rows["total"] for name in ("network", "repaired", "raw_input")
    }
    worse = int((fractions["repaired"] < fractions["network"] - 0.005).sum())
    return [
        readable(
            "Repaired networks",
            "Repaired without retraining (docs/how-to-repair.md). Test accuracy is against true labels, in "
            "percent; the gain is measured on held-out noisy labels, in points, with its 95 % interval. "
            f"Of {plural(len(rows), 'network')}, {worse} lost more than half a point of test accuracy. Raw "
            "input is a linear head on the pixels: if it is as good, the network adds nothing.",
            rows.assign(**fractions),
            {
                **_RUN,
                "kind": Column("kind"),
                **_CHOSEN,
                "network": Column("test, before", percent, number=True),
                "repaired": Column("test, after", percent, number=True),
                "raw_input": Column("test, raw input", percent, number=True),
                "gain": Column("held-out gain", percent_or_none, number=True),
                "gain_low": Column("low", percent_or_none, number=True),
                "gain_high": Column("high", percent_or_none, number=True),
            },
        )
    ]


def _count(value: float) -> str:
    return "" if pd.isna(value) else str(round(value))
