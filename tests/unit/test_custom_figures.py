"""Custom figures: named by import path, checked like all custom code, drawn like all figures."""

import sys

import pandas as pd
import pytest
from test_figures import accuracy, material

from latentgen.errors import LatentgenError
from latentgen.figures.making import make_figure
from latentgen.study.config import read_study
from latentgen.study.custom_code import check_custom_code, check_custom_figures
from studies import SMALL_STUDY

FIGURE = {
    "kind": "own",
    "name": "gain",
    "table": "examples.own_figure.my_figures:gain_table",
    "draw": "examples.own_figure.my_figures:draw_gain",
}
CODE = """
import pandas as pd

def number(*_):
    return 3

def none(*_):
    return pd.DataFrame()

def some(*_):
    return pd.DataFrame({"x": [1]})

def fails(*_):
    raise KeyError("epochs")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "figures_t.py").write_text(CODE)
    yield tmp_path
    sys.modules.pop("figures_t", None)


def study_with(*figures):
    return read_study(SMALL_STUDY | {"figures": list(figures)})


def test_it_stands_beside_the_built_in_ones():
    study = study_with("final", FIGURE | {"title": "Gain"})
    assert list(study.drawings) == ["final-digits-mlp", "gain-digits-mlp"]
    assert list(study.drawn_without_custom_code()) == ["final-digits-mlp"]
    assert study.drawings["gain-digits-mlp"].kind.title == "Gain"
    assert study_with(FIGURE).drawings["gain-digits-mlp"].kind.title == "gain"
    check_custom_code(study)
    check_custom_figures(study)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([FIGURE | {"name": "final"}], r"figures\[0\]\.name: is a built-in figure; choose another name"),
        ([FIGURE, FIGURE], "figures: each may be given once; twice or more: gain"),
        ([FIGURE | {"draw": "figures"}], r"figures\[0\]\.draw: must be an import path, module:name"),
        ([{"kind": "own", "name": "gain"}], r"figures\[0\]\.table: missing"),
        ([FIGURE | {"tabel": 1}], r"figures\[0\]\.tabel: unknown key; did you mean 'table'"),
        (["fnal"], r"figures\[0\]: 'fnal' is not among the choices; did you mean 'final'"),
        ([3], r"figures\[0\]: '3' is not among the choices"),
        ([FIGURE | {"kind": "mine"}], r"figures\[0\]\.kind: 'mine' is not among the choices"),
    ],
)
def test_a_study_file_that_names_none_is_refused(figures, said):
    with pytest.raises(LatentgenError, match=said):
        study_with(*figures)


@pytest.mark.parametrize("key", ["table", "draw"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("os:system", "may not call Python's standard library"),
        ("pandas:read_pickle", r"add `trusted: \[pandas\]`"),
        ("there_is_none:x", "there is no module 'there_is_none'"),
    ],
)
def test_both_functions_are_checked_before_the_study_starts(key, path, said):
    with pytest.raises(LatentgenError, match=said):
        check_custom_code(study_with(FIGURE | {key: path}))


def test_it_is_drawn_and_its_table_kept(tmp_path):
    make_figure(material(accuracy()), tmp_path / "gain", n_classes=10, **code_of(FIGURE))
    table = pd.read_csv(tmp_path / "gain.csv")
    assert set(table["p"]) == set(accuracy()["p"])
    assert (tmp_path / "gain.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": "figures_t:number"}, "figures_t:number must return a pandas DataFrame; it returns int"),
        ({"table": "figures_t:fails"}, "figures_t:fails fails: KeyError: 'epochs'"),
        ({"table": "figures_t:none"}, "figures_t:none returns no rows for digits mlp symmetric"),
        (
            {"table": "figures_t:some", "draw": "figures_t:number"},
            "must return a matplotlib Figure; it returns",
        ),
        ({"table": "figures_t:some", "draw": "figures_t:fails"}, "figures_t:fails fails: KeyError"),
    ],
)
def test_code_that_misbehaves_is_refused_in_words(folder, changed, said):
    with pytest.raises(LatentgenError, match=said):
        make_figure(material(accuracy()), folder / "gain", **code_of(FIGURE | changed))
    assert not list(folder.glob("gain*"))


def code_of(figure):
    return study_with(figure).drawings["gain-digits-mlp"].kind.code
