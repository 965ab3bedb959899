"""A SIGTERM to the process that runs a job's script reaches the script."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import latentgen

SCRIPT = "trap 'echo script told; exit' TERM; echo ready; while :; do sleep 0.1; done"
SNAKEMAKE = f"""
import signal, subprocess
from latentgen.runtime.signals import pass_on_sigterm
pass_on_sigterm()
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))  # as Snakemake does, afterwards
subprocess.run(["sh", "-c", {SCRIPT!r}])
"""


def test_a_script_ends_when_only_its_snakemake_was_signalled():
    process = subprocess.Popen(
        [sys.executable, "-c", SNAKEMAKE], stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(latentgen.__file__).parents[1])},
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert "script told" in said
    assert said.count("told\n") >= 2, "Snakemake's own handler too"
