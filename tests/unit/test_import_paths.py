"""Code of one's own by import path: found, told apart by a digest, or refused in words."""

import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import ImportPath, attribute, code_identity, load


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
        ("mod_broken:x", "importing mod_broken ends with ZeroDivisionError"),
        ("mod_needy:x", "ends with ModuleNotFoundError: No module named 'not_there_at_all'"),
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
    with pytest.raises(LatentgenError, match=r"mod_d\.py is not Python"):
        code_identity("mod_d:x")
