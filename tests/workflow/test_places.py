"""The workflow runs from anywhere, and says at its end where tables and figures are."""

import shutil
import sys

from project_copy import copy_of_project

from studies import TINY_STUDY


def test_it_is_planned_from_elsewhere(tmp_path):
    workflow = copy_of_project(tmp_path)
    workflow.write_study(TINY_STUDY)
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    for how in (["-s", str(tmp_path / "Snakefile")], ["-s", "../Snakefile", "--directory", "deeper"]):
        command = f"cd 'else where' && {sys.executable} -m snakemake --dry-run --cores 1 {' '.join(how)}"
        done = workflow.process(["bash", "-c", f"{command} --configfile ../study.yaml"])
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Estimate: " in done.stdout + done.stderr


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
    assert said.rstrip().splitlines()[-2].startswith("Tables: results/tiny/tables/ (8 of 8 files)")
    assert said.rstrip().splitlines()[-1].startswith("Figures: results/tiny/figures/ (")
