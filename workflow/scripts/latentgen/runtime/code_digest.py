"""Digests of the package's code, by which Snakemake notices a changed library module.

Snakemake notices a changed script but not the modules it imports. So every rule has, among its params, a
digest of its script and of all package modules that the script imports, directly or indirectly. It is
computed from the syntax tree without docstrings, so comments, docstrings and formatting do not affect it.
"""

import ast
import hashlib
from collections.abc import Iterator
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
    """Its code as `normalized` returns it."""


@cache
def _read(path: Path) -> _Module:
    text, imports = normalized(ast.parse(path.read_bytes()))
    names: set[str] = set()
    for node in imports:
        if isinstance(node, ast.ImportFrom):
            above = (
                path.relative_to(PACKAGE.parent).with_suffix("").parts[: -node.level] if node.level else ()
            )
            module = ".".join([*above, *filter(None, [node.module])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        else:
            names |= {alias.name for alias in node.names}
    return _Module(frozenset(file for name in names for file in _files_of(name)), text)


@cache
def _files_of(name: str) -> frozenset[Path]:
    """Return the files that Python reads to import a name of the package: its module and parent packages."""
    first, *parts = name.split(".")
    if first != PACKAGE.name:
        return frozenset()
    files: set[Path] = set()
    for depth in range(1, len(parts) + 1):
        place = PACKAGE.joinpath(*parts[:depth])
        files |= {path for path in (place / "__init__.py", place.with_suffix(".py")) if path.exists()}
    return frozenset(files)


def normalized(tree: ast.Module) -> tuple[str, list[ast.Import | ast.ImportFrom]]:
    """Return the code of a syntax tree as text, and its imports.

    Docstrings, ``pass`` and what only type checkers read, ``if TYPE_CHECKING:``, are left out.
    """
    words: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    _write(tree, words, imports)
    return " ".join(words), imports


def _write(node: ast.AST, words: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Add the words of a node and of all nodes below it. Every start of a study waits for this."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    words.append(type(node).__name__)
    for field in node._fields:
        value = getattr(node, field)
        if isinstance(value, ast.expr_context):
            continue  # whether a name is read or set follows from where it stands
        if isinstance(value, ast.AST):
            _write(value, words, imports)
        elif isinstance(value, list):
            words.append("[")
            for part in _executed(value):
                if isinstance(part, ast.AST):
                    _write(part, words, imports)
                else:
                    words.append(repr(part))
            words.append("]")
        else:
            words.append(repr(value))


def _executed(parts: list[Any]) -> Iterator[Any]:
    """Yield the parts of a node, of statements only those that do something."""
    for part in parts:
        if isinstance(part, ast.If) and isinstance(part.test, ast.Name) and part.test.id == "TYPE_CHECKING":
            yield from _executed(part.orelse)
        elif not isinstance(part, ast.Pass) and not _is_docstring(part):
            yield part


def _is_docstring(part: Any) -> bool:
    return (
        isinstance(part, ast.Expr)
        and isinstance(part.value, ast.Constant)
        and isinstance(part.value.value, str)
    )
