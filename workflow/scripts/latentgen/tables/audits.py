"""Tables of audits and repairs in a study, from the files of its runs."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from latentgen.data.labels import Labels, read_labels
from latentgen.errors import DamagedFileError
from latentgen.study.runs import RunSpec
from latentgen.tables.columns import AUDIT, IDENTITY, ISSUES, REPAIR
from latentgen.tables.reading import read_csv, typed

SCORES = ("", "network_", "raw_input_")
"""Sources of the scores in the tables, as prefixes of columns: audit, network, raw input."""


def audit_tables(
    audits: Sequence[str | Path], labels: Sequence[str | Path]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return all labels of audited runs, columns `ISSUES`, and a row for each run, columns `AUDIT`.

    Parameters
    ----------
    audits : paths
        ``{run}/audit``
    labels : paths
        The labels that each run was trained on.

    Raises
    ------
    LatentgenError
        If a file is missing or damaged.
    """
    issues, rows = [], []
    for folder, label_file in zip(map(Path, audits), labels, strict=True):
        identity = _identity(folder)
        summary = _read(folder / "audit.json")
        table = _with_truth(folder / "label_issues.csv", read_labels(label_file), summary["classes"])
        issues.append(table.assign(**identity))
        rows.append(identity | _audit_row(table, summary))
    return typed(pd.concat(issues, ignore_index=True), ISSUES), _table(rows, AUDIT)


def repair_table(repairs: Iterable[str | Path]) -> pd.DataFrame:
    """Return a row for each repaired network, columns `REPAIR`; paths are ``{run}/repair``.

    Raises
    ------
    LatentgenError
        If a file is missing or damaged.
    """
    return _table([_repair_row(Path(folder)) for folder in repairs], REPAIR)


def _identity(folder: Path) -> dict[str, Any]:
    name = folder.parent.name
    return {"run": name, **asdict(RunSpec.parse(name))}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DamagedFileError(path, f"cannot be read ({error})") from error


def _with_truth(path: Path, labels: Labels, classes: Sequence[str]) -> pd.DataFrame:
    known = {name: kind for name, kind in ISSUES.items() if name not in {*IDENTITY, "true"}}
    table = read_csv(path, known)
    true = None if labels.true is None else np.array(classes, dtype=object)[labels.true]
    return table.assign(true=true)


def _audit_row(table: pd.DataFrame, summary: dict[str, Any]) -> dict[str, Any]:
    known = table["true"].notna().all()
    wrong = table["given"] != table["true"]
    estimated = summary["n_issues"] or {"value": None, "low": None, "high": None}
    return {
        **{name: summary[name] for name in ("checkpoint", "layer", "probe")},
        "labels": len(table),
        "marked": int(table["is_issue"].sum()),
        "marked_wrong": int((table["is_issue"] & wrong).sum()) if known else None,
        "wrong": int(wrong.sum()) if known else None,
        "estimated": estimated["value"],
        "low": estimated["low"],
        "high": estimated["high"],
        **(dict(_ranked(table, wrong.to_numpy())) if known and wrong.any() and not wrong.all() else {}),
    }


def _ranked(table: pd.DataFrame, wrong: "np.ndarray[Any, Any]") -> Iterator[tuple[str, float]]:
    """Yield the average precision of each score in ranking wrong labels first."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    for whose in SCORES:
        suspicion = -table[f"{whose}score"].to_numpy()
        yield f"{whose}average_precision", float(average_precision_score(wrong, suspicion))
        yield f"{whose}auroc", float(roc_auc_score(wrong, suspicion))


def _repair_row(folder: Path) -> dict[str, Any]:
    summary, test = _read(folder / "repair.json"), _read(folder / "test.json")
    bounds = {name: summary[name] or {} for name in ("before", "after", "gain")}
    return {
        **_identity(folder),
        **{name: summary[name] for name in ("kind", "checkpoint", "layer", "probe")},
        **{name: bound.get("value") for name, bound in bounds.items()},
        "gain_low": bounds["gain"].get("low"),
        "gain_high": bounds["gain"].get("high"),
        **{f"{name}_correct": test[name] for name in ("network", "repaired", "raw_input")},
        "total": test["total"],
    }


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    table = typed(pd.DataFrame(rows).reindex(columns=list(columns)), columns)
    order = ["dataset", "model", "noise", "p", "seed"]
    return table.sort_values(order, kind="stable", ignore_index=True)
