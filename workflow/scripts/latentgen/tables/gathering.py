"""The tidy tables of a study, gathered from the files of its runs.

`accuracy_table` is the long one that every figure is drawn from: how many items were right, for each run,
checkpoint, layer, probe, and way of measuring. Layers stand in the order of the network, and every table
that is made from it keeps that order. No accuracy is stored: it is ``correct / total``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.runtime.files import atomic_path, reading
from latentgen.study.runs import RunSpec, control_of, is_edit
from latentgen.tables.statistics import holm, mean_difference_over_seeds, mean_over_seeds, paired_p_value

IDENTITY = {
    "run": "str",
    "dataset": "str",
    "model": "str",
    "noise": "str",
    "p": "float64",
    "seed": "int64",
    "intervention": "str",
}
"""What names a run, with the type of each column."""

MEASURE = {
    "epoch": "int64",
    "layer": "str",
    "probe": "str",
    "fit_labels": "str",
    "split": "str",
    "eval_labels": "str",
}
"""What names one count within a run."""

COUNTS = {"correct": "int64", "total": "int64"}

EXTRAS = {
    "components_min": "Int64",
    "components_mean": "float64",
    "components_max": "Int64",
    "missing_classes": "Int64",
}
"""What a probe may say about itself: k_c over the classes, and how many classes had no item to fit."""

RESULT = MEASURE | COUNTS | EXTRAS
ACCURACY = IDENTITY | RESULT
"""Columns and types of the accuracy table."""

BESIDE = ACCURACY | {"study": "str"}
"""Columns and types of the accuracies of another study, to be drawn beside this one's; ``study`` names it."""

EPOCH = {
    "epoch": "int64",
    "loss": "float64",
    "online_correct": "Int64",
    "online_total": "Int64",
    "test_correct": "int64",
    "test_total": "int64",
    "train_corrupted_correct": "Int64",
    "train_true_correct": "Int64",
    "train_total": "Int64",
    "seconds": "float64",
}
REDRAWN = {
    "redrawn_corrupted_correct": "Int64",
    "redrawn_true_correct": "Int64",
    "redrawn_total": "Int64",
}
"""What a history may say of the training items whose label was redrawn."""

HELD_OUT = {
    "rest_correct": "Int64",
    "rest_total": "Int64",
    "held_out_correct": "Int64",
    "held_out_total": "Int64",
}
"""What a history may say of the test items that are held out to stop early by, and of the rest."""

HISTORY = IDENTITY | EPOCH | REDRAWN | HELD_OUT
"""Columns and types of the history table."""

SUMMARY = {
    "run": "str",
    "dataset": "str",
    "model": "str",
    "p": "float64",
    "seed": "int64",
    "intervention": "str",
    "what": "str",
    "layer": "str",
    "fit_labels": "str",
    "peak": "float64",
    "peak_epoch": "int64",
    "final": "float64",
    "final_epoch": "int64",
}
"""Columns and types of the summary."""

COMPARISONS = {
    "dataset": "str",
    "model": "str",
    "noise": "str",
    "intervention": "str",
    "p": "float64",
    "what": "str",
    "layer": "str",
    "reference": "str",
    "best": "bool",
    "seeds": "int64",
    "final": "float64",
    "reference_final": "float64",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "p_value": "float64",
    "p_holm": "float64",
}
"""Columns and types of the comparisons."""

COST = {
    "epoch": "int64",
    "layer": "str",
    "width": "int64",
    "probe": "str",
    "fit_items": "int64",
    "predict_items": "int64",
    "fit_seconds": "float64",
    "fit_flops": "float64",
    "fit_bytes": "float64",
    "predict_seconds": "float64",
    "predict_flops": "float64",
    "predict_bytes": "float64",
    "device": "str",
    "threads": "int64",
}
"""What a probe cost at a run's last checkpoint (`latentgen.probes.costs`): only seconds are measured."""

COSTS = IDENTITY | COST
"""Columns and types of the table of costs."""

_FAMILY = ["dataset", "model", "noise", "intervention"]
_SERIES = [*IDENTITY, "probe", "layer", "fit_labels"]


@dataclass(frozen=True)
class RunFiles:
    """A run's identity and the files that hold its results.

    Attributes
    ----------
    identity : mapping
        A value for each name in `IDENTITY`.
    history : Path
        History per epoch.
    probes, transfer : sequence of Path
        One file per shard, in order; a file without rows is a shard that training never reached.
    """

    identity: Mapping[str, Any]
    history: Path
    probes: Sequence[Path] = ()
    transfer: Sequence[Path] = ()


def run_files(
    histories: Iterable[str | Path], probes: Iterable[str | Path], transfer: Iterable[str | Path]
) -> list[RunFiles]:
    """Sort the files of many runs by run: each lies in a folder that has the run's name.

    Parameters
    ----------
    histories : paths
        ``{run}/history.csv``
    probes, transfer : paths
        ``{run}/{step}/shard-{k}.csv``; the shards of a run in order.

    Raises
    ------
    LatentgenError
        If a folder's name is not that of a run.
    """
    shards: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for step, paths in (("probes", probes), ("transfer", transfer)):
        for path in map(Path, paths):
            shards[path.parent.parent.name, step].append(path)
    runs = []
    for history in map(Path, histories):
        name = history.parent.name
        identity = {"run": name, **asdict(RunSpec.parse(name))}
        runs.append(RunFiles(identity, history, shards[name, "probes"], shards[name, "transfer"]))
    return runs


def accuracy_table(runs: Iterable[RunFiles]) -> pd.DataFrame:
    """Return every count of a study: one row per run and `MEASURE`, columns `ACCURACY`.

    The network itself stands in it as the probe ``model`` at the layer ``readout``, once per checkpoint.

    Raises
    ------
    LatentgenError
        If a file is missing, unreadable or without a column; if a count is impossible or given twice; if
        probes or transfer do not cover exactly the checkpoints in the run's history; if a run is given twice.
    """
    return _gather((_identified(_accuracy_of(run), run) for run in _ordered(runs)), ACCURACY)


def history_table(runs: Iterable[RunFiles]) -> pd.DataFrame:
    """Return what training said of itself: one row per run and epoch, columns `HISTORY`.

    Raises
    ------
    LatentgenError
        As `accuracy_table`, of the history files.
    """
    return _gather((_identified(_history_of(run), run) for run in _ordered(runs)), HISTORY)


def summary_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return peak and final test accuracy against true labels, as fractions: columns `SUMMARY`.

    One row per run, probe (``what``), layer and fit labels. The peak is the highest accuracy at any
    checkpoint, epoch 0 included; where several share it, the first. Final is the run's last checkpoint.
    """
    test = accuracy[(accuracy["split"] == "test") & (accuracy["eval_labels"] == "true")]
    test = test.assign(value=test["correct"] / test["total"]).sort_values("epoch", kind="stable")
    groups = test.groupby(_SERIES, sort=False)
    columns = [*_SERIES, "value", "epoch"]
    peak, final = test.loc[groups["value"].idxmax(), columns], groups.tail(1)[columns]
    # The first checkpoint holds every series, in the order of the table; the peaks come in that order too.
    summary = peak.merge(final, on=_SERIES, suffixes=("", "_final"), validate="one_to_one")
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
    return summary[list(SUMMARY)].astype(SUMMARY).reset_index(drop=True)


def comparisons_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return paired comparisons of final test accuracy, same p and same seed: columns `COMPARISONS`.

    Compared are every probe and transfer with the model, and MASC, VeLPIC and logistic regression with each
    other on the same layer, all fitted on corrupted labels. Where ``what`` is the model itself, it is of a
    run with an intervention, and the reference is the model of its control, or of the run without an
    intervention; after early stopping, on the test items that nothing was stopped by.

    Intervals are `mean_difference_over_seeds`; the test is the two-sided paired t test. ``p_holm`` is
    corrected, after Holm, for all comparisons of one dataset, model, noise and intervention. As these hold
    every layer, the ``best`` may be picked out afterwards: it is where ``what`` is most accurate.
    """
    test = accuracy[
        (accuracy["split"] == "test")
        & (accuracy["eval_labels"] == "true")
        & (accuracy["fit_labels"] == "corrupted")
    ]
    final = test[test["epoch"] == test.groupby(_SERIES)["epoch"].transform("max")]
    pairs = [(probe, "model") for probe in final["probe"].unique() if probe != "model"]
    pairs += [("VeLPIC", "MASC"), ("MASC", "logistic"), ("VeLPIC", "logistic")]
    parts = [_compared(final, what, reference) for what, reference in pairs]
    table = pd.concat([*parts, *_interventions_compared(accuracy)], ignore_index=True)
    place = [*_FAMILY, "p", "what", "reference"]
    table["best"] = table.groupby(place)["final"].rank(method="first", ascending=False) == 1
    table["p_value"] = paired_p_value(table["difference"], table["deviation"], table["seeds"])
    table["p_holm"] = table.groupby(_FAMILY)["p_value"].transform(holm)
    return _typed(table.sort_values([*_FAMILY, "p"], kind="stable", ignore_index=True), COMPARISONS)


def _interventions_compared(accuracy: pd.DataFrame) -> list[pd.DataFrame]:
    """Pair the final counts of networks with an intervention with those of their references."""
    model = accuracy[(accuracy["probe"] == "model") & (accuracy["eval_labels"] == "true")]
    final = model[model["epoch"] == model.groupby("run")["epoch"].transform("max")]
    parts = []
    for name in (name for name in final["intervention"].unique() if name != "none"):
        of_split = final[final["split"] == ("test" if is_edit(name) else "test_rest")]
        done = of_split[of_split["intervention"] == name]
        for reference in filter(None, (control_of(name), "none")):
            other = of_split[of_split["intervention"] == reference].assign(intervention=name, probe=reference)
            compared = _compared(pd.concat([done, other]), "model", reference)
            parts.append(
                compared.assign(reference=f"model, {'unedited' if reference == 'none' else reference}")
            )
    return parts


def cost_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return what every probe of a study cost alone: one row per run, layer and probe, columns `COSTS`.

    Parameters
    ----------
    paths : paths
        ``{run}/probes/cost-{k}.csv``; only that of a run's last checkpoint has rows.

    Raises
    ------
    LatentgenError
        If a file is missing, unreadable or without a column, or its folder's name is not that of a run.
    """
    tables = []
    for path in map(Path, paths):
        name = path.parent.parent.name
        run = RunFiles({"run": name, **asdict(RunSpec.parse(name))}, path)
        tables.append(_identified(_read_csv(path, COST), run))
    return _gather(iter(tables), COSTS)


def read_cost(path: str | Path) -> pd.DataFrame:
    """Return the table of costs, columns `COSTS`; errors as `accuracy_table`'s."""
    return _read_csv(Path(path), COSTS)


def beside_table(accuracy: pd.DataFrame, study: Mapping[str, Any]) -> pd.DataFrame:
    """Return another study's accuracies with its name and protocol in ``study``: columns `BESIDE`.

    Parameters
    ----------
    accuracy : DataFrame
        Its accuracy table.
    study : mapping
        Its settings, as its ``study.json`` has them.
    """
    unedited = accuracy[accuracy["intervention"] == "none"]
    return unedited.assign(study=f"{study['study']} ({study['protocol']} protocol)")


def _compared(final: pd.DataFrame, what: str, reference: str) -> pd.DataFrame:
    """Pair two probes' final counts by seed, and by layer if the reference has the same ones; average."""
    pair = [*_FAMILY, "p", "seed"] + (["layer"] if what != "model" and reference != "model" else [])
    other = final.loc[final["probe"] == reference, [*pair, "correct", "total"]]
    both = final[final["probe"] == what].merge(
        other.rename(columns={"correct": "reference_correct", "total": "reference_total"}),
        on=pair,
        validate="many_to_one",
    )
    by = [*_FAMILY, "p", "layer"]
    difference = mean_difference_over_seeds(both, by).rename(columns={"mean": "difference"})
    means = mean_over_seeds(both, by)["mean"]
    return difference.assign(
        what=what, reference=reference, final=means, reference_final=means - difference["difference"]
    )


def write_parquet(path: str | Path, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Write a table atomically; equal tables give equal bytes.

    Parameters
    ----------
    path : str or Path
        Where to.
    table : DataFrame
        What.
    columns : mapping
        The columns to write, with their types, such as `ACCURACY`.
    """
    arrow = pa.Table.from_pandas(_typed(table, columns), preserve_index=False)
    with atomic_path(path) as partial:
        pq.write_table(
            arrow.replace_schema_metadata(None), partial, compression="zstd", write_page_checksum=True
        )


def read_parquet(path: str | Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table that `write_parquet` wrote.

    Raises
    ------
    LatentgenError
        If the file is missing, cut short, not Parquet, or lacks one of `columns`.
    """
    try:
        if not Path(path).exists():
            raise LatentgenError(f"{path} does not exist. Make the study's tables first.")
        with reading(path):
            table = pq.ParquetFile(path, page_checksum_verification=True).read().to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(path, f"cannot be read as Parquet, or was cut short ({error})") from error
    return _typed(_with_columns(table, columns, path), columns)


def write_summary(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table for people to read (the summary, the comparisons) as CSV, atomically; six digits."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")


def _ordered(runs: Iterable[RunFiles]) -> list[RunFiles]:
    """Sort runs by what they are, so that the tables do not depend on the order they were given in."""
    order = ("dataset", "model", "noise", "intervention", "p", "seed")

    def key(run: RunFiles) -> tuple[Any, ...]:
        return tuple(run.identity[name] for name in order)

    ordered = sorted(runs, key=key)
    for a, b in pairwise(ordered):
        if key(a) == key(b):
            raise LatentgenError(f"Run {a.identity['run']} is given twice: {a.history} and {b.history}.")
    return ordered


def _identified(table: pd.DataFrame, run: RunFiles) -> pd.DataFrame:
    identity = pd.DataFrame(dict(run.identity), index=table.index)
    return pd.concat([identity, table], axis="columns")


def _gather(tables: Iterator[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    gathered = [_typed(table, columns) for table in tables]
    if not gathered:
        return _typed(pd.DataFrame(columns=list(columns)), columns)
    return pd.concat(gathered, ignore_index=True)


def _typed(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    return table[list(columns)].astype(dict(columns))


def _accuracy_of(run: RunFiles) -> pd.DataFrame:
    """Return one run's counts, by epoch; within an epoch the model first, then layers as in the files."""
    history = _history_of(run)
    parts = [_model_rows(history)]
    checkpoints = set(parts[0]["epoch"])
    for paths in (run.probes, run.transfer):
        if paths:
            parts.append(_shards(paths, checkpoints, run))
    return pd.concat(parts).sort_values("epoch", kind="stable", ignore_index=True)


def _history_of(run: RunFiles) -> pd.DataFrame:
    history = _read_csv(run.history, EPOCH, REDRAWN | HELD_OUT)
    if history.empty:
        raise LatentgenError(f"{run.history} has no epochs. Delete it and run again.")
    _check_once(history, ["epoch"], run.history)
    _check_counts(history["test_correct"], history["test_total"], run.history)
    some = history[history["redrawn_total"] != 0]
    _check_counts(some["redrawn_corrupted_correct"], some["redrawn_total"], run.history)
    _check_counts(history["rest_correct"], history["rest_total"], run.history)
    _check_counts(history["online_correct"], history["online_total"], run.history)
    for labels in ("corrupted", "true"):
        _check_counts(history[f"train_{labels}_correct"], history["train_total"], run.history)
    return history.sort_values("epoch")


def _model_rows(history: pd.DataFrame) -> pd.DataFrame:
    """Turn the checkpoints of a history into rows of the accuracy table."""
    checkpoints = history[history["train_total"].notna()]
    measured = [
        ("test", "true", "test_correct", "test_total"),
        ("train", "corrupted", "train_corrupted_correct", "train_total"),
    ]
    if checkpoints["train_true_correct"].notna().all():  # the true labels are known
        measured.append(("train", "true", "train_true_correct", "train_total"))
    if checkpoints["rest_total"].gt(0).fillna(False).all():
        measured.append(("test_rest", "true", "rest_correct", "rest_total"))
    if checkpoints["redrawn_total"].gt(0).fillna(False).all():
        measured += [
            ("train_redrawn", "corrupted", "redrawn_corrupted_correct", "redrawn_total"),
            ("train_redrawn", "true", "redrawn_true_correct", "redrawn_total"),
        ]
        checkpoints = checkpoints.assign(
            untouched_correct=checkpoints["train_true_correct"] - checkpoints["redrawn_true_correct"],
            untouched_total=checkpoints["train_total"] - checkpoints["redrawn_total"],
        )
        if (checkpoints["untouched_total"] > 0).all():
            measured.append(("train_untouched", "true", "untouched_correct", "untouched_total"))
    rows = [
        pd.DataFrame(
            {
                "epoch": checkpoints["epoch"],
                "split": split,
                "eval_labels": labels,
                "correct": checkpoints[correct],
                "total": checkpoints[total],
            }
        )
        for split, labels, correct, total in measured
    ]
    table = pd.concat(rows).sort_values("epoch", kind="stable")
    table = table.assign(layer="readout", probe="model", fit_labels="corrupted")
    return _typed(table.reindex(columns=list(RESULT)), RESULT)


def _shards(paths: Sequence[Path], checkpoints: set[int], run: RunFiles) -> pd.DataFrame:
    """Read the shards of one step and hold them against the checkpoints there are."""
    tables = []
    for path in paths:
        table = _read_csv(path, MEASURE | COUNTS, EXTRAS)
        _check_once(table, list(MEASURE), path)
        _check_counts(table["correct"], table["total"], path)
        tables.append(table.assign(path=str(path)))
    table = pd.concat(tables, ignore_index=True)
    twice = table[table.duplicated(list(MEASURE))]
    if not twice.empty:
        raise LatentgenError(
            f"{twice['path'].iloc[0]} repeats {_described(twice.iloc[0])}, which another shard of run "
            f"{run.identity['run']} holds already. Delete its shards and run again."
        )
    missing = sorted(checkpoints - set(table["epoch"]))
    if missing:
        raise LatentgenError(
            f"{paths[0].parent} has no results for epoch {', '.join(map(str, missing))}, of which "
            f"{run.history} has a checkpoint. Delete the shards of run {run.identity['run']} and run again."
        )
    strange = table[~table["epoch"].isin(checkpoints)]
    if not strange.empty:
        raise LatentgenError(
            f"{strange['path'].iloc[0]} has results for epoch {strange['epoch'].iloc[0]}, of which "
            f"{run.history} has no checkpoint. Delete it and run again."
        )
    return table.drop(columns="path")


def _read_csv(
    path: Path, columns: Mapping[str, str], optional: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return the rows of a CSV file that `files.write_csv` wrote, in the columns that are known, typed."""
    known = {**columns, **(optional or {})}
    try:
        table = _with_columns(pd.read_csv(path), columns, path)
        return _typed(table.reindex(columns=list(known)), known)
    except FileNotFoundError:
        raise LatentgenError(f"{path} does not exist. Run the step that writes it.") from None
    except pd.errors.EmptyDataError:  # what write_csv makes of no rows
        return _typed(pd.DataFrame(columns=list(known)), known)
    except (TypeError, ValueError) as error:
        raise DamagedFileError(path, f"cannot be read ({error})") from error


def _with_columns(table: pd.DataFrame, columns: Mapping[str, str], path: str | Path) -> pd.DataFrame:
    missing = [name for name in columns if name not in table]
    if missing:
        raise LatentgenError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}. "
            "It was written by another version: delete it and run again."
        )
    return table


def _check_once(table: pd.DataFrame, key: list[str], path: Path) -> None:
    twice = table[table.duplicated(key)]
    if not twice.empty:
        what = _described(twice.iloc[0][key])
        raise LatentgenError(f"{path} has two rows for {what}. Delete it and run again.")


def _check_counts(correct: pd.Series, total: pd.Series, path: Path) -> None:
    wrong = ((correct < 0) | (correct > total) | (total <= 0)).fillna(False).astype(bool)
    if wrong.any():
        raise LatentgenError(
            f"{path} counts {correct[wrong].iloc[0]} correct of {total[wrong].iloc[0]} in row "
            f"{wrong.to_numpy().argmax() + 1}: impossible. Delete it and run again."
        )


def _described(row: pd.Series) -> str:
    return ", ".join(f"{name} {row[name]}" for name in MEASURE if name in row)
