"""The counts of every probe by class, gathered from the files of the runs.

There are as many rows as in the table of accuracies for every class: too many for memory in a large study. So
they are read and written file by file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from latentgen.errors import DamagedFileError
from latentgen.study.runs import RunSpec
from latentgen.tables.columns import BY_CLASS, CLASSES, COUNTS, MEASURE
from latentgen.tables.reading import parquet_parts, read_csv, typed


def class_tables(paths: Iterable[str | Path]) -> Iterator[pd.DataFrame]:
    """Yield a table with columns `CLASSES` for each file of a probing job.

    Parameters
    ----------
    paths : paths
        ``{run}/probes/shard-{k}.csv``; a file of an earlier version, without counts by class, gives no rows.

    Raises
    ------
    LatentgenError
        If a file is missing or damaged, or the counts of the classes do not add up.
    """
    for path in map(Path, paths):
        name = path.parent.parent.name
        rows = read_csv(path, MEASURE | COUNTS, BY_CLASS)
        rows = rows[rows["class_total"].notna()]
        if rows.empty:
            yield typed(pd.DataFrame(columns=list(CLASSES)), CLASSES)
            continue
        correct, counted = (_numbers(rows[column]) for column in ("class_correct", "class_total"))
        sums = np.stack([correct.sum(axis=1), counted.sum(axis=1)], axis=1)
        if not np.array_equal(sums, rows[["correct", "total"]].to_numpy()):
            raise DamagedFileError(path, "counts other numbers by class than in all")
        n_classes = counted.shape[1]
        table = rows[list(MEASURE)].loc[rows.index.repeat(n_classes)].reset_index(drop=True)
        of_class: dict[str, Any] = {
            "class": np.tile(np.arange(n_classes), len(rows)),
            "counted": counted.ravel(),
            "correct": correct.ravel(),
            "predicted_as": [
                predicted for text in rows["confusion"] for predicted in _rows_of_confusion(text, n_classes)
            ],
        }
        yield typed(table.assign(**{"run": name, **asdict(RunSpec.parse(name))}, **of_class), CLASSES)


def read_confusion(path: str | Path) -> pd.DataFrame:
    """Return the rows of a table of classes with ``predicted_as``, of runs without intervention.

    The table is read in parts: the rest of it may be larger than memory.

    Raises
    ------
    LatentgenError
        As `latentgen.tables.reading.read_parquet`.
    """
    parts = [
        part[part["predicted_as"].notna() & (part["intervention"] == "none")]
        for part in parquet_parts(path, CLASSES)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(CLASSES))


def _numbers(texts: "pd.Series[str]") -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """Return the numbers in texts of equally many, a row each."""
    return np.array(" ".join(texts).split(), dtype=np.int64).reshape(len(texts), -1)


def _rows_of_confusion(text: str, n_classes: int) -> list[str | None]:
    return [None] * n_classes if pd.isna(text) else list(text.split(";"))
