"""Files that are tables of custom data, and the names of their columns."""

from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv")


@dataclass(frozen=True)
class Columns:
    """Names of the columns; None for a column to be detected."""

    inputs: str | None = None
    labels: str | None = None


def is_table(path: Path) -> bool:
    """Whether a path is a table, or a folder of tables."""
    if path.is_dir():
        return any(is_table(file) for file in [*path.iterdir(), *path.glob("data/*")] if file.is_file())
    return path.suffix.lower() in SUFFIXES


def table_files(path: Path) -> list[Path]:
    """Return the files of a table, or of a folder of tables, sorted."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and is_table(file))
