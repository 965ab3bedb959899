"""A digest of code changes with the code that a script runs, and with nothing else."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from latentgen.probes.settings import KINDS
from latentgen.runtime.code_digest import code_digest
from latentgen.study.figure_kinds import FIGURES

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
# The steps of a study; what only presents the results imports the most.
PRESENTING = {
    *("export_study", "write_report", "compare_published", "compare_study"),
    *("draw_paper", "write_paper"),
}
RULES = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem not in PRESENTING)


@pytest.fixture
def copy(tmp_path):
    """Return a copy of all scripts and of the package, to be changed."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "scripts"


def digests(scripts, rules=RULES):
    """Return the digests of scripts, by the digest module that lies beside it, freshly loaded."""
    spec = importlib.util.spec_from_file_location(
        "digest_of_copy", scripts / "latentgen" / "runtime" / "code_digest.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    figures = sorted({module for kind in FIGURES.values() for module in kind.modules})
    probes = sorted({settings.estimator_path.partition(":")[0] for settings in KINDS.values()})
    by_name = {"draw_figure": figures} | dict.fromkeys(("fit_probes", "fit_range", "score_range"), probes)
    return {rule: module.code_digest(rule, *by_name.get(rule, ())) for rule in rules}


def changed_by(scripts, file, edit, rules=RULES):
    """Edit a file's text; return the rules whose digest is another then."""
    before = digests(scripts, rules)
    path = scripts / file
    old = path.read_text(encoding="utf-8")
    new = edit(old)
    assert new != old
    path.write_text(new, encoding="utf-8")
    after = digests(scripts, rules)
    return {rule for rule in rules if before[rule] != after[rule]}


def replaced(old, new):
    def edit(text):
        assert text.count(old) == 1
        return text.replace(old, new)

    return edit


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("latentgen/runtime/files.py", lambda text: f"# A comment.\n{text}\n# Another.\n"),
        ("latentgen/runtime/files.py", replaced('"""Write files', '"""Files')),
        (
            "latentgen/networks/mlp.py",
            replaced('"""Return flatten (for tokens', '"""Return first flatten (for tokens'),
        ),
        (
            "latentgen/networks/base.py",
            replaced('"""Kinds of examples that it can take."""', '"""Other words."""'),
        ),
        (
            "latentgen/networks/mlp.py",
            replaced("(Linear(width), ReLU())", "(\n  Linear( width ), ReLU()\n  )"),
        ),
        ("latentgen/networks/mlp.py", replaced("else Flatten()\n", "else Flatten( )\n")),
        ("train.py", lambda text: f"# A comment.\n{text}"),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(copy, file, edit):
    assert changed_by(copy, file, edit) == set()


@pytest.mark.parametrize(
    ("file", "edit", "users"),
    [
        # everything that writes files uses this, directly or not
        ("latentgen/runtime/files.py", replaced("FORMAT_VERSION = 1", "FORMAT_VERSION = 2"), set(RULES)),
        ("latentgen/__init__.py", lambda text: f"{text}\nimport os\n", set(RULES)),
        (
            "latentgen/networks/cnn.py",
            replaced("= (16, 32, 64)", "= (16, 32, 65)"),
            {
                "train",
                "edit_and_train",
                "relabel",
                "rewind",
                "take_weights",
                "extract_activations",
                "audit_labels",
                "repair_network",
            },
        ),
        # by way of labels and of models
        (
            "latentgen/randomness.py",
            replaced("INITIAL_WEIGHTS = 2", "INITIAL_WEIGHTS = 5"),
            {
                "corrupt_labels",
                "train",
                "edit_and_train",
                "relabel",
                "rewind",
                "take_weights",
                "extract_activations",
                "fit_probes",
                "fit_range",
                "score_range",
                "transfer_weights",
                "transfer_heads",
                "audit_labels",
                "repair_network",
                "collect_audits",
                "collect_repairs",
            },
        ),
        (
            "latentgen/training/optimizers.py",
            replaced("epsilon: float = 1e-8", "epsilon: float = 1e-7"),
            {"train", "edit_and_train"},
        ),
        (
            "latentgen/probes/exact.py",
            replaced("WEAK = 1e-6", "WEAK = 1e-5"),
            {
                "fit_probes",
                "fit_range",
                "score_range",
                "edit_and_train",
                "relabel",
                "transfer_heads",
                "audit_labels",
                "repair_network",
            },
        ),
        (
            "latentgen/networks/activation_files.py",
            replaced("clevel=1", "clevel=2"),
            {
                "extract_activations",
                "fit_probes",
                "fit_range",
                "score_range",
                "transfer_weights",
                "transfer_heads",
                "edit_and_train",
                "relabel",
            },
        ),
        (
            "latentgen/tables/statistics.py",
            lambda text: f"{text}\nX = 1\n",
            {"collect_tables", "measure_geometry", "draw_figure"},
        ),
        ("latentgen/study/config.py", lambda text: f"{text}\nX = 1\n", set()),
        ("train.py", replaced("seed=params.seed)\n", "seed=0)\n"), {"train"}),
    ],
)
def test_code_changes_the_digest_of_exactly_the_scripts_that_use_it(copy, file, edit, users):
    assert changed_by(copy, file, edit) == users


def test_however_a_module_is_imported_it_counts(copy):
    training = copy / "latentgen" / "training"
    (training / "leaf.py").write_text("X = 1\n")
    imports = [
        "import latentgen.training.leaf",
        "from latentgen.training import leaf",
        "from latentgen.training.leaf import X",
        "from . import leaf",
        "from .leaf import X",
        "from ..training import leaf",
        "def f():\n    from latentgen.training.leaf import X",
    ]
    schedule = (training / "schedule.py").read_text(encoding="utf-8")
    script = (copy / "train.py").read_text(encoding="utf-8")
    (copy / "train.py").write_text(f"import latentgen.training.schedule\n{script}", encoding="utf-8")
    for number, line in enumerate(imports):
        (training / "schedule.py").write_text(f"{schedule}\n{line}\n", encoding="utf-8")
        edit = f"X = {number + 2}\n"
        changed = changed_by(
            copy, "latentgen/training/leaf.py", lambda text, edit=edit: edit, ["train", "draw_figure"]
        )
        assert changed == {"train"}, line


def test_imports_for_type_checkers_alone_do_not_count(copy):
    (copy / "latentgen/training/leaf.py").write_text("X = 1\n")
    for head, counts in [("from typing import TYPE_CHECKING\nif TYPE_CHECKING:", False), ("if True:", True)]:
        schedule = copy / "latentgen/training/schedule.py"
        before = schedule.read_text(encoding="utf-8")
        schedule.write_text(
            f"{before}\n{head}\n    from latentgen.training.leaf import X\n", encoding="utf-8"
        )
        changed = changed_by(copy, "latentgen/training/leaf.py", lambda text: f"{text}Y = 1\n", ["train"])
        assert changed == ({"train"} if counts else set())
        schedule.write_text(before, encoding="utf-8")


def test_the_packages_above_a_module_count(copy):
    changed = changed_by(copy, "latentgen/training/__init__.py", lambda text: f"{text}\nX = 1\n")
    assert changed == {
        "train",
        "edit_and_train",
        "relabel",
        "rewind",
        "take_weights",
        "audit_labels",
        "repair_network",
    }


def test_digests_are_short_and_tell_scripts_apart():
    found = digests(SCRIPTS)
    assert len(set(found.values())) == len(RULES)
    assert all(len(digest) == 16 for digest in found.values())


def test_a_changed_estimate_reruns_nothing(copy):
    edit = replaced("STEP_SECONDS = 1e-3", "STEP_SECONDS = 2e-3")
    rules = sorted(path.stem for path in SCRIPTS.glob("*.py"))
    assert not changed_by(copy, "latentgen/jobs/work.py", edit, rules)


def test_a_figure_is_redrawn_for_its_own_module_and_not_for_its_caption(copy):
    def digests_of_figures():
        spec = importlib.util.spec_from_file_location("fresh", copy / "latentgen/runtime/code_digest.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return {name: module.code_digest("draw_figure", *kind.modules) for name, kind in FIGURES.items()}

    before = digests_of_figures()
    assert before["final"] == code_digest("draw_figure", *FIGURES["final"].modules)
    kinds, final = copy / "latentgen/study/figure_kinds.py", copy / "latentgen/figures/transfer.py"
    kinds.write_text(
        replaced("Cost of the probes", "Costs")(kinds.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert digests_of_figures() == before
    final.write_text(final.read_text(encoding="utf-8") + "\nX = 1\n", encoding="utf-8")
    assert {name for name, digest in digests_of_figures().items() if digest != before[name]} == {"transfer"}
