"""Custom data in NumPy files: one .npz file, or a folder of .npy files."""

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentgen.data.custom_sources.raw import (
    ARRAYS,
    CLASS_NAMES,
    INPUTS,
    OTHER_KINDS,
    UNDIVIDED,
    WANTED,
    RawData,
    listed,
)
from latentgen.errors import LatentgenError

_HAVE = f"It must hold {', '.join(ARRAYS)}; or {' and '.join(UNDIVIDED)}. {OTHER_KINDS}"
_READ = (
    "latentgen reads .npz files, folders of .npy files, and folders of images by class; and tables with a "
    "column of examples and one of labels (.csv, .tsv, .jsonl, .parquet). To use another "
    "file, load it in a Python function and give `function` instead of `path`"
)
_CONTAINERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PAR1": "a Parquet file whose name should end in .parquet",
    b"MATLAB 5.0": "a MATLAB file",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF file",
}
"""First bytes of common files."""
_SUFFIXES = {".txt": "a text file", ".json": "a text file"} | dict.fromkeys(
    (".pkl", ".pickle", ".pt", ".pth", ".joblib"), "a file that can contain code, which is never run here"
)


def is_array_folder(folder: Path) -> bool:
    """Whether a folder contains arrays, and not images by class."""
    return any((folder / f"{part}.npy").exists() for part in INPUTS)


def array_files(path: Path) -> list[Path]:
    """Return the files that are read: the .npz file, or the .npy files in a folder."""
    if not path.is_dir():
        return [path]
    files = (path / f"{part}.npy" for part in (*WANTED, CLASS_NAMES))
    return [file for file in files if file.is_file()]


def read_arrays(path: Path) -> RawData:
    """Read a .npz file, or the .npy files in a folder; Python objects in them are never read.

    Raises
    ------
    LatentgenError
        If it is another kind of file, corrupt, or contains Python objects.
    """
    if path.is_dir():
        content = {file.stem: _load_npy(file) for file in array_files(path)}
        others = sorted(file.name for file in path.iterdir() if file not in array_files(path))
    else:
        _check_container(path)
        content, others = read_npz(path, (*WANTED, CLASS_NAMES))
    class_names = content.pop(CLASS_NAMES, None)
    if not set(content) & set(WANTED):
        held = f" and holds {listed(others)}" if others else ""
        raise LatentgenError(f"{path} has none of the expected arrays{held}. {_HAVE}.{_renaming(others)}")
    notes = [f"Not read: {listed(others)}."] if others else []
    return RawData(content, class_names, notes)


def _renaming(others: list[str]) -> str:
    """Return advice on arrays whose names are nearly right: in capitals, or as in Keras."""
    keras = dict(zip(("x_train", "y_train", "x_test", "y_test"), ARRAYS, strict=True))
    right = {name: wanted for name in others for wanted in WANTED if name.lower() == wanted}
    right |= {name: keras[name] for name in others if name in keras}
    return f" Rename {', '.join(f'{one} to {other}' for one, other in right.items())}." if right else ""


def read_npz(path: Path, wanted: Collection[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the arrays of these names in a .npz file, and the names of all others in it.

    Raises
    ------
    LatentgenError
        If the file is damaged, or one of these arrays holds Python objects, which are never read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            content = {part: archive[part] for part in names if part in wanted}
        if not all(isinstance(array, np.ndarray) for array in content.values()):
            raise ValueError("not all of its files are arrays")
    except Exception as error:  # a damaged file can raise anything
        raise LatentgenError(_unreadable(path, error)) from error
    return content, sorted(set(names) - set(content))


def _load_npy(file: Path) -> NDArray[Any]:
    try:
        array = np.load(file, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is not a .npy file")
    except Exception as error:  # a damaged file can raise anything
        raise LatentgenError(_unreadable(file, error)) from error
    return array


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"{path} does not fit into memory ({error})."
    if "Object arrays cannot be loaded" in str(error):  # NumPy advises to allow pickles
        return (
            f"{path} holds Python objects, which are never read: they can run code. Save plain arrays. "
            "Arrays of images of several sizes are objects: resize the images to one size first."
        )
    detail = "; ".join(str(error).split("\n")[:1])
    return (
        f"{path} cannot be read as NumPy arrays ({detail}). It is truncated or damaged: save or copy it "
        "again."
    )


def _check_container(path: Path) -> None:
    """Refuse intact files of other kinds with a fitting message."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise LatentgenError(f"{path} cannot be opened: {error.strerror}.") from error
    if start.startswith(b"\x93NUMPY"):
        raise LatentgenError(
            f"{path} is a single array, but a data set needs several. {_HAVE}: put them into one folder, as "
            "images.npy and labels.npy, and give the folder."
        )
    kind = next((kind for magic, kind in _CONTAINERS.items() if start.startswith(magic)), None)
    if kind is None and path.suffix.lower() != ".npz":
        kind = _SUFFIXES.get(path.suffix.lower())
        if kind is None and not start.startswith(b"PK"):
            kind = "not a .npz file"
    if kind is None and start.startswith(b"PK") and _holds_no_arrays(path):
        kind = "a zip archive without arrays. If it holds images by class, unpack it and give the folder"
    if kind:
        raise LatentgenError(f"{path} is {kind}. {_READ}.")


def _holds_no_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(archive.namelist()) and not any(name.endswith(".npy") for name in archive.namelist())
    except Exception:  # corrupt: NumPy's reader reports it
        return False
