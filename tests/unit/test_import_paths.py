"""Code of one's own by import path: found, told apart by a digest, or refused in words."""

import os
import sys
from importlib.metadata import version

import pytest
from pydantic import TypeAdapter, ValidationError

from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import ImportPath, attribute, code_identities, code_identity, load
from latentgen.study.config import read_study


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder that is worked in; what is imported from it is forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_module_of_the_folder_is_found(folder):
    write(folder, "pack_a/inner.py", "class Outer:\n    inner = 7\n")
    assert load("pack_a.inner:Outer.inner") == 7
    assert attribute("pack_a.inner:Outer.inner") == "inner"


def test_a_file_of_the_folder_does_not_stand_in_for_what_is_installed(folder):
    write(folder, "json.py", "dumps = None\n")
    assert load("json:dumps") is not None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mod_b:Twolayer", "has no 'Twolayer'; the nearest are TwoLayer"),
        ("mod_bb:TwoLayer", "there is no module 'mod_bb'"),
        ("mod_b.deeper:TwoLayer", "there is no module 'mod_b.deeper'"),
        ("mod_broken:x", "importing mod_broken fails with ZeroDivisionError"),
        ("mod_needy:x", "fails with ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("mod_b", r"mod_b must be an import path, module:name"),
        ("mod_b.TwoLayer", r"must be an import path, module:name"),
        ("mod_b.py:TwoLayer", r"mod_b.py:TwoLayer must be an import path, module:name"),
        ("nets/mod_b.py:TwoLayer", r"is the class TwoLayer in my_package/nets.py"),
    ],
)
def test_what_cannot_be_imported_is_refused(folder, path, said):
    write(folder, "mod_b.py", "class TwoLayer: pass\n")
    write(folder, "mod_broken.py", "x = 1 / 0\n")
    write(folder, "mod_needy.py", "import not_there_at_all\nx = 1\n")
    with pytest.raises(LatentgenError, match=said):
        load(path)


@pytest.mark.parametrize("path", ["mod", "mod:", ":name", "a b:c", "mod:na-me", "mod.:x", "../mod:x"])
def test_what_is_no_import_path_is_refused(path):
    with pytest.raises(ValidationError, match="module:name"):
        TypeAdapter(ImportPath).validate_python(path)


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        (
            "pack_c/nets.py",
            '"""Other words."""\nfrom . import parts\nimport side\n\nx = 1  # a comment\n',
            False,
        ),
        ("pack_c/nets.py", "from . import parts\nimport side\nx = 2\n", True),
        ("pack_c/parts.py", "y = 2\n", True),
        ("pack_c/__init__.py", "z = 2\n", True),
        ("side.py", "w = 2\n", True),
        ("pack_c/unused.py", "v = 2\n", False),
    ],
)
def test_the_digest_follows_the_code_that_is_imported_and_nothing_is_run(folder, file, text, changes):
    write(folder, "pack_c/__init__.py", "z = 1\n")
    write(folder, "pack_c/nets.py", '"""Words."""\nfrom . import parts\nimport side\nx = 1\n')
    write(folder, "pack_c/parts.py", "y = 1\nraise SystemExit\n")
    write(folder, "pack_c/unused.py", "v = 1\n")
    write(folder, "side.py", "w = 1\n")
    before = code_identity("pack_c.nets:x")
    write(folder, file, text)
    assert (code_identity("pack_c.nets:x") != before) is changes
    assert not {"pack_c", "side"} & set(sys.modules)


def test_the_digest_of_what_is_installed_is_its_version():
    assert code_identity("sklearn.svm:LinearSVC").startswith("scikit-learn ")
    assert code_identity("json:dumps") == "json of Python"


def test_what_is_no_python_is_refused(folder):
    write(folder, "mod_d.py", "def (:\n")
    with pytest.raises(LatentgenError, match=r"cannot parse .*mod_d\.py"):
        code_identity("mod_d:x")


@pytest.mark.parametrize(
    "code",
    [
        "import numpy\nx = 1\n",
        "def x():\n    from numpy.linalg import norm\n    return norm\n",
        "from mod_between import x\n",
        "import importlib\nx = importlib.import_module('numpy.linalg')\n",
        "from importlib import import_module\nx = import_module('numpy')\n",
        "x = __import__('numpy')\n",
    ],
)
def test_another_version_of_an_installed_package_that_is_imported_counts(folder, code, monkeypatch):
    write(folder, "mod_between.py", "import numpy\nx = 1\n")
    write(folder, "mod_e.py", code)
    before = code_identity("mod_e:x")
    assert before.endswith(f" with numpy {version('numpy')}")
    monkeypatch.setattr("latentgen.runtime.import_paths.version", lambda name: "0.0.1")
    assert code_identity("mod_e:x") == before.replace(version("numpy"), "0.0.1")


def test_a_module_that_is_imported_by_name_counts(folder):
    write(folder, "mod_f.py", "import importlib\nx = importlib.import_module('side_f')\n")
    write(folder, "side_f.py", "y = 1\n")
    before = code_identity("mod_f:x")
    write(folder, "side_f.py", "y = 2\n")
    assert code_identity("mod_f:x") != before


def test_files_that_code_reads_count_by_their_content(folder):
    write(folder, "mod_g.py", "x = 1\n")
    write(folder, "table.csv", "1\n")
    write(folder, "masks/a.txt", "1\n")

    def identities():
        return code_identities(["mod_g:x"], ["table.csv", "masks"])

    before = identities()
    assert list(before) == ["mod_g:x", "masks", "table.csv"]
    os.utime(folder / "table.csv", (1, 1))
    assert identities() == before
    write(folder, "table.csv", "2\n")
    write(folder, "masks/b.txt", "1\n")
    after = identities()
    assert {key for key in before if before[key] != after[key]} == {"table.csv", "masks"}
    with pytest.raises(LatentgenError, match=r"files: none\.csv cannot be read \(No such file"):
        code_identities(["mod_g:x"], ["none.csv"])


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"pairs": [{"model": {"architecture": "own", "path": "a:b"}}]}, "model"),
        ({"noise": [{"kind": "own", "path": "a:b", "p": [0.4]}]}, "noise"),
        ({"probes": [{"kind": "sklearn", "path": "a:b"}, {"kind": "MASC"}, {"kind": "VeLPIC"}]}, "probe"),
    ],
)
def test_a_study_names_the_files_that_its_code_reads(study, settings, where):
    part = settings[next(iter(settings))][0]
    part.get("model", part)["files"] = ["table.csv"]
    if where == "model":
        settings["pairs"][0] = study["pairs"][0] | part
    read = read_study(study | settings)
    named = {"model": read.pairs[0].model, "noise": read.noise[0], "probe": read.probes[0]}[where]
    assert named.code_files == ("table.csv",)
    assert "files" not in named.model_dump(mode="json"), "what they hold counts, not what they are called"
