"""A study calls the custom code that it may call, and no other; files from elsewhere are read without any."""

import sys

import pytest

from latentgen.errors import LatentgenError
from latentgen.study.config import read_study
from latentgen.study.custom_code import check_custom_code
from latentgen.study.trust import ESTIMATOR, MODULE, load_trusted

CODE = """
from functools import partial
from os import system
from torch import nn
from numpy import zeros
from sklearn.dummy import DummyClassifier

class Net(nn.Module):
    pass

class Callable:
    def __call__(self):
        return 1

def function():
    return 1

instance, bound, hidden = Callable(), Callable().__call__, partial(system, "true")
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder that is worked in, with a module of custom code in it, and one in site-packages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / ".venv/site-packages")])
    (tmp_path / "mine_t.py").write_text(CODE)
    (tmp_path / ".venv/site-packages").mkdir(parents=True)
    (tmp_path / ".venv/site-packages/theirs_t.py").write_text(CODE)
    yield tmp_path
    for name in ("mine_t", "theirs_t"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["Net", "function", "Callable", "instance", "bound"])
def test_what_is_defined_in_the_working_folder_may_be_called(folder, name):
    assert callable(load_trusted(f"mine_t:{name}"))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mine_t:system", "is defined in posix, outside .* Write a function in the project's folder"),
        ("mine_t:hidden", "is defined in functools, outside"),
        ("mine_t:zeros", r"is defined in numpy, outside .* add `trusted: \[numpy\]`"),
        ("mine_t:number", "is neither a function nor a class"),
        ("theirs_t:function", r"is defined in theirs_t, outside .* add `trusted: \[theirs_t\]`"),
        ("theirs_t:Net", "is defined in theirs_t, outside"),
        ("torch:load", r"add `trusted: \[torch\]`"),
    ],
)
def test_anything_else_is_refused(folder, path, said):
    with pytest.raises(LatentgenError, match=said):
        load_trusted(path)


@pytest.mark.parametrize("path", ["os:system", "antigravity:geohash", "snakemake.__main__:main"])
def test_what_runs_when_it_is_imported_is_not_even_imported(folder, path, monkeypatch):
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    with pytest.raises(LatentgenError, match="may not call Python's standard library"):
        load_trusted(path)
    assert not {"antigravity", "snakemake.__main__"} & set(sys.modules)


def test_classes_of_a_known_kind_may_be_called_wherever_they_are(folder):
    assert load_trusted("theirs_t:Net", base=MODULE)
    assert load_trusted("torch.nn:Linear", base=MODULE)
    assert load_trusted("sklearn.svm:LinearSVC", base=ESTIMATOR)
    assert load_trusted("theirs_t:DummyClassifier", base=ESTIMATOR)
    with pytest.raises(LatentgenError, match="outside the project's folder"):
        load_trusted("theirs_t:Net", base=ESTIMATOR)


def test_functions_of_a_listed_package_may_be_called(folder):
    assert load_trusted("theirs_t:function", ("theirs_t",))() == 1
    assert load_trusted("mine_t:zeros", ("numpy",))


def other(name, **arguments):
    return {"path": f"theirs_t:{name}", **arguments}


DATA = {
    "name": "x",
    "own": {"function": "theirs_t:function", "shape": [1, 4, 4], "classes": 2, "train": 9, "test": 9},
}


@pytest.mark.parametrize(
    "change",
    [
        lambda study: study["pairs"][0].update(model={"architecture": "own", **other("function")}),
        lambda study: study["pairs"][0].update(dataset=DATA),
        lambda study: study.update(noise=[{"kind": "own", "p": [0.4], **other("function")}]),
        lambda study: study.update(transfer=None, probes=[{"kind": "sklearn", **other("Callable")}]),
    ],
    ids=["network", "data", "noise", "probe"],
)
def test_every_part_of_a_study_that_names_code_is_checked_before_it_is_called(folder, study, change):
    (folder / ".venv/site-packages/theirs_t.py").write_text(
        "def function(*_, **__):\n    raise SystemExit('called')\n\n\nclass Callable:\n    pass\n"
    )
    change(study)
    read_study(study)
    assert "theirs_t" not in sys.modules, "reading a study imports nothing"
    with pytest.raises(LatentgenError, match=r"add `trusted: \[theirs_t\]`"):
        check_custom_code(read_study(study, run_own_code=True))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (["os"], "trusted.0.: is Python's standard library, which a study may not call"),
        (["a.b"], "must be the import name of a package"),
        ("numpy", "trusted: must be a list"),
        ([["numpy"]], "must be text"),
    ],
)
def test_what_cannot_be_trusted_is_refused(study, listed, said):
    study["trusted"] = listed
    with pytest.raises(LatentgenError, match=said):
        read_study(study, run_own_code=True)
