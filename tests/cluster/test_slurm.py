"""Tiny studies on a real SLURM with the shipped profile; faults really caused, each ending in equal tables.

A cluster that is there already (`sinfo` answers) is used as it is, and not broken. Otherwise, where SLURM
is installed, one is brought up for these tests (private_slurm.py). One test runs always: a study whose
training is cancelled on the way. The others, a minute or more each, run if LATENTGEN_TEST_ALL_FAULTS is
set; `pytest -rP` then shows what each fault cost.
"""

import os
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from private_slurm import NODES, NoSlurm, PrivateSlurm
from slurm_cluster import SECONDS_TO_WAIT, answers, make_folder, run, wait_for

all_faults = pytest.mark.skipif(
    not os.environ.get("LATENTGEN_TEST_ALL_FAULTS"), reason="long: set LATENTGEN_TEST_ALL_FAULTS=1"
)


def study(name, seeds, data, widths, shard_gigabytes, learning_rate, epochs, keep=False):
    return {
        "study": name,
        "seeds": seeds,
        "noise": [{"kind": "symmetric", "p": [0.4]}],
        "pairs": [
            {
                "dataset": {"name": "digits", **data},
                "model": {"architecture": "MLP", "widths": widths},
                "training": {
                    "optimizer": {"name": "SGD", "learning_rate": learning_rate}, "batch_size": 32,
                    "max_epochs": epochs, "stop": None, "checkpoints": [0, 2],
                },
            }
        ],
        "activations": {"shard_gigabytes": shard_gigabytes, "keep": keep},
        "figures": [],
    }  # fmt: skip


FEW_ITEMS = {"train_items": 300, "test_items": 100}
TWO_RUNS = study("tiny", [1, 2], FEW_ITEMS, [24, 40], 0.00025, 0.02, 6)
SHARDS_KEPT = study("kept", [1], FEW_ITEMS, [24, 40], 0.00025, 0.02, 6, keep=True)
ONE_JOB = study("one_job", [1], {}, [24, 40], 0.0005, 0.02, 2)
RANGES = ONE_JOB | {"study": "ranges", "activations": ONE_JOB["activations"] | {"job_gigabytes": 0.0002}}
TRAINING = study("training", [1], {}, [64, 64], 1, 0.002, 400)  # four seconds of it on an idle core
LONG_TRAINING = study("long", [1], {}, [64, 64], 1, 0.002, 1000)

OF_RANGES = ("extract_range", "fit_range", "score_range")
WITHOUT_GPUS = [f"{rule}:gpu=0" for rule in ("train", "extract_activations", *OF_RANGES, "fit_probes")]
GPU_FOR_TRAINING = ["train:gpu=1", "train:slurm_partition=gpu"]
GRES_FOR_TRAINING = ["train:gres='gpu:pretend:1'", "train:slurm_partition=gpu"]


def with_resources(*resources):
    """Change what the profile says of resources: what it says elsewhere has to be said again."""
    return ["--set-resources", *WITHOUT_GPUS, *resources]


OFTEN = ["--slurm-init-seconds-before-status-checks", "1"]


@pytest.fixture(scope="module")
def cluster():
    """Bring up a cluster that may be broken; None if there is one that may not."""
    if not find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("Snakemake's SLURM plugin is not installed: see the extra `slurm` in pyproject.toml")
    if answers():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        try:
            slurm = PrivateSlurm(Path(folder) / "slurm")
        except NoSlurm as reason:
            pytest.skip(f"NO SLURM, SO NOTHING OF THE CLUSTER IS TESTED: {reason}")
        yield slurm
        slurm.close()


@pytest.fixture
def broken(cluster):
    """Give a cluster of our own, to be broken by the test; mended afterwards."""
    if cluster is None:
        pytest.skip("the cluster that is here is not ours to break")
    yield cluster
    cluster.mend()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that starts a study without SLURM, and one that waits for its tables."""
    known = {}

    def tables(what):
        name = what["study"]
        if name not in known:
            folder = make_folder(tmp_path_factory.mktemp("undisturbed") / "copy", what)
            known[name] = folder, folder.start_here()

        def wait():
            folder, process = known[name]
            assert process.wait(SECONDS_TO_WAIT) == 0, folder.said()
            return folder.tables()

        return wait

    return tables


def test_a_study_whose_training_is_cancelled_ends_with_the_tables_of_a_local_one(
    cluster, undisturbed, tmp_path
):
    expected = undisturbed(TRAINING)
    folder = make_folder(tmp_path / "copy", TRAINING)
    process = folder.start(*OFTEN, *(with_resources(*GPU_FOR_TRAINING) if cluster else []))
    wait_for("saved state", folder.saved_state)
    run("scancel", folder.running("rule_train"))
    folder.finish(process)
    assert folder.tables() == expected()
    assert folder.times_resumed() == [1]
    assert len(folder.submissions()) == 5, "data with labels, training twice, shards, tables"
    if cluster:
        given = ["gres/gpu=1" in given for _, _, given in folder.states().values()]
        assert given == [False, True, True, False, False]


@all_faults
def test_arrays_end_with_the_tables_of_a_local_study(cluster, undisturbed, tmp_path):
    expected = undisturbed(TWO_RUNS)
    folder = make_folder(tmp_path / "copy", TWO_RUNS)
    ungrouped = ["--groups", "fit_probes=alone", "--group-components", "alone=1"]
    folder.finish(folder.start(*ungrouped, "--slurm-array-jobs", "corrupt_labels,train"))
    assert folder.tables() == expected()


@all_faults
def test_ranges_on_several_nodes_end_with_the_tables_of_one_job(cluster, undisturbed, tmp_path):
    expected = undisturbed(ONE_JOB)
    folder = make_folder(tmp_path / "copy", RANGES)
    folder.finish(folder.start(*OFTEN, *with_resources(*(f"{step}:mem_mb=5000" for step in OF_RANGES))))
    assert folder.tables() == expected()
    nodes = {step: folder.nodes(step) for step in OF_RANGES}
    print(f"ranges: {nodes}")
    assert {len(submitted) for submitted in nodes.values()} == {4}, "two shards of two ranges"
    if cluster:  # no node has the memory of two of these jobs
        assert [set(submitted) for submitted in nodes.values()] == 3 * [set(NODES)]


@all_faults
def test_gpus_are_asked_for_as_gres_where_a_site_wants_that(broken, tmp_path):
    """SLURM gives what is asked for by name; as the cluster only pretends to have it, training is refused."""
    folder = make_folder(tmp_path / "copy", TRAINING)
    process = folder.start(*with_resources(*GRES_FOR_TRAINING), "--retries", "0")
    assert process.wait(SECONDS_TO_WAIT) != 0, folder.said()
    given = ["gres/gpu=1" in given for _, _, given in folder.states().values()]
    assert given == [False, True]
    (log,) = folder.folder.glob("results/training/logs/train/*.log")
    assert "A GPU was requested (gres: gpu:pretend:1)" in log.read_text()


def script_killed(cluster, folder, process):
    os.kill(folder.script("train"), signal.SIGKILL)


def time_limit_reached(cluster, folder, process):
    """Hold the training still until its minute is over. SLURM lets it go on when it tells it to end."""
    os.kill(folder.script("train"), signal.SIGSTOP)
    job = folder.running("rule_train")
    wait_for("end of the job", lambda: folder.running("rule_train") != job, every=1)


def node_crashed(cluster, folder, process):
    node = run("squeue", "-h", "-o", "%N", "-j", folder.running("rule_train")).strip()
    cluster.crash(node)
    time.sleep(5)
    run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    time.sleep(5)
    cluster.mend()


def preempted(cluster, folder, process):
    """Let jobs of another partition push it out; it is queued again by itself."""
    run(
        "sbatch", "--partition=cpu", "--nodes=2", "--ntasks-per-node=4", "--mem=7500", "--output=/dev/null",
        "--wrap", "sleep 5",
    )  # fmt: skip


def snakemake_killed(cluster, folder, process):
    process.kill()
    process.wait()
    return folder.start()


def controller_killed(cluster, folder, process):
    cluster.end("slurmctld")
    time.sleep(15)
    cluster.mend()


def accounting_gone(cluster, folder, process):
    """Let the training end and what comes after it be submitted meanwhile."""
    cluster.end("slurmdbd", "mariadbd")
    time.sleep(60)
    cluster.mend()


def seconds_unsaved_at_the_end_of(training, saved):
    """Wait for the end of a training; return how long before it its state was saved. 0 if it finished."""
    while Path(f"/proc/{training}").exists():
        time.sleep(0.02)
    return time.time() - saved.stat().st_mtime if saved.exists() else 0.0


@all_faults
@pytest.mark.parametrize(
    ("fault", "resumed", "how"),
    [
        (script_killed, 1, []),
        (time_limit_reached, 1, with_resources("train:runtime=attempt")),
        (node_crashed, 1, []),
        (preempted, 1, with_resources("train:slurm_partition=spot")),
        (snakemake_killed, 0, []),
        (controller_killed, 0, []),
        (accounting_gone, 0, []),
    ],
)
def test_a_fault_while_a_network_is_trained(fault, resumed, how, broken, undisturbed, tmp_path):
    expected = undisturbed(LONG_TRAINING)
    folder = make_folder(tmp_path / "copy", LONG_TRAINING)
    process = folder.start(*how)
    saved = wait_for("saved state", folder.saved_state)
    with ThreadPoolExecutor() as meanwhile:
        lost = meanwhile.submit(seconds_unsaved_at_the_end_of, folder.script("train"), saved)
        folder.finish(fault(broken, folder, process) or process)
    print(f"{fault.__name__}: {lost.result():.1f} s of training lost; {folder.states()}")
    assert folder.tables() == expected()
    assert folder.times_resumed() == [resumed]


@all_faults
def test_a_disk_that_is_full_while_a_shard_is_written(cluster, undisturbed, tmp_path):
    expected = undisturbed(SHARDS_KEPT)
    folder = make_folder(tmp_path / "copy", SHARDS_KEPT)
    shards = folder.folder / "results/kept/runs/digits_300x100-mlp-symmetric0.40-seed1/activations"
    shards.mkdir(parents=True)
    small = ["mount", "-t", "tmpfs", "-o", "size=64k", "latentgen", str(shards)]
    if subprocess.run(small, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        process = folder.start()
        logs = folder.folder / "results/kept/logs/extract_activations"
        wait_for(
            "full disk", lambda: any("The disk is full" in path.read_text() for path in logs.glob("*.log"))
        )
        assert not list(shards.glob(".*.partial")), "nothing half-written stays"
        run("mount", "-o", "remount,size=100m", str(shards))
        folder.finish(process)
        print(f"disk full: {folder.states()}")
        assert folder.tables() == expected()
    finally:
        run("umount", "--lazy", str(shards))


@all_faults
def test_a_shard_that_is_cut_off_by_hand(cluster, undisturbed, tmp_path):
    expected = undisturbed(SHARDS_KEPT)
    folder = make_folder(tmp_path / "copy", SHARDS_KEPT)
    assert folder.start_here().wait(SECONDS_TO_WAIT) == 0, folder.said()
    shard = next(folder.folder.glob("results/kept/runs/*/activations/shard-0.h5"))
    os.truncate(shard, shard.stat().st_size // 2)  # now newer than its probes, which are to be fitted again
    process = folder.start()
    assert process.wait(SECONDS_TO_WAIT) == 1, folder.said()
    assert not shard.exists()
    assert shard.with_name(f".{shard.name}.damaged").exists()
    folder.finish(folder.start())  # the same command again
    print(f"shard cut off: {folder.states()}")
    assert folder.tables() == expected()
