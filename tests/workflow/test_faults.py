"""A study that is killed or finds damaged files ends, when called again, with an undisturbed one's tables."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from latentgen.runtime.locks import lock_or_refuse

RUN = "results/tiny/runs/digits_400x120-mlp-symmetric0.40-seed1"
N_KILLS = int(os.environ.get("LATENTGEN_TEST_KILLS", "2"))


def tables(workflow):
    """All counts, losses and statistics; the times of epochs left out."""
    folder = workflow.folder / "results/tiny/tables"
    history = pd.read_parquet(folder / "history.parquet").drop(columns="seconds")
    same = ("accuracy.parquet", "summary.csv", "comparisons.csv")
    return {"history": history.to_csv()} | {name: (folder / name).read_bytes() for name in same}


def kill_after(workflow, seconds, whole_group):
    """Start the study and kill it, Snakemake alone or with all its jobs; whether it was still at work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "tables", "--cores", "2", "--configfile", "study.yaml"],
        cwd=workflow.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(seconds)
    at_work = process.poll() is None
    if whole_group and at_work:
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    return at_work


def start_again(workflow):
    """Take away the networks that are quickly trained, so that they are trained and probed anew."""
    shutil.rmtree(workflow.folder / "results/tiny/tables")
    for path in (workflow.folder / "results/tiny/runs").glob("*-mlp-*"):
        shutil.rmtree(path)


def test_a_killed_study_resumes_when_called_again(tiny, tiny_copy):
    """Kill training, extraction and probing at random moments; jobs whose Snakemake is gone may live on."""
    expected = tables(tiny)
    moments = random.Random(1)
    kills = 0
    start_again(tiny_copy)
    while kills < N_KILLS:
        if kill_after(tiny_copy, moments.uniform(3, 12), whole_group=kills % 2 == 0):
            kills += 1
        else:  # it was done before that
            start_again(tiny_copy)
    tiny_copy.run("tables")
    assert tables(tiny_copy) == expected
    assert not list((tiny_copy.folder / "results").rglob("*.partial"))
    assert not list((tiny_copy.folder / "results").rglob(".resume"))


def test_a_second_snakemake_in_the_same_folder_is_refused(tiny_copy):
    for figure in (tiny_copy.folder / "results/tiny/figures").glob("*.pdf"):
        figure.unlink()
    lock = tiny_copy.folder / ".snakemake/latentgen.lock"
    lock.write_text("")
    code = "from latentgen.runtime.locks import *; lock_or_refuse('latentgen.lock', 'X'); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tiny_copy.folder / ".snakemake",
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while "process" not in lock.read_text():
        assert holder.poll() is None
        time.sleep(0.1)
    done = tiny_copy.snakemake()
    assert done.returncode != 0
    assert f"in this folder already, by process {holder.pid}" in done.stdout + done.stderr
    assert tiny_copy.planned()["draw_figure"] > 0, "looking is always allowed"
    holder.kill()
    holder.wait()
    lock_or_refuse(lock, "Nobody does anything")


@pytest.mark.parametrize(
    ("damaged", "read_by"),
    [
        ("probes/shard-0.csv", "results/tiny/tables/summary.csv"),
        ("checkpoints/epoch-0002.safetensors", f"{RUN}/transfer/shard-0.csv"),
    ],
)
def test_a_damaged_file_is_detected_reported_and_regenerated(damaged, read_by, tiny, tiny_copy):
    path = tiny_copy.folder / RUN / damaged
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    before = os.stat(path)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # nothing but the content tells
    done = tiny_copy.snakemake(read_by, "--forcerun", read_by)
    assert done.returncode != 0
    assert "its checksum differs" in done.stderr
    assert "Run the same command again to regenerate it" in done.stderr
    assert not path.exists()
    tiny_copy.run("tables")
    assert tables(tiny_copy) == tables(tiny)
