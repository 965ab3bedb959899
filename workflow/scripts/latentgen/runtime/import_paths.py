"""Import paths: how a study file names custom code, as in ``my_package.nets:TwoLayer``.

An import path is written by the user in the study file; data files are never interpreted as one. Modules are
looked up among the installed packages, then in the folder of the Snakefile. The code is identified without
running it, so that an edited module, or another version of a package that it imports, reruns what used it.
"""

import ast
import difflib
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from pathlib import Path
from pkgutil import get_importer, resolve_name
from typing import Annotated, Any

from pydantic import AfterValidator

from latentgen.errors import LatentgenError
from latentgen.runtime.code_digest import PACKAGE, normalized


def _well_formed(path: str) -> str:
    module, colon, name = path.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or module.endswith(".py") or not all(part.isidentifier() for part in parts):
        raise ValueError(
            "must be an import path, module:name: my_package.nets:TwoLayer is the class TwoLayer in "
            "my_package/nets.py"
        )
    return path


ImportPath = Annotated[str, AfterValidator(_well_formed)]
"""A module and a name in it, as a study file gives them."""


def nearest_few(wrong: str, known: list[str]) -> str:
    """List the nearest of many allowed names, or some of them if none is near."""
    near = difflib.get_close_matches(wrong, known, n=5, cutoff=0.4)
    if near:
        return f"the nearest are {', '.join(near)}"
    return (
        f"there are {', '.join(known[:8])}{', …' if len(known) > 8 else ''}" if known else "there is nothing"
    )


def attribute(path: str) -> str:
    """Return the last name of an import path: ``TwoLayer`` of ``my_package.nets:TwoLayer``."""
    return path.replace(":", ".").rsplit(".", 1)[1]


def load(path: str) -> Any:
    """Import the object of an import path.

    Raises
    ------
    LatentgenError
        If it is not an import path, if there is no such module, if it cannot be imported, or if it does not
        have the name.
    """
    try:
        module = _well_formed(path).partition(":")[0]
    except ValueError as error:
        raise LatentgenError(f"{path} {error}.") from None
    _look_here_too()
    _spec(module, path)
    try:
        importlib.import_module(module)
    except Exception as error:  # a module can raise anything
        raise LatentgenError(
            f"{path}: importing {module} fails with {type(error).__name__}: {error}. Try: "
            f"python -c 'import {module}'"
        ) from error
    try:
        return resolve_name(path)
    except AttributeError as error:
        known = [name for name in dir(error.obj) if not name.startswith("_")]
        raise LatentgenError(
            f"{path}: {getattr(error.obj, '__file__', None) or module} has no {error.name!r}; "
            f"{nearest_few(str(error.name), known)}."
        ) from error


def code_identity(path: str) -> str:
    """Return a text that identifies the code of an import path, without running it.

    For installed packages, their version. For custom modules, a digest of the module and of all custom
    modules that it imports, from the syntax trees without docstrings or comments, and the versions of all
    installed packages that these import. An import counts if its name is in the code: in an ``import``
    statement, or as text in a call of ``import_module`` or ``__import__``.

    Raises
    ------
    LatentgenError
        If there is no such module, or if a custom module cannot be parsed.
    """
    module = path.partition(":")[0]
    if not _is_custom(_spec(module, path)):
        package = module.split(".")[0]
        return _versions({package}) or f"{package} of Python"
    files, imported = _closure(module)
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name} {normalized(_tree(file))[0]}".encode())
    versions = _versions({name.split(".")[0] for name in imported})
    return digest.hexdigest()[:16] + (f" with {versions}" if versions else "")


def code_identities(paths: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
    """Return the `code_identity` of import paths and a digest of each file that the code reads, sorted.

    Snakemake compares params as text.

    Raises
    ------
    LatentgenError
        As in `code_identity`; or if a file cannot be read.
    """
    codes = {path: code_identity(path) for path in sorted(set(paths))}
    return codes | {file: _file_identity(file) for file in sorted(set(files))}


def _file_identity(file: str) -> str:
    """Return a digest of a file, or of all files in a folder."""
    try:
        inside = sorted(path for path in Path(file).rglob("*") if path.is_file())
        if not inside:
            return _file_digest(file, *_version_of(Path(file)))
        parts = [f"{path.relative_to(file)} {_file_digest(str(path), *_version_of(path))}" for path in inside]
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    except OSError as error:
        raise LatentgenError(
            f"files: {file} cannot be read ({error.strerror}). Name the files that custom code reads "
            f"relative to {Path.cwd()}."
        ) from error


def _version_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _file_digest(file: str, _size: int, _time: int) -> str:
    """Return a digest of a file's content, cached for all jobs until the file changes."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def _versions(packages: Iterable[str]) -> str:
    """Return the versions of the top-level packages that are installed."""
    names = {name for package in packages for name in _distributions().get(package, ())}
    return ", ".join(f"{name} {version(name)}" for name in sorted(names))


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the installed distributions by the top-level packages they contain."""
    return packages_distributions()


def _look_here_too() -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: a file here must not replace a package that others import


def _spec(module: str, path: str) -> ModuleSpec:
    spec = _find(module, str(Path.cwd()))
    if spec is None:
        parent = module.split(".")[0]
        raise LatentgenError(
            f"{path}: there is no module {module!r}, neither in {Path.cwd()}, where {parent}.py or a folder "
            f"{parent}/ would be, nor among the installed packages."
        )
    return spec


def _find(module: str, folder: str) -> ModuleSpec | None:
    """Find a module without importing the packages it is in."""
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first) or _find_in([folder], first)
    except (ImportError, ValueError):  # such as __main__
        return None
    name = first
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = _find_in(spec.submodule_search_locations, name)
    return spec


def _find_in(folders: Iterable[str], module: str) -> ModuleSpec | None:
    """Find a module in some folders; PathFinder cannot find nested folders without __init__.py."""
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


def _is_custom(spec: ModuleSpec) -> bool:
    """Whether a module is custom: not from Python, an installed package, or this one."""
    if not spec.origin or not spec.origin.endswith(".py"):
        return False
    file = Path(spec.origin).resolve()
    folders = (Path(sysconfig.get_path("stdlib")).resolve(), PACKAGE.resolve())
    return not (
        {"site-packages", "dist-packages"} & set(file.parts) or any(map(file.is_relative_to, folders))
    )


def _closure(module: str) -> tuple[dict[str, Path], set[str]]:
    """Return the files, by module, of a custom module and its custom imports; and all other imports."""
    files: dict[str, Path] = {}
    others: set[str] = set()
    todo = {module}
    while todo:
        name = todo.pop()
        if name in files or name in others:
            continue
        spec = _find(name, str(Path.cwd()))
        if spec is not None and _is_custom(spec):
            files[name] = Path(spec.origin or "")
            todo |= _imports(name, spec)
        else:
            others.add(name)
    return files, others


def _imports(module: str, spec: ModuleSpec) -> set[str]:
    """Names of possible modules that a module imports, including its own parent packages."""
    names = {module.rpartition(".")[0]} - {""}
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.walk(_tree(Path(spec.origin or ""))):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                parents = package.split(".")
                above = parents[: len(parents) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                names |= {base, *(f"{base}.{alias.name}" for alias in node.names)} - {""}
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                names.add(f"{package}{name}" if name.startswith(".") else name)
    return names


def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise LatentgenError(f"This version of Python cannot parse {file}: {error}.") from error
