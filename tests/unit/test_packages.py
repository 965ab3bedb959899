"""A package of the library imports only from those before it, so the tree can be read from top to bottom."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "workflow" / "scripts" / "latentgen"
ORDER = [
    *("__init__", "errors", "settings", "randomness", "linalg"),
    *("runtime", "data", "networks", "probes", "training", "interventions", "repairing", "study", "jobs"),
    *("tables", "figures", "report", "cli", "__main__"),
]
MODULES = sorted(LIBRARY.rglob("*.py"))


def package_of(path):
    return path.relative_to(LIBRARY).with_suffix("").parts[0]


def imported_packages(path):
    """Return the names right below `latentgen` that a module imports, lazily or not."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("latentgen.")}


def test_every_part_of_the_library_has_its_place_in_the_order():
    assert {package_of(path) for path in MODULES} <= set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_go_up_only(path):
    place = ORDER.index(package_of(path))
    later = {name for name in imported_packages(path) if ORDER.index(name) > place}
    assert not later


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_modules_and_functions_are_short(path):
    """No module has more than 400 lines, and no function more than 60 beside its docstring."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = len(set(range(node.lineno, node.end_lineno + 1)) - docstring_lines(node))
            assert lines <= 60, f"{node.name} has {lines} lines"


def docstring_lines(function):
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return set()
    return set(range(first.lineno, first.end_lineno + 1))
