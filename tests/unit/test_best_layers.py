"""Best layers by both rules, against a plain reference, with the papers' printed values beside them."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latentgen.report.lookup import Tables
from latentgen.report.readable_tables import best_layers_tables
from latentgen.tables.best_layers import (
    best_layers_table,
    read_best_layers,
    read_published_best_layers,
)
from latentgen.tables.columns import ACCURACY
from latentgen.tables.reading import write_csv_table

PUBLISHED = read_published_best_layers(Path(__file__).parents[2] / "resources/published/best_layers.csv")
LAYERS, SEEDS, PS = ("input", "fc1", "fc2"), (1, 2), (0.4, 0.8)
TOTAL = 1000


def counts(noise="symmetric"):
    rows = []
    for p, seed, epoch in itertools.product(PS, SEEDS, (0, 3, 10 + SEEDS[0])):
        series = [("model", "readout", "corrupted")]
        series += itertools.product(("MASC", "VeLPIC", "KNN"), LAYERS, ("corrupted", "true", "permuted"))
        for probe, layer, fit in series:
            for split in ("test", "train"):
                key = str((p, seed, epoch, probe, layer, fit, split))
                # Any numbers do, if they differ.
                value = 0.5 + 0.4 * math.sin(sum(place * ord(char) for place, char in enumerate(key)))
                rows.append(
                    {
                        "run": f"mnist-mlp-{noise}{p:.2f}-seed{seed}", "dataset": "mnist", "model": "mlp",
                        "noise": noise, "p": p, "seed": seed, "intervention": "none", "epoch": epoch,
                        "layer": layer, "probe": probe, "fit_labels": fit, "split": split,
                        "eval_labels": "true", "correct": round(value * TOTAL), "total": TOTAL,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=list(ACCURACY)).astype(ACCURACY)


COUNTS = counts()


def share(split, **where):
    rows = [
        row
        for row in COUNTS.to_dict("records")
        if row["split"] == split and all(row[key] == value for key, value in where.items())
    ]
    assert len(rows) == len(SEEDS)
    return float(np.mean([row["correct"] / row["total"] for row in rows]))


def test_each_rule_chooses_its_layer_and_reports_the_test_accuracy_there():
    table = best_layers_table(COUNTS, PUBLISHED)
    assert len(table) == len(PS) * 2 * 2 * (1 + 2 * 2)
    differ = 0
    for row in table.to_dict("records"):
        where = {"p": row["p"], "probe": row["what"], "fit_labels": row["fit_labels"]}
        where["epoch"] = 0 if row["stage"] == "untrained" else 11
        candidates = ["readout"] if row["what"] == "model" else LAYERS
        best = {
            "test": max(candidates, key=lambda layer: share("test", layer=layer, **where)),
            "training": max(candidates, key=lambda layer: share("train", layer=layer, **where)),
        }
        differ += best["test"] != best["training"]
        assert row["layer"] == best[row["chosen_by"]]
        assert row["mean"] == pytest.approx(share("test", layer=row["layer"], **where))
        assert row["seeds"] == len(SEEDS)
    assert differ, "else the two rules were not told apart"


def test_the_papers_values_stand_beside_those_of_their_pair_and_noise(tmp_path):
    table = best_layers_table(COUNTS, PUBLISHED)
    key = {"p": 0.4, "stage": "end", "what": "MASC", "fit_labels": "corrupted"}
    found = table[np.logical_and.reduce([table[name] == value for name, value in key.items()])]
    assert found["decoding"].tolist() == [0.9646, 0.9646]
    assert found["dynamics"].tolist() == [0.9603, 0.9603]
    assert set(found["dynamics_layer"]) == {"fc4"}
    other = best_layers_table(counts("none_true"), PUBLISHED)
    assert other[["decoding", "dynamics"]].isna().all(axis=None)
    write_csv_table(tmp_path / "best_layers.csv", table)
    pd.testing.assert_frame_equal(read_best_layers(tmp_path / "best_layers.csv"), table, rtol=1e-5)


def test_without_true_training_labels_only_one_rule_is_left():
    unknown = COUNTS[~((COUNTS["split"] == "train") & (COUNTS["eval_labels"] == "true"))]
    assert set(best_layers_table(unknown, PUBLISHED)["chosen_by"]) == {"test"}


def test_the_report_shows_them_and_leaves_them_out_for_older_tables():
    nothing = pd.DataFrame()
    table = best_layers_table(COUNTS, PUBLISHED)
    older = Tables(nothing, nothing, nothing, nothing, nothing, nothing, {})
    assert best_layers_tables(older) == []
    (sheet,) = best_layers_tables(Tables(*[nothing] * 6, {}, best_layers=table))
    assert len(sheet.rows) == len(table)
    assert "96.5" in {cell for row in sheet.rows for cell in row}


def test_published_tables_hold_every_printed_value_once():
    assert not PUBLISHED.duplicated(["paper", "dataset", "model", "p", "stage", "what", "fit_labels"]).any()
    printed = PUBLISHED[PUBLISHED["what"] != "VeLPIC"]
    assert printed["paper"].value_counts().to_dict() == {"dynamics": 96, "decoding": 72}
