"""Files that are tar files of custom data."""

from pathlib import Path

SUFFIXES = (".tar", ".tar.gz", ".tgz")


def is_tar(path: Path) -> bool:
    """Whether a path is a tar file, or a folder with tar files, in each of its folders if it has any."""
    if path.is_dir():
        folders = [one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")]
        return all(any(map(_is_tar_file, one.iterdir())) for one in folders or [path])
    return path.name.lower().endswith(SUFFIXES)


def _is_tar_file(file: Path) -> bool:
    return file.is_file() and is_tar(file)


def tar_files(path: Path) -> list[Path]:
    """Return the files of a data set, sorted."""
    if not path.is_dir():
        return [path]
    return sorted(filter(_is_tar_file, path.rglob("*")))
