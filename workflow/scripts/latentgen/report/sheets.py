"""Tables for people: the sheets of a report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from latentgen.report.lookup import (
    Tables,
    accuracy_of,
    best_layers,
    by_p,
    final_rows,
    model_peaks,
    one_per_pair_and_noise,
)
from latentgen.report.wording import counted, general, percent, with_layer
from latentgen.runtime.logs import duration
from latentgen.study.config import Drawing, Study


class Column(NamedTuple):
    """A column of a table for people: its heading, and how its values are written."""

    heading: str
    write: Callable[[Any], str] = str
    number: bool = False


_PAIR = {"dataset": Column("data"), "model": Column("network")}


@dataclass(frozen=True)
class Sheet:
    """A table for people."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: list[list[str]]


def overview(drawing: Drawing, tables: Tables) -> Sheet:
    """Return, per strength of noise, the model's peak and end and the best layer of every probe."""
    final, peaks = final_rows(drawing, tables), model_peaks(drawing, tables)
    probes = [name for name in final["probe"].unique() if name != "model"]
    rows = []
    for p, of_p in by_p(final):
        best = {probe: (layer, mean) for probe, layer, mean in best_layers(of_p, probes)}
        row = {"p": p, **peaks[p]._asdict(), "model": accuracy_of(of_p, "model")}
        rows.append(row | {f"best {probe}": best.get(probe) for probe in probes})
    columns = {
        "p": Column("p", general, number=True),
        "peak": Column("model, peak", percent, number=True),
        "epoch": Column("at epoch", "{:.0f}".format, number=True),
        "model": Column("model, end", percent, number=True),
    }
    columns |= {f"best {probe}": Column(f"{probe}, end", with_layer, number=True) for probe in probes}
    several = len(set(tables.accuracy["noise"])) > 1
    chance = 1 / drawing.pair.dataset.info.n_classes
    return _sheet(
        drawing.pair.name + (f", {drawing.noise.noise_name} noise" if several else ""),
        f"Test accuracy against true labels, in percent, mean of {counted(final['seeds'].max(), 'seed')}; "
        f"chance is {percent(chance)}. Probes are fitted with corrupted labels. Peaks, and the layer of a "
        "probe (in brackets), are the best on these same test items, picked afterwards: a little too good. "
        "All layers stand in the tables below.",
        pd.DataFrame(rows),
        columns,
    )


def _sheet(title: str, note: str, table: pd.DataFrame, columns: Mapping[str, Column]) -> Sheet:
    rows = [
        [column.write(value) for column, value in zip(columns.values(), row, strict=True)]
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]
    return Sheet(title, note, list(columns.values()), rows)


def finals_sheet(study: Study, tables: Tables) -> Sheet:
    """Show the final accuracies of everything, by p."""
    parts = [
        final_rows(drawing, tables).assign(pair=drawing.pair.name, noise=drawing.noise.noise_name)
        for drawing in one_per_pair_and_noise(study)
    ]
    return _sheet(
        "End of training, by layer",
        "Mean test accuracy over seeds at the last checkpoint, with its 95 % interval (Student t over seeds; "
        "of one seed, Wilson’s, of the test set), in percent. Probes are fitted with corrupted labels.",
        pd.concat(parts).sort_values(["pair", "noise", "p"], kind="stable"),
        {
            "pair": Column("data and network"),
            "noise": Column("noise"),
            "p": Column("p", general, number=True),
            "probe": Column("probe"),
            "layer": Column("layer"),
            "seeds": Column("seeds", number=True),
            "mean": Column("mean", percent, number=True),
            "low": Column("low", percent, number=True),
            "high": Column("high", percent, number=True),
        },
    )


def comparisons_sheet(tables: Tables) -> Sheet:
    """Show which way is better than which, on the same seeds."""
    return _sheet(
        "Paired comparisons at the end of training",
        "Difference of test accuracies, same noise and same seed, in percentage points, with its 95 % "
        "interval; p-value of the paired t test, and corrected after Holm within data, network and noise.",
        tables.comparisons,
        {
            **_PAIR,
            "noise": Column("noise"),
            "intervention": Column("edit"),
            "p": Column("p", general, number=True),
            "what": Column("what"),
            "layer": Column("layer"),
            "reference": Column("less"),
            "seeds": Column("seeds", number=True),
            "difference": Column("difference", percent, number=True),
            "low": Column("low", percent, number=True),
            "high": Column("high", percent, number=True),
            "p_value": Column("p-value", general, number=True),
            "p_holm": Column("after Holm", general, number=True),
        },
    )


def beside_published(tables: Tables) -> list[Sheet]:
    """Return the papers' accuracies beside ours, where there are any of the study's pairs."""
    published = tables.fidelity
    compared = published[published["why_not"].isna() & published["ours"].notna()]
    if compared.empty:
        return []
    inside = int(compared["inside"].astype(bool).sum())
    return [
        _sheet(
            "Beside the papers’ numbers",
            f"Of {counted(len(compared), 'published accuracy')} that can be compared, {inside} lie within "
            f"our 95 % interval; {len(published) - len(compared)} others are not compared, for the reasons "
            "in tables/fidelity.csv. In percent; the difference, ours less their mean, in points.",
            compared,
            {
                **_PAIR,
                "p": Column("p", general, number=True),
                "their_epoch": Column("their epoch", general, number=True),
                "our_epoch": Column("our epoch", general, number=True),
                "probe": Column("probe"),
                "layer": Column("layer"),
                "fit_labels": Column("fit labels"),
                "split": Column("split"),
                "eval_labels": Column("against"),
                "theirs": Column("theirs", percent, number=True),
                "their_low": Column("their lowest", percent, number=True),
                "their_high": Column("their highest", percent, number=True),
                "ours": Column("ours", percent, number=True),
                "low": Column("low", percent, number=True),
                "high": Column("high", percent, number=True),
                "difference": Column("difference", percent, number=True),
            },
        )
    ]


def not_compared_sheets(tables: Tables) -> list[Sheet]:
    """Return the published cells that are not compared, counted by reason."""
    rows = tables.fidelity[tables.fidelity["why_not"].notna()]
    if rows.empty:
        return []
    by = ["dataset", "model", "noise", "probe", "table", "why_not"]
    counted = rows.groupby(by, sort=False).size().rename("cells").reset_index()
    return [
        _sheet(
            "Published numbers that are not compared, and why",
            "Every single one stands in tables/fidelity.csv, with its reason.",
            counted,
            {
                **_PAIR,
                "noise": Column("our noise"),
                "probe": Column("probe"),
                "table": Column("published table"),
                "cells": Column("numbers", number=True),
                "why_not": Column("reason"),
            },
        )
    ]


def costs_sheet(tables: Tables) -> Sheet:
    """Show what each probe costs."""
    measures = [f"{step}_{of}" for step in ("fit", "predict") for of in ("seconds", "flops", "bytes")]
    by = ["dataset", "model", "noise", "layer", "width", "probe"]
    medians = tables.cost.groupby(by, sort=False)[measures].median().reset_index()
    return _sheet(
        "What probes cost",
        "Median over runs, of each probe fitted by itself at the end of training; single runs are in "
        "tables/cost.csv. Seconds are measured; floating-point operations and bytes are by formula.",
        medians,
        {
            **_PAIR,
            "noise": Column("noise"),
            "layer": Column("layer"),
            "width": Column("units", number=True),
            "probe": Column("probe"),
            **{measure: Column(measure.replace("_", ": "), general, number=True) for measure in measures},
        },
    )


def summary_sheet(tables: Tables) -> Sheet:
    """Show the peak and the end of every run."""
    return _sheet(
        "Every run: peak and end",
        "Test accuracy against true labels, in percent, of every run, probe, layer and fit labels.",
        tables.summary,
        {
            "run": Column("run"),
            "p": Column("p", general, number=True),
            "seed": Column("seed", number=True),
            "what": Column("what"),
            "layer": Column("layer"),
            "fit_labels": Column("fit labels"),
            "peak": Column("peak", percent, number=True),
            "peak_epoch": Column("at epoch", number=True),
            "final": Column("end", percent, number=True),
            "final_epoch": Column("at epoch", number=True),
        },
    )


def steps_sheet(tables: Tables) -> Sheet:
    """Show the time and memory of every step."""
    steps = [{"step": step, **of} for step, of in tables.provenance["steps"].items()]
    return _sheet(
        "What the steps took",
        "Computing time of all jobs of a step, without starting Python; the most memory that one job took.",
        pd.DataFrame(steps, columns=["step", "jobs", "seconds", "peak_megabytes"]),
        {
            "step": Column("step"),
            "jobs": Column("jobs", number=True),
            "seconds": Column("time", duration, number=True),
            "peak_megabytes": Column("memory", "{:,} MB".format, number=True),
        },
    )
