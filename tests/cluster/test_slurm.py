"""Tiny studies on a real SLURM with the shipped profile; faults really caused, each ending in equal tables.

A cluster that is there already (`sinfo` answers) is used as it is, and not broken. Otherwise a private one is
brought up with the script that the environment variable LATENTGEN_SLURM_UP names. Without either the tests
are skipped. Each says how long it takes on two idle cores;
those of a minute and more run only if LATENTGEN_TEST_ALL_FAULTS is set.
"""

import os
import re
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from slurm_cluster import SLURM_UP, Cluster, answers, computed_here, make_folder, run

long = pytest.mark.skipif(
    not os.environ.get("LATENTGEN_TEST_ALL_FAULTS"), reason="long: set LATENTGEN_TEST_ALL_FAULTS=1"
)

TWO_RUNS = {
    "study": "tiny",
    "seeds": [1, 2],
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [
        {
            "dataset": {"name": "digits", "train_items": 300, "test_items": 100},
            "model": {"architecture": "MLP", "widths": [24, 40]},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.02}, "batch_size": 32, "max_epochs": 6,
                "stop": None, "checkpoints": [0, 2],
            },
        }
    ],
    "activations": {"shard_gigabytes": 0.00025},
    "figures": [],
}  # fmt: skip

ONE_LONG_RUN = {
    **TWO_RUNS,
    "study": "long",
    "seeds": [1],
    "pairs": [
        {
            "dataset": {"name": "digits"},
            "model": {"architecture": "MLP", "widths": [64, 64]},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.002}, "batch_size": 32, "max_epochs": 1000,
                "stop": None, "checkpoints": [0, 2],
            },
        }
    ],
    "activations": {"shard_gigabytes": 1},
}  # fmt: skip
"""Ten seconds of training on an idle core."""


@pytest.fixture(scope="module")
def cluster():
    if not find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip(
            "Snakemake's SLURM plugin is not installed: pip install -c envs/constraints.txt '.[slurm]'"
        )
    if answers() and not SLURM_UP.exists():
        yield Cluster(None)
        return
    if not SLURM_UP.exists():
        pytest.skip("no SLURM here: sinfo does not answer, and LATENTGEN_SLURM_UP names no script")
    ours = not answers()
    try:
        done = subprocess.run([SLURM_UP], capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"SLURM could not be brought up: {error}")
    if done.returncode:
        pytest.skip(f"SLURM could not be brought up: {(done.stdout + done.stderr).strip().splitlines()[-1:]}")
    yield Cluster(SLURM_UP)
    if ours:
        subprocess.run([SLURM_UP.with_name("slurm-down"), "--wipe"], capture_output=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that gives the tables of a study computed without SLURM, undisturbed."""
    known = {}

    def get(study):
        if study["study"] not in known:
            folder = computed_here(make_folder(tmp_path_factory.mktemp("undisturbed") / "copy", study))
            known[study["study"]] = folder.tables()
        return known[study["study"]]

    return get


@pytest.mark.parametrize(
    "how",
    [
        [],  # as shipped: grouped. 45 s
        pytest.param(
            ["--groups", "fit_probes=alone", "--group-components", "alone=1", "--set-resources",
             "train:gpu=1", "train:slurm_partition=gpu", "--slurm-array-jobs", "corrupt_labels,train"],
            marks=long,
        ),  # 90 s: arrays, and training on the partition with GPUs
    ],
    ids=["grouped", "arrays and GPUs"],
)  # fmt: skip
def test_a_study_ends_with_the_tables_of_a_local_one(how, cluster, undisturbed, tmp_path):
    folder = make_folder(tmp_path / "copy", TWO_RUNS)
    said = folder.finish(folder.start(*how))
    assert folder.tables() == undisturbed(TWO_RUNS)
    submissions = set(re.findall(r"SLURM jobid (\d+)", said))
    if not how:
        assert len(submissions) <= 6, "of 18 jobs: data, labels, two trainings, shards, tables"


def training_under_way(folder):
    """Wait until a training has saved its state."""
    end = time.monotonic() + 180
    while not list(folder.folder.glob("results/*/runs/*/.resume/state.safetensors")):
        assert time.monotonic() < end, (folder.folder / "said.txt").read_text()
        time.sleep(0.2)


def script_process(folder):
    """Find the process of the training script: it runs in the folder, and is no Snakemake."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            inside = (path / "cwd").resolve() == folder.folder
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if inside and len(words) > 1 and words[1].endswith(b".train.py"):
            return int(path.name)
    raise AssertionError("no training is running")


def cancelled(cluster, folder, process):
    run("scancel", cluster.job_of("rule_train"))


def script_killed(cluster, folder, process):
    os.kill(script_process(folder), signal.SIGKILL)


def node_crashed(cluster, folder, process):
    node = run("squeue", "-h", "-o", "%N", "-j", cluster.job_of("rule_train")).strip()
    cluster.break_("--crash", node)
    time.sleep(5)
    run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    time.sleep(5)
    cluster.mend()


def preempted(cluster, folder, process):
    """Let jobs of another partition push it out; it is queued again by itself."""
    run(
        "sbatch",
        "-p",
        "cpu",
        "-N2",
        "--ntasks-per-node=4",
        "--mem=7500",
        "--wrap",
        "sleep 5",
        "-o",
        "/dev/null",
    )


def snakemake_killed(cluster, folder, process):
    process.kill()
    process.wait()


FAULTS = [
    pytest.param(cancelled, 1),  # 75 s
    pytest.param(script_killed, 1, marks=long),
    pytest.param(node_crashed, 1, marks=long),
    pytest.param(preempted, 1, marks=long),
    pytest.param(snakemake_killed, 0, marks=long),
]


@pytest.mark.parametrize(("fault", "resumed"), FAULTS)
def test_a_fault_while_a_network_is_trained(fault, resumed, cluster, undisturbed, tmp_path):
    if cluster.up is None and fault not in (cancelled, script_killed, snakemake_killed):
        pytest.skip("this cluster is not ours to break")
    expected = undisturbed(ONE_LONG_RUN)
    folder = make_folder(tmp_path / "copy", ONE_LONG_RUN)
    spot = ["--set-resources", "train:slurm_partition=spot"] if fault is preempted else []
    process = folder.start(*spot)
    training_under_way(folder)
    fault(cluster, folder, process)
    if fault is snakemake_killed:
        process = folder.start(*spot)  # the same command again
    folder.finish(process)
    assert folder.tables() == expected
    (summary,) = folder.folder.glob("results/*/runs/*/training.json")
    assert f'"times_resumed": {resumed}' in summary.read_text()
