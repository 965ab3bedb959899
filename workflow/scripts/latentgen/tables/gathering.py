"""Collect the tables of a study from the files of its runs.

`accuracy_table` is the long table that every figure is drawn from: the number of examples classified
correctly, for each run, checkpoint, layer, probe, and evaluation. Layers are in the order of the network,
and all tables derived from it keep that order.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from latentgen.errors import LatentgenError
from latentgen.study.runs import RunSpec
from latentgen.tables.columns import (
    ACCURACY,
    CALIBRATION,
    CALIBRATIONS,
    COST,
    COSTS,
    COUNTS,
    EPOCH,
    EXAMPLES,
    EXTRAS,
    HELD_OUT,
    HISTORY,
    IDENTITY,
    LABEL_QUALITY,
    MEASURE,
    NOISY,
    QUALITY,
    REDRAWN,
    RESULT,
)
from latentgen.tables.facts import with_edit_facts, with_facts
from latentgen.tables.named_settings import NamedSettings
from latentgen.tables.reading import check_counts, check_once, described, read_csv, typed


@dataclass(frozen=True)
class RunFiles:
    """A run's identity and the files of its results.

    Attributes
    ----------
    identity : mapping
        A value for each name in `IDENTITY`.
    history : Path
        History per epoch.
    probes, transfer, heads : sequence of Path
        One file per shard, in order; a file without rows is a shard that training never reached.
    """

    identity: Mapping[str, Any]
    history: Path
    probes: Sequence[Path] = ()
    transfer: Sequence[Path] = ()
    heads: Sequence[Path] = ()


def run_files(
    histories: Iterable[str | Path],
    probes: Iterable[str | Path],
    transfer: Iterable[str | Path],
    heads: Iterable[str | Path] = (),
) -> list[RunFiles]:
    """Sort the files of many runs by run, using the names of their folders.

    Parameters
    ----------
    histories : paths
        ``{run}/history.csv``
    probes, transfer, heads : paths
        ``{run}/{step}/shard-{k}.csv``; the shards of a run in order.

    Raises
    ------
    LatentgenError
        If a folder's name is not that of a run.
    """
    shards: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for step, paths in (("probes", probes), ("transfer", transfer), ("heads", heads)):
        for path in map(Path, paths):
            shards[path.parent.parent.name, step].append(path)
    runs = []
    for history in map(Path, histories):
        name = history.parent.name
        identity = {"run": name, **asdict(RunSpec.parse(name))}
        of_heads = shards.get((name, "heads"), ())
        runs.append(RunFiles(identity, history, shards[name, "probes"], shards[name, "transfer"], of_heads))
    return runs


def accuracy_table(runs: Iterable[RunFiles], settings: NamedSettings | None = None) -> pd.DataFrame:
    """Return every count of a study: one row per run and `MEASURE`, columns `ACCURACY`.

    The network itself is the probe ``model`` at the layer ``readout``, once per checkpoint.

    Parameters
    ----------
    runs : iterable of RunFiles
        The runs, in any order.
    settings : NamedSettings, optional
        The settings behind the names of probes, labels and interventions. Without them, they are inferred
        from the names, and every checkpoint must have results of probes.

    Raises
    ------
    LatentgenError
        If a file is missing, unreadable or lacks a column; if a count is impossible or given twice; if probes
        or transfer do not cover exactly the required checkpoints in the run's history (with probes `at:
        ends`, only some); or if a run is given twice.
    """
    counts = _gather(
        (_identified(_accuracy_of(run, settings), run) for run in _ordered(runs)),
        IDENTITY | RESULT | EXAMPLES,
    )
    return typed(with_facts(counts, settings), ACCURACY)


def history_table(runs: Iterable[RunFiles]) -> pd.DataFrame:
    """Return the histories of all trainings: one row per run and epoch, columns `HISTORY`.

    Raises
    ------
    LatentgenError
        As in `accuracy_table`, for the history files.
    """
    return _gather((_identified(_history_of(run), run) for run in _ordered(runs)), HISTORY)


def cost_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return the cost of every probe of a study alone: one row per run, layer and probe, columns `COSTS`.

    Parameters
    ----------
    paths : paths
        ``{run}/probes/cost-{k}.csv``; only the one with a run's last checkpoint has rows.

    Raises
    ------
    LatentgenError
        If a file is missing, unreadable or lacks a column, or its folder's name is not that of a run.
    """
    return _gather(_files_of_runs(paths, COST), COSTS)


def calibration_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return the calibration of a study's networks, as trained and edited: columns `CALIBRATIONS`.

    Parameters
    ----------
    paths : paths
        ``{run}/heads/calibration-{k}.csv``

    Raises
    ------
    LatentgenError
        As in `cost_table`.
    """
    return _gather(_files_of_runs(paths, CALIBRATION), CALIBRATIONS)


def label_quality_table(paths: Iterable[str | Path], settings: NamedSettings) -> pd.DataFrame:
    """Return the quality of the labels that probes predict: columns `LABEL_QUALITY`.

    Parameters
    ----------
    paths : paths
        ``{run}/label_quality.csv``; without rows where the true labels are not known.
    settings : NamedSettings
        Settings of the interventions by name.

    Raises
    ------
    LatentgenError
        As `cost_table`.
    """
    table = _gather(_files_of_runs(paths, QUALITY, depth=1), IDENTITY | QUALITY)
    return typed(with_edit_facts(table, settings), LABEL_QUALITY)


def _files_of_runs(
    paths: Iterable[str | Path], columns: Mapping[str, str], depth: int = 2
) -> Iterator[pd.DataFrame]:
    """Read files in folders of runs, `depth` levels down, and add the identity of the runs."""
    for path in map(Path, paths):
        name = path.parents[depth - 1].name
        run = RunFiles({"run": name, **asdict(RunSpec.parse(name))}, path)
        yield _identified(read_csv(path, columns), run)


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


def _ordered(runs: Iterable[RunFiles]) -> list[RunFiles]:
    """Sort runs by their identity, so that tables do not depend on the order of the arguments."""
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
    gathered = [typed(table, columns) for table in tables]
    if not gathered:
        return typed(pd.DataFrame(columns=list(columns)), columns)
    return pd.concat(gathered, ignore_index=True)


def _accuracy_of(run: RunFiles, settings: NamedSettings | None) -> pd.DataFrame:
    """Return one run's counts, by epoch; within an epoch the model first, then layers as in the files."""
    history = _history_of(run)
    parts = [_model_rows(history)]
    checkpoints = set(parts[0]["epoch"])
    probed = _probed_epochs(checkpoints, settings)
    for paths, due in ((run.probes, probed), (run.transfer, checkpoints), (run.heads, checkpoints)):
        if paths:
            parts.append(_shards(paths, checkpoints, due, run))
    if run.probes:
        of_model = parts[1]["probe"] == "model"
        parts[0], parts[1] = _with_examples(parts[0], parts[1][of_model]), parts[1][~of_model]
    return pd.concat(parts).sort_values("epoch", kind="stable", ignore_index=True)


def _history_of(run: RunFiles) -> pd.DataFrame:
    history = read_csv(run.history, EPOCH, REDRAWN | HELD_OUT | NOISY)
    if history.empty:
        raise LatentgenError(f"{run.history} has no epochs. Delete it and run again.")
    check_once(history, ["epoch"], run.history)
    check_counts(history["test_correct"], history["test_total"], run.history)
    some = history[history["redrawn_total"] != 0]
    check_counts(some["redrawn_corrupted_correct"], some["redrawn_total"], run.history)
    check_counts(history["rest_correct"], history["rest_total"], run.history)
    check_counts(history["noisy_correct"], history["noisy_total"], run.history)
    check_counts(history["online_correct"], history["online_total"], run.history)
    for labels in ("corrupted", "true"):
        check_counts(history[f"train_{labels}_correct"], history["train_total"], run.history)
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
    if checkpoints["noisy_total"].gt(0).fillna(False).all():
        measured.append(("held_out", "corrupted", "noisy_correct", "noisy_total"))
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
    return typed(table.reindex(columns=[*RESULT, *EXAMPLES]), RESULT | EXAMPLES)


def _with_examples(model: pd.DataFrame, extracted: pd.DataFrame) -> pd.DataFrame:
    """Add which test examples the network classifies correctly, from the extraction of its activations.

    This is done only if the count equals that in the history: a network that is run differently (image by
    image, or in blocks of another size) may predict other classes.
    """
    key = [*MEASURE, *COUNTS]
    return model.drop(columns=list(EXAMPLES)).merge(extracted[[*key, *EXAMPLES]], on=key, how="left")


def _probed_epochs(checkpoints: set[int], settings: NamedSettings | None) -> set[int]:
    """Return the checkpoints that must have results of probes.

    Probes with a `max_width` are ignored, since all layers may be wider.
    """
    if settings is None:
        return checkpoints
    of_any_width = [how for how in settings.probes.values() if "at" in how and how.get("max_width") is None]
    if any(how["at"] == "every" for how in of_any_width):
        return checkpoints
    return {epoch for epoch in checkpoints if of_any_width and epoch in (0, max(checkpoints))}


def _shards(paths: Sequence[Path], checkpoints: set[int], due: set[int], run: RunFiles) -> pd.DataFrame:
    """Read the shards of one step and compare their epochs with the existing checkpoints."""
    tables = []
    for path in paths:
        table = read_csv(path, MEASURE | COUNTS, EXTRAS | EXAMPLES)
        check_once(table, list(MEASURE), path)
        check_counts(table["correct"], table["total"], path)
        tables.append(table.assign(path=str(path)))
    table = pd.concat(tables, ignore_index=True)
    twice = table[table.duplicated(list(MEASURE))]
    if not twice.empty:
        raise LatentgenError(
            f"{twice['path'].iloc[0]} repeats {described(twice.iloc[0])}, which is also in another shard of "
            f"run {run.identity['run']}. Delete its shards and run again."
        )
    missing = sorted(due - set(table.loc[table["probe"] != "model", "epoch"]))
    if missing:
        raise LatentgenError(
            f"{paths[0].parent} has no results for epoch {', '.join(map(str, missing))}, a checkpoint in "
            f"{run.history}. Delete the shards of run {run.identity['run']} and run again."
        )
    strange = table[~table["epoch"].isin(checkpoints)]
    if not strange.empty:
        raise LatentgenError(
            f"{strange['path'].iloc[0]} has results for epoch {strange['epoch'].iloc[0]}, which is not a "
            f"checkpoint in {run.history}. Delete it and run again."
        )
    return table.drop(columns="path")
