"""Custom data in tables: text, vectors or images in CSV, JSON lines or Parquet, in Hugging Face's format.

One column has the examples, another the labels. Files whose names begin with train and test, or that are in
folders of these names, are the two parts of a data set.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from latentgen.data.custom_sources.image_folder import read_images
from latentgen.data.custom_sources.raw import PADDING, VOCABULARY, RawData, listed
from latentgen.data.custom_sources.tables import Columns, table_files
from latentgen.data.custom_sources.texts import TextForm, as_ids
from latentgen.data.inputs import InputKind
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError

INPUTS = (
    *("image", "img", "text", "sentence", "content", "review", "input_ids", "tokens"),
    *("vector", "embedding", "embeddings", "features"),
)
"""Columns that are taken for the examples, the first that is there, unless a study file names one."""
LABELS = ("label", "labels", "class", "target", "category", "fine_label")
"""Likewise, for the labels."""

_SPLITS = {"train": ("train",), "test": ("test", "validation", "val", "dev")}


def read_tables(
    path: Path,
    columns: Columns,
    text: TextForm,
    reshaping: Reshaping,
) -> RawData:
    """Read a table, or a folder of tables, as arrays.

    Parameters
    ----------
    path : Path
    columns : Columns
    text : TextForm
        Tokenization of text.
    reshaping : Reshaping
        Changes to images.

    Raises
    ------
    LatentgenError
        If a file is corrupt, or has no usable column of examples or labels.
    """
    files = _by_split(path)
    notes = []
    unread = sorted(
        {file.name for file in table_files(path)} - {file.name for paths in files.values() for file in paths}
    )
    if unread:
        notes.append(f"Not read: {listed(unread)}.")
    read = {split: [_read(file) for file in of_split] for split, of_split in files.items()}
    first = next(iter(read.values()))[0]
    inputs = _column(
        first, columns.inputs, INPUTS, path, "inputs", but=columns.labels or _found(first, LABELS)
    )
    labels = _column(first, columns.labels, LABELS, path, "labels", but=inputs)
    parts: dict[str, list[Any]] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for split, tables in read.items():
        try:
            whole = pa.concat_tables([table.select([inputs, labels]) for table in tables])
        except (KeyError, pa.ArrowInvalid) as error:
            raise LatentgenError(f"{path}: its files have different columns ({error}).") from error
        parts[split] = whole[inputs].to_pylist()
        arrays[f"{split}labels"] = _as_labels(whole[labels], f"column {labels} of {path}")
    kind = _kind(first[inputs].type, inputs, path)
    made, more = _inputs(kind, parts, path, inputs, text, reshaping)
    arrays |= {f"{split}{kind}": array for split, array in made.items()} | more
    return RawData(arrays, _class_names(first, labels), notes)


def _by_split(path: Path) -> dict[str, list[Path]]:
    """Return files by the prefix of their arrays, which is empty if the data is not divided."""
    files = table_files(path)
    if not path.is_dir():
        return {"": files}
    by_prefix: dict[str, list[Path]] = {}
    for split, names in _SPLITS.items():
        for name in names:
            of_split = [file for file in files if _is_of(file.relative_to(path), name)]
            if of_split:
                by_prefix[f"{split}_"] = of_split
                break
    if "train_" in by_prefix and "test_" in by_prefix:
        return by_prefix
    if by_prefix:
        raise LatentgenError(
            f"{path} has files for {' and '.join(name.rstrip('_') for name in by_prefix)} only: their names "
            "must begin with train and test. To hold out a fifth of each class for testing, give one file."
        )
    return {"": files}


def _is_of(file: Path, split: str) -> bool:
    return any(re.match(rf"{split}(?![a-z])", part.lower()) for part in file.parts)


def _read(file: Path) -> pa.Table:
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            table = pyarrow.parquet.read_table(file)
        elif suffix in (".jsonl", ".ndjson"):
            table = pyarrow.json.read_json(file)
        else:
            parse = pyarrow.csv.ParseOptions(
                delimiter="\t" if suffix == ".tsv" else ",", newlines_in_values=True
            )
            table = pyarrow.csv.read_csv(file, parse_options=parse)
        table.validate(full=True)
        names = table.column_names
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        detail = str(error).splitlines()[0]
        raise LatentgenError(
            f"{file} cannot be read as {suffix[1:]} ({detail}). Save or copy it again."
        ) from error
    if not table.num_rows:
        raise LatentgenError(f"{file} has no rows.")
    if len(set(names)) < len(names):
        raise LatentgenError(f"{file} has two columns of one name ({listed(names, 10)}). Rename one.")
    return table


def _found(table: pa.Table, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.column_names), None)


def _column(
    table: pa.Table, given: str | None, names: tuple[str, ...], path: Path, what: str, but: str | None
) -> str:
    others = [name for name in table.column_names if name != but]
    column = given or _found(table, names) or (others[0] if len(others) == 1 else None)
    if column not in table.column_names:
        raise LatentgenError(
            f"{path} has the columns {listed(table.column_names, 10)}, and it is not clear which one holds "
            f"the {what}. Name it: columns: {{{what}: …}}."
        )
    return str(column)


def _kind(column: pa.DataType, name: str, path: Path) -> InputKind:
    if _is_text(column):
        return "tokens"
    if pa.types.is_struct(column) or pa.types.is_binary(column) or pa.types.is_large_binary(column):
        return "images"
    if hasattr(column, "value_type"):  # lists
        if pa.types.is_floating(column.value_type):
            return "vectors"
        if pa.types.is_integer(column.value_type):
            return "tokens" if name in ("input_ids", "tokens") else "vectors"
    raise LatentgenError(
        f"Column {name} of {path} holds {column}; it must hold text, images (bytes), or lists of numbers."
    )


def _is_text(column: pa.DataType) -> bool:
    return bool(pa.types.is_string(column) or pa.types.is_large_string(column))


def _inputs(
    kind: InputKind,
    parts: dict[str, list[Any]],
    path: Path,
    column: str,
    text: TextForm,
    reshaping: Reshaping,
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the examples of each part as arrays, with vocabulary and padding of text."""
    for split, values in parts.items():
        missing = next((row for row, value in enumerate(values) if value is None), None)
        if missing is not None:
            raise LatentgenError(f"Column {column} of {path} ({split or 'all_'}) is empty in row {missing}.")
    first = next(iter(parts.values()))[0]
    if kind == "images":
        return _images(parts, path, reshaping), {}
    if kind == "tokens" and isinstance(first, str):
        ids, vocabulary, padding = as_ids(parts, text)
        return ids, {VOCABULARY: np.array(vocabulary), PADDING: np.array(padding)}
    lengths = {len(value) for values in parts.values() for value in values}
    if len(lengths) > 1:
        raise LatentgenError(
            f"Column {column} of {path} has lists of {min(lengths)} to {max(lengths)} numbers; all must "
            "be of the same length."
        )
    return {split: np.array(values) for split, values in parts.items()}, {}


class _InMemory:
    """An image in a table, with the methods of a path that are needed to read it."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.content = name, content
        self.suffix = Path(name).suffix

    def open(self, mode: str = "rb") -> io.BytesIO:
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return self.name


def _images(parts: dict[str, list[Any]], path: Path, reshaping: Reshaping) -> dict[str, NDArray[Any]]:
    contents = []
    for split, values in parts.items():
        for row, value in enumerate(values):
            content = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(content, bytes):
                raise LatentgenError(
                    f"Row {row} of {path} ({split or 'all_'}) holds no image: it has no bytes, but perhaps "
                    "the path of one. Save the images themselves, or give a folder of images."
                )
            contents.append(_InMemory(f"{path} ({split}{row})", content))
    images = read_images(contents, path, reshaping)
    ends = np.cumsum([len(values) for values in parts.values()])
    return dict(zip(parts, np.split(images, ends[:-1]), strict=True))


def _as_labels(column: Any, what: str) -> NDArray[Any]:
    if column.null_count:
        raise LatentgenError(f"{what} is empty in {column.null_count} rows.")
    if _is_text(column.type):
        return np.array(column.to_pylist(), dtype=str)
    if not (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_boolean(column.type)
    ):
        raise LatentgenError(f"{what} holds {column.type}; labels must be whole numbers or text.")
    return np.array(column.to_pylist())


def _class_names(table: pa.Table, column: str) -> list[str] | None:
    """Return the class names that Hugging Face's datasets stores in a Parquet file."""
    try:
        content = json.loads((table.schema.metadata or {})[b"huggingface"])
        return list(content["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):
        return None
