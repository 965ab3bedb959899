"""Whatever tables, arrays of vectors or tokens, tokenizers and weights hold, it is read or refused."""

import io
import json
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn

from fuzzing import LONGEST_SECONDS, damaged, fuzz, or_refused, seconds_at_most
from latentgen import audit
from latentgen.data.custom import check, custom_info, read_custom_data
from latentgen.repairing.reading import read_examples
from latentgen.training.given_weights import read_weights

ROWS = 30
WORDS = ["a cat", "the dog ran", "eels, eels!", ""]


def png(number):
    file = io.BytesIO()
    Image.fromarray(np.full((5, 4), number, np.uint8)).save(file, "png")
    return file.getvalue()


COLUMNS = {
    "text": [WORDS[row % 4] for row in range(ROWS)],
    "input_ids": [[row % 7, 3, 0] for row in range(ROWS)],
    "embedding": [[row / 3, -1.0] for row in range(ROWS)],
    "image": [{"bytes": png(row), "path": None} for row in range(ROWS)],
}
LABELS = {
    "label": [row % 3 for row in range(ROWS)],
    "class": [["cat", "dog", "eel"][row % 3] for row in range(ROWS)],
}


def parquet(table):
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, compression="none")
    return file.getvalue()


def csv(table, delimiter):
    file = io.BytesIO()
    pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return file.getvalue()


def tables():
    """Return the content of sound tables, with the suffix of each."""
    found = []
    for (name, inputs), labels in ((one, two) for one in COLUMNS.items() for two in LABELS.items()):
        columns = {name: inputs, labels[0]: labels[1]}
        table = pa.table(columns)
        found.append((".parquet", parquet(table)))
        if name == "text":
            found += [(".csv", csv(table, ",")), (".tsv", csv(table, "\t"))]
        if name != "image":
            rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
            found.append((".jsonl", "\n".join(map(json.dumps, rows)).encode()))
    return found


TABLES = tables()


@pytest.mark.parametrize("place", range(len(TABLES)))
def test_the_tables_are_sound(tmp_path, place):
    suffix, content = TABLES[place]
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    dataset = read_custom_data("mine", path)
    assert dataset.n_classes == 3
    assert len(dataset.train_labels) + len(dataset.test_labels) == ROWS


@fuzz
@given(st.data())
def test_any_table_is_a_data_set_or_refused(tmp_path_factory, data):
    suffix, content = data.draw(st.sampled_from(TABLES))
    path = tmp_path_factory.getbasetemp() / f"table{suffix}"
    path.write_bytes(damaged(data.draw, content))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert "own:" in check(str(path))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=6)
)
CELLS = VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(st.sampled_from(["bytes", "path"]), VALUES)
KINDS = st.sampled_from(
    [
        st.integers(0, 2),
        st.integers(-1, 2**40),
        st.text(max_size=6),
        st.binary(max_size=9),
        st.floats(),
        st.booleans(),
        st.none(),
        st.lists(st.floats(), max_size=3),
        st.lists(st.integers(0, 9), min_size=2, max_size=2),
        st.lists(st.lists(st.floats(), max_size=2), max_size=2),
        st.lists(st.text(max_size=3), max_size=2),
        st.fixed_dictionaries({"bytes": st.sampled_from([png(1), b"", None, png(2)])}),
        st.fixed_dictionaries({"path": st.text(max_size=3)}),
        CELLS,
    ]
)
NAMES = st.sampled_from(
    ["text", "label", "image", "input_ids", "embedding", "class", "labels", "x", "", "NA"]
)


@fuzz
@given(st.data())
def test_any_rows_are_a_data_set_or_refused(tmp_path_factory, data):
    """Columns of any names and types, some of them mixed."""
    names = data.draw(st.lists(NAMES, min_size=1, max_size=3))
    length = data.draw(st.integers(0, 12))
    rows = st.lists(st.none() | data.draw(KINDS), min_size=length, max_size=length)
    with suppress(pa.ArrowException, OverflowError, UnicodeEncodeError):  # no such table can be written
        path = tmp_path_factory.getbasetemp() / "rows.parquet"
        arrays = [
            pa.array(data.draw(st.lists(data.draw(KINDS), min_size=length, max_size=length) | rows))
            for _ in names
        ]
        pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, names), path)
        with or_refused(), seconds_at_most(LONGEST_SECONDS):
            assert "own:" in check(str(path))


STRANGE = st.sampled_from(
    [
        np.zeros((12, 3), np.float32),
        np.zeros((6, 3), np.float64),
        np.zeros((12, 3), np.float16),
        np.zeros((12, 3), np.longdouble),
        np.full((12, 3), np.nan),
        np.full((12, 3), 1e300),
        np.full((6, 3), 5),
        np.full((12, 3), -1),
        np.full((12, 3), 2**60),
        np.full((12, 3), 2**64 - 1, np.uint64),
        np.full((12, 3), 2**63, np.uint64),
        np.zeros((12, 0)),
        np.zeros((0, 3), np.int64),
        np.zeros((12, 3), bool),
        np.zeros((12, 3), complex),
        np.zeros((12, 3), "U2"),
        np.zeros((12, 3), "M8[s]"),
        np.zeros((3, 12)),
        np.zeros((12, 2, 2)),
        np.zeros(12),
        np.arange(12) % 3,
        np.array(["cat", "dog", "eel"] * 4),
        np.array(0),
        np.array(-1),
        np.array(7),
        np.array(1.5),
        np.array(["", "cat"]),
        np.array(b"\xff"),
        np.zeros((12, 3), np.dtype([("a", int)])),
    ]
)
ARRAYS = sorted(
    {f"{part}{kind}" for part in ("train_", "test_", "") for kind in ("vectors", "tokens", "labels")}
    | {"vocabulary", "padding", "train_true_labels"}
)


@fuzz
@given(st.dictionaries(st.sampled_from(ARRAYS), STRANGE, min_size=1, max_size=7), st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_any_vectors_and_tokens_are_a_data_set_or_refused(tmp_path_factory, arrays, labelled):
    path = tmp_path_factory.getbasetemp() / "numbers.npz"
    np.savez(path, **(({"labels": np.arange(12) % 3} if labelled else {}) | arrays))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert "own:" in check(str(path))


@fuzz
@given(st.dictionaries(st.sampled_from(["inputs", "vectors", "labels", "class_names"]), STRANGE, min_size=1))
def test_any_examples_are_audited_or_refused(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "examples.npz"
    np.savez(path, **({"inputs": np.eye(12, 3), "labels": np.arange(12) % 3} | arrays))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert len(audit(network, *read_examples(path)).table) == 12


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "mine.csv"
    path.write_bytes(csv(pa.table({"text": COLUMNS["text"], "label": LABELS["label"]}), ","))
    return path


def tokenizer_file():
    tokenizer = Tokenizer(
        WordLevel({"[PAD]": 0, "[UNK]": 1, "cat": 2, "dog": 3, "eels": 4}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer.to_str().encode()


TOKENIZER = tokenizer_file()


@fuzz
@given(st.data())
def test_any_tokenizer_is_used_or_refused(text, data):
    path = text.with_name("tokenizer.json")
    path.write_bytes(damaged(data.draw, TOKENIZER))
    info = custom_info(
        "mine", path=str(text), shape=[3], classes=3, train=24, test=6,
        kind="tokens", vocabulary=5, padding=0, tokenizer=str(path),
    )  # fmt: skip
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert info.read(info, text.parent, False).n_classes == 3


def weights():
    """Return files of weights by suffix: sound ones."""
    tensors = {
        "fc.weight": torch.ones(3, 4),
        "fc.bias": torch.zeros(3, dtype=torch.bfloat16),
        "steps": torch.tensor(3),
    }
    file = io.BytesIO()
    torch.save({"state_dict": tensors, "epoch": 3}, file)
    return {".safetensors": save(tensors), ".pt": file.getvalue()}


WEIGHTS = weights()


@fuzz
@given(st.data())
def test_any_weights_are_read_or_refused(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(sorted(WEIGHTS)))
    path = tmp_path_factory.getbasetemp() / f"weights{suffix}"
    path.write_bytes(damaged(data.draw, WEIGHTS[suffix]))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert all(isinstance(tensor, torch.Tensor) for tensor in read_weights(path).values())
