"""The workflow runs from anywhere, and says at its end where tables and figures are."""

import copy
import shutil
import sys

import numpy as np
from project_copy import copy_of_project
from sklearn.datasets import load_digits

from studies import TINY_STUDY


def test_it_is_planned_from_elsewhere(tmp_path):
    workflow = copy_of_project(tmp_path)
    workflow.write_study(TINY_STUDY)
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for how in (["-s", str(tmp_path / "Snakefile")], ["-s", "../Snakefile", "--directory", "deeper"]):
        command = f"cd 'else where' && {sys.executable} -m snakemake all write_report --dry-run --cores 1"
        command = f"{command} {' '.join(how)}"
        done = workflow.process(["bash", "-c", f"{command} --configfile ../study.yaml"])
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Estimate: " in done.stdout + done.stderr
        assert "write_report" in done.stdout + done.stderr, "its template is found too"


def test_a_python_whose_path_has_a_blank_is_refused_in_words(tmp_path):
    workflow = copy_of_project(tmp_path)
    workflow.write_study(TINY_STUDY)
    code = "import sys, snakemake.cli; sys.executable = '/my set/python'; snakemake.cli.main()"
    done = workflow.process([sys.executable, "-c", code, "-n", "--cores", "1", "--configfile", "study.yaml"])
    assert done.returncode != 0
    assert "Move the project to a folder without them" in done.stdout + done.stderr
    blank = tmp_path / "my (set)"
    blank.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(tmp_path / name if name == "Makefile" else workflow.folder / "Makefile", blank / name)
    (blank / "envs").mkdir()
    (blank / "envs/constraints.txt").touch()
    done = workflow.process(["make", "-C", str(blank), "setup", f"PYTHON={sys.executable}"])
    assert done.returncode != 0
    assert "Move the project" in done.stderr
    assert not (blank / ".venv").exists()


def test_the_last_lines_say_where_tables_and_figures_are(tiny, tiny_copy):
    said = tiny_copy.run("--until", "corrupt_labels")
    assert said.rstrip().splitlines()[-2].startswith("Tables: results/tiny/tables/ (11 of 11 files)")
    assert said.rstrip().splitlines()[-1].startswith("Figures: results/tiny/figures/ (")


def test_a_study_runs_in_folders_with_blanks_and_shell_characters_and_without_home(tmp_path):
    folder = tmp_path / "my (set) & $HOME's"
    (folder / "data é").mkdir(parents=True)
    (folder / "pro; ject").mkdir()
    workflow = copy_of_project(folder / "pro; ject")
    digits = load_digits()
    images, labels = (digits.images * 15).astype(np.uint8), digits.target
    np.savez(
        folder / "data é/run {1}: #2 & more.npz",
        train_images=images[:200], train_labels=labels[:200],
        test_images=images[200:260], test_labels=labels[200:260],
    )  # fmt: skip
    pair = copy.deepcopy(TINY_STUDY["pairs"][0])
    own = {"path": "../data é/run {1}: #2 & more.npz", "shape": [1, 8, 8], "classes": 10}
    pair["dataset"] = {"name": "mine", "own": own | {"train": 200, "test": 60}}
    pair["training"] |= {"max_epochs": 2, "checkpoints": [0, 2], "stop": None}
    workflow.write_study(
        TINY_STUDY
        | {"noise": [{"kind": "symmetric", "p": [0.4]}], "pairs": [pair], "figures": ["dynamics"]}
        | {"probes": [{"kind": "VeLPIC"}], "fit_labels": ["corrupted"], "transfer": None, "activations": {}}
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml"]
    done = workflow.process(["env", "-u", "HOME", *command])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tables: results/tiny/tables/ (10 of 10 files)" in done.stdout + done.stderr
    assert list((workflow.folder / "results/tiny/figures").glob("dynamics-*.pdf"))
