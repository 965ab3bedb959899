"""Custom data in tables: text, vectors and images in CSV, JSON lines and Parquet."""

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from latentgen.data.custom import check, custom_files, info_of, read_custom_data
from latentgen.data.custom_sources.reading import Reading
from latentgen.data.custom_sources.tables import Columns
from latentgen.data.custom_sources.texts import TextForm
from latentgen.data.inputs import Tokens
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError

RNG = np.random.default_rng(0)
TEXTS = [f"The {'cat' if number % 2 else 'dog'} has {number}, it says." for number in range(40)]
LABELS = ["cat" if number % 2 else "dog" for number in range(40)]


def save_text(folder, kind, texts=TEXTS, labels=LABELS, name="mine"):
    table = pd.DataFrame({"text": texts, "label": labels})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_text_becomes_token_ids(tmp_path, kind):
    dataset = read_custom_data("pets", save_text(tmp_path, kind))
    assert dataset.class_names == ("cat", "dog")
    # Words that occur twice: the, has, a comma, it, says, a full stop, cat, dog; no number does.
    assert dataset.input_shape == Tokens(8, 10, 0)
    assert (len(dataset.train_inputs), len(dataset.test_inputs)) == (32, 8)
    row = dataset.train_inputs[0]
    assert row[3] == 1, "the number is unknown"
    assert len({row[1] for row in dataset.train_inputs}) == 2
    as_parquet = read_custom_data("pets", save_text(tmp_path / "other", "parquet"))
    assert np.array_equal(as_parquet.train_inputs, dataset.train_inputs)


def test_the_vocabulary_is_that_of_the_training_part(tmp_path):
    save_text(tmp_path / "pets" / "data", "parquet", TEXTS[:20], LABELS[:20], "train-00000-of-00002")
    save_text(tmp_path / "pets" / "data", "parquet", TEXTS[20:30], LABELS[20:30], "train-00001-of-00002")
    rare = [f"zebra zebra {text}" for text in TEXTS[30:]]
    save_text(tmp_path / "pets" / "data", "parquet", rare, LABELS[30:], "test-00000-of-00001")
    dataset = read_custom_data("pets", tmp_path / "pets")
    assert (len(dataset.train_inputs), len(dataset.test_inputs)) == (30, 10)
    assert (dataset.test_inputs[:, :2] == 1).all()
    assert len(custom_files(tmp_path / "pets")) == 3


def test_the_check_of_a_text_prints_a_block_that_reads_back(tmp_path):
    path = save_text(tmp_path, "csv")
    said = check(str(path))
    (pair,) = yaml.safe_load(said)
    own = pair["dataset"]["own"]
    assert own | {"path": ""} == {
        "path": "", "kind": "tokens", "shape": [8], "vocabulary": 10, "padding": 0, "classes": 2,
        "train": 32, "test": 8,
    }  # fmt: skip
    info = info_of("mine", own)
    assert info.read(info, None, False).input_shape == Tokens(8, 10, 0)
    (pair,) = yaml.safe_load(check(str(path), {"length": 3, "vocabulary": 6}))
    assert (pair["dataset"]["own"]["shape"], pair["dataset"]["own"]["vocabulary"]) == ([3], 6)
    info = info_of("mine", pair["dataset"]["own"])
    dataset = info.read(info, None, False)
    assert dataset.input_shape == Tokens(3, 6, 0)


def test_columns_of_other_names_can_be_named(tmp_path):
    path = tmp_path / "stars.csv"
    pd.DataFrame({"id": range(40), "body": TEXTS, "stars": LABELS}).to_csv(path, index=False)
    with pytest.raises(
        LatentgenError, match="columns id, body, stars, and it is not clear which one holds the inputs"
    ):
        read_custom_data("mine", path)
    columns = Columns("body", "stars")
    assert read_custom_data("mine", path, reading=Reading(columns=columns)).class_names == ("cat", "dog")
    (pair,) = yaml.safe_load(check(str(path), {"inputs": "body", "labels": "stars"}))
    own = pair["dataset"]["own"]
    assert own["columns"] == {"inputs": "body", "labels": "stars"}
    info = info_of("mine", own)
    assert info.read(info, None, False).n_classes == 2
    with pytest.raises(LatentgenError, match="columns id, body, stars"):
        read_custom_data("mine", path, reading=Reading(columns=Columns("bodi", "stars")))


def png(size):
    file = io.BytesIO()
    Image.fromarray(RNG.integers(256, size=size).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def save_images(path, sizes, struct=True):
    content = [{"bytes": png(size), "path": None} if struct else png(size) for size in sizes]
    labels = pa.array([number % 3 for number in range(len(sizes))])
    features = {"label": {"names": ["ant", "bee", "cow"], "_type": "ClassLabel"}}
    table = pa.table({"image": pa.array(content), "label": labels})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("struct", [True, False])
def test_images_as_hugging_face_has_them(tmp_path, struct):
    save_images(tmp_path / "train.parquet", [(5, 4, 3)] * 12, struct)
    save_images(tmp_path / "test.parquet", [(5, 4, 3)] * 6, struct)
    dataset = read_custom_data("insects", tmp_path)
    assert dataset.class_names == ("ant", "bee", "cow")
    assert dataset.input_shape == (3, 5, 4)
    assert (len(dataset.train_inputs), len(dataset.test_inputs)) == (12, 6)


def test_unequal_images_of_a_table_are_resized(tmp_path):
    save_images(tmp_path / "all.parquet", [(5 + number, 9) for number in range(18)])
    with pytest.raises(LatentgenError, match=r"same size: .*all\.parquet"):
        read_custom_data("insects", tmp_path / "all.parquet")
    dataset = read_custom_data(
        "insects", tmp_path / "all.parquet", reading=Reading(Reshaping(resize=6, crop=6))
    )
    assert dataset.input_shape == (1, 6, 6)


def test_lists_of_numbers_are_vectors(tmp_path):
    vectors = RNG.normal(size=(20, 5)).astype(np.float32)
    table = pa.table({"embedding": list(vectors), "label": [number % 2 for number in range(20)]})
    pq.write_table(table, tmp_path / "mine.parquet")
    dataset = read_custom_data("mine", tmp_path / "mine.parquet")
    assert dataset.input_shape == (5,)
    assert set(map(tuple, dataset.train_inputs)) < set(map(tuple, vectors.astype(dataset.train_inputs.dtype)))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"text": ["a", None, "b"], "label": [0, 1, 0]}, "is empty in row 1"),
        ({"text": ["a", "c", "b"], "label": [0, None, 0]}, "is empty in 1 rows"),
        ({"features": [[1.0], [1.0, 2.0], [3.0]], "label": [0, 1, 0]}, "has lists of 1 to 2 numbers"),
        ({"text": [True, False, True], "label": [0, 1, 0]}, "holds bool; it must hold text"),
        ({"image": [b"no", b"image", b"here"], "label": [0, 1, 0]}, "is not an image"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, rows, said):
    pq.write_table(pa.table(rows), tmp_path / "mine.parquet")
    with pytest.raises(LatentgenError, match=said):
        read_custom_data("mine", tmp_path / "mine.parquet")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_damaged_and_empty_tables_are_refused(tmp_path, kind):
    path = tmp_path / f"mine.{kind}"
    path.write_bytes(b'{"text": \x00\xff"')
    with pytest.raises(LatentgenError, match="mine"):
        read_custom_data("mine", path)
    path.write_bytes(b"")
    with pytest.raises(LatentgenError, match="cannot be read as"):
        read_custom_data("mine", path)


def test_half_a_division_is_refused(tmp_path):
    save_text(tmp_path, "csv", name="train")
    with pytest.raises(LatentgenError, match="has files for train only"):
        read_custom_data("mine", tmp_path)


def test_a_file_of_the_tokenizers_library(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[PAD]": 0, "[UNK]": 1, "the": 2, "cat": 3, "dog": 4, "has": 5}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    file = tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    reading = Reading(text=TextForm(length=4, tokenizer=str(file)))
    dataset = read_custom_data("pets", save_text(tmp_path, "csv"), reading=reading)
    assert dataset.input_shape == Tokens(4, 6, 0)
    assert set(map(tuple, dataset.train_inputs)) == {(2, 3, 5, 1), (2, 4, 5, 1)}
    own = yaml.safe_load(check(str(tmp_path / "mine.csv"), {"tokenizer": str(file)}))[0]["dataset"]["own"]
    info = info_of("mine", own)
    assert file in info.input_files(info, None), "a changed tokenizer is noticed"
    without_unknown = file.read_text().replace('"unk_token": "[UNK]"', '"unk_token": "[NUK]"')
    assert without_unknown != file.read_text()
    for damaged in ("{}", without_unknown):
        file.write_text(damaged)
        with pytest.raises(LatentgenError, match="cannot be used with the tokenizers library"):
            read_custom_data("pets", tmp_path / "mine.csv", reading=reading)


def test_planning_does_not_import_pyarrow():
    code = "import sys, latentgen.data.custom; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_labels_that_are_lists_are_refused(tmp_path):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"text": ["a cat", "a dog"], "label": [[], [0]]}), path)
    with pytest.raises(LatentgenError, match="labels must be whole numbers or text"):
        read_custom_data("pets", path)


def test_a_name_of_a_column_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"text,\x80label\na cat,0\na dog,1\n")
    with pytest.raises(LatentgenError, match="cannot be read as csv"):
        read_custom_data("pets", path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,label,label\na cat,0,1\na dog,1,0\n")
    with pytest.raises(LatentgenError, match="two columns of one name"):
        read_custom_data("pets", path)
