"""A finished study as one small archive, from which its figures can be drawn anywhere.

The archive holds the study file, the tables (with provenance), the figures, and a manifest with the SHA-256
of each. Of figures that are redrawn, it has the PDF and the plotted numbers; of the PNG, most of a study's
bytes, it has the SHA-256 only. Equal contents give equal bytes. An archive may come from someone else: only
files that belong to a study and have the checksum in the manifest are read.
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from latentgen.errors import LatentgenError
from latentgen.runtime.files import atomic_path
from latentgen.study.config import Study, read_study
from latentgen.study.layout import FIGURE_FORMATS, TABLES, Layout

FORMAT = "latentgen study"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
STUDY = "study.json"
BESIDE = "tables/beside.parquet"
"""Accuracies of the study that this one is compared with."""
MAX_BYTES = 4 << 30
"""Larger archives are refused: the tables of thousands of runs take a hundredth of this."""

_NAME = re.compile(r"study\.json|(?:tables|figures)/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_READ_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError, ValueError,
)  # fmt: skip
"""What Python's zipfile raises on damaged archives."""


def pack_study(path: str | Path, study: Mapping[str, Any], files: Iterable[str | Path]) -> None:
    """Write the archive of a study.

    Parameters
    ----------
    path : str or Path
        Path of the archive.
    study : mapping
        All settings of the study, as plain values, including defaults.
    files : paths
        Tables and figures, in folders called ``tables`` and ``figures``.
    """
    contents = {STUDY: (json.dumps(study, indent=2) + "\n").encode()}
    contents |= {f"{Path(file).parent.name}/{Path(file).name}": Path(file).read_bytes() for file in files}
    redrawn = {f"figures/{name}.png" for name in read_study(study).drawn_without_custom_code()}
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "files": {name: _entry(contents[name]) for name in sorted(contents.keys() - redrawn)},
        "redrawn": {name: _entry(contents[name]) for name in sorted(contents.keys() & redrawn)},
    }
    contents = {name: content for name, content in contents.items() if name not in redrawn}
    contents = {MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode()} | dict(sorted(contents.items()))
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # the same bytes at any time
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)


def _entry(content: bytes) -> dict[str, Any]:
    """Return what the manifest says of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_archive(path: str | Path) -> dict[str, bytes]:
    """Return the files of an archive by name, after verifying their checksums.

    Raises
    ------
    LatentgenError
        If it is missing, damaged, not an archive of a study, or contains a file that does not belong to one.
    """
    return _read_with_redrawn(path)[0]


def _read_with_redrawn(path: str | Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of an archive, and the SHA-256 of the figures that it leaves to be redrawn."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(_read(archive, MANIFEST, 1 << 24))
            if manifest["format"] != FORMAT:
                raise ValueError(f"its format is {manifest['format']!r}, not {FORMAT!r}")
            if manifest["format_version"] != FORMAT_VERSION:
                raise LatentgenError(
                    f"{path} has format version {manifest['format_version']}; this latentgen reads "
                    f"{FORMAT_VERSION}. Export the study again with this one."
                )
            listed = {name: _size_and_checksum(name, entry) for name, entry in manifest["files"].items()}
            redrawn = {
                name: _size_and_checksum(name, entry)[1]
                for name, entry in manifest.get("redrawn", {}).items()
            }
            _check_names(path, listed, redrawn, archive.namelist())
            if sum(size for size, _ in listed.values()) > MAX_BYTES:
                raise LatentgenError(
                    f"{path} would unpack to more than {MAX_BYTES >> 30} GiB, more than any study."
                )
            contents = {name: _read(archive, name, size) for name, (size, _) in listed.items()}
    except FileNotFoundError:
        raise LatentgenError(f"{path} does not exist.") from None
    except (*_READ_ERRORS, TypeError, AttributeError) as error:
        raise LatentgenError(
            f"{path} cannot be read as the archive of a study ({type(error).__name__}: {error}). It is "
            "truncated, damaged or another file: get it again."
        ) from error
    wrong = [
        name for name, content in contents.items() if hashlib.sha256(content).hexdigest() != listed[name][1]
    ]
    if wrong:
        raise LatentgenError(
            f"{path} is damaged: the checksums of {', '.join(wrong)} are not those of the manifest. Get it "
            "again."
        )
    return contents, redrawn


@contextmanager
def tables_of(path: str | Path) -> Iterator[Path]:
    """Give the folder of tables of an archive, unpacked as long as it is used, or of a study's results.

    Raises
    ------
    LatentgenError
        As `read_archive`; or if a folder has no tables.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "tables" / STUDY).exists():
            raise LatentgenError(f"{path} has no tables of a study: name results/{{study}}, or an archive.")
        yield path / "tables"
        return
    contents = read_archive(path)
    with TemporaryDirectory() as unpacked:
        folder = Path(unpacked, "tables")
        folder.mkdir()
        for name, content in contents.items():
            if name.startswith("tables/"):
                Path(unpacked, name).write_bytes(content)
        yield folder


def _size_and_checksum(name: str, entry: Mapping[str, Any]) -> tuple[int, str]:
    """Return size and checksum of a file from its manifest entry; a ValueError if they are impossible."""
    size, checksum = entry["bytes"], entry["sha256"]
    if type(size) is not int or size < 0:
        raise ValueError(f"bytes of {name!r} must be a whole number from 0, not {size!r}")
    if not isinstance(checksum, str) or not re.fullmatch("[0-9a-f]{64}", checksum):
        raise ValueError(f"sha256 of {name!r} must be 64 hexadecimal digits, not {checksum!r}")
    return size, checksum


def _read(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(name) as file:
        return file.read(limit + 1)[: limit + 1]


def _check_names(path: str | Path, listed: Iterable[str], redrawn: Iterable[str], present: list[str]) -> None:
    expected = {MANIFEST, *listed}
    strange = sorted(name for name in {*listed, *redrawn} if not _NAME.fullmatch(name))
    if strange:
        raise LatentgenError(f"{path} holds {strange[0]!r}, which does not belong to a study: not unpacked.")
    if sorted(present) != sorted(expected):
        other = sorted(set(present) ^ expected) or sorted(present)
        raise LatentgenError(f"{path} does not hold what its manifest lists: see {', '.join(other[:5])}.")
    missing = {STUDY, *(f"tables/{name}" for name in TABLES)} - expected
    if missing:
        raise LatentgenError(f"{path} lacks {', '.join(sorted(missing))}: no figure can be drawn from it.")


def unpack_study(path: str | Path, root: str | Path = ".") -> Path:
    """Unpack tables and study file of an archive into ``results/{study}``; return the path of the study file.

    The figures stay in the archive: they are redrawn and can then be compared with it. Only custom ones are
    unpacked, since their code is not run.

    Raises
    ------
    LatentgenError
        As in `read_archive`; or if the study already exists, with runs or with other tables.
    """
    contents = read_archive(path)
    study = _study_in(path, contents)
    if study.compare_with and BESIDE not in contents:
        raise LatentgenError(
            f"{path} lacks {BESIDE}, which its study compares with (compare_with): its figures cannot all be "
            "drawn. Get an archive that holds it."
        )
    layout = Layout(study.study)
    results = Path(root, layout.results)
    drawn = {
        f"figures/{name}.{suffix}" for name in study.drawn_without_custom_code() for suffix in FIGURE_FORMATS
    }
    custom = {f"figures/{name}.{suffix}" for name in study.drawings for suffix in FIGURE_FORMATS} - drawn
    wanted = {
        results / name: content
        for name, content in contents.items()
        if not name.startswith("figures/") or name in custom
    }
    if Path(root, layout.run).parent.exists():
        raise LatentgenError(
            f"{results} already has runs of a study of this name: `make figures STUDY=…` draws their "
            "figures. To draw the archive's, unpack it in another copy of the project."
        )
    other = [str(file) for file, content in wanted.items() if file.exists() and file.read_bytes() != content]
    if other:
        raise LatentgenError(f"{', '.join(other)} differ from those in {path}. Move {results} away first.")
    for file, content in wanted.items():
        if not file.exists():
            with atomic_path(file) as partial:
                partial.write_bytes(content)
    return results / STUDY


def compare_figures(path: str | Path, root: str | Path = ".") -> list[str]:
    """Check that the figures in ``results`` equal those in the archive, and return their names.

    Raises
    ------
    LatentgenError
        As in `read_archive`; or if a figure is missing or differs.
    """
    contents, checksums = _read_with_redrawn(path)
    results = Path(root, Layout(_study_in(path, contents).study).results)
    checksums |= {
        name: hashlib.sha256(content).hexdigest()
        for name, content in contents.items()
        if name.startswith("figures/")
    }
    figures = sorted(checksums)
    missing = [name for name in figures if not (results / name).exists()]
    if missing:
        raise LatentgenError(f"{results} lacks {', '.join(missing)}.")
    other = [
        name
        for name in figures
        if hashlib.sha256((results / name).read_bytes()).hexdigest() != checksums[name]
    ]
    if other:
        raise LatentgenError(
            f"Drawn in {results}, but not identical, byte for byte, to those in {path}: {', '.join(other)}. "
            "Figures are identical if latentgen's commit and the versions of matplotlib, NumPy and pandas "
            "are; tables/provenance.json lists the archive's."
        )
    return figures


def _study_in(path: str | Path, contents: Mapping[str, bytes]) -> Study:
    """Return the study of an archive; none of the code that it names is imported."""
    try:
        return read_study(json.loads(contents[STUDY]))
    except (ValueError, TypeError, LatentgenError) as error:
        raise LatentgenError(f"This latentgen cannot read the study file in {path}. {error}") from error
