"""The papers' numbers beside ours."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentgen.study.config import read_study
from latentgen.tables.columns import ACCURACY, HISTORY
from latentgen.tables.published import FIDELITY, PAIRS, fidelity_table, is_drawable, read_published
from latentgen.tables.published_settings import read_published_settings
from latentgen.tables.statistics import wilson_interval

RESOURCE = Path(__file__).parents[2] / "resources/published/accuracy.csv.gz"
RUN = {
    "run": "fashion_mnist-cnn-symmetric_published0.40-seed1", "dataset": "fashion_mnist", "model": "cnn",
    "noise": "symmetric_published", "p": 0.4, "seed": 1, "intervention": "none",
}  # fmt: skip
LAST = 60


def counts(epoch, layer, probe, correct, total=10_000, split="test", labels="true", **changes):
    row = dict.fromkeys(ACCURACY, None) | RUN
    return row | {
        "epoch": epoch, "layer": layer, "probe": probe, "fit_labels": "corrupted", "split": split,
        "eval_labels": labels, "correct": correct, "total": total,
    } | changes  # fmt: skip


def tables(rows, online=()):
    accuracy = pd.DataFrame(rows, columns=list(ACCURACY)).astype(ACCURACY)
    history = pd.DataFrame(
        [
            dict.fromkeys(HISTORY, None) | RUN | {
                "epoch": epoch, "online_correct": correct, "online_total": 60_000, "test_correct": 0,
                "test_total": 1, "seconds": 0.0,
            }
            for epoch, correct in online
        ],
        columns=list(HISTORY),
    )  # fmt: skip
    return accuracy, history.astype(HISTORY)


SETTINGS = read_published_settings(RESOURCE.with_name("settings.json"))
PUBLISHED_STUDY = {
    "study": "theirs",
    "protocol": "published",
    "seeds": [1],
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [
        {
            "dataset": "fashion_mnist",
            "model": {"architecture": "CNN"},
            "training": {
                "optimizer": {"name": "Adam", "learning_rate": 0.0002},
                "batch_size": 128,
                "max_epochs": 500,
                "stop": {"train_accuracy": 0.991},
            },
        }
    ],
}


def plain(study):
    return read_study(study).model_dump(mode="json")


def fidelity(accuracy, history, published, study=PUBLISHED_STUDY):
    return fidelity_table(accuracy, history, published, plain(study), SETTINGS)


def changed(study, path, value):
    """Return a study with one key set; numbers in the path are places in lists."""
    study = deepcopy(study)
    *parents, key = path.split(".")
    part = study
    for name in parents:
        part = part[int(name)] if isinstance(part, list) else part.setdefault(name, {})
    part[key] = value
    return study


@pytest.fixture(scope="module")
def published():
    return read_published(RESOURCE)


def found(table, **where):
    """Return the one row of these values, at p = 0.4 and without intervention."""
    table = table[(table["p"] == 0.4) & (table["intervention"] == "none")]
    for column, value in where.items():
        table = table[table[column] == value]
    (row,) = table.to_dict("records")
    return row


def test_the_published_numbers_are_small_and_name_their_source(published):
    assert RESOURCE.stat().st_size < 2e6
    assert set(published["repository"]) == {"MASC_DNN", "Dynamics_during_training_DNN"}
    assert published["accuracy"].between(0, 1).all()
    assert {tuple(pair) for pair in published[["dataset", "model"]].drop_duplicates().to_numpy()} == PAIRS
    assert not published.duplicated([*published.columns[:12], "repository"]).any()
    readme = RESOURCE.with_name("README.md").read_text()
    for told in [*published["table"].unique(), *published["repository"].unique(), "2501.14687", "2603.19865"]:
        assert told in readme


def test_published_numbers_that_are_known(published):
    """Against what the project was told of Fashion-MNIST-CNN, p = 0.4, run 1."""
    rows = published[
        (published["dataset"] == "fashion_mnist") & (published["model"] == "cnn") & (published["p"] == 0.4)
        & (published["run"] == 1) & (published["intervention"] == "none") & ~published["final"]
    ]  # fmt: skip

    def values(probe, split, epochs):
        of = rows[(rows["probe"] == probe) & (rows["split"] == split)].set_index("epoch")["accuracy"]
        return of[epochs].round(3).tolist()

    assert values("model", "test", [1, 2, 10, 40]) == [0.716, 0.778, 0.863, 0.847]
    assert values("model", "online", [1, 2, 10, 80]) == [0.393, 0.499, 0.565, 0.760]
    assert values("VeLPIC", "test", [2, 10, 20, 60]) == [0.765, 0.858, 0.886, 0.858]
    assert values("MASC", "test", [20])[0] == 0.887


def test_a_cell_has_theirs_ours_and_whether_it_is_inside(published):
    accuracy, history = tables(
        [
            counts(20, "fc3", "MASC", 8870),
            counts(20, "readout", "model", 5000),
            counts(LAST, "fc3", "MASC", 1),
        ],
        online=[(1, 23_000), (2, 29_940)],
    )
    table = fidelity(accuracy, history, published)
    assert list(table.columns) == list(FIDELITY)
    masc = found(table, epoch=20, probe="MASC", layer="fc3")
    assert masc["theirs"] == pytest.approx(0.887, abs=5e-4)
    assert masc["ours"] == 0.887
    assert masc["difference"] == pytest.approx(0.887 - masc["theirs"])
    assert [masc["low"], masc["high"]] == pytest.approx([float(end) for end in wilson_interval(8870, 10_000)])
    assert (masc["inside"], masc["why_not"], masc["our_seeds"]) == (True, "", 1)
    model = found(table, epoch=20, probe="model", split="test")
    assert (model["inside"], model["their_runs"]) == (False, 3)
    assert model["difference"] < -0.3
    online = found(table, epoch=2, split="online")
    assert online["ours"] == 0.499
    assert abs(online["difference"]) < 0.002


def test_theirs_is_the_mean_of_their_runs_and_ours_that_of_our_seeds(published):
    rows = [counts(20, "readout", "model", correct, seed=seed) for seed, correct in ((1, 8600), (2, 8900))]
    table = fidelity(*tables(rows), published)
    cell = found(table, epoch=20, probe="model", split="test")
    theirs = published[
        (published["dataset"] == "fashion_mnist") & (published["p"] == 0.4) & (published["epoch"] == 20)
        & (published["probe"] == "model") & (published["split"] == "test")
        & (published["intervention"] == "none")
    ]  # fmt: skip
    assert cell["theirs"] == pytest.approx(theirs["accuracy"].mean())
    assert (cell["their_low"], cell["their_high"]) == (theirs["accuracy"].min(), theirs["accuracy"].max())
    assert cell["ours"] == pytest.approx(0.875)
    assert cell["our_seeds"] == 2
    assert cell["low"] < 0.86 < 0.89 < cell["high"], "Student's t over two seeds is wide"


def test_copies_of_a_run_are_one_of_our_seeds(published):
    rows = [
        counts(20, "readout", "model", 8600, seed=seed, run=f"seed{seed}", replicate=1) for seed in (1, 2, 3)
    ]
    accuracy, history = tables(rows, online=[(20, 40_000)])
    history = pd.concat([history.assign(seed=seed, run=f"seed{seed}") for seed in (1, 2, 3)])
    table = fidelity(accuracy, history, published)
    alone = fidelity(*tables(rows[:1]), published)
    for split in ("test", "online"):
        cell = found(table, epoch=20, probe="model", split=split)
        assert cell["our_seeds"] == 1
    cell, expected = (found(one, epoch=20, probe="model", split="test") for one in (table, alone))
    assert (cell["low"], cell["high"]) == (expected["low"], expected["high"])


def test_cells_that_cannot_be_compared_are_listed_with_the_reason(published):
    rows = [counts(20, "fc3", "MASC", 8870), counts(LAST, "fc3", "MASC", 8270), counts(LAST, "fc3", "QDA", 9)]
    table = fidelity(*tables(rows), published)
    last = (table["p"] == 0.4) & (table["layer"] == "fc3") & (table["fit_labels"] == "corrupted")
    why = {
        "p is not in the study": table["p"] == 0.2,
        "the probe is not in the study": (table["p"] == 0.4) & (table["probe"] == "KNN"),
        "the layer is not probed": (table["p"] == 0.4) & table["layer"].eq("fc1") & table["probe"].eq("MASC")
        & (table["intervention"] == "none"),
        "no checkpoint at this epoch": last & (table["probe"] == "MASC") & (table["epoch"] == 2),
        "training ended after less": last & (table["probe"] == "MASC") & table["final"],
        "rounding": table["probe"] == "QDA",
        "intervention": table["intervention"] != "none",
    }  # fmt: skip
    for reason, cells in why.items():
        assert cells.any(), reason
        told = table.loc[cells & ~table["why_not"].str.contains("p is not"), "why_not"]
        if reason.startswith("p is"):
            told = table.loc[cells & (table["probe"] != "QDA"), "why_not"]
        assert told.str.contains(reason).all(), (reason, told.unique())
    refused = table["why_not"] != ""
    assert table.loc[refused, ["ours", "difference", "inside"]].isna().all(axis=None)
    assert table.loc[~refused, ["ours", "difference", "inside"]].notna().all(axis=None)


def test_the_end_is_compared_where_both_trained_long_enough(published):
    theirs = published[
        (published["dataset"] == "fashion_mnist") & (published["p"] == 0.4) & (published["probe"] == "LDA")
        & (published["layer"] == "fc3") & (published["fit_labels"] == "corrupted")
    ]  # fmt: skip
    epoch = int(theirs["epoch"].min()) - 3
    table = fidelity(*tables([counts(epoch, "fc3", "LDA", 6000)]), published)
    cell = found(table, probe="LDA", layer="fc3", final=True, fit_labels="corrupted")
    assert cell["theirs"] == pytest.approx(theirs["accuracy"].mean())
    assert (cell["our_epoch"], cell["their_epoch"]) == (epoch, pytest.approx(theirs["epoch"].mean()))


def test_other_data_sets_parts_of_them_and_other_noise_are_not_compared(published):
    others = [
        ("dataset", "digits"),
        ("dataset", "fashion_mnist_1000"),
        ("noise", "instance"),
        ("model", "my"),
    ]
    for column, value in others:
        table = fidelity(*tables([counts(20, "fc3", "MASC", 8870, **{column: value})]), published)
        assert table.empty
        assert list(table.columns) == list(FIDELITY)
    assert np.isfinite(published["accuracy"]).all()


NOT_THEIRS = [
    ("pairs.0.training.batch_size", 64, "training.batch_size: 64 here, 128 there"),
    ("pairs.0.training.optimizer.learning_rate", 0.001, "training.optimizer.learning_rate: 0.001 here"),
    ("pairs.0.training.optimizer", {"name": "SGD", "learning_rate": 0.0002}, "training.optimizer.name: SGD"),
    ("pairs.0.training.shuffle", True, "training.shuffle: true here, false there"),
    ("pairs.0.model.dropout", 0.2, "model.dropout: 0.2 here, 0 there"),
    ("pairs.0.model", {"architecture": "MLP", "name": "cnn", "widths": [8]}, "model.architecture: MLP here"),
    ("pairs.0.initial_weights", "run_seed", "initial_weights: run_seed here, published there"),
    ("pairs.0.dataset", {"name": "fashion_mnist", "input_range": [0, 1]}, "input_range: [0.0, 1.0] here"),
    ("pairs.0.dataset", {"name": "fashion_mnist", "train_items": 600}, "no pair fashion_mnist cnn on all"),
]


@pytest.mark.parametrize(("path", "value", "reason"), NOT_THEIRS)
def test_numbers_of_another_network_or_training_are_not_compared(published, path, value, reason):
    counted = tables([counts(20, "fc3", "MASC", 8870), counts(20, "readout", "model", 8600)])
    table = fidelity(*counted, published, changed(PUBLISHED_STUDY, path, value))
    assert len(table)
    assert table["why_not"].str.contains(reason, regex=False).all(), table["why_not"].unique()
    assert table["ours"].isna().all()


def test_the_sound_protocol_is_not_compared_and_the_table_says_in_what_it_differs(published):
    counted = tables([counts(20, "fc3", "MASC", 8870, noise="symmetric")])
    table = fidelity(*counted, published, PUBLISHED_STUDY | {"protocol": "sound"})
    assert table["ours"].isna().all()
    for said in ("noise.generator", "training.shuffle", "initial_weights"):
        assert table["why_not"].str.contains(said).all()


SOUND = PUBLISHED_STUDY | {"protocol": "sound"}


def at_20(study, *more):
    """Return the fidelity table of a study under the sound protocol, and its cell of MASC at epoch 20."""
    counted = tables([counts(20, "fc3", "MASC", 8870, noise="symmetric"), *more])
    table = fidelity(*counted, published_numbers(), study)
    return table, found(table, epoch=20, probe="MASC", layer="fc3")


def published_numbers():
    return read_published(RESOURCE)


def test_under_the_sound_protocol_published_numbers_are_drawn_as_of_another_protocol():
    table, cell = at_20(SOUND)
    assert cell["why_not"] == (
        "their protocol differs: initial_weights: run_seed here, published there; training.shuffle: true "
        "here, false there; noise.generator: study here, published there"
    )
    assert np.isnan(cell["ours"])
    assert cell["theirs"] > 0.8
    drawn = table[is_drawable(table["why_not"])]
    assert {0.4} == set(drawn["p"])
    assert len(drawn[(drawn["probe"] == "MASC") & ~drawn["final"]]) > 1  # the other epochs of the curve
    others = table[~is_drawable(table["why_not"])]
    assert set(others["why_not"].str.partition(";")[0]) >= {
        "p is not in the study",
        "the layer is not probed",
    }
    assert others["why_not"].str.contains("their protocol differs: ").all()
    assert (drawn["why_not"] != "").all(), "none counts as compared"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pairs.0.training.batch_size", 64),
        ("pairs.0.training.optimizer.learning_rate", 0.001),
        ("pairs.0.model", {"architecture": "MLP", "name": "cnn", "widths": [8]}),
        ("pairs.0.dataset", {"name": "fashion_mnist", "train_items": 600}),
        ("pairs.0.dataset", {"name": "fashion_mnist", "input_range": [0, 1]}),
    ],
)
def test_numbers_of_another_network_or_data_set_are_not_even_drawn(path, value):
    table, cell = at_20(changed(SOUND, path, value))
    assert not is_drawable(table["why_not"]).any()
    assert "their protocol differs" not in cell["why_not"] or cell["why_not"].startswith("other settings: ")


def test_what_a_study_sets_apart_from_both_protocols_is_another_network():
    study = SOUND | {"activations": {"mode": "single_images"}}
    study = changed(
        study, "pairs.0.model", {"architecture": "CNN", "name": "cnn", "renorm": True, "dropout": 0.2}
    )
    table, _ = at_20(study)
    assert not is_drawable(table["why_not"]).any()
    assert table["why_not"].str.contains("model.renorm: true here, false there").all()


@pytest.mark.parametrize("dtype", ["str", object])
def test_any_column_shows_what_can_be_drawn(dtype):
    """Of data sets that are not in the papers the table is empty; where all is compared, all is missing."""
    assert is_drawable(pd.Series([], dtype=dtype)).tolist() == []
    reasons = [
        None,
        "",
        "no checkpoint at this epoch",
        "no checkpoint at this epoch; their protocol differs: a",
    ]
    assert is_drawable(pd.Series([*reasons, "their protocol differs: a"], dtype=dtype)).all()
    assert not is_drawable(
        pd.Series(["x; their protocol differs: a", "other settings: a"], dtype=dtype)
    ).any()


def test_their_ends_are_of_another_protocol_too_where_they_stop_by_the_running_accuracy():
    end = counts(1000, "fc3", "MASC", 8000, noise="symmetric")
    table, cell = at_20(SOUND, end)
    assert "stop.measured" not in cell["why_not"]
    ends = table[
        table["final"] & (table["layer"] == "fc3") & (table["probe"] == "MASC") & (table["p"] == 0.4)
    ]
    ends = ends[(ends["fit_labels"] == "corrupted") & (ends["intervention"] == "none")]
    assert len(ends)
    assert ends["why_not"].str.contains("training.stop.measured: eval here, online there").all()
    assert is_drawable(ends["why_not"]).all()


def test_a_sound_probe_is_of_another_protocol_and_no_other_probe_is():
    probes = {"probes": [{"kind": "logistic"}, {"kind": "MASC"}], "transfer": None}
    lbfgs = changed(PUBLISHED_STUDY | probes, "probes.0.solver", "lbfgs")
    table = fidelity(
        *tables([counts(20, "fc3", p, 8000) for p in ("MASC", "logistic")]), published_numbers(), lbfgs
    )
    shown = table[(table["layer"] == "fc3") & (table["p"] == 0.4) & (table["intervention"] == "none")]
    reasons = shown.loc[shown["probe"] == "logistic", "why_not"]
    assert reasons.str.endswith("their protocol differs: logistic.solver: lbfgs here, adam there").all()
    assert "" in set(shown.loc[shown["probe"] == "MASC", "why_not"])


def test_another_stop_rule_matters_at_the_end_only(published):
    stop = changed(PUBLISHED_STUDY, "pairs.0.training.stop.train_accuracy", 0.5)
    table = fidelity(*tables([counts(20, "fc3", "MASC", 8870)]), published, stop)
    assert found(table, epoch=20, probe="MASC", layer="fc3")["why_not"] == ""
    ends = table[table["final"] & (table["layer"] == "fc3") & (table["probe"] == "MASC")]
    ends = ends[(ends["p"] == 0.4) & (ends["fit_labels"] == "corrupted")]
    assert len(ends)
    assert ends["why_not"].str.contains("stop.train_accuracy: 0.5 here, 0.991 there").all()


def test_a_probe_with_another_solver_is_not_compared(published):
    lbfgs = PUBLISHED_STUDY | {"probes": [{"kind": "logistic", "solver": "lbfgs"}, {"kind": "MASC"}]}
    lbfgs = lbfgs | {"transfer": None}
    table = fidelity(*tables([counts(20, "fc3", "MASC", 8870)]), published, lbfgs)
    reasons = table.loc[table["probe"] == "logistic", "why_not"]
    assert len(reasons)
    assert reasons.str.contains("logistic.solver: lbfgs here, adam there").all()
    assert found(table, epoch=20, probe="MASC", layer="fc3")["why_not"] == ""


def test_every_published_pair_has_its_settings():
    assert {tuple(pair.split()) for pair in SETTINGS["pairs"]} == PAIRS


def test_their_transfer_on_training_examples_is_compared_too(published):
    train = published[published["split"] == "train"]
    assert len(train) == 482
    theirs = train[(train["dataset"] == "fashion_mnist") & (train["p"] == 0.4)]
    of_runs = theirs.groupby(["epoch", "eval_labels"], as_index=False)["accuracy"].mean()
    rows = [
        counts(
            row["epoch"], "readout", "transfer-zero", round(60_000 * row["accuracy"]), 60_000,
            split="train", labels=row["eval_labels"],
        )
        for row in of_runs.to_dict("records")
    ]  # fmt: skip
    table = fidelity(*tables(rows), published)
    cells = table[(table["split"] == "train") & (table["p"] == 0.4)]
    assert len(cells) == len(rows) == 10
    assert set(cells["why_not"]) == {""}
    assert cells["difference"].abs().max() < 1e-4
    assert set(cells["eval_labels"]) == {"corrupted", "true"}
