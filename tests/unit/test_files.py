"""Files are whole or absent, whatever happens while they are written."""

import csv
import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from latentgen.errors import LatentgenError
from latentgen.runtime.files import atomic_path, read_h5, write_csv, write_h5


def test_a_file_appears_only_when_it_is_finished(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as partial:
        partial.write_text("text")
        assert partial.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "text"
    assert os.listdir(path.parent) == ["file.txt"]


def interrupted_write(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("ha")
    raise KeyboardInterrupt


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as partial:
        interrupted_write(partial)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "folder"
    for name in ("old", "new"):
        with atomic_path(path) as partial:
            partial.mkdir()
            (partial / name).write_text(name)
    assert os.listdir(path) == ["new"]
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as partial:
        interrupted_write(partial / "newer")
    assert os.listdir(path) == ["new"]
    assert os.listdir(tmp_path) == ["folder"]


KILLED = """
import os, signal, sys
import numpy as np
from latentgen.runtime.files import write_h5
with write_h5(sys.argv[1]) as file:
    file["x"] = np.zeros(100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_kill_halfway_leaves_the_old_file_or_none(tmp_path, exists):
    path = tmp_path / "file.h5"
    if exists:
        with write_h5(path) as file:
            file["x"] = [1, 2, 3]
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.exists() == exists
    if exists:
        with read_h5(path) as file:
            assert file["x"][...].tolist() == [1, 2, 3]
    (left,) = tmp_path.glob(".*")  # what was half-written can be told by its name, and is refused as well
    assert left.suffix == ".partial"
    with pytest.raises(LatentgenError, match=r"truncated|never finished"), read_h5(left):
        pass


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    path, cut = tmp_path / "file.h5", tmp_path / "cut.h5"
    with write_h5(path) as file:
        file.create_dataset("x", data=np.arange(1000), chunks=(100,))
    content = path.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(LatentgenError, match="truncated"), read_h5(cut):
            pass


def test_files_that_are_absent_unfinished_or_of_another_format_are_refused(tmp_path):
    path = tmp_path / "file.h5"
    with pytest.raises(LatentgenError, match="does not exist"), read_h5(path):
        pass
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(LatentgenError, match="never finished"), read_h5(path):
        pass
    with write_h5(path):
        pass
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 0
    with pytest.raises(LatentgenError, match="format version 0"), read_h5(path):
        pass
    with pytest.raises(LatentgenError), read_h5(tmp_path):
        pass


def test_csv_keeps_every_digit(tmp_path):
    rows = [{"a": 1, "b": 0.1 + 0.2}, {"a": 2, "b": None}]
    write_csv(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(read[0]["b"]), read[1]["b"]] == [0.1 + 0.2, ""]
    write_csv(tmp_path / "empty.csv", [])
    assert (tmp_path / "empty.csv").read_bytes() == b""
