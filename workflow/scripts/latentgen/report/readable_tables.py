"""The tables of a report, formatted for reading."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from latentgen.figures.wording import percent, plural, three_digits
from latentgen.report.lookup import (
    Tables,
    accuracy_of,
    best_layers,
    chosen_layers,
    final_rows,
    groups_by_p,
    model_peaks,
    one_per_pair_and_noise,
)
from latentgen.runtime.logs import duration
from latentgen.study.config import Study
from latentgen.study.plan import Drawing


class Column(NamedTuple):
    """A column of a readable table: its heading, and the format of its values."""

    heading: str
    write: Callable[[Any], str] = str
    number: bool = False


PAIR = {"dataset": Column("data"), "model": Column("network")}


@dataclass(frozen=True)
class ReadableTable:
    """A table formatted for reading."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: list[list[str]]


def overview(drawing: Drawing, tables: Tables) -> ReadableTable:
    """Return, for each p, the model's peak and end and the best layer of every probe."""
    final, peaks = final_rows(drawing, tables), model_peaks(drawing, tables)
    probes = [name for name in final["probe"].unique() if name != "model"]
    chosen = chosen_layers(drawing, tables)
    rows = []
    for p, rows_of_p in groups_by_p(final):
        best = {probe: (layer, mean) for probe, layer, mean in best_layers(rows_of_p, probes)}
        row = {"p": p, **peaks[p]._asdict(), "model": accuracy_of(rows_of_p, "model")}
        row |= {f"best {probe}": best.get(probe) for probe in probes}
        rows.append(row | {f"chosen {probe}": chosen.get((p, probe)) for probe in probes})
    columns = {
        "p": Column("p", three_digits, number=True),
        "peak": Column("model, peak", percent, number=True),
        "epoch": Column("at epoch", "{:.0f}".format, number=True),
        "model": Column("model, end", percent, number=True),
    }
    columns |= {f"best {probe}": Column(f"{probe}, end", _with_layer, number=True) for probe in probes}
    columns |= {
        f"chosen {probe}": Column(f"{probe}, chosen layer", _with_layer, number=True)
        for probe in probes
        if any(name == probe for _, name in chosen)
    }
    rule = " Chosen layers are those that predict most held-out noisy labels: no test label is used."
    several = len(set(tables.accuracy["noise"])) > 1
    chance = 1 / drawing.pair.dataset.info.n_classes
    return readable(
        drawing.pair.name + (f", {drawing.noise.noise_name} noise" if several else ""),
        f"Test accuracy against true labels, in percent, mean of {plural(final['seeds'].max(), 'seed')}; "
        f"chance is {percent(chance)}. Probes are fitted with corrupted labels. Peaks, and the layer of a "
        "probe (in brackets), are selected on the same test images, so slightly optimistic. All layers are "
        "listed below." + (rule if chosen else ""),
        pd.DataFrame(rows),
        columns,
    )


def readable(title: str, note: str, table: pd.DataFrame, columns: Mapping[str, Column]) -> ReadableTable:
    """Return a readable table: some columns of a table, in this order."""
    rows = [
        [column.write(value) for column, value in zip(columns.values(), row, strict=True)]
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]
    return ReadableTable(title, note, list(columns.values()), rows)


def finals_table(study: Study, tables: Tables) -> ReadableTable:
    """Show the final accuracies of the model and all probes, by p."""
    parts = [
        final_rows(drawing, tables).assign(pair=drawing.pair.name, noise=drawing.noise.noise_name)
        for drawing in one_per_pair_and_noise(study)
    ]
    return readable(
        "End of training, by layer",
        "Mean test accuracy over seeds at the last checkpoint, with its 95 % interval (Student t over seeds; "
        "of one seed, Wilson’s, of the test set), in percent. Probes are fitted with corrupted labels.",
        pd.concat(parts).sort_values(["pair", "noise", "p"], kind="stable"),
        {
            "pair": Column("data and network"),
            "noise": Column("noise"),
            "p": Column("p", three_digits, number=True),
            "probe": Column("probe"),
            "layer": Column("layer"),
            "seeds": Column("seeds", number=True),
            "mean": Column("mean", percent, number=True),
            "low": Column("low", percent, number=True),
            "high": Column("high", percent, number=True),
        },
    )


def best_layers_tables(tables: Tables) -> list[ReadableTable]:
    """Show the best layers as the papers print them, if the study has that table."""
    if tables.best_layers is None:
        return []
    return [
        readable(
            "Best layers, and the papers’",
            "Mean test accuracy over seeds, in percent, on the best layer of each probe: chosen by accuracy "
            "on the same test images, as in the papers (slightly optimistic), or on training images, without "
            "test labels. The papers’ printed values for this pair are shown beside it, even if other "
            "settings differ; some of their networks in “Decoding” are older ones.",
            tables.best_layers,
            {
                **PAIR,
                "noise": Column("noise"),
                "p": Column("p", three_digits, number=True),
                "stage": Column("network is"),
                "what": Column("model or probe"),
                "fit_labels": Column("fitted with"),
                "chosen_by": Column("layer chosen on"),
                "layer": Column("layer"),
                "mean": Column("mean", percent, number=True),
                "low": Column("low", percent, number=True),
                "high": Column("high", percent, number=True),
                "decoding": Column("Decoding", _percent_or_nothing, number=True),
                "dynamics": Column("Dynamics", _percent_or_nothing, number=True),
            },
        )
    ]


def _percent_or_nothing(fraction: float) -> str:
    return "" if pd.isna(fraction) else percent(fraction)


def comparisons_table(tables: Tables) -> ReadableTable:
    """Show paired differences on the same seeds."""
    return readable(
        "Paired comparisons at the end of training",
        "Difference of test accuracies, same noise and same seed, in percentage points. Over seeds: "
        "Student’s 95 % interval, and the paired t test. Over test examples, for these particular networks: "
        "examples that only one of the two classifies correctly, and McNemar’s test; the interval is over "
        "examples and seeds. p-values are corrected (Holm) within the claim. The chosen layer is the one on "
        "which the probe predicts most held-out noisy labels or, without these, gives most training examples "
        "their true label: no test label is used. MASC-1pc is MASC with one component; “same class” is the "
        "fraction of test examples to which VeLPIC and it give the same class: all, if no activation is "
        "negative (docs/velpic-sign.md).",
        tables.comparisons,
        {
            **PAIR,
            "noise": Column("noise"),
            "intervention": Column("edit"),
            "p": Column("p", three_digits, number=True),
            "what": Column("what"),
            "layer": Column("layer"),
            "reference": Column("minus"),
            "seeds": Column("seeds", number=True),
            "difference": Column("difference", percent, number=True),
            "low": Column("low", percent, number=True),
            "high": Column("high", percent, number=True),
            "equal": Column("same class", percent_or_none, number=True),
            "p_value": Column("p-value", three_digits, number=True),
            "p_holm": Column("after Holm", three_digits, number=True),
            "what_only": Column("only this correct", text_or_none, number=True),
            "reference_only": Column("only that", text_or_none, number=True),
            "examples_low": Column("by example: low", percent_or_none, number=True),
            "examples_high": Column("high", percent_or_none, number=True),
            "examples_p_value": Column("p-value", three_digits, number=True),
            "examples_p_holm": Column("after Holm", three_digits, number=True),
            "claim": Column("claim", text_or_none),
        },
    )


def percent_or_none(value: float) -> str:
    """Return a fraction in percent; an empty text if it is missing."""
    return "" if pd.isna(value) else percent(value)


def text_or_none(value: Any) -> str:
    """Return a value as text; an empty text if it is missing."""
    return "" if pd.isna(value) else str(value)


def published_comparison(tables: Tables) -> list[ReadableTable]:
    """Return the papers' accuracies beside ours, if there are any for the study's pairs."""
    published = tables.fidelity
    compared = published[published["why_not"].isna() & published["ours"].notna()]
    if compared.empty:
        return []
    inside = int(compared["inside"].astype(bool).sum())
    return [
        readable(
            "Comparison with the papers’ numbers",
            f"Of {plural(len(compared), 'published accuracy')} that can be compared, {inside} are within "
            f"our 95 % interval; {len(published) - len(compared)} others are not compared, for the reasons "
            "in tables/fidelity.csv. In percent; the difference, ours minus their mean, in points.",
            compared,
            {
                **PAIR,
                "p": Column("p", three_digits, number=True),
                "their_epoch": Column("their epoch", three_digits, number=True),
                "our_epoch": Column("our epoch", three_digits, number=True),
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


def not_compared_tables(tables: Tables) -> list[ReadableTable]:
    """Return the number of published values that are not compared, by reason."""
    rows = tables.fidelity[tables.fidelity["why_not"].notna()]
    if rows.empty:
        return []
    by = ["dataset", "model", "noise", "probe", "table", "why_not"]
    counts = rows.groupby(by, sort=False).size().rename("cells").reset_index()
    return [
        readable(
            "Published numbers that are not compared, and why",
            "tables/fidelity.csv lists each one with its reason.",
            counts,
            {
                **PAIR,
                "noise": Column("our noise"),
                "probe": Column("probe"),
                "table": Column("published table"),
                "cells": Column("numbers", number=True),
                "why_not": Column("reason"),
            },
        )
    ]


def costs_table(tables: Tables) -> ReadableTable:
    """Show the cost of each probe."""
    measures = [
        f"{phase}_{measure}" for phase in ("fit", "predict") for measure in ("seconds", "flops", "bytes")
    ]
    by = ["dataset", "model", "noise", "layer", "width", "probe"]
    medians = tables.cost.groupby(by, sort=False)[measures].median().reset_index()
    return readable(
        "Cost of the probes",
        "Median over runs, for each probe fitted by itself at the end of training; tables/cost.csv has "
        "single runs. Seconds are measured; floating-point operations and bytes are computed from formulas.",
        medians,
        {
            **PAIR,
            "noise": Column("noise"),
            "layer": Column("layer"),
            "width": Column("units", number=True),
            "probe": Column("probe"),
            **{
                measure: Column(measure.replace("_", ": "), three_digits, number=True) for measure in measures
            },
        },
    )


def summary_table(tables: Tables) -> ReadableTable:
    """Show the peak and the end of every run."""
    return readable(
        "Every run: peak and end",
        "Test accuracy against true labels, in percent, of every run, probe, layer and fit labels.",
        tables.summary,
        {
            "run": Column("run"),
            "p": Column("p", three_digits, number=True),
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


def steps_table(tables: Tables) -> ReadableTable:
    """Show the time and memory of every step."""
    steps = [{"step": step, **cost} for step, cost in tables.provenance["steps"].items()]
    return readable(
        "Time and memory of the steps",
        "Computing time of all jobs of a step, without starting Python; largest memory of a job.",
        pd.DataFrame(steps, columns=["step", "jobs", "seconds", "peak_megabytes"]),
        {
            "step": Column("step"),
            "jobs": Column("jobs", number=True),
            "seconds": Column("time", duration, number=True),
            "peak_megabytes": Column("memory", "{:,} MB".format, number=True),
        },
    )


def _with_layer(best: tuple[str, float] | None) -> str:
    """Write an accuracy with its layer, unless that is the readout."""
    if best is None:
        return "–"
    layer, accuracy = best
    return percent(accuracy) + (f" ({layer})" if layer != "readout" else "")
