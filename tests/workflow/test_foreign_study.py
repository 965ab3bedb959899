"""A study from elsewhere is drawn, reported and shown without any code that it names."""

import json
import sys
import zipfile

import pytest
from project_copy import copy_of_project

from latentgen.report.archive import pack_study
from latentgen.study.config import read_study
from latentgen.study.layout import TABLES
from latentgen.study.tables_study import tables_study
from studies import TINY_STUDY

ATTACK = {
    "architecture": "own",
    "path": "attack_me:run",
    "measured": {
        "widths": {"a": 4, "readout_input": 4},
        "readout": "out",
        "multiply_adds": 9,
        "largest_output": 9,
        "weight_bytes": 9,
    },
}


@pytest.fixture
def foreign(tmp_path):
    """Return a copy of the project with code that leaves a mark, and an archive whose study names it."""
    workflow = copy_of_project(tmp_path)
    (tmp_path / "attack_me.py").write_text(
        "open('ATTACKED', 'w')\n\n\ndef run(**_):\n    open('ATTACKED', 'w')\n"
    )
    pair = TINY_STUDY["pairs"][0] | {"model": ATTACK}
    study = read_study({**TINY_STUDY, "pairs": [pair], "compare_with": "other"})
    files = [tmp_path / "made/tables" / name for name in TABLES]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(tables_study(study)) if file.name == "study.json" else "nothing")
    pack_study(tmp_path / "x.zip", study.model_dump(mode="json"), files)
    return workflow


def test_nothing_that_an_archive_names_is_called(foreign):
    """Its study is compared with another one, whose table is not there: so more than drawing seems needed."""
    done = foreign.make("figures", "FROM=x.zip")
    assert done.returncode != 0
    assert "beside.parquet" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (foreign.folder / "ATTACKED").exists()
    # As if it had been unpacked all the same: the flag alone keeps everything but drawing away.
    results = foreign.folder / "results/tiny"
    if not results.exists():
        results.mkdir(parents=True)
        (foreign.folder / "made/tables").rename(results / "tables")
        with zipfile.ZipFile(foreign.folder / "x.zip") as archive:
            (results / "study.json").write_bytes(archive.read("study.json"))
    study = "results/tiny/study.json"
    done = foreign.snakemake("figures", "--config", "from_tables=true", study=study)
    assert done.returncode != 0
    assert "beside.parquet, and nothing is computed here" in done.stdout + done.stderr
    assert not (foreign.folder / "ATTACKED").exists()
    for command in ("status", "report", "export", "check"):
        foreign.process([sys.executable, "-m", "latentgen", command, study])
        assert not (foreign.folder / "ATTACKED").exists(), command
    foreign.snakemake("figures", study=study)
    assert (foreign.folder / "ATTACKED").exists(), "without the flag it is a study like any other"


def test_no_study_file_can_ask_for_more_than_its_caller(foreign):
    foreign.write_study(
        TINY_STUDY | {"from_tables": False, "pairs": [TINY_STUDY["pairs"][0] | {"model": ATTACK}]}
    )
    done = foreign.snakemake("figures", "--config", "from_tables=true")
    assert done.returncode != 0
    assert "from_tables: unknown key" in done.stdout + done.stderr
    assert not (foreign.folder / "ATTACKED").exists()
    foreign.write_study(TINY_STUDY)
    done = foreign.snakemake("all", "--dry-run", "--config", "from_tables=true")
    assert "and nothing is computed here" in done.stdout + done.stderr
