"""A study that audits labels and repairs networks, run for real, with and without held-out examples."""

import copy
import json
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from project_copy import copy_of_project
from sklearn.metrics import average_precision_score

from latentgen.data.datasets import read_dataset
from latentgen.networks.architectures import make_network
from latentgen.networks.forward import as_input
from latentgen.study.config import read_study
from latentgen.training.given_weights import put_weights, read_weights
from studies import TINY_STUDY

PAIR = copy.deepcopy(TINY_STUDY["pairs"][0])
PAIR["training"] |= {"stop": None, "max_epochs": 60, "checkpoints": [0, 5]}
WITH_HELD_OUT = PAIR | {
    "dataset": {"name": "digits", "train_items": 900, "test_items": 200, "held_out": 0.3},
    "interventions": [
        {"edit": "early_stop", "stop_by": "held_out"},
        {"edit": "relabel", "labels_from": "unit_means"},
    ],
}
WITHOUT = PAIR | {"dataset": {"name": "digits", "train_items": 300, "test_items": 100}}
STUDY = TINY_STUDY | {
    "study": "audited",
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [WITH_HELD_OUT, WITHOUT],
    "probes": [{"kind": "VeLPIC"}],
    "fit_labels": ["corrupted"],
    "transfer": None,
    "audit": True,
    "repair": True,
    "figures": ["audit", "repair"],
}
HELD = "digits_900x200_held30"


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    workflow = copy_of_project(tmp_path_factory.mktemp("audited"))
    workflow.write_study(STUDY)
    workflow.run("all", "results/audited/report.html")
    return workflow


@pytest.fixture(scope="module")
def results(workflow):
    return workflow.folder / "results/audited"


@pytest.fixture(scope="module")
def audits(results):
    return pd.read_csv(results / "tables/audit.csv").set_index("run")


@pytest.fixture(scope="module")
def repairs(results):
    return pd.read_csv(results / "tables/repair.csv").set_index("run")


def run(dataset, intervention=""):
    return f"{dataset}-mlp-symmetric0.40-seed1{intervention}"


def test_held_out_examples_are_never_trained_on(workflow, results):
    dataset = read_dataset(workflow.folder / f"results/datasets/{HELD}.h5")
    assert (len(dataset.train_labels), len(dataset.held_out.labels)) == (630, 270)
    history = pd.read_csv(results / f"runs/{run(HELD)}/history.csv")
    assert set(history["train_total"].dropna()) == {630}
    with h5py.File(results / f"labels/{HELD}/symmetric0.40/1.h5") as file:
        wrong = file["held_out"][:] != dataset.held_out.labels
        assert len(file["corrupted"]) == 630
    assert 0.25 < wrong.mean() < 0.48


def test_every_label_is_in_the_table_with_its_truth(workflow, results):
    issues = pd.read_parquet(results / "tables/label_issues.parquet")
    assert issues.groupby("run").size().to_dict() == {
        run(HELD): 630,
        run("digits_300x100"): 300,
    }
    dataset = read_dataset(workflow.folder / f"results/datasets/{HELD}.h5")
    names = np.array(dataset.class_names)
    rows = issues[issues["run"] == run(HELD)].sort_values("index")
    assert list(rows["true"]) == list(names[dataset.train_labels])
    with h5py.File(results / f"labels/{HELD}/symmetric0.40/1.h5") as file:
        assert list(rows["given"]) == list(names[file["corrupted"][:]])


def test_wrong_labels_are_found_as_well_as_the_table_says(results, audits):
    issues = pd.read_parquet(results / "tables/label_issues.parquet")
    for dataset in (HELD, "digits_300x100"):
        rows, found = issues[issues["run"] == run(dataset)], audits.loc[run(dataset)]
        wrong = rows["given"] != rows["true"]
        for prefix in ("", "network_", "raw_input_"):
            precision = average_precision_score(wrong, -rows[f"{prefix}score"])
            assert found[f"{prefix}average_precision"] == pytest.approx(precision, abs=1e-5)
        assert found["average_precision"] > max(0.9, found["network_average_precision"])
        assert (found["wrong"], found["marked"]) == (wrong.sum(), rows["is_issue"].sum())
        assert found["marked_wrong"] == (wrong & rows["is_issue"]).sum()


def test_how_many_are_wrong_is_estimated_only_with_held_out_examples(audits):
    assert audits.loc[run("digits_300x100"), ["estimated", "low", "high"]].isna().all()
    found = audits.loc[run(HELD)]
    assert found["low"] <= found["estimated"] <= found["high"]
    assert abs(found["estimated"] - found["wrong"]) < 0.15 * 630


@pytest.mark.parametrize("dataset", [HELD, "digits_300x100"])
def test_test_accuracies_are_those_of_the_networks_that_are_kept(workflow, results, repairs, dataset):
    folder, row = results / f"runs/{run(dataset)}/repair", repairs.loc[run(dataset)]
    data = read_dataset(workflow.folder / f"results/datasets/{dataset}.h5")
    inputs = as_input(data.test_inputs, data.max_value, (-1, 1), torch.device("cpu"))
    if (folder / "network.pt2").exists():
        network = torch.export.load(folder / "network.pt2").module()
    else:
        model = read_study(STUDY).pairs[0].model.model_dump(mode="json")
        network = make_network(model, data.input_shape, data.n_classes).eval()
        put_weights(network, read_weights(folder / "weights.safetensors"), folder)
    with torch.no_grad():
        correct = int((network(inputs).argmax(1).numpy() == data.test_labels).sum())
    assert (row["repaired_correct"], row["total"]) == (correct, len(data.test_labels))
    history = pd.read_csv(results / f"runs/{run(dataset)}/history.csv")
    assert row["network_correct"] == history["test_correct"].iloc[-1]


def test_repair_helps_networks_that_memorized_and_is_reported_where_it_does_not(repairs):
    gain = (repairs["repaired_correct"] - repairs["network_correct"]) / repairs["total"]
    assert gain[run(HELD)] > 0.05
    assert repairs.loc[run("digits_300x100"), ["before", "after", "gain"]].isna().all()


def test_figures_and_report_show_them(results):
    for name in ("audit", "repair"):
        for dataset in (HELD, "digits_300x100"):
            table = pd.read_csv(results / f"figures/{name}-{dataset}-mlp.csv")
            assert set(table["what"]) >= {"raw_input", "audit" if name == "audit" else "repaired"}
    page = (results / "report.html").read_text()
    assert "Labels that are probably wrong (2 rows)" in page
    assert "Repaired networks (2 rows)" in page
    assert json.loads((results / f"runs/{run(HELD)}/audit/audit.json").read_text())["n_issues"]


def test_the_chosen_layer_is_the_one_that_predicts_most_held_out_labels(results):
    accuracy = pd.read_parquet(results / "tables/accuracy.parquet")
    rows = accuracy[(accuracy["run"] == run(HELD)) & (accuracy["split"] == "held_out")]
    assert set(rows["eval_labels"]) == {"corrupted"}
    assert set(rows["total"]) == {270}
    last = rows[rows["epoch"] == rows["epoch"].max()].set_index("layer")["correct"]
    comparisons = pd.read_csv(results / "tables/comparisons.csv")
    compared = comparisons[(comparisons["dataset"] == HELD) & (comparisons["what"] == "VeLPIC")]
    chosen = compared[compared["chosen"].astype(bool)]
    assert chosen["reference"].is_unique
    assert set(chosen["reference"]) == set(compared["reference"]) >= {"model"}
    assert set(chosen["layer"]) == {last.idxmax()}
    summary = pd.read_csv(results / "tables/summary.csv")
    of_run = summary[(summary["run"] == run(HELD)) & (summary["what"] == "VeLPIC")]
    assert list(of_run.loc[of_run["chosen"].astype(str) == "True", "layer"]) == [last.idxmax()]


def test_networks_are_retrained_on_better_labels_and_stopped_by_noisy_ones(results):
    stopped = pd.read_csv(results / f"runs/{run(HELD, '-early_stop_held_out')}/history.csv")
    assert set(stopped["held_out_total"]) == {270}
    assert set(stopped["test_total"]) == {160}
    relabelled = results / f"runs/{run(HELD, '-relabel_unit_means_best')}"
    with h5py.File(relabelled / "labels.h5") as file:
        right = (file["corrupted"][:] == file["true"][:]).mean()
        assert file.attrs["layer"] in ("input", "fc1", "fc2")
    with h5py.File(results / f"labels/{HELD}/symmetric0.40/1.h5") as file:
        assert right > (file["corrupted"][:] == file["true"][:]).mean() + 0.15
    assert len(pd.read_csv(relabelled / "history.csv")) > 1


def test_nothing_is_left_to_do_and_status_has_the_steps(workflow):
    assert workflow.planned() == {}
    done = workflow.process([sys.executable, "-m", "latentgen", "status", "study.yaml"])
    assert "train activations probes audit repair" in " ".join(done.stdout.split()), done.stdout
    assert "failed" not in done.stdout
