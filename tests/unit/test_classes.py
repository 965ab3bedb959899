"""Counts by class: gathered from the files of probing jobs, also where earlier versions wrote these."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from latentgen.errors import LatentgenError
from latentgen.runtime.files import write_csv
from latentgen.tables.classes import class_tables
from latentgen.tables.columns import CLASSES
from latentgen.tables.reading import read_parquet, write_parquet, write_parquet_parts

MEASURED = {"epoch": 3, "fit_labels": "corrupted", "split": "test", "eval_labels": "true", "total": 9}
MEASURED |= {"class_total": "3 4 2"}
OF_MASC = {"correct": 6, "class_correct": "3 2 1", "confusion": "3 0 0;1 2 1;1 0 1"}
OF_VELPIC = {"correct": 4, "class_correct": "0 4 0", "confusion": None}
ROWS = [
    MEASURED | {"layer": "NA", "probe": "MASC"} | OF_MASC,
    MEASURED | {"layer": "fc1", "probe": "VeLPIC"} | OF_VELPIC,
]


def shard(folder: Path, rows: list[dict[str, object]], seed: int = 1, k: int = 0) -> Path:
    path = folder / f"digits-mlp-symmetric0.40-seed{seed}" / "probes" / f"shard-{k}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, rows)
    return path


def test_every_count_is_there_once_by_class(tmp_path: Path) -> None:
    (table,) = class_tables([shard(tmp_path, ROWS, seed=2)])
    assert dict(table.dtypes.astype(str)) == CLASSES
    assert table["seed"].tolist() == [2] * 6
    assert table["layer"].tolist() == ["NA"] * 3 + ["fc1"] * 3
    assert table["class"].tolist() == [0, 1, 2] * 2
    assert table["counted"].tolist() == [3, 4, 2] * 2
    assert table["correct"].tolist() == [3, 2, 1, 0, 4, 0]
    assert table["predicted_as"].tolist()[:3] == ["3 0 0", "1 2 1", "1 0 1"]
    assert table["predicted_as"].isna().tolist() == [False] * 3 + [True] * 3


def test_counts_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    path = shard(tmp_path, [ROWS[0] | {"class_correct": "3 2 2"}])
    with pytest.raises(LatentgenError, match="counts other numbers by class than in all"):
        list(class_tables([path]))


def test_files_of_earlier_versions_and_empty_ones_give_no_rows(tmp_path: Path) -> None:
    older = [
        {name: of for name, of in row.items() if "class" not in name and name != "confusion"} for row in ROWS
    ]
    for table in class_tables([shard(tmp_path, older), shard(tmp_path, [], k=1)]):
        assert table.empty
        assert list(table) == list(CLASSES)


def test_parts_are_written_as_one_table(tmp_path: Path) -> None:
    paths = [shard(tmp_path, [], k=0), shard(tmp_path, ROWS, k=1), shard(tmp_path, ROWS[1:], seed=2)]
    parts = list(class_tables(paths))
    write_parquet_parts(tmp_path / "parts.parquet", iter(parts), CLASSES)
    write_parquet(tmp_path / "whole.parquet", pd.concat(parts, ignore_index=True), CLASSES)
    whole = read_parquet(tmp_path / "whole.parquet", CLASSES)
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "parts.parquet", CLASSES), whole)
    assert len(whole) == 9
    assert pq.ParquetFile(tmp_path / "parts.parquet").num_row_groups == 3
    write_parquet_parts(tmp_path / "none.parquet", iter([]), CLASSES)
    assert read_parquet(tmp_path / "none.parquet", CLASSES).empty
