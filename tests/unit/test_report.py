"""What the report says beside the papers' numbers; the rest of it is tested on a study that ran."""

from dataclasses import replace

import pandas as pd

from latentgen.report.labels import confusion_tables, label_quality_tables
from latentgen.report.lookup import Tables
from latentgen.report.readable_tables import published_comparison
from latentgen.tables.published import FIDELITY

ROW = {
    "dataset": "mnist", "model": "mlp", "noise": "symmetric", "p": 0.4, "intervention": "none", "final": True,
    "epoch": None, "layer": "fc1", "probe": "MASC", "fit_labels": "corrupted", "split": "test",
    "eval_labels": "true", "theirs": 0.9512, "their_low": 0.95, "their_high": 0.953, "their_runs": 3,
    "their_epoch": 500.0, "ours": 0.9401, "our_seeds": 3, "our_epoch": 480.0, "low": 0.93, "high": 0.952,
    "difference": -0.0111, "inside": True, "why_not": None, "table": "x",
}  # fmt: skip


def tables(*rows):
    nothing = pd.DataFrame()
    fidelity = pd.DataFrame(rows, columns=list(FIDELITY))
    return Tables(nothing, nothing, nothing, nothing, fidelity, nothing, {})


def test_what_can_be_compared_stands_beside_ours_and_the_rest_is_counted():
    outside = ROW | {"inside": False, "probe": "VeLPIC"}
    other = ROW | {"why_not": "another protocol", "ours": None, "inside": None}
    (sheet,) = published_comparison(tables(ROW, outside, other))
    assert (
        "Of 2 published accuracies that can be compared, 1 are within our 95 % interval; 1 others"
        in sheet.note
    )
    assert [row[-7:] for row in sheet.rows] == [["95.1", "95.0", "95.3", "94.0", "93.0", "95.2", "−1.1"]] * 2


def test_a_study_that_is_not_in_the_papers_has_no_such_table():
    assert published_comparison(tables()) == []


def test_quality_of_new_labels_is_summed_over_seeds_and_says_how_many_runs_took_them():
    identity = {"dataset": "digits", "model": "mlp", "noise": "symmetric", "p": 0.4, "intervention": "r"}
    facts = {
        "relabel_layer": "best",
        "relabel_from": "MASC",
        "relabel_start": "memorized",
        "relabel_subspaces": "true",
    }
    rows = [
        identity | facts | {"run": f"r{seed}", "seed": seed, "layer": layer, "chosen": layer == "fc1"}
        | {"wrong": 40, "set_right": 20 + seed, "right": 60, "spoilt": 3, "wrong_after": 23 - seed}
        for seed in (1, 2)
        for layer in ("fc1", "fc2")
    ]  # fmt: skip
    (sheet,) = label_quality_tables(replace(tables(), label_quality=pd.DataFrame(rows)))
    assert [row[8:10] for row in sheet.rows] == [["fc1", "2"], ["fc2", "0"]]
    percents = [100 * 43 / 80, 100 * 6 / 120, 40, 100 * 43 / 200, 100 * (1 - 43 / 80)]
    assert [row[10:] for row in sheet.rows] == [[f"{value:.1f}" for value in percents]] * 2
    clean = pd.DataFrame(rows).assign(wrong=0, set_right=0, wrong_after=3)
    (sheet,) = label_quality_tables(replace(tables(), label_quality=clean))
    assert sheet.rows[0][10] == sheet.rows[0][14] == ""


def test_a_study_that_relabels_nothing_has_no_such_table():
    assert label_quality_tables(tables()) == []


def test_confusion_is_that_of_the_chosen_layer_over_all_seeds():
    place = {"dataset": "digits", "model": "mlp", "noise": "symmetric", "p": 0.4}
    best = pd.DataFrame(
        [
            place | {"stage": stage, "chosen_by": by, "what": "MASC", "fit_labels": fit, "layer": layer}
            for stage, by, fit, layer in (
                ("end", "training", "corrupted", "fc1"),
                ("end", "test", "corrupted", "fc2"),
                ("end", "training", "true", "fc2"),
                ("untrained", "training", "corrupted", "fc2"),
            )
        ]
    )
    counts = {1: ("8 2", "5 5"), 2: ("6 4", "5 5")}
    rows = [
        place | {"intervention": "none", "seed": seed, "probe": probe, "layer": layer, "fit_labels": fit}
        | {"class": c, "predicted_as": of}
        for seed, of_classes in counts.items()
        for probe, layer, fit in (
            ("MASC", "fc1", "corrupted"), ("MASC", "fc1", "true"), ("MASC", "fc2", "corrupted"),
            ("model", "readout", "corrupted"),
        )
        for c, of in enumerate(of_classes)
    ]  # fmt: skip
    known = replace(tables(), best_layers=best, confusion=pd.DataFrame(rows))
    (sheet,) = confusion_tables(known)
    expected = [["0", "70.0", "30.0"], ["1", "50.0", "50.0"]]
    assert [row[4:] for row in sheet.rows] == [
        [probe, layer, *of] for probe, layer in (("MASC", "fc1"), ("model", "readout")) for of in expected
    ]
    many = known.confusion.assign(**{"class": 20})
    assert confusion_tables(replace(known, confusion=many)) == []
    assert confusion_tables(tables()) == []
