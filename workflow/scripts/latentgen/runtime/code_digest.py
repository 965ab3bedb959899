"""Digests of the package's code, by which Snakemake notices a changed library module.

Snakemake notices a changed script but not the modules it imports. So every rule has, among its params, a
digest of its script and of all package modules that the script imports, directly or indirectly. It is
computed from the syntax tree without docstrings, so comments, docstrings and formatting do not affect it.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parents[1]


def code_digest(script: str, *modules: str) -> str:
    """Return a digest of an entry script and of the package modules it depends on.

    Parameters
    ----------
    script : str
        Name of a rule and of its script beside the package, such as ``"train"``.
    modules : str
        Modules that the script imports by name, such as those of figures.
    """
    path = PACKAGE.parent / f"{script}.py"
    digest = hashlib.sha256(_read(path).normalized.encode())
    for module in sorted(_closure(path, *(file for name in modules for file in _files_of(name)))):
        digest.update(_read(module).normalized.encode())
    return digest.hexdigest()[:16]


def _closure(path: Path, *others: Path) -> set[Path]:
    modules = {PACKAGE / "__init__.py", *others}  # importing any module runs the package
    todo = [path, *modules]
    while todo:
        new = _read(todo.pop()).imports - modules
        modules |= new
        todo += new
    return modules


class _Module(NamedTuple):
    """A parsed file."""

    imports: frozenset[Path]
    """Package modules that it imports, at the top or inside a function."""
    normalized: str
    """Its syntax tree as text, without docstrings."""


@cache
def _read(path: Path) -> _Module:
    tree = ast.parse(path.read_bytes())
    _drop_what_type_checkers_read(tree)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = (
                path.relative_to(PACKAGE.parent).with_suffix("").parts[: -node.level] if node.level else ()
            )
            module = ".".join([*above, *filter(None, [node.module])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    imports = frozenset(file for name in names for file in _files_of(name))
    return _Module(imports, without_docstrings(tree))


def _drop_what_type_checkers_read(tree: ast.Module) -> None:
    """Replace each ``if TYPE_CHECKING: … else: …`` by its else branch."""
    for node in ast.walk(tree):
        for field in ("body", "orelse"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and any(map(_is_for_type_checkers, statements)):
                kept = [
                    statement
                    for given in statements
                    for statement in (given.orelse if _is_for_type_checkers(given) else [given])
                ]
                setattr(node, field, kept or [ast.Pass()])


def _is_for_type_checkers(statement: Any) -> bool:
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Name)
        and statement.test.id == "TYPE_CHECKING"
    )


def _files_of(name: str) -> set[Path]:
    """Return the files that Python reads to import a name of the package: its module and parent packages."""
    first, *parts = name.split(".")
    if first != PACKAGE.name:
        return set()
    files = set()
    for depth in range(1, len(parts) + 1):
        place = PACKAGE.joinpath(*parts[:depth])
        files |= {path for path in (place / "__init__.py", place.with_suffix(".py")) if path.exists()}
    return files


def without_docstrings(tree: ast.Module) -> str:
    """Return a syntax tree without docstrings as text; the tree is changed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_docstring(statement)] or [ast.Pass()]
    return ast.dump(tree)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
