"""Columns of facts: from settings, from names of older tables, and what is read as text stays text."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from latentgen.runtime.files import write_csv
from latentgen.study.config import read_study
from latentgen.study.tables_study import table_names, tables_study
from latentgen.tables.columns import (
    ACCURACY,
    BESIDE,
    CLAIMED,
    COMPARISONS,
    COSTS,
    EXAMPLES,
    FACTS,
    RELABEL_FACTS,
)
from latentgen.tables.comparisons import comparisons_table
from latentgen.tables.facts import control_of, edits_of, with_edit_facts, with_facts
from latentgen.tables.gathering import RunFiles, accuracy_table, beside_table, cost_table
from latentgen.tables.named_settings import NamedSettings, named_settings, settings_in_names
from latentgen.tables.published import FIDELITY, read_fidelity
from latentgen.tables.reading import (
    read_accuracy,
    read_beside,
    read_comparisons,
    read_cost,
    read_summary,
    write_csv_table,
    write_parquet,
)
from latentgen.tables.statistics import mean_over_seeds
from latentgen.tables.summary import summary_table
from studies import SMALL_STUDY

EDITS = [
    {"edit": "velpic", "at_epoch": 20},
    {"edit": "none", "at_epoch": 20},
    {"edit": "velpic_old_norms", "at_epoch": 20, "batch_size": 1},
    {"edit": "early_stop"},
    {"edit": "relabel"},
    {"edit": "relabel", "layer": "fc2"},
]
PROBES = [
    {"kind": "MASC"},
    {"kind": "VeLPIC"},
    {"kind": "MASC", "variance": 0.5, "at": "ends"},
    {"kind": "MASC", "components": 3, "at": "ends"},
    {"kind": "nearest_mean"},
    {"kind": "KNN", "neighbours": 7},
    {"kind": "QDA"},
    {"kind": "logistic"},
    {"kind": "sklearn", "path": "sklearn.svm:LinearSVC", "name": "1e3"},
]
STUDY = SMALL_STUDY | {
    "probes": [probe for probe in PROBES if probe.get("name") != "1e3"],
    "fit_labels": ["corrupted", "true", "permuted", "every_p"],
    "pairs": [SMALL_STUDY["pairs"][0] | {"interventions": EDITS}],
}


def counted(
    run: str, seed: int = 1, p: float = 0.0, intervention: str = "none", **row: Any
) -> dict[str, Any]:
    named = {"dataset": "digits", "model": "mlp", "noise": "symmetric", "p": p, "seed": seed}
    measured = {"epoch": 0, "layer": "fc1", "probe": "MASC", "fit_labels": "corrupted", "split": "test"}
    counts = {"eval_labels": "true", "correct": 3, "total": 10}
    return {"run": run, **named, "intervention": intervention, **measured, **counts, **row}


def counts_of(study: Any) -> pd.DataFrame:
    """Return a row for every name that a study gives to probes, interventions and labels."""
    named = named_settings(study)
    rows = [counted("a", probe=name) for name in ["model", *named["probes"]]]
    rows += [counted("a", fit_labels=name) for name in ["true", "permuted", *named["fit_p"]]]
    rows += [counted("b", p=0.4, intervention=name) for name in named["interventions"]]
    return pd.DataFrame(rows)


def test_heads_in_the_readout_are_transfers():
    heads = ["velpic", "nearest_mean", "lda"]
    study = read_study(SMALL_STUDY | {"transfer": {"bias": ["zero"], "heads": heads}})
    named = named_settings(study)["probes"]
    found = {name: how["bias"] for name, how in named.items() if how["kind"] == "transfer"}
    assert found == {"transfer-zero": "zero", "transfer-nearest_mean": "zero", "transfer-lda": "fitted"}
    from_names = settings_in_names(found, (), ()).probes
    assert from_names == {name: named[name] for name in found}


def test_studies_without_other_heads_keep_their_settings():
    asked = read_study(SMALL_STUDY | {"transfer": {"heads": ["velpic"]}})
    assert "heads" not in asked.model_dump(mode="json")["transfer"]
    assert tables_study(asked) == tables_study(read_study(SMALL_STUDY))
    assert "calibration.csv" not in table_names(asked)
    assert "calibration.csv" in table_names(
        read_study(SMALL_STUDY | {"transfer": {"heads": ["velpic", "lda"]}})
    )


def test_what_probes_and_interventions_are_stands_in_columns():
    study = read_study(STUDY)
    table = with_facts(counts_of(study), NamedSettings(**named_settings(study)))
    probes = table[(table["run"] == "a") & (table["fit_labels"] == "corrupted")].set_index("probe")
    assert probes["probe_kind"].to_dict() == {
        **{"model": "model", "transfer-zero": "transfer", "transfer-kept": "transfer"},
        **{"MASC": "MASC", "MASC-0.5": "MASC", "MASC-3pc": "MASC", "VeLPIC": "VeLPIC"},
        **{"nearest_mean": "nearest_mean", "KNN-7": "KNN", "QDA": "QDA", "logistic": "logistic"},
    }
    assert probes["variance"].dropna().to_dict() == {"MASC": 0.99, "MASC-0.5": 0.5}
    assert probes["components"].dropna().to_dict() == {"MASC-3pc": 3}
    assert probes["bias"].dropna().to_dict() == {"transfer-zero": "zero", "transfer-kept": "kept"}
    labels = table[(table["run"] == "a") & (table["probe"] == "MASC")].set_index("fit_labels")["fit_p"]
    assert labels.dropna().to_dict() == {"corrupted": 0.0, "corrupted0.40": 0.4}
    edits = table[table["run"] == "b"].set_index("intervention")
    assert edits["edit"].to_dict() == {
        "velpic_at_20": "velpic",
        "none_at_20": "none",
        "velpic_old_norms_at_20_batch1": "velpic_old_norms",
        "early_stop": "early_stop",
        "relabel_masc_best": "relabel",
        "relabel_masc_fc2": "relabel",
    }
    assert set(edits["at_epoch"].dropna()) == {20}
    assert edits["at_epoch"].notna().sum() == 3
    assert edits["edit_batch_size"].dropna().to_dict() == {"velpic_old_norms_at_20_batch1": 1}
    assert edits["relabel_layer"].dropna().to_dict() == {
        "relabel_masc_best": "best",
        "relabel_masc_fc2": "fc2",
    }
    assert table.loc[table["run"] == "a", "edit"].isna().all()


def test_names_of_older_tables_say_the_same_as_settings():
    study = read_study(STUDY)
    counts = counts_of(study)
    from_settings = with_facts(counts, NamedSettings(**named_settings(study)))
    from_names = with_facts(counts)
    pd.testing.assert_frame_equal(from_names.drop(columns="sign"), from_settings.drop(columns="sign"))
    velpic = counts["probe"] == "VeLPIC"
    assert set(from_settings.loc[velpic, "sign"]) == {"own"}
    assert set(from_names.loc[velpic, "sign"]) == {"all"}, "older versions had the papers' sign only"
    assert from_names.loc[~velpic, "sign"].isna().all()


def test_a_layer_whose_name_looks_like_an_edit_is_no_edit():
    rows = pd.DataFrame([counted("a", intervention="relabel_masc_look_at_2")])
    settings = NamedSettings({}, {"relabel_masc_look_at_2": {"edit": "relabel", "layer": "look_at_2"}})
    for given in (settings, None):
        (row,) = with_facts(rows, given).to_dict("records")
        assert (row["edit"], row["relabel_layer"]) == ("relabel", "look_at_2")
        assert pd.isna(row["at_epoch"])


def test_tables_of_an_older_archive_are_read_with_the_columns_they_lack(tmp_path: Path):
    table = with_facts(counts_of(read_study(STUDY))).reindex(columns=list(ACCURACY)).astype(ACCURACY)
    older = {name: kind for name, kind in ACCURACY.items() if name not in FACTS | EXAMPLES}
    del older["signs_against_mean"]
    write_parquet(tmp_path / "accuracy.parquet", table, older)
    pd.testing.assert_frame_equal(read_accuracy(tmp_path / "accuracy.parquet"), table)
    beside = beside_table(table, {"study": "other", "protocol": "sound"})
    write_parquet(tmp_path / "beside.parquet", beside, older | {"study": "str"})
    pd.testing.assert_frame_equal(
        read_beside(tmp_path / "beside.parquet")[list(BESIDE)], beside[list(BESIDE)]
    )


def test_tables_from_before_retraining_had_variants_say_which_one_it_was(tmp_path: Path):
    names = ("relabel_unit_means_best", "relabel_masc_fc2", "early_stop", "none")
    accuracy = with_facts(pd.DataFrame([counted(name, intervention=name) for name in names]))
    older = {name: kind for name, kind in ACCURACY.items() if name not in RELABEL_FACTS}
    write_parquet(tmp_path / "accuracy.parquet", accuracy.reindex(columns=list(ACCURACY)), older)
    table = read_accuracy(tmp_path / "accuracy.parquet").set_index("intervention")
    assert table["relabel_from"].dropna().to_dict() == {names[0]: "unit_means", names[1]: "MASC"}
    assert table["relabel_start"].dropna().to_dict() == dict.fromkeys(names[:2], "initial")
    assert table["relabel_subspaces"].dropna().to_dict() == dict.fromkeys(names[:2], "corrupted")


def test_which_labels_and_which_weights_retraining_starts_from_stands_in_columns():
    ways = [
        {"edit": "relabel", "labels_from": "ridge"},
        {"edit": "relabel", "start": "memorized", "subspaces": "true"},
    ]
    study = read_study(STUDY | {"pairs": [SMALL_STUDY["pairs"][0] | {"interventions": ways}]})
    table = with_facts(counts_of(study), NamedSettings(**named_settings(study))).set_index("intervention")
    found = table.loc[table["edit"].notna(), list(RELABEL_FACTS)].to_dict("index")
    assert found == {
        "relabel_ridge_best": dict(zip(RELABEL_FACTS, ("ridge", "initial", "corrupted"), strict=True)),
        "relabel_masc_best_memorized_true": dict(
            zip(RELABEL_FACTS, ("MASC", "memorized", "true"), strict=True)
        ),
    }


def write_named_run(folder: Path, seed: int, layers: tuple[str, ...]) -> RunFiles:
    name = f"digits-mlp-symmetric0.40-seed{seed}"
    identity = {
        "run": name,
        "dataset": "digits",
        "model": "mlp",
        "noise": "symmetric",
        "p": 0.4,
        "seed": seed,
    }
    history = {
        "epoch": 0, "loss": "", "online_correct": "", "online_total": "", "test_correct": 2 + seed,
        "test_total": 10, "train_corrupted_correct": 1, "train_true_correct": 2, "train_total": 20,
        "seconds": 1,
    }  # fmt: skip
    write_csv(folder / name / "history.csv", [history])
    measured = [("test", "true", 10), ("train", "true", 20)]
    rows = [
        {
            "epoch": 0, "layer": layer, "probe": probe, "fit_labels": "corrupted", "split": split,
            "eval_labels": labels, "correct": 2 + place + seed, "total": total + 5,
        }
        for place, layer in enumerate(layers)
        for probe in ("MASC", "1e3")
        for split, labels, total in measured
    ]  # fmt: skip
    write_csv(folder / name / "probes" / "shard-0.csv", rows)
    costs = dict.fromkeys([n for n in COSTS if n not in identity and n != "intervention"], 1)
    costs |= {"layer": layers[0], "probe": "1e3", "device": "NA"}
    write_csv(folder / name / "probes" / "cost-0.csv", [costs])
    return RunFiles(
        identity | {"intervention": "none"},
        folder / name / "history.csv",
        [folder / name / "probes" / "shard-0.csv"],
    )


LIKE_NUMBERS = ("1.1", "1.10", "0.10", "NA", "1e3", "true", "nan", "007")


def test_names_that_look_like_numbers_or_missing_values_stay_as_they_are(tmp_path: Path):
    runs = [write_named_run(tmp_path, seed, LIKE_NUMBERS) for seed in (1, 2)]
    accuracy = accuracy_table(runs)
    masc = accuracy[(accuracy["probe"] == "1e3") & (accuracy["split"] == "test") & (accuracy["seed"] == 1)]
    assert tuple(masc["layer"]) == LIKE_NUMBERS
    assert masc["correct"].tolist() == [3 + place for place in range(len(LIKE_NUMBERS))]
    write_parquet(tmp_path / "accuracy.parquet", accuracy, ACCURACY)
    assert tuple(read_accuracy(tmp_path / "accuracy.parquet").query("probe == 'MASC'")["layer"].unique()) == (
        LIKE_NUMBERS
    )
    write_csv_table(tmp_path / "summary.csv", summary_table(accuracy))
    summary = read_summary(tmp_path / "summary.csv")
    assert tuple(summary.query("what == '1e3' and seed == 2")["layer"]) == LIKE_NUMBERS
    write_csv_table(tmp_path / "comparisons.csv", comparisons_table(accuracy))
    comparisons = read_comparisons(tmp_path / "comparisons.csv")
    assert tuple(comparisons.query("what == '1e3'")["layer"]) == LIKE_NUMBERS
    costs = cost_table([run.history.parent / "probes" / "cost-0.csv" for run in runs])
    write_csv_table(tmp_path / "cost.csv", costs)
    cost = read_cost(tmp_path / "cost.csv")
    assert set(cost["layer"]) == {"1.1"}
    assert set(cost["probe"]) == {"1e3"}
    assert set(cost["device"]) == {"NA"}
    cells = pd.DataFrame(
        [dict.fromkeys(FIDELITY, 1) | {"layer": "0.10", "probe": "1e3", "why_not": "", "table": "NA"}]
    )
    write_csv_table(tmp_path / "fidelity.csv", cells)
    (cell,) = read_fidelity(tmp_path / "fidelity.csv").to_dict("records")
    assert (cell["layer"], cell["probe"], cell["table"]) == ("0.10", "1e3", "NA")
    assert pd.isna(cell["why_not"])


def test_comparisons_of_an_older_archive_are_read_without_claims(tmp_path: Path):
    table = comparisons_table(accuracy_table([write_named_run(tmp_path, 1, ("fc1", "fc2"))]))
    write_csv_table(tmp_path / "comparisons.csv", table.drop(columns=list(CLAIMED)))
    older = read_comparisons(tmp_path / "comparisons.csv")
    assert list(older) == list(COMPARISONS)
    assert older["claim"].isna().all()
    assert older["difference"].tolist() == pytest.approx(table["difference"].tolist())


def test_runs_equal_in_every_count_are_one_replicate(tmp_path: Path):
    runs = [write_named_run(tmp_path, seed, ("fc1", "fc2")) for seed in (0, 1, 2)]
    copy, original = runs[1], runs[0]
    for path in ("history.csv", "probes/shard-0.csv"):
        (copy.history.parent / path).write_bytes((original.history.parent / path).read_bytes())
    accuracy = accuracy_table(runs)
    assert accuracy.groupby("seed")["replicate"].unique().map(list).to_dict() == {0: [0], 1: [0], 2: [2]}
    final = accuracy.query("split == 'test' and probe == 'MASC'")
    assert mean_over_seeds(final, ["layer"])["seeds"].tolist() == [2, 2]
    table = comparisons_table(accuracy)
    assert set(table["seeds"]) == {2}
    assert set(table["copies"]) == {1}
    alone = comparisons_table(accuracy_table([runs[0], runs[2]]))
    assert table["low"].tolist() == alone["low"].tolist(), "a copy makes no interval narrower"


def test_runs_that_differ_in_one_count_are_two_replicates(tmp_path: Path):
    runs = [write_named_run(tmp_path, seed, ("fc1",)) for seed in (0, 1)]
    for path in ("history.csv", "probes/shard-0.csv"):
        (runs[1].history.parent / path).write_bytes((runs[0].history.parent / path).read_bytes())
    shard = runs[1].history.parent / "probes/shard-0.csv"
    shard.write_text(
        shard.read_text().replace("fc1,MASC,corrupted,test,true,2", "fc1,MASC,corrupted,test,true,5")
    )
    assert accuracy_table(runs).groupby("seed")["replicate"].first().tolist() == [0, 1]


def test_a_control_differs_in_what_is_done_alone():
    names = [
        *("velpic_at_40", "none_at_40", "none_at_10", "blend50_at_10_batch1", "none_at_10_batch1"),
        *("early_stop", "relabel_masc_fc2"),
    ]
    edits = edits_of(with_edit_facts(pd.DataFrame({"intervention": ["none", *names]})))
    assert list(edits.index) == names
    controls = {name: control_of(name, edits) for name in names}
    assert controls == {
        **dict.fromkeys(names),
        "velpic_at_40": "none_at_40",
        "blend50_at_10_batch1": "none_at_10_batch1",
        "relabel_masc_fc2": "early_stop",
    }
    assert control_of("velpic_at_40", edits.drop("none_at_40")) is None, "it was not done"
