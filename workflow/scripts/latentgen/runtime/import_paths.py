"""Import paths: how a study file names code of one's own, as in ``my_package.nets:TwoLayer``.

An import path is a reference that the user writes in the study file; nothing that is read as data is ever
taken for one. Modules are looked for among what is installed, then in the folder of the Snakefile. What a
path leads to can be told by a digest without running any of it, so that an edited module reruns what used it.
"""

import ast
import difflib
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from pathlib import Path
from pkgutil import get_importer
from typing import Annotated, Any

from pydantic import AfterValidator

from latentgen.errors import LatentgenError
from latentgen.runtime.code_digest import PACKAGE, without_docstrings


def _well_formed(path: str) -> str:
    module, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise ValueError("must be an import path, module:name, as in my_package.nets:TwoLayer")
    return path


ImportPath = Annotated[str, AfterValidator(_well_formed)]
"""A module and a name in it, as a study file gives them."""


def nearest_few(wrong: str, known: list[str]) -> str:
    """Name the nearest of many that are allowed, or some if none is near."""
    near = difflib.get_close_matches(wrong, known, n=5, cutoff=0.4)
    if near:
        return f"the nearest are {', '.join(near)}"
    return (
        f"there are {', '.join(known[:8])}{', …' if len(known) > 8 else ''}" if known else "there is nothing"
    )


def attribute(path: str) -> str:
    """Return the name that an import path ends with: ``TwoLayer`` of ``my_package.nets:TwoLayer``."""
    return path.replace(":", ".").rsplit(".", 1)[1]


def load(path: str) -> Any:
    """Import what an import path leads to.

    Raises
    ------
    LatentgenError
        If there is no such module, if it cannot be imported, or if it does not have the name.
    """
    module_name, _, name = path.partition(":")
    _look_here_too()
    _spec(module_name, path)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a module can raise anything
        raise LatentgenError(
            f"{path}: importing {module_name} ends with {type(error).__name__}: {error}. Try: "
            f"python -c 'import {module_name}'"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            there = [known for known in dir(found) if not known.startswith("_")]
            raise LatentgenError(
                f"{path}: {getattr(found, '__file__', None) or module_name} has no {part!r}; "
                f"{nearest_few(part, there)}."
            )
        found = getattr(found, part)
    return found


def code_identity(path: str) -> str:
    """Return what changes when the code changes that an import path leads to; nothing of it is run.

    For installed packages, their version. For modules of one's own, a digest of the module and of all modules
    of one's own that it imports, over the syntax trees without docstrings: a comment changes nothing.

    Raises
    ------
    LatentgenError
        If there is no such module, or if a module of one's own is not Python.
    """
    module = path.partition(":")[0]
    spec = _spec(module, path)
    if not _is_own(spec):
        package = module.split(".")[0]
        names = sorted(set(packages_distributions().get(package, ())))
        return ", ".join(f"{name} {version(name)}" for name in names) or f"{package} of Python"
    digest = hashlib.sha256()
    for name, file in sorted(_closure(module).items()):
        digest.update(f"{name} {without_docstrings(_tree(file))}".encode())
    return digest.hexdigest()[:16]


def code_identities(paths: Iterable[str]) -> dict[str, str]:
    """Return `code_identity` of several import paths, sorted: Snakemake compares params as text."""
    return {path: code_identity(path) for path in sorted(set(paths))}


def _look_here_too() -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: a file here must not stand in for a package that others import


def _spec(module: str, path: str) -> ModuleSpec:
    found = _find(module, str(Path.cwd()))
    if found is None:
        parent = module.split(".")[0]
        raise LatentgenError(
            f"{path}: there is no module {module!r}, neither in {Path.cwd()}, where {parent}.py or a folder "
            f"{parent}/ would be, nor among the installed packages."
        )
    return found


def _find(module: str, folder: str) -> ModuleSpec | None:
    """Find a module without importing the packages it is in."""
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first) or _find_in([folder], first)
    except (ImportError, ValueError):  # __main__, say
        return None
    name = first
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = _find_in(spec.submodule_search_locations, name)
    return spec


def _find_in(folders: Iterable[str], module: str) -> ModuleSpec | None:
    """Find a module in some folders; PathFinder cannot where a folder without __init__.py is in another."""
    bare: list[str] = []
    for folder in folders:
        finder = get_importer(folder)
        spec = finder.find_spec(module) if finder else None
        if spec is not None and spec.loader is not None:
            return spec
        bare += spec.submodule_search_locations or [] if spec is not None else []
    if not bare:
        return None
    package = ModuleSpec(module, None, is_package=True)
    package.submodule_search_locations = bare
    return package


def _is_own(spec: ModuleSpec) -> bool:
    """Whether a module is neither Python's, nor an installed package's, nor ours."""
    if not spec.origin or not spec.origin.endswith(".py"):
        return False
    file = Path(spec.origin).resolve()
    folders = (Path(sysconfig.get_path("stdlib")).resolve(), PACKAGE.resolve())
    return not (
        {"site-packages", "dist-packages"} & set(file.parts) or any(map(file.is_relative_to, folders))
    )


def _closure(module: str) -> dict[str, Path]:
    """Files, by module, of a module of one's own and of all such that it imports, directly or not."""
    found: dict[str, Path] = {}
    todo = {module}
    while todo:
        name = todo.pop()
        spec = _find(name, str(Path.cwd()))
        if name not in found and spec is not None and _is_own(spec):
            found[name] = Path(spec.origin or "")
            todo |= _imports(name, spec)
    return found


def _imports(module: str, spec: ModuleSpec) -> set[str]:
    """Names that may be modules which a module imports; the packages it is in are run as well."""
    names = {module.rpartition(".")[0]} - {""}
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.walk(_tree(Path(spec.origin or ""))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)} - {""}
    return names


def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise LatentgenError(f"{file} is not Python that this version can read: {error}.") from error
