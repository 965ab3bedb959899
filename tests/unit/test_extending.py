"""The examples of docs/how-to-extend.md work: each is added to a copy of the library, and used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from latentgen.study.figure_kinds import FIGURES

PROJECT = Path(__file__).parents[2]
BLOCKS = dict(
    re.findall(
        r'^```python title="(.*?)"\n(.*?)^```$',
        (PROJECT / "docs/how-to-extend.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.fixture
def library(tmp_path):
    source = PROJECT / "workflow/scripts/latentgen"
    shutil.copytree(source, tmp_path / "latentgen", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "latentgen"


def edit(library, name, *changes):
    path = library / name
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def run(library, code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(library.parent), str(PROJECT / "tests")])},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_kind_of_noise(library):
    (library / "data/noise/next_class.py").write_text(BLOCKS["data/noise/next_class.py"], encoding="utf-8")
    edit(
        library,
        "data/noise/registry.py",
        (
            "from latentgen.data.noise.none_true",
            "from latentgen.data.noise.next_class import NextClass\nfrom latentgen.data.noise.none_true",
        ),
        ("    NoneTrue,\n", "    NoneTrue,\n    NextClass,\n"),
    )
    said = run(
        library,
        "from latentgen.data.noise.registry import corrupt\n"
        "from latentgen.study.config import read_study\n"
        "from studies import SMALL_STUDY\n"
        "print(*corrupt([0, 1, 2], 3, 'next_class', p=1.0).corrupted)\n"
        "print(*read_study(SMALL_STUDY | {'noise': [{'kind': 'next_class', 'p': [0.4]}]}).runs)",
    )
    assert said == ["1", "2", "0", *(f"digits-mlp-next_class0.40-seed{seed}" for seed in (1, 2))]


def test_a_network(library):
    (library / "networks/narrow.py").write_text(BLOCKS["networks/narrow.py"], encoding="utf-8")
    edit(
        library,
        "networks/architectures.py",
        (
            "from latentgen.networks.resnet18",
            "from latentgen.networks.narrow import Narrow\nfrom latentgen.networks.resnet18",
        ),
        ("MLP | CNN |", "MLP | CNN | Narrow |"),
    )
    said = run(
        library,
        "import torch\n"
        "from latentgen.networks.architectures import make_network\n"
        "network = make_network({'architecture': 'Narrow', 'width': 3}, (1, 8, 8), 10)\n"
        "print(*network(torch.zeros(2, 64)).shape)\n"
        "from latentgen.networks.architectures import Narrow\n"
        "print(Narrow(architecture='Narrow').layer_widths((1, 8, 8))['narrow'])",
    )
    assert said == ["2", "10", "4"]


def test_a_probe(library):
    (library / "probes/farthest_mean.py").write_text(BLOCKS["probes/farthest_mean.py"], encoding="utf-8")
    edit(
        library,
        "probes/settings.py",
        ("KINDS: dict[", BLOCKS["probes/settings.py"] + "KINDS: dict["),
        ('    "QDA": QDA,\n', '    "QDA": QDA,\n    "farthest_mean": FarthestMean,\n'),
    )
    said = run(
        library,
        "from latentgen.study.config import read_study\n"
        "from studies import SMALL_STUDY\n"
        "study = read_study(SMALL_STUDY | {'probes': [{'kind': 'farthest_mean'}, {'kind': 'VeLPIC'}]})\n"
        "probe = study.probes[0].estimator()()\n"
        "print(*probe.fit([[0.0, 1.0], [1.0, 0.0]], ['up', 'right']).predict([[0.0, 2.0], [2.0, 0.0]]))",
    )
    assert said == ["right", "up"]


def test_a_figure(library):
    (library / "figures/counts.py").write_text(BLOCKS["figures/counts.py"], encoding="utf-8")
    entry = BLOCKS["study/figure_kinds.py"].strip()
    edit(
        library,
        "study/figure_kinds.py",
        ("        ),\n    )\n}\n", f"        ),\n        {entry},\n    )\n}}\n"),
    )
    said = run(
        library,
        "from latentgen.study.config import read_study\n"
        "from latentgen.study.figure_kinds import FIGURES\n"
        "from studies import SMALL_STUDY\n"
        "print(*read_study(SMALL_STUDY | {'figures': ['counts']}).drawings, FIGURES['counts'].draw.__name__)",
    )
    assert said == ["counts-digits-mlp", "draw_counts"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_names_code_that_is_there(name):
    assert callable(FIGURES[name].table)
    assert callable(FIGURES[name].draw)
