"""The papers' further experiments, in the published protocol, run for real on a tiny study."""

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from conftest import copy_of_project

OTHER_PROBES = ["nearest_mean", "KNN", "LDA", "QDA", "logistic"]
EPOCHS = [0, 1, 2]

STUDY = {
    "study": "experiments",
    "protocol": "published",
    "seeds": [1],
    "noise": [
        {"kind": "symmetric", "p": [0.4]},
        {"kind": "asymmetric", "p": [0.3], "pairs": {1: 7, 3: 8}},
        {"kind": "instance", "p": [0.3]},
        {"kind": "none_true", "p": [0.3]},
    ],
    "pairs": [
        {
            "dataset": {"name": "digits", "train_items": 200, "test_items": 100},
            "model": {"architecture": "CNN", "dropout": 0.2, "layers": ["input", "fc3", "fc3_dropout"]},
            "training": {
                "optimizer": {"name": "Adam", "learning_rate": 0.001},
                "batch_size": 50,
                "max_epochs": 2,
                "checkpoints": EPOCHS,
            },
            "interventions": [
                {"edit": "velpic", "at_epoch": 1, "max_epochs": 4, "p": [0.4]},
                {"edit": "none", "at_epoch": 1, "max_epochs": 4, "p": [0.4], "batch_size": "same"},
            ],
        },
    ],
    "probes": [
        {"kind": "MASC"},
        {"kind": "MASC", "variance": 0.5, "at": "ends"},
        {"kind": "VeLPIC"},
        *({"kind": kind} for kind in OTHER_PROBES[:-1]),
        {"kind": "logistic", "at": "every", "max_width": 100},
    ],
    "fit_labels": ["corrupted", "true", "permuted"],
    "figures": ["dynamics"],
}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    workflow = copy_of_project(tmp_path_factory.mktemp("experiments"))
    workflow.write_study(STUDY)
    workflow.run()
    return workflow


@pytest.fixture(scope="module")
def results(workflow):
    return workflow.folder / "results/experiments"


@pytest.fixture(scope="module")
def accuracy(results):
    return pd.read_parquet(results / "tables/accuracy.parquet")


def test_probes_are_fitted_when_and_where_the_study_says(accuracy):
    unedited = accuracy[accuracy["intervention"] == "none"]
    for (probe, layer, _), rows in unedited.groupby(["probe", "layer", "run"]):
        ends_only = probe in ("MASC-0.5", *OTHER_PROBES[:-1])
        assert set(rows["epoch"]) == ({0, 2} if ends_only else set(EPOCHS)), (probe, layer)
        if probe == "logistic":
            assert layer == "input", "the only layer of at most 100 units"
    assert set(accuracy["probe"]) >= {"MASC", "MASC-0.5", "VeLPIC", *OTHER_PROBES}


def test_probes_of_permuted_labels_are_no_better_than_chance(accuracy):
    permuted = accuracy[(accuracy["fit_labels"] == "permuted") & (accuracy["split"] == "test")]
    per_probe = permuted.groupby("probe")[["correct", "total"]].sum()
    assert len(per_probe) == 8
    assert (per_probe["correct"] / per_probe["total"]).between(0, 0.2).all()
    true = accuracy[(accuracy["fit_labels"] == "true") & (accuracy["split"] == "test")]
    assert true["correct"].sum() / true["total"].sum() > 0.4


def test_layers_before_and_after_dropout_differ_by_renorm_alone(accuracy):
    fitted = accuracy[(accuracy["probe"] == "VeLPIC") & (accuracy["fit_labels"] == "true")]
    assert {"input", "fc3", "fc3_dropout"} == set(fitted["layer"])


def test_labels_are_corrupted_as_each_kind_says(results):
    def labels(noise, seed=1):
        with h5py.File(results / f"labels/digits_200x100/{noise}/{seed}.h5") as file:
            return file["true"][:], file["corrupted"][:], file["redrawn"][:]

    true, corrupted, _ = labels("symmetric_published0.40", seed=42)
    np.random.seed(42)
    redrawn = np.random.rand(200) <= 0.4
    assert np.array_equal(corrupted[~redrawn], true[~redrawn])
    assert np.array_equal(corrupted[redrawn], np.random.choice(10, redrawn.sum()))
    true, corrupted, _ = labels("asymmetric0.30")
    moved = {(int(a), int(b)) for a, b in zip(true, corrupted, strict=True) if a != b}
    assert moved == {(1, 7), (3, 8)}
    for noise in ("instance0.30", "none_true0.30"):
        true, corrupted, redrawn = labels(noise)
        assert np.array_equal(redrawn, true != corrupted)
        assert 0.15 < redrawn.mean() < 0.45


EDITED = "digits_200x100-cnn-symmetric_published0.40-seed1"


def test_edited_runs_go_on_from_the_edited_checkpoint(results, accuracy):
    runs = {path.name for path in (results / "runs").iterdir()}
    edited = {run for run in runs if not run.endswith("seed1")}
    assert edited == {f"{EDITED}-velpic_at_1_batch1", f"{EDITED}-none_at_1"}
    before = load_file(results / f"runs/{EDITED}/checkpoints/epoch-0001.safetensors")
    for run in edited:
        start = load_file(results / f"runs/{run}/checkpoints/epoch-0001.safetensors")
        changed = {name for name in before if not np.array_equal(before[name], start[name])}
        assert changed == ({"readout.weight"} if "velpic" in run else set())
        rows = accuracy[accuracy["run"] == run]
        assert set(rows["epoch"]) == {1, 2, 4}
        assert set(rows["probe"]) == {"model"}
    assert set(accuracy["intervention"]) == {"none", "velpic_at_1_batch1", "none_at_1"}
    model = accuracy[
        (accuracy["probe"] == "model") & (accuracy["split"] == "test") & (accuracy["epoch"] == 1)
    ]
    transfer = accuracy[
        (accuracy["probe"] == "transfer-zero") & (accuracy["split"] == "test") & (accuracy["epoch"] == 1)
    ].set_index("run")["correct"]
    correct = model.set_index("run")["correct"]
    assert correct[f"{EDITED}-none_at_1"] == correct[EDITED]
    # The same edit, counted by a forward pass and from activations: after one epoch, with nearly equal
    # features for all items, float32 lets a few ties fall either way.
    assert correct[f"{EDITED}-velpic_at_1_batch1"] == pytest.approx(transfer[EDITED], abs=3)
    norms = np.linalg.norm(
        load_file(results / f"runs/{EDITED}-velpic_at_1_batch1/checkpoints/epoch-0001.safetensors")[
            "readout.weight"
        ],
        axis=1,
    )
    assert norms == pytest.approx(1, abs=1e-5)


def test_redrawn_and_untouched_items_make_up_the_training_set(accuracy):
    model = accuracy[(accuracy["probe"] == "model") & (accuracy["eval_labels"] == "true")]
    parts = model.pivot_table(index=["run", "epoch"], columns="split", values=["correct", "total"]).dropna()
    assert len(parts) > 5
    for count in ("correct", "total"):
        both = parts[count, "train_redrawn"] + parts[count, "train_untouched"]
        assert (both == parts[count, "train"]).all()


def test_a_finished_study_has_nothing_to_do(workflow):
    assert workflow.planned() == {}
