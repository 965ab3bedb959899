"""Study files as people write them: read as meant, or refused with file, line, column and the way out."""

import json

import pytest

from latentgen.errors import LatentgenError
from latentgen.study.config import load_study
from latentgen.study.study_file import read_study_file

TEXT = """study: mini
seeds: [1]
noise: [{kind: symmetric, p: [0, 0.4]}]
pairs:
  - dataset: digits
    model: {architecture: MLP, widths: [16]}
    training: {optimizer: {name: SGD, learning_rate: 0.01}, batch_size: 32, max_epochs: 5}
"""
INDENTED = """    training:
      optimizer: {name: SGD, learning_rate: 0.01}
      optimizer: {name: Adam, learning_rate: 0.1}
      batch_size: 32
      max_epochs: 5
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that reads a study file with a part of it replaced."""

    def read(old="", new="", encoding="utf-8"):
        text = TEXT.replace(old, new, 1) if old else TEXT + new
        path = tmp_path / "study.yaml"
        path.write_bytes(text.encode(encoding))
        return load_study(path)

    return read


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("", "seeds: [2, 3]\n", "8:1", "'seeds' is given twice: first at .*study.yaml:2:1"),
        (TEXT[TEXT.index("    training") :], INDENTED, "9:7", "'optimizer' is given twice: first at .*:8:7"),
        ("symmetric, p: [0, 0.4]", "asymmetric, p: [1], pairs: {9: 1, 9: 2}", "3:50", "'9' is given twice"),
        ("32", "010", "7:73", "010 has a leading zero, which YAML 1.1 reads as octal. Write 10"),
        ("[1]", "[08, 09]", "2:9", "08 has a leading zero"),
        ("[1]", "[-010]", "2:9", "Write -10"),
        ("epochs: 5", "epochs: 1:30", "7:89", "1:30 is a base-60 number in YAML 1.1"),
        ("0.01", "1:30.5", "7:54", "1:30.5 is a base-60 number"),
        ("    model", "\tmodel", "6:1", "a tab. Indent with spaces"),
        ("  - dataset", "\u00a0 - dataset", "5:1", "an invisible character"),
        ("digits", "digi\u200bts", "5:14", "an invisible character"),
        ("", "---\nstudy: other\n", "8:1", "a second document begins here"),
        ("[1]", "[1", "3:6", "this is not YAML"),
        ("[1]", "!!python/name:os.system [1]", "2:8", "the tag .*os.system is not known"),
        ("[1]", "!!binary aGk=", "2:8", "the tag .*binary is not known"),
        ("[1]", "&s [*s]", "1:1", "nested too deeply"),
        ("study: mini", "study: mi\x00ni", "1:10", "may not be in YAML"),
        ("[16]", '[16], layers: ["\\ud800"]', "6:55", r"\\ud800 is half of a character"),
        ("[1]", "[true]", "2:9", r"seeds\[0\]: must be a number, not true or false"),
        ("MLP", "mlp", "6:13", "'mlp' is not among the choices; did you mean 'MLP'"),
        ("training:", "trainig:", "7:5", r"pairs\[0\].trainig: unknown key; did you mean 'training'"),
        ("[0, 0.4]", "[0, 40%]", "3:34", r"noise\[0\].p\[1\]: must be a number"),
        ("study: mini", "study: 2024-01-01", "1:1", "study: must be lower-case letters"),
        ("", "transfer: no\n", "8:1", "transfer: must be a block"),
        ("[16]", "[16], layers: [fc9]", "6:46", "layers: no layer 'fc9'"),
        ("", "__use_yte__: true\n", "8:1", "__use_yte__: unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_so_is_refused_with_its_place(load, tmp_path, old, new, place, said):
    with pytest.raises(LatentgenError, match=rf"{tmp_path}/study.yaml:{place}: .*{said}"):
        load(old, new)


@pytest.mark.parametrize(
    ("old", "new", "path", "value"),
    [
        ("0.01", "1e-3", "training.optimizer.learning_rate", 0.001),
        ("0.01", "'0.01'", "training.optimizer.learning_rate", 0.01),
        ("32", "1_000", "training.batch_size", 1000),
        ("32", "0x20", "training.batch_size", 32),
        ("32", "1e2", "training.batch_size", 100),
        (
            "model: {architecture: MLP, widths: [16]}",
            "model: {architecture: own, path: nets:Net, arguments: {r: 1e-3, day: 2024-01-01, c: '010'}}",
            "model.arguments",
            {"r": 0.001, "day": "2024-01-01", "c": "010"},
        ),
    ],
)
def test_numbers_and_text_are_what_they_look_like(load, old, new, path, value):
    found = load(old, new).pairs[0]
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_any_line_ends_and_a_byte_order_mark_are_read(tmp_path, newline, encoding):
    path = tmp_path / "study.yaml"
    path.write_bytes(TEXT.replace("\n", newline).encode(encoding))
    assert load_study(path).study == "mini"


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16", "1:1: the file is UTF-16"), ("latin-1", "1:5: byte 0xf6")]
)
def test_other_encodings_are_refused(load, encoding, said):
    with pytest.raises(LatentgenError, match=said):
        load("study", "# grö\nstudy", encoding)


def test_aliases_and_merges_are_read_and_what_they_say_is_placed(load):
    changed = (
        "    training: &t {optimizer: {name: SGD, learning_rate: 0.01}, batch_size: 32, max_epochs: 5}\n"
    )
    second = "  - dataset: digits\n    model: {architecture: CNN}\n    training: {<<: *t, max_epochs: 9}\n"
    study = load(TEXT[TEXT.index("    training") :], changed + second)
    assert [pair.training.max_epochs for pair in study.pairs] == [5, 9]
    with pytest.raises(LatentgenError, match=r":10:24: pairs\[1\].training.max_epochs: must be greater"):
        load(TEXT[TEXT.index("    training") :], changed + second.replace("9", "0"))


def test_aliases_that_expand_to_billions_are_refused_at_once(load):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(8))
    with pytest.raises(LatentgenError, match="more than 100,000 values"):
        load("", bomb)


@pytest.mark.parametrize("content", ["", "# nothing\n", "just text", "[1, 2]", "12"])
def test_a_file_without_settings_is_refused(tmp_path, content):
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(LatentgenError, match=r"study\.yaml:1:1: the file holds no settings"):
        load_study(tmp_path / "study.yaml")


def test_json_is_read_and_a_key_twice_in_it_refused(tmp_path):
    path = tmp_path / "study.json"
    path.write_text('{\n\t"study": "mini",\n\t"seeds": [1]}')
    assert read_study_file(path).content == json.loads(path.read_text())
    path.write_text('{"study": "mini",\n "study": "other"}')
    with pytest.raises(LatentgenError, match=r"study\.json:2:2: 'study' is given twice: first at .*:1:2"):
        read_study_file(path)
