"""Files that are cut off, empty or have a bit flipped, and full disks: found, said, nothing trusted."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from latentgen.errors import DamagedFileError, LatentgenError, UnreadableFileError
from latentgen.networks.activation_files import create
from latentgen.networks.checkpoints import read_tensors, save_weights
from latentgen.runtime.damage import check, move_aside
from latentgen.runtime.files import ABANDONED_SECONDS, atomic_path, put, read_h5, write_csv, write_h5
from latentgen.tables.columns import COUNTS
from latentgen.tables.reading import read_parquet, write_parquet


def write_activations(path):
    with write_h5(path) as file:
        file.attrs["layers"] = ["fc1"]
        dataset = create(file, "0/fc1/train", (300, 8), "float32")
        dataset[:] = np.random.default_rng(0).normal(size=(300, 8))
        put(file, "labels", np.arange(50))


def read_activations(path):
    with read_h5(path) as file:
        return list(file.attrs["layers"]), file["0/fc1/train"][...].tobytes(), file["labels"][...].tobytes()


def write_table(path):
    write_parquet(path, pd.DataFrame({"correct": range(300), "total": [300] * 300}), COUNTS)


def read_checked_csv(path):
    check(path)
    return path.read_bytes()


def read_weights(path):
    weights, metadata = read_tensors(path)
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in weights.items()}, metadata


FORMATS = {
    "file.h5": (write_activations, read_activations),
    "file.safetensors": (
        lambda path: save_weights(path, {"a": np.arange(40.0), "b": np.ones((2, 3), "f4")}, {"run": "x"}),
        read_weights,
    ),
    "file.csv": (lambda path: write_csv(path, [{"a": i, "b": i / 7} for i in range(30)]), read_checked_csv),
    "file.parquet": (write_table, lambda path: read_parquet(path, COUNTS).to_csv()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_no_flipped_bit_and_no_cut_is_believed(name, tmp_path):
    """A file that was changed anywhere is refused, or still gives what was written; never anything else."""
    write, read = FORMATS[name]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    expected = read(path)
    places = np.random.default_rng(1).integers(0, 8 * len(content), 400)
    versions = [
        content[:length] for length in [*range(0, len(content), 1 + len(content) // 40), len(content) - 1]
    ]
    for place in places.tolist():
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        versions.append(bytes(flipped))
    refused = 0
    for version in versions:
        path.write_bytes(version)
        try:
            found = read(path)
        except LatentgenError:
            refused += 1
        else:
            assert found == expected
    assert refused > 0.6 * len(versions)
    path.write_bytes(content)
    assert read(path) == expected


def test_equal_weights_give_equal_files(tmp_path):
    for name in "ab":
        save_weights(tmp_path / name, {"x": np.arange(9.0)}, {"run": "r", "epoch": "4", "edit": "none"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_input_is_moved_aside_whole_and_nothing_else(tmp_path):
    folder, file, other = tmp_path / "checkpoints", tmp_path / "history.csv", tmp_path / "users.csv"
    folder.mkdir()
    (folder / "epoch-0001.safetensors").write_bytes(b"")
    write_csv(file, [{"a": 1}])
    other.write_text("mine")
    inputs = [str(folder), str(file)]
    assert "checkpoints has been moved aside" in move_aside(folder / "epoch-0001.safetensors", inputs)
    assert "history.csv has been moved aside" in move_aside(file, inputs)
    assert move_aside(other, inputs) is None
    assert move_aside(tmp_path / "gone.csv", [str(tmp_path / "gone.csv")]) is None
    assert sorted(os.listdir(tmp_path)) == [".checkpoints.damaged", ".history.csv.damaged", "users.csv"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_damaged_file_from_the_cache_is_moved_aside_there_too(is_folder, tmp_path):
    """Snakemake links to its cache, and would link to the same damaged file again."""
    cache, output = tmp_path / "cache", tmp_path / "out/checkpoints"
    entry, damaged = cache / "0123_checkpoints", output
    entry.parent.mkdir()
    output.parent.mkdir()
    if is_folder:
        entry.mkdir()
        output.mkdir()
        entry, damaged = entry / "epoch", output / "epoch"
    entry.write_text("x")
    damaged.symlink_to(entry)
    assert move_aside(damaged, [output])
    assert os.listdir(cache) == [".0123_checkpoints.damaged"]
    assert os.listdir(output.parent) == [".checkpoints.damaged"]


def partial_of(process, folder, host=None):
    """Leave a half-written file as a process would; return its path."""
    partial = folder / f".file.h5.{host or socket.gethostname()}-{process}.partial"
    partial.write_bytes(b"half")
    return partial


@pytest.fixture
def ended_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_a_killed_job_left_is_deleted_by_the_next(tmp_path, ended_process):
    left = partial_of(ended_process, tmp_path)
    with atomic_path(tmp_path / "file.h5") as partial:
        assert not left.exists()
        partial.write_text("whole")
    assert os.listdir(tmp_path) == ["file.h5"]


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    """Two jobs that fetch one data set: the second must not delete what the first has fetched so far."""
    here = partial_of(os.getppid(), tmp_path)
    elsewhere, abandoned = (partial_of(1, tmp_path, host) for host in ("another-node", "a-node-of-last-week"))
    long_ago = time.time() - ABANDONED_SECONDS - 1
    os.utime(abandoned, (long_ago, long_ago))
    with atomic_path(tmp_path / "file.h5") as partial:
        partial.write_text("whole")
    assert sorted(path.name for path in tmp_path.glob(".*")) == sorted([here.name, elsewhere.name])


def test_all_that_is_new_is_flushed_before_and_after_it_gets_its_name(tmp_path, monkeypatch):
    """Files, folders, and the folders that got an entry: else a power cut takes the whole folder."""
    flushed, fsync = [], os.fsync

    def note(descriptor):
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    target = tmp_path / "new/newer/checkpoints"
    with atomic_path(target) as partial:
        (partial / "inner").mkdir(parents=True)
        (partial / "inner/file").write_text("text")
    content = [partial / "inner/file", partial / "inner", partial]
    assert flushed == [str(path) for path in (target.parent.parent, tmp_path, *content, target.parent)]


REASONS = {
    errno.EACCES: "Permission denied. Get permission to read it",
    errno.EMFILE: "Too many open files. Allow more open files",
    errno.EIO: "Input/output error. Check the disk",
    errno.ESTALE: "Check the disk or the network",
}


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", FORMATS)
def test_a_good_file_that_cannot_be_read_now_is_not_damaged(name, number, tmp_path, monkeypatch):
    """Damage is what the checksum or the format says: nothing else may have a file moved aside."""
    write, read = FORMATS[name]
    write(tmp_path / name)
    before, real = sorted(os.listdir(tmp_path)), open

    def refuse(path, *arguments, **options):
        if isinstance(path, str | Path) and Path(path) == tmp_path / name:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UnreadableFileError, match=f"{name} cannot be read now: .*{REASONS[number]}"):
        read(tmp_path / name)
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == before
    read(tmp_path / name)


def test_a_data_set_that_is_open_elsewhere_is_not_damaged(tmp_path):
    write_activations(tmp_path / "file.h5")
    expected = read_activations(tmp_path / "file.h5")
    with h5py.File(tmp_path / "file.h5", "r"):
        assert read_activations(tmp_path / "file.h5") == expected
    with h5py.File(tmp_path / "file.h5", "r+"):
        assert read_activations(tmp_path / "file.h5") == expected
    notebook = subprocess.Popen(
        [sys.executable, "-c", f"import h5py, sys\nf = h5py.File({str(tmp_path / 'file.h5')!r}, 'r+')\n"
         "print(flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert notebook.stdout.readline() == "\n"
    with pytest.raises(UnreadableFileError, match="is open for writing in another program"):
        read_activations(tmp_path / "file.h5")
    notebook.communicate("\n")
    assert read_activations(tmp_path / "file.h5") == expected


def test_an_error_of_the_disk_while_hdf5_reads_is_not_damage(tmp_path):
    write_activations(tmp_path / "file.h5")
    words = (
        "Can't synchronously read data (file read failed: errno = 5, error message = 'Input/output error')"
    )
    with pytest.raises(UnreadableFileError, match="Input/output error"), read_h5(tmp_path / "file.h5"):
        raise OSError(words)


def test_hdf5_needs_no_locks(tmp_path, monkeypatch):
    """Some file systems have none: HDF5's own are left out, on reading and on writing."""
    asked = []
    real = h5py.File

    def note(*arguments, **options):
        asked.append(options.get("locking"))
        return real(*arguments, **options)

    monkeypatch.setattr(h5py, "File", note)
    write_activations(tmp_path / "file.h5")
    read_activations(tmp_path / "file.h5")
    assert asked == [False, False]


def test_nothing_that_was_moved_aside_is_ever_deleted(tmp_path):
    for number in range(3):
        (tmp_path / "x.csv").write_text(str(number))
        move_aside(tmp_path / "x.csv", [tmp_path / "x.csv"])
    aside = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert aside == {".x.csv.damaged": "0", ".x.csv.damaged-2": "1", ".x.csv.damaged-3": "2"}


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of two megabytes, where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


NOISE = np.random.default_rng(0).integers(0, 2**60, (400_000, 2))
"""More than a small disk holds, and it cannot be compressed."""


@pytest.mark.parametrize(
    "write",
    [
        lambda path: save_weights(path, {"a": np.ones(1_000_000)}),
        lambda path: write_csv(path, [{"a": i, "b": "x" * 100} for i in range(40_000)]),
        lambda path: write_parquet(path, pd.DataFrame(NOISE, columns=list(COUNTS)), COUNTS),
    ],
    ids=["safetensors", "CSV", "Parquet"],
)  # fmt: skip
def test_a_full_disk_is_one_clear_message_and_leaves_nothing(write, small_disk):
    (small_disk / "before").write_text("x")
    with pytest.raises(LatentgenError, match=r"disk is full: .* could not be written"):
        write(small_disk / "file")
    assert os.listdir(small_disk) == ["before"]
    (small_disk / "after").write_bytes(b"x" * 1_000_000)  # the room is there again


BIG_JOB = """
import sys
import numpy as np
from latentgen.networks.activation_files import create
from latentgen.runtime.files import write_h5
from latentgen.runtime.logs import job_log
with job_log(sys.argv[1]), write_h5(sys.argv[2]) as file:
    create(file, "0/fc1/train", (4000, 250), "float32")[:] = np.random.default_rng(0).normal(size=(4000, 250))
"""


def test_a_full_disk_while_a_shard_is_written(small_disk, tmp_path):
    """In a process of its own, as jobs are: after a failed write HDF5 crashes when it is used again."""
    job = subprocess.run(
        [sys.executable, "-c", BIG_JOB, tmp_path / "log", small_disk / "shard.h5"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert job.returncode != 0
    assert "disk is full" in job.stderr
    assert str(small_disk / "shard.h5") in job.stderr
    assert "Traceback" not in job.stderr
    assert os.listdir(small_disk) == []


SLOW_JOB = """
import sys, time
from latentgen.runtime.files import write_h5
from latentgen.runtime.logs import job_log
with job_log(sys.argv[1]), write_h5(sys.argv[2]) as file:
    file["x"] = 1
    file.flush()
    open(sys.argv[3], "w").close()
    time.sleep(60)
"""


def test_sigterm_ends_any_job_at_once_and_leaves_nothing_half_written(tmp_path):
    job = subprocess.Popen(
        [sys.executable, "-c", SLOW_JOB, tmp_path / "log", tmp_path / "out/x.h5", tmp_path / "ready"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while not (tmp_path / "ready").exists():
        assert job.poll() is None
        time.sleep(0.05)
    job.terminate()
    assert job.wait(10) == 128 + signal.SIGTERM
    assert os.listdir(tmp_path / "out") == []
    assert "ended by SIGTERM" in (tmp_path / "log").read_text()


def test_damage_is_found_while_reading_and_other_errors_are_not_taken_for_it(tmp_path):
    write_activations(tmp_path / "file.h5")
    with pytest.raises(OSError, match="No space"), read_h5(tmp_path / "file.h5"):
        raise OSError(28, "No space left on device")
    with pytest.raises(DamagedFileError, match="does not exist"), read_h5(tmp_path / "none.h5"):
        pass
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DamagedFileError, match="never finished"), read_h5(tmp_path / "other.h5"):
        pass
