"""The commands in the documentation work as they stand there."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from project_copy import PROJECT

from latentgen.networks.checkpoints import load_weights

COMMAND = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page):
    return [line for block in COMMAND.findall((PROJECT / page).read_text()) for line in block.splitlines()]


def run(workflow, command):
    """Run a command of the documentation, with the Python that runs the tests for that of `.venv`."""
    program, *arguments = shlex.split(command)
    if program == "make":
        done = workflow.make(*arguments)
    else:
        here = Path(sys.executable).parent / Path(program).name
        done = workflow.process([str(here), *arguments])
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_from_ones_own_data_to_the_report(empty_copy):
    said = [run(empty_copy, command) for command in commands("docs/how-to-own-data.md")]
    study = (empty_copy.folder / "examples/own-data/study.yaml").read_text()
    notes, _, block = said[1].partition("  - dataset:\n")
    assert (
        "# data/shapes.npz: 700 training and 300 test images of 12 × 12 pixels, grey, in 3 classes" in notes
    )
    printed = block.replace("name: mine", "name: shapes")
    assert printed.strip() in study, "the study file says of the data what the command printed"
    assert "Estimate: " in said[2]
    report = (empty_copy.folder / "results/shapes/report.html").read_text()
    assert "700 training examples of 3 classes, tested on 300" in report
    drawn = {path.stem for path in (empty_copy.folder / "results/shapes/figures").glob("*.png")}
    always = ("dynamics", "difference", "transfer", "training", "final", "untrained", "cost", "subspaces")
    assert drawn == {f"{kind}-shapes-mlp" for kind in (*always, "geometry")}, "all that apply, by default"
    assert "data/shapes.npz" in report
    study = (empty_copy.folder / "examples/own_function/study.yaml").read_text()
    assert "items: 300" in said[4]
    assert said[4].split("shape:")[1].strip() in study
    assert (empty_copy.folder / "results/own_function/figures/dynamics-stripes-mlp.pdf").exists()


def test_from_text_to_figures(empty_copy):
    said = [run(empty_copy, command) for command in commands("docs/how-to-text.md")]
    study = (empty_copy.folder / "examples/own_text/study.yaml").read_text()
    notes, _, block = said[1].partition("  - dataset:\n")
    assert "1600 training and 400 test sequences of 20 tokens, ids below 1200, 0 being padding" in notes
    assert block.replace("name: mine", "name: sentences").strip() in study
    accuracy = pd.read_parquet(empty_copy.folder / "results/own_text/tables/accuracy.parquet")
    pooled = accuracy[accuracy["layer"].str.startswith("blocks.1")]
    assert {"mean", "last"} <= set(pooled["pool"])
    assert {"input", "readout_input"} <= set(accuracy["layer"])
    test = accuracy[(accuracy["split"] == "test") & (accuracy["epoch"] == accuracy["epoch"].max())]
    model = test[test["probe"] == "model"]
    assert (model["correct"] / model["total"]).max() > 0.35, "chance is 0.25"


def test_from_vectors_to_figures(empty_copy):
    said = [run(empty_copy, command) for command in commands("docs/how-to-vectors.md")]
    study = (empty_copy.folder / "examples/own_vectors/study.yaml").read_text()
    _, _, block = said[1].partition("  - dataset:\n")
    assert block.replace("name: mine", "name: cells").strip() in study
    accuracy = pd.read_parquet(empty_copy.folder / "results/own_vectors/tables/accuracy.parquet")
    raw = accuracy[(accuracy["layer"] == "input") & (accuracy["split"] == "test")]
    assert raw.groupby(["probe", "fit_labels"])["correct"].nunique().max() == 1, "it does not change"
    assert (raw["correct"] / raw["total"]).max() > 0.8


def test_the_commands_for_ones_own_network_and_weights(empty_copy):
    said = [run(empty_copy, command) for command in commands("docs/how-to-own-network.md")]
    assert "Estimate: " in said[0]
    tables = empty_copy.folder / "results/{}/tables/accuracy.parquet"
    trained, taken = (pd.read_parquet(str(tables).format(study)) for study in ("own_network", "own_weights"))
    assert set(trained["layer"]) >= {"conv", "pool", "hidden", "readout_input", "readout"}
    key = ["p", "epoch", "layer", "probe", "fit_labels", "split", "eval_labels"]
    same = trained.merge(taken, on=key, suffixes=("", "_taken"))
    assert set(same["epoch"]) == {10, 20}
    assert len(same) == len(taken)
    assert (same["correct"] == same["correct_taken"]).all(), "the same weights, the same counts"


def test_the_commands_for_ones_own_probe(empty_copy):
    for command in commands("docs/how-to-own-probe.md"):
        run(empty_copy, command)
    accuracy = pd.read_parquet(empty_copy.folder / "results/own_probe/tables/accuracy.parquet")
    ours, theirs = (accuracy[accuracy["probe"] == probe] for probe in ("VeLPIC", "RidgeClassifier"))
    assert set(theirs["layer"]) == set(ours["layer"])
    clean = theirs[(theirs["p"] == 0) & (theirs["split"] == "test")]
    assert (clean["correct"] / clean["total"]).max() > 0.8
    assert "median" in set(accuracy["probe"])
    bars = pd.read_csv(empty_copy.folder / "results/own_probe/figures/probes-digits_600-mlp.csv")
    assert {"median", "RidgeClassifier"} <= set(bars["probe"])


def test_the_command_for_a_vit(empty_copy):
    for command in commands("docs/how-to-vit.md"):
        run(empty_copy, command)
    accuracy = pd.read_parquet(empty_copy.folder / "results/vit/tables/accuracy.parquet")
    blocks = accuracy[accuracy["module"].str.startswith("blocks.")]
    assert set(blocks["pool"]) == {"cls", "mean", "flatten"}
    assert set(accuracy["layer"]) >= {"input", "blocks.2:cls", "blocks.2", "readout_input", "readout"}
    raw = accuracy[(accuracy["layer"] == "input") & (accuracy["split"] == "test")]
    counts = raw.groupby("probe")["correct"].agg(["min", "max"])
    assert (counts["min"] == counts["max"]).all(), "pixels are the same at every epoch"
    for figure in ("depth", "heatmap", "transfer"):
        assert (empty_copy.folder / f"results/vit/figures/{figure}-digits_600-vit.pdf").exists()


def test_the_commands_for_a_pretrained_network(empty_copy):
    for command in commands("docs/how-to-pretrained.md"):
        run(empty_copy, command)
    runs = empty_copy.folder / "results/{}/runs/{}/checkpoints/epoch-{:04d}.safetensors"
    before = load_weights(str(runs).format("pretrain", "digits_900-vit-symmetric0.00-seed7", 15))
    after = [
        load_weights(str(runs).format("finetune", "digits_300-vit-symmetric0.40-seed1", epoch))
        for epoch in (0, 20)
    ]
    for name, weights in before.items():
        is_taken, is_same = (np.array_equal(weights, later[name]) for later in after)
        assert is_taken == (not name.startswith("head.")), name
        assert is_same == name.startswith(("patch_embed.", "blocks.0.")), name


def test_the_command_for_a_custom_figure(empty_copy):
    for command in commands("docs/how-to-own-figure.md"):
        run(empty_copy, command)
    table = pd.read_csv(empty_copy.folder / "results/own_figure/figures/gain-digits_600-mlp.csv")
    assert set(table["layer"]) == {"fc1", "fc2"}


def test_the_commands_of_the_tutorial_and_of_the_comparison_are_planned(empty_copy):
    """No more than planned, for `make figures` of a study is run for real in other tests."""
    figures, dry_run = commands("docs/tutorial-digits.md")
    assert figures == "make figures"
    assert re.search(r"^train +18$", run(empty_copy, dry_run), re.MULTILINE)
    study = empty_copy.folder / "config/digits.yaml"
    study.write_text(study.read_text().replace("0.4, 0.6", "0.4, 0.5, 0.6"))
    assert re.search(r"^train +21$", run(empty_copy, dry_run), re.MULTILINE)
    (compare,) = commands("docs/how-to-published.md")
    assert "Estimate: " in run(empty_copy, compare)


def test_every_make_target_in_the_documentation_exists():
    text = "".join(page.read_text() for page in [*(PROJECT / "docs").glob("*.md"), PROJECT / "Makefile"])
    targets = set(re.findall(r"`make (\w+)", text))
    known = set(re.search(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[1].split())
    assert targets
    assert targets <= known


def test_the_study_of_todays_networks_is_planned(empty_copy):
    said = run(empty_copy, ".venv/bin/snakemake --dry-run --configfile config/modern.yaml")
    assert re.search(r"^train +45$", said, re.MULTILINE), "5 networks, 3 levels of noise, 3 seeds"
    assert "Estimate: " in said
