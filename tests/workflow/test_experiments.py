"""The papers' further experiments, in the published protocol, run for real on a tiny study."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from project_copy import PROJECT, copy_of_project
from safetensors.numpy import load_file

from latentgen.data.labels import read_labels

OTHER_PROBES = ["nearest_mean", "KNN", "LDA", "QDA", "logistic"]
SUBSPACES = {"MASC", "MASC-0.25", "MASC-0.5", "MASC-0.75", "MASC-1pc", "VeLPIC"}
EPOCHS = [0, 1, 2]

SMALL = yaml.safe_load((PROJECT / "config/paper-small.yaml").read_text())
MLP, DROPOUT = SMALL["pairs"]
DONE = {("velpic", 40), ("none", 40), ("relabel", None), ("early_stop", None)}
CUT = {
    "velpic": {"at_epoch": 1, "max_epochs": 4},
    "none": {"at_epoch": 1, "max_epochs": 4, "batch_size": "same"},
    "relabel": {"layer": "fc3", "patience": 1},
    "early_stop": {"patience": 1},
}
# A part of the small study of the papers’ experiments, on digits, in the published protocol, with more noise.
STUDY = SMALL | {
    "study": "experiments",
    "protocol": "published",
    "seeds": [1],
    "noise": [
        {"kind": "symmetric", "p": [0, 0.4]},
        {"kind": "asymmetric", "p": [0.3], "pairs": {1: 7, 3: 8}},
        {"kind": "instance", "p": [0.3]},
        {"kind": "none_true", "p": [0.3]},
    ],
    "pairs": [
        {
            "dataset": {"name": "digits", "train_items": 200, "test_items": 100},
            "model": DROPOUT["model"] | {"layers": ["input", "fc3", "fc3_dropout"]},
            "training": DROPOUT["training"] | {"max_epochs": 2, "checkpoints": EPOCHS},
            "interventions": [
                one | CUT[one["edit"]] | {"p": [0.4]}
                for one in MLP["interventions"]
                if (one["edit"], one.get("at_epoch")) in DONE
            ],
        }
    ],
    "probes": [
        probe | ({"max_width": 100} if probe["kind"] == "logistic" else {}) for probe in SMALL["probes"]
    ],
    "figures": ["probes", "sensitivity", "edits", "edited_layers", "relabel", "label_quality", "subspaces"],
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
        ends_only = probe in OTHER_PROBES[:-1] or probe.startswith("MASC-")
        assert set(rows["epoch"]) == ({0, 2} if ends_only else set(EPOCHS)), (probe, layer)
        if probe == "logistic":
            assert layer == "input", "the only layer of at most 100 units"
    assert set(accuracy["probe"]) >= {*SUBSPACES, *OTHER_PROBES}


def test_probes_of_permuted_labels_are_no_better_than_chance(accuracy):
    permuted = accuracy[(accuracy["fit_labels"] == "permuted") & (accuracy["split"] == "test")]
    per_probe = permuted.groupby("probe")[["correct", "total"]].sum()
    assert len(per_probe) == len(SUBSPACES) + len(OTHER_PROBES)
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


EDITED = "digits_200x100-cnn_dropout-symmetric_published0.40-seed1"


def test_edited_runs_go_on_from_the_edited_checkpoint(results, accuracy):
    runs = {path.name for path in (results / "runs").iterdir()}
    edited = {run for run in runs if "_at_" in run}
    assert edited == {f"{EDITED}-velpic_at_1_batch1", f"{EDITED}-none_at_1"}
    before = load_file(results / f"runs/{EDITED}/checkpoints/epoch-0001.safetensors")
    for run in edited:
        start = load_file(results / f"runs/{run}/checkpoints/epoch-0001.safetensors")
        changed = {name for name in before if not np.array_equal(before[name], start[name])}
        assert changed == ({"readout.weight"} if "velpic" in run else set())
        rows = accuracy[accuracy["run"] == run]
        assert set(rows["epoch"]) == {1, 2, 4}
        probed = rows[rows["probe"] == "VeLPIC"]
        assert set(probed["epoch"]) == {1, 2, 4}
        assert set(probed["layer"]) == {"input", "fc3", "fc3_dropout"}
        assert not rows["probe"].str.startswith("transfer").any()
    model = accuracy[
        (accuracy["probe"] == "model") & (accuracy["split"] == "test") & (accuracy["epoch"] == 1)
    ]
    correct = model.set_index("run")["correct"]
    assert correct[f"{EDITED}-none_at_1"] == correct[EDITED]
    written = load_file(results / f"runs/{EDITED}-velpic_at_1_batch1/checkpoints/epoch-0001.safetensors")
    vectors: dict[str, np.ndarray] = {}
    for shard in (results / f"runs/{EDITED}/probes").glob("shard-*.safetensors"):
        vectors |= load_file(shard)
    velpic = vectors["1/fc3_dropout/corrupted"]
    assert np.linalg.norm(velpic, axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(written["readout.weight"], velpic, atol=1e-4)


AFRESH = [f"{EDITED}-early_stop", f"{EDITED}-relabel_masc_fc3"]


def test_networks_trained_on_predicted_labels_stop_early(results, accuracy):
    ours = {name: read_labels(results / f"runs/{name}/labels.h5") for name in AFRESH[1:]}
    given = read_labels(results / "labels/digits_200x100/symmetric_published0.40/42.h5")
    (predicted,) = ours.values()
    assert np.array_equal(predicted.redrawn, given.redrawn)
    rows = accuracy[(accuracy["run"] == EDITED) & (accuracy["layer"] == "fc3") & (accuracy["epoch"] == 2)]
    rows = rows[(rows["probe"] == "MASC") & (rows["split"] == "train") & (rows["fit_labels"] == "corrupted")]
    by_labels = rows.set_index("eval_labels")["correct"]
    assert (predicted.corrupted == given.corrupted).sum() == by_labels["corrupted"]
    assert (predicted.corrupted == given.true).sum() == by_labels["true"]
    initial = load_file(results / f"runs/{EDITED}/checkpoints/epoch-0000.safetensors")
    for run in AFRESH:
        start = load_file(results / f"runs/{run}/checkpoints/epoch-0000.safetensors")
        assert all(np.array_equal(start[name], initial[name]) for name in initial)
        model = accuracy[accuracy["run"] == run]
        assert set(model["probe"]) == {"model"}
        assert set(model.loc[model["split"].isin(["test", "test_rest"]), "total"]) == {80}
    whole = accuracy[(accuracy["run"] == EDITED) & (accuracy["probe"] == "model")]
    assert set(whole.loc[whole["split"] == "test", "total"]) == {100}
    assert set(whole.loc[whole["split"] == "test_rest", "total"]) == {80}


MEMORIZED = [f"{EDITED}-relabel_masc_fc3_memorized{oracle}" for oracle in ("", "_true")]


def test_retraining_resumes_from_the_memorized_weights_on_the_same_labels_or_an_oracles(results, accuracy):
    labels = {name: read_labels(results / f"runs/{name}/labels.h5") for name in (AFRESH[1], *MEMORIZED)}
    afresh, memorized, oracle = (of.corrupted for of in labels.values())
    assert np.array_equal(afresh, memorized)
    rows = accuracy[(accuracy["run"] == EDITED) & (accuracy["layer"] == "fc3") & (accuracy["epoch"] == 2)]
    rows = rows[(rows["probe"] == "MASC") & (rows["split"] == "train") & (rows["fit_labels"] == "true")]
    correct = rows.set_index("eval_labels")["correct"]
    assert (
        (oracle == labels[MEMORIZED[1]].true).sum()
        == correct["true"]
        > (afresh == labels[AFRESH[1]].true).sum()
    )
    end = load_file(results / f"runs/{EDITED}/checkpoints/epoch-0002.safetensors")
    for run in MEMORIZED:
        start = load_file(results / f"runs/{run}/checkpoints/epoch-0000.safetensors")
        assert all(np.array_equal(start[name], end[name]) for name in end)
        history = pd.read_csv(results / f"runs/{run}/history.csv")
        best = history.loc[history["held_out_correct"].idxmax(), "epoch"]
        last = max((results / f"runs/{run}/checkpoints").glob("*.safetensors")).name
        assert last == f"epoch-{history['epoch'].max():04}.safetensors"
        assert history["epoch"].max() in (best + 1, 30), "the last network is the result"
    facts = accuracy[accuracy["edit"] == "relabel"].drop_duplicates("run").set_index("run")
    assert facts.loc[AFRESH[1], ["relabel_start", "relabel_subspaces"]].tolist() == ["initial", "corrupted"]
    assert facts.loc[MEMORIZED, "relabel_start"].tolist() == ["memorized"] * 2
    assert facts.loc[MEMORIZED, "relabel_subspaces"].tolist() == ["corrupted", "true"]


def test_quality_of_new_labels_is_that_of_the_label_files(results):
    table = pd.read_csv(results / "tables/label_quality.csv").set_index("run")
    assert set(table.index) == {AFRESH[1], *MEMORIZED}
    given = read_labels(results / "labels/digits_200x100/symmetric_published0.40/42.h5")
    wrong = given.corrupted != given.true
    for run, row in table.iterrows():
        right_now = read_labels(results / f"runs/{run}/labels.h5").corrupted == given.true
        found = row[["layer", "wrong", "set_right", "right", "spoilt", "wrong_after"]].tolist()
        counts = [wrong.sum(), (wrong & right_now).sum(), (~wrong).sum(), (~wrong & ~right_now).sum()]
        assert found == ["fc3", *counts, (~right_now).sum()]


def test_counts_by_class_add_up_to_those_of_every_probe(results, accuracy):
    classes = pd.read_parquet(results / "tables/classes.parquet")
    key = ["run", "epoch", "layer", "probe", "fit_labels", "split", "eval_labels"]
    sums = classes.groupby(key)[["correct", "counted"]].sum().sort_index()
    probes = accuracy[~accuracy["probe_kind"].isin(["model", "transfer"])].set_index(key)
    of_probes = sums[sums.index.get_level_values("probe") != "model"]
    expected = probes[["correct", "total"]].sort_index()
    assert of_probes.index.equals(expected.index)
    assert np.array_equal(of_probes, expected)
    assert (classes.groupby(key)["class"].nunique() == 10).all()
    last = classes[classes["predicted_as"].notna()]
    assert set(last["split"]) == {"test"}
    for row in last.to_dict("records"):
        predicted = [int(count) for count in row["predicted_as"].split()]
        assert (sum(predicted), predicted[row["class"]]) == (row["counted"], row["correct"])


def test_clean_networks_are_probed_with_the_labels_of_every_p(accuracy):
    others = accuracy[accuracy["fit_labels"] == "corrupted0.40"]
    assert set(others["run"]) == {EDITED.replace("0.40", "0.00")}
    assert set(others["epoch"]) == {2}
    assert set(others["probe"]) == SUBSPACES
    assert set(others["layer"]) == {"input", "fc3", "fc3_dropout"}


def test_redrawn_and_untouched_examples_make_up_the_training_set(accuracy):
    model = accuracy[(accuracy["probe"] == "model") & (accuracy["eval_labels"] == "true")]
    parts = model.pivot_table(index=["run", "epoch"], columns="split", values=["correct", "total"]).dropna()
    assert len(parts) > 5
    for count in ("correct", "total"):
        both = parts[count, "train_redrawn"] + parts[count, "train_untouched"]
        assert (both == parts[count, "train"]).all()


def test_figures_are_drawn_where_there_is_something_to_show(results):
    pair, noises = "digits_200x100-cnn_dropout", ("asymmetric", "instance", "none_true")
    everywhere = {
        f"{kind}-{pair}-{noise}"
        for kind in ("probes", "sensitivity", "subspaces")
        for noise in ("symmetric_published", *noises)
    }
    of_interventions = ("edits", "edited_layers", "relabel", "label_quality")
    with_interventions = {f"{kind}-{pair}-symmetric_published" for kind in of_interventions}
    assert {path.stem for path in (results / "figures").glob("*.png")} == everywhere | with_interventions


def test_a_finished_study_has_nothing_to_do(workflow):
    assert workflow.planned() == {}
