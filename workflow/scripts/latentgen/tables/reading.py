"""Read tables with the type of every column, check them, and write them atomically.

Text columns are read as text: a layer called ``0.10`` or a class called ``NA`` keeps its name. In a CSV file
an empty field is a missing value.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from latentgen.errors import DamagedFileError, LatentgenError
from latentgen.runtime.files import atomic_path, reading
from latentgen.tables.columns import (
    ACCURACY,
    BESIDE,
    CHOSEN,
    CLAIMED,
    COMPARISONS,
    COSTS,
    EXAMPLES,
    EXTRAS,
    FACTS,
    HISTORY,
    LAYER_FACTS,
    MEASURE,
    NOISY,
    RELABEL_FACTS,
    SUMMARY,
)
from latentgen.tables.facts import with_edit_facts, with_facts, with_layer_facts, with_relabel_facts

MISSING = ["", "nan", "NaN", "NA", "<NA>"]
"""Texts that stand for a missing number in a CSV file; in text columns, only the first."""


def read_csv(
    path: Path, columns: Mapping[str, str], optional: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return the rows of a CSV file in the known columns, typed.

    Parameters
    ----------
    path : Path
        A file written by `latentgen.runtime.files.write_csv` or `write_csv_table`; an empty file has no rows.
    columns, optional : mapping of str to str
        Required and optional columns, with their types.

    Raises
    ------
    LatentgenError
        If it is missing, damaged or lacks one of `columns`.
    """
    known = {**columns, **(optional or {})}
    try:
        if not Path(path).exists():
            raise LatentgenError(f"{path} does not exist. Run the step that writes it.")
        with reading(path):
            table = pd.read_csv(
                path,
                dtype={name: "str" for name, kind in known.items() if kind == "str"},
                keep_default_na=False,
                na_values={name: [""] if kind == "str" else MISSING for name, kind in known.items()},
            )
        return typed(with_columns(table, columns, path).reindex(columns=list(known)), known)
    except pd.errors.EmptyDataError:  # write_csv without rows
        return typed(pd.DataFrame(columns=list(known)), known)
    except (OSError, TypeError, ValueError) as error:
        raise DamagedFileError(path, f"cannot be read ({error})") from error


def read_cost(path: str | Path) -> pd.DataFrame:
    """Return the table of costs, columns `COSTS`; errors as in `read_csv`."""
    return read_csv(Path(path), COSTS)


def read_summary(path: str | Path) -> pd.DataFrame:
    """Return the summary of a study, columns `SUMMARY` and `CHOSEN`; errors as in `read_csv`."""
    return read_csv(Path(path), SUMMARY, CHOSEN)


def read_comparisons(path: str | Path) -> pd.DataFrame:
    """Return the comparisons of a study, columns `COMPARISONS`; errors as in `read_csv`.

    Older tables have no claims (`CLAIMED`): their ``p_holm`` is corrected over all comparisons of a group of
    runs.
    """
    required = {name: kind for name, kind in COMPARISONS.items() if name not in CLAIMED}
    table = read_csv(Path(path), required, CLAIMED)
    if table["edit"].isna().all():
        table = with_edit_facts(table)
        of_reference = with_edit_facts(
            pd.DataFrame({"intervention": table["reference"].str.removeprefix("model, ")})
        )
        interventions = table["reference"].str.startswith("model, ") & (
            table["reference"] != "model, unedited"
        )
        table["reference_edit"] = of_reference["edit"].where(interventions)
    return typed(table, COMPARISONS)


def read_accuracy(path: str | Path) -> pd.DataFrame:
    """Return the accuracies of a study, columns `ACCURACY`; errors as in `read_parquet`.

    For older tables, missing columns `FACTS` are inferred from the names.
    """
    return _with_missing_facts(path, ACCURACY)


def read_beside(path: str | Path) -> pd.DataFrame:
    """Return the accuracies of another study, columns `BESIDE`, like `read_accuracy`."""
    return _with_missing_facts(path, BESIDE)


def _with_missing_facts(path: str | Path, columns: Mapping[str, str]) -> pd.DataFrame:
    added = FACTS | EXTRAS | EXAMPLES
    required = {name: kind for name, kind in columns.items() if name not in added}
    table = _parquet(path, required)
    if not set(FACTS) - set(LAYER_FACTS) - set(RELABEL_FACTS) <= set(table):
        table = with_facts(table)
    if not set(LAYER_FACTS) <= set(table):
        table = with_layer_facts(table)
    if not set(RELABEL_FACTS) <= set(table):
        table = with_relabel_facts(table)
    return typed(table.reindex(columns=list(columns)), columns)


def read_history(path: str | Path) -> pd.DataFrame:
    """Return the histories of a study, columns `HISTORY`; errors as in `read_parquet`.

    In older tables, columns `NOISY` are missing, and nothing is known of them.
    """
    required = {name: kind for name, kind in HISTORY.items() if name not in NOISY}
    return typed(_parquet(path, required).reindex(columns=list(HISTORY)), HISTORY)


def read_parquet(path: str | Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table written by `write_parquet`.

    Raises
    ------
    LatentgenError
        If the file is missing, truncated, not Parquet, or lacks one of `columns`.
    """
    return typed(_parquet(path, columns), columns)


def parquet_parts(path: str | Path, columns: Mapping[str, str]) -> Iterator[pd.DataFrame]:
    """Yield a table that `write_parquet_parts` wrote, part by part; errors as of `read_parquet`."""
    with _parquet_file(path) as file:
        for part in range(file.num_row_groups):
            yield typed(with_columns(file.read_row_group(part).to_pandas(), columns, path), columns)


def _parquet(path: str | Path, required: Mapping[str, str]) -> pd.DataFrame:
    with _parquet_file(path) as file:
        return with_columns(file.read().to_pandas(), required, path)


@contextmanager
def _parquet_file(path: str | Path) -> Iterator[pq.ParquetFile]:
    try:
        if not Path(path).exists():
            raise LatentgenError(f"{path} does not exist. Make the study's tables first.")
        with reading(path):
            yield pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(path, f"cannot be read as Parquet, or is truncated ({error})") from error


def write_parquet(path: str | Path, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Write a table atomically; equal tables give equal bytes.

    Parameters
    ----------
    path : str or Path
        Path of the file.
    table : DataFrame
        The table.
    columns : mapping
        The columns to write, with their types, such as `ACCURACY`.
    """
    with atomic_path(path) as partial:
        pq.write_table(_arrow(table, columns), partial, compression="zstd", write_page_checksum=True)


def write_parquet_parts(path: str | Path, parts: Iterable[pd.DataFrame], columns: Mapping[str, str]) -> None:
    """Write tables as one, part by part; as `write_parquet`, with no more than one of them in memory."""
    schema = _arrow(pd.DataFrame(columns=list(columns)), columns).schema
    with (
        atomic_path(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for part in parts:
            writer.write_table(_arrow(part, columns).cast(schema))


def _arrow(table: pd.DataFrame, columns: Mapping[str, str]) -> pa.Table:
    arrow = pa.Table.from_pandas(typed(table, columns), preserve_index=False)
    return arrow.replace_schema_metadata(None)


def write_csv_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a readable table (the summary, the comparisons) as CSV with six digits, atomically."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")


def typed(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return some columns of a table with their types."""
    return table[list(columns)].astype(dict(columns))


def with_columns(table: pd.DataFrame, columns: Iterable[str], path: str | Path) -> pd.DataFrame:
    """Return the table unchanged, or refuse it if it lacks a column."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise LatentgenError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}. "
            "It was written by another version: delete it and run again."
        )
    return table


def check_once(table: pd.DataFrame, key: list[str], path: Path) -> None:
    """Refuse a file with two rows for the same key."""
    twice = table[table.duplicated(key)]
    if not twice.empty:
        what = described(twice.iloc[0][key])
        raise LatentgenError(f"{path} has two rows for {what}. Delete it and run again.")


def check_counts(correct: pd.Series, total: pd.Series, path: Path) -> None:
    """Refuse a file with an impossible count."""
    wrong = ((correct < 0) | (correct > total) | (total <= 0)).fillna(False).astype(bool)
    if wrong.any():
        raise LatentgenError(
            f"{path} counts {correct[wrong].iloc[0]} correct of {total[wrong].iloc[0]} in row "
            f"{wrong.to_numpy().argmax() + 1}: impossible. Delete it and run again."
        )


def described(row: pd.Series) -> str:
    """Return the identity of a count in words."""
    return ", ".join(f"{name} {row[name]}" for name in MEASURE if name in row)
