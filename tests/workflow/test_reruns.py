"""What Snakemake runs again after a change, and what it leaves."""

import re
import shutil

import pandas as pd
import yaml

from studies import TINY_STUDY

FIGURES_OF_A_PAIR = len(TINY_STUDY["figures"])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change_study(workflow, change):
    path = workflow.folder / "study.yaml"
    study = yaml.safe_load(path.read_text())
    change(study)
    path.write_text(yaml.safe_dump(study))


def test_a_finished_study_has_nothing_to_do(tiny):
    assert tiny.planned() == {}


def test_a_changed_learning_rate_reruns_that_training_and_what_hangs_on_it(tiny_copy):
    def slower(study):
        study["pairs"][0]["training"]["optimizer"]["learning_rate"] = 0.01

    change_study(tiny_copy, slower)
    planned = tiny_copy.planned()
    assert planned.pop("train") == 2, "both strengths of noise of the first pair, and neither of the second"
    shards = planned["fit_probes"]
    tables = ("collect_tables", "compare_published", "measure_geometry")
    assert [planned.pop(table) for table in tables] == [1, 1, 1]
    assert planned.pop("draw_figure") == 2 * FIGURES_OF_A_PAIR, (
        "figures are drawn from the one table of all runs"
    )
    assert planned.pop("all") == 1
    assert planned == {"extract_activations": shards, "fit_probes": shards, "transfer_weights": shards}


def test_another_way_to_write_the_same_study_reruns_nothing(tiny_copy):
    path = tiny_copy.folder / "study.yaml"
    study = yaml.safe_load(path.read_text())
    study = dict(reversed(study.items()))
    study["noise"][0]["p"] = [0.0, 0.40]
    study["pairs"][0]["training"]["optimizer"]["learning_rate"] = "2e-2"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    assert tiny_copy.planned() == {}


def test_an_added_seed_runs_only_its_own_jobs(tiny_copy):
    change_study(tiny_copy, lambda study: study.update(seeds=[1, 2]))
    planned = tiny_copy.planned()
    assert planned["train"] == 4
    assert "prepare_dataset" not in planned


def test_a_changed_comment_or_docstring_reruns_nothing(tiny_copy):
    package = tiny_copy.folder / "workflow/scripts/latentgen"
    for path in [*package.glob("*.py"), *package.parent.glob("*.py")]:
        text = path.read_text()
        text = re.sub(r'\A"""', '"""Changed. ', text)
        path.write_text(text + "\n# A new comment.\n")
    assert tiny_copy.planned() == {}


def test_changed_library_code_reruns_the_steps_that_use_it(tiny_copy):
    """Activations are deleted once used, so what reads them brings them back; nothing is trained again."""
    with (tiny_copy.folder / "workflow/scripts/latentgen/interventions/transfer.py").open("a") as file:
        file.write("\nNEW = 1\n")
    planned = tiny_copy.planned()
    assert {"prepare_dataset", "corrupt_labels", "train"}.isdisjoint(planned)
    assert planned["transfer_weights"] == planned["extract_activations"] > 0
    assert planned["collect_tables"] == 1


def test_changed_training_code_reruns_every_training(tiny_copy):
    with (tiny_copy.folder / "workflow/scripts/latentgen/training/loop.py").open("a") as file:
        file.write("\nNEW = 1\n")
    planned = tiny_copy.planned()
    assert {"prepare_dataset", "corrupt_labels"}.isdisjoint(planned)
    assert planned["train"] == 4


def test_a_changed_figure_style_redraws_and_no_more(tiny_copy):
    style = tiny_copy.folder / "workflow/scripts/latentgen/figures/latentgen.mplstyle"
    with style.open("a") as file:
        file.write("\nlines.linewidth: 2.5\n")
    assert tiny_copy.planned() == {"draw_figure": 2 * FIGURES_OF_A_PAIR, "all": 1}


def test_figures_are_drawn_from_the_tables_alone(tiny_copy):
    """With everything upstream of the tables gone, and Snakemake's own notes too, nothing is trained."""
    results = tiny_copy.folder / "results"
    drawn = [f"results/tiny/figures/dynamics-digits_400x120-mlp.{suffix}" for suffix in ("pdf", "png", "csv")]
    before = [(tiny_copy.folder / path).read_bytes() for path in drawn]
    for gone in ("datasets", "tiny/labels", "tiny/runs", "tiny/figures"):
        shutil.rmtree(results / gone)
    shutil.rmtree(tiny_copy.folder / ".snakemake")
    assert tiny_copy.planned("figures")["draw_figure"] == 2 * FIGURES_OF_A_PAIR
    said = tiny_copy.run(drawn[0])
    assert "drawn from the tables in results/tiny/tables; nothing is computed" in said
    after = [(tiny_copy.folder / path).read_bytes() for path in drawn]
    assert after == before, "byte for byte the same figure"
    assert not (results / "tiny/runs").exists()


def test_tables_of_another_study_file_are_refused_rather_than_drawn(tiny_copy):
    shutil.rmtree(tiny_copy.folder / "results/tiny/runs")
    change_study(tiny_copy, lambda study: study.update(seeds=[1, 2]))
    done = tiny_copy.snakemake("figures")
    assert done.returncode != 0
    assert "other settings than this study file's" in done.stderr
    assert (tiny_copy.folder / "results/tiny/tables/accuracy.parquet").exists()


def test_another_study_is_drawn_beside_this_one_from_its_tables_alone(tiny_copy):
    def beside(study):
        study["compare_with"] = "results/tiny/tables"  # any study's will do, this one's too
        study["figures"].append("protocols")

    change_study(tiny_copy, beside)
    assert tiny_copy.planned() == {"compare_study": 1, "draw_figure": 2, "all": 1}
    tiny_copy.run()
    drawn = sorted((tiny_copy.folder / "results/tiny/figures").glob("protocols-*.csv"))
    assert len(drawn) == 2
    for path in drawn:
        table = pd.read_csv(path)
        own, other = (table[table["source"] == name] for name in ("ours", "tiny (sound protocol)"))
        assert len(own) == len(other) > 0
        assert own["mean"].tolist() == other["mean"].tolist()


def test_a_study_without_tables_to_compare_with_is_refused_in_words(tiny_copy):
    def beside(study):
        study["compare_with"] = "results/other/tables"

    change_study(tiny_copy, beside)
    done = tiny_copy.snakemake("--dry-run")
    assert done.returncode != 0
    assert "compare_with: results/other/tables has no tables of a study" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
