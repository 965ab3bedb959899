"""The first examples a reader meets run as they stand, and show what they claim."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "quickstart.ipynb"


def test_the_idea_in_one_page():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "in_one_page.py"], capture_output=True, text=True, check=True, timeout=600
    )
    epochs = {int(e): float(test) for e, _, test in re.findall(r"^ +(\d+) +(\S+) +(\S+)$", done.stdout, re.M)}
    assert epochs[100] < max(epochs.values()) - 0.15, "test accuracy falls while the labels are memorized"
    layers = {name: (float(masc), float(velpic)) for name, masc, velpic in re.findall(
        r"^(input|fc\d) +(\S+) +(\S+)$", done.stdout, re.M
    )}  # fmt: skip
    assert set(layers) == {"input", "fc1", "fc2", "fc3"}
    assert min(layers["fc1"]) > epochs[100] + 0.1, "a hidden layer keeps more than the network"
    before, after = map(
        float, re.search(r"test accuracy: (\S+); after transfer: (\S+)", done.stdout).groups()
    )
    assert before == epochs[100]
    assert after == layers["fc3"][1], "the edited network predicts what VeLPIC on its last layer predicts"
    assert after > before + 0.1


def test_the_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent / "workflow" / "scripts"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    shown = text_of(notebook)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(tmp_path))
    computed = numbers(text_of(notebook))
    assert computed == pytest.approx(numbers(shown), abs=0.03), "what the notebook shows is what it computes"
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == 2


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def text_of(notebook):
    return "".join(output["text"] for output in outputs(notebook) if output.get("name") == "stdout")


def numbers(text):
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]
