"""What `snakemake` shows: bars on a terminal, a few lines elsewhere, and last where the results are."""

import os
import re
import subprocess
import sys

import pytest

from studies import TINY_STUDY

COMMAND = [
    *(sys.executable, "-m", "snakemake", "results/datasets/digits_300x100.h5", "--cores", "1"),
    *("--configfile", "study.yaml"),
]
LAST = "Tables: results/tiny/tables/ (0 of 11 files)\nFigures: results/tiny/figures/ (0 of 24 files)\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_bars_with_counts_on_a_terminal(empty_copy):
    empty_copy.write_study(TINY_STUDY)
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(empty_copy.folder / "workflow/scripts"), "COLUMNS": "100"}
    with (
        open(ours, "rb") as terminal,
        subprocess.Popen(
            COMMAND, stdout=theirs, stderr=theirs, cwd=empty_copy.folder, env=environment
        ) as done,
    ):
        os.close(theirs)
        shown = b""
        try:
            while part := terminal.read(1):
                shown += part
        except OSError:  # Linux's way to say that the other side is closed
            pass
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")
    assert done.returncode == 0, text
    assert re.search(r"prepare dataset +━+ 1/1 0:00:\d\d", text)
    assert text.endswith(LAST)


def test_a_few_lines_elsewhere(empty_copy):
    empty_copy.write_study(TINY_STUDY)
    done = empty_copy.process(COMMAND)
    assert done.returncode == 0
    assert "1 of 1 steps (100%) done" in done.stderr
    assert "Finished job" not in done.stderr
    assert "━" not in done.stderr
    assert done.stderr.endswith(LAST)
