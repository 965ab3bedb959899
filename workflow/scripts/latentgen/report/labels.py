"""What a report says of labels that probes predict for the training examples."""

from latentgen.figures.wording import percent, three_digits
from latentgen.report.lookup import Tables
from latentgen.report.readable_tables import PAIR, Column, ReadableTable, percent_or_none, readable
from latentgen.tables.columns import GROUP, QUALITY, RELABEL_FACTS

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
            "What a probe on a layer of the memorized network says of the training examples, over all seeds, "
            "in percent: of the labels that the noise made wrong, those that it sets right; of the right "
            "ones, those that it spoils; how many of all labels are wrong before and afterwards, and by how "
            "much their number drops. “Chosen” counts the seeds whose network is trained on that layer’s "
            "labels. Probes fitted with true labels are an oracle.",
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
                "set_right": Column("set right", percent_or_none, number=True),
                "spoilt": Column("spoilt", percent_or_none, number=True),
                "before": Column("wrong before", percent, number=True),
                "after": Column("wrong afterwards", percent, number=True),
                "drop": Column("drop", percent_or_none, number=True),
            },
        )
    ]
