"""The cost of a job on SLURM compared with the same job run locally, with and without groups and arrays.

The jobs are a study's label vectors (`corrupt_labels`), a second each: the rest is overhead. Each method
runs in its own folder, with the data set ready. It reports the wall time, the processor time of the main
Snakemake process (locally: also of the jobs) and the number of submissions. With `--study`, that study is
computed whole, locally and with the shipped profile.

The cluster is the one whose `sinfo` answers; otherwise one of two nodes is started as for the tests (root and
tests/cluster/install-slurm). From the root of the repository, with the extra `slurm` installed:

    python -m benchmarks.cluster [--jobs 40]
    python -m benchmarks.cluster --study config/digits.yaml
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.project import PROJECT, copy_of_project, snakemake

sys.path.insert(0, str(PROJECT / "tests/cluster"))

from private_slurm import PrivateSlurm

SLURM = ["--workflow-profile", "profiles/slurm"]
NO_LABEL_GROUP = ["--groups", "collect_tables=tables", "--group-components", "tables=1"]
HERE = {"locally, on all cores": ["--cores", "all"]}
SHIPPED = {"SLURM, as shipped": SLURM}
WAYS = {
    **HERE,
    "SLURM, one job per submission": [*SLURM, *NO_LABEL_GROUP],
    "SLURM, in groups of 10": [*SLURM, "--group-components", "labels=10"],
    "SLURM, as shipped: groups of 100": SLURM,
    "SLURM, one array": [*SLURM, *NO_LABEL_GROUP, "--slurm-array-jobs", "corrupt_labels"],
}


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--study", type=Path, help="compute this study instead")
    options = parser.parse_args()
    with a_cluster():
        print(f"{'method':34} {'wall s':>8} {'per job':>8} {'CPU s':>8} {'submissions':>12}")
        if options.study:
            for way, arguments in (HERE | SHIPPED).items():
                measure(way, arguments, yaml.safe_load(options.study.read_text()), ["all"], 0)
        else:
            study = yaml.safe_load((PROJECT / "config/digits.yaml").read_text())
            study |= {"seeds": list(range(options.jobs)), "noise": [{"kind": "symmetric", "p": [0.4]}]}
            targets = [
                f"results/{study['study']}/labels/digits/symmetric0.40/{seed}.h5" for seed in study["seeds"]
            ]
            for way, arguments in WAYS.items():
                measure(way, arguments, study, targets, options.jobs)


def measure(way: str, arguments: list[str], study: dict, targets: list[str], jobs: int) -> None:
    """Compute targets in a fresh copy of the project, and print the cost."""
    with tempfile.TemporaryDirectory(prefix="latentgen-") as name:
        tree = copy_of_project(Path(name))
        (tree / "study.yaml").write_text(yaml.safe_dump(study))
        settings = ("--configfile", "study.yaml")
        if jobs:
            snakemake(tree, "results/datasets/digits.h5", *settings, "--cores", "1")
        wall, cpu, said = snakemake(tree, *targets, *settings, *arguments)
        a_job = f"{wall / jobs:8.2f}" if jobs else " " * 8
        submissions = len(set(re.findall(r"SLURM jobid (\d+)", said)))
        print(f"{way:34} {wall:8.1f} {a_job} {cpu:8.1f} {submissions:12}", flush=True)


@contextmanager
def a_cluster() -> Iterator[None]:
    """Use the existing cluster, or start one for the duration of the block."""
    if shutil.which("sinfo") and subprocess.run(["sinfo"], capture_output=True).returncode == 0:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        slurm = PrivateSlurm(Path(folder) / "slurm")
        try:
            yield
        finally:
            slurm.close()


if __name__ == "__main__":
    main()
