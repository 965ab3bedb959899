"""The tables: every count is carried over, in a fixed order, and nothing that cannot be is let through."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from latentgen.errors import LatentgenError
from latentgen.runtime.files import write_csv
from latentgen.tables import columns, gathering, reading, statistics
from latentgen.tables.comparisons import comparisons_table
from latentgen.tables.gathering import RunFiles, accuracy_table, history_table
from latentgen.tables.named_settings import NamedSettings
from latentgen.tables.summary import summary_table

TOTAL = {"test": 50, "train": 200}
MEASURED = [("test", "true"), ("train", "corrupted"), ("train", "true")]
LAYERS = ("conv", "avgpool", "fc")  # the network's order is not the alphabet's
CHECKPOINTS = (0, 2, 3)


def results(
    epochs: tuple[int, ...], probes: dict[str, tuple[str, ...]], shift: int = 0
) -> list[dict[str, Any]]:
    """Make the rows of a shard; a probe's count falls from layer to layer and rises with the epoch."""
    return [
        {
            "epoch": epoch,
            "layer": layer,
            "probe": probe,
            "fit_labels": "corrupted",
            "split": split,
            "eval_labels": labels,
            "correct": 30 + shift - depth + epoch,
            "total": TOTAL[split],
        }
        for epoch in epochs
        for probe, layers in probes.items()
        for depth, layer in enumerate(layers)
        for split, labels in MEASURED
    ]


def write_run(folder: Path, seed: int = 1, p: float = 0.4, shift: int = 0) -> RunFiles:
    """Write the files of a run of three epochs, in three shards of which training never reached the last."""
    identity = {
        "run": f"digits-mlp-symmetric{p:.2f}-seed{seed}",
        "dataset": "digits",
        "model": "mlp",
        "noise": "symmetric",
        "p": p,
        "seed": seed,
        "intervention": "none",
    }
    folder = folder / str(identity["run"])
    history = [
        {
            "epoch": epoch,
            "loss": 1 / epoch if epoch else "",
            "online_correct": 100 + epoch if epoch else "",
            "online_total": 200 if epoch else "",
            "test_correct": (10, 40, 40, 20)[epoch] + shift // 2,
            "test_total": 50,
            "train_corrupted_correct": 20 * epoch if epoch in CHECKPOINTS else "",
            "train_true_correct": 10 * epoch if epoch in CHECKPOINTS else "",
            "train_total": 200 if epoch in CHECKPOINTS else "",
            "seconds": 0.5,
        }
        for epoch in range(4)
    ]
    write_csv(folder / "history.csv", history)
    for name, probes in {
        "probes": {"MASC": LAYERS, "VeLPIC": LAYERS},
        "transfer": {"transfer-zero": ("readout",), "transfer-kept": ("readout",)},
    }.items():
        for k, epochs in enumerate(((0, 2), (3,), ())):
            rows = results(epochs, probes, shift)
            if name == "probes":
                rows = [row | extras(row) for row in rows]
            write_csv(folder / name / f"shard-{k}.csv", rows)
    shards = {name: sorted((folder / name).glob("*.csv")) for name in ("probes", "transfer")}
    return RunFiles(identity, folder / "history.csv", **shards)


def extras(row: dict[str, Any]) -> dict[str, Any]:
    spans = {"MASC": (3, 4.5, 6), "VeLPIC": ("", "", "")}[row["probe"]]
    names = ("components_min", "components_mean", "components_max")
    counted = {
        "MASC": ("", ""),
        "VeLPIC": (row["correct"] - 2, row["total"] - 3),
    }[row["probe"]]
    found = dict(zip(names, spans, strict=True)) | {"missing_classes": 0}
    return found | dict(zip(("one_component_correct", "one_component_equal"), counted, strict=True))


@pytest.fixture
def run(tmp_path: Path) -> RunFiles:
    return write_run(tmp_path)


def test_accuracy_table_holds_every_count_once(run: RunFiles) -> None:
    table = accuracy_table([run])
    assert dict(table.dtypes.astype(str)) == {name: dtype for name, dtype in columns.ACCURACY.items()}, (
        "columns and their types"
    )
    assert len(table) == len(CHECKPOINTS) * len(MEASURED) * (1 + 2 * len(LAYERS) + 2)
    assert not table.duplicated(list(columns.IDENTITY | columns.MEASURE)).any()
    expected = results(CHECKPOINTS, {"MASC": LAYERS, "VeLPIC": LAYERS, "transfer-zero": ("readout",)})
    found = table.set_index(list(columns.MEASURE))["correct"]
    for row in expected:
        assert found[tuple(row[name] for name in columns.MEASURE)] == row["correct"]
    masc = table[table["probe"] == "MASC"]
    for name, value in {"components_min": 3, "components_mean": 4.5, "components_max": 6}.items():
        assert (masc[name] == value).all()
    assert table.loc[table["probe"] != "MASC", "components_min"].isna().all()


def test_the_model_is_a_row_of_its_own_at_each_checkpoint(run: RunFiles) -> None:
    table = accuracy_table([run]).query("probe == 'model'")
    counts = [
        tuple(row)
        for row in table[["epoch", "split", "eval_labels", "correct", "total"]].itertuples(index=False)
    ]
    assert counts == [
        (epoch, *measure)
        for epoch, test in ((0, 10), (2, 40), (3, 20))
        for measure in (
            ("test", "true", test, 50),
            ("train", "corrupted", 20 * epoch, 200),
            ("train", "true", 10 * epoch, 200),
        )
    ]
    assert set(table["layer"]) == {"readout"}
    assert set(table["fit_labels"]) == {"corrupted"}


def test_layers_keep_the_networks_order(run: RunFiles) -> None:
    table = accuracy_table([run])
    for frame in (table, summary_table(table).rename(columns={"what": "probe"})):
        assert tuple(frame.query("probe == 'MASC'")["layer"].unique()) == LAYERS


def test_tables_do_not_depend_on_the_order_of_the_runs(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, seed, p) for seed in (10, 2) for p in (0.8, 0.4)]
    for gather in (accuracy_table, history_table):
        pd.testing.assert_frame_equal(gather(runs), gather(runs[::-1]))
    order = accuracy_table(runs)[["p", "seed"]].drop_duplicates()
    assert [tuple(row) for row in order.itertuples(index=False)] == [(0.4, 2), (0.4, 10), (0.8, 2), (0.8, 10)]


def test_history_table_keeps_every_epoch(run: RunFiles) -> None:
    table = history_table([run])
    assert list(table.columns) == list(columns.HISTORY)
    assert table["epoch"].tolist() == [0, 1, 2, 3]
    assert table["loss"].tolist()[1:] == [1, 1 / 2, 1 / 3]
    assert table["train_total"].isna().tolist() == [False, True, False, False]
    assert np.isnan(table["loss"][0])


def test_summary_has_first_peak_and_last_checkpoint(run: RunFiles) -> None:
    accuracy = accuracy_table([run])
    tie = (accuracy["probe"] == "MASC") & (accuracy["layer"] == "fc") & (accuracy["split"] == "test")
    accuracy.loc[tie, "correct"] = [31, 45, 45]
    table = summary_table(accuracy).set_index(["what", "layer"])
    ends = ["peak", "peak_epoch", "final", "final_epoch"]
    assert table.loc[("model", "readout"), ends].tolist() == [0.8, 2, 0.4, 3]
    assert table.loc[("MASC", "fc"), ends].tolist() == [0.9, 2, 0.9, 3]
    assert table.loc[("VeLPIC", "conv"), ends].tolist() == [0.66, 3, 0.66, 3]
    assert len(table) == 1 + 2 * len(LAYERS) + 2
    assert list(table.reset_index()[list(columns.SUMMARY)].columns) == list(columns.SUMMARY)


@pytest.mark.parametrize("schema", [columns.ACCURACY, columns.HISTORY], ids=["accuracy", "history"])
def test_parquet_gives_back_what_was_written_in_equal_bytes(
    run: RunFiles, tmp_path: Path, schema: dict[str, str]
) -> None:
    gather = accuracy_table if schema is columns.ACCURACY else history_table
    for name in ("a", "b"):
        reading.write_parquet(tmp_path / name, gather([run]), schema)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    pd.testing.assert_frame_equal(reading.read_parquet(tmp_path / "a", schema), gather([run]))


def test_csv_for_people_is_short_and_equal_in_bytes(run: RunFiles, tmp_path: Path) -> None:
    summary = summary_table(accuracy_table([run]))
    for name in ("a", "b"):
        reading.write_csv_table(tmp_path / name, summary.assign(final=1 / 3))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert b"0.333333," in (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("left", [0, 4, 1000])
def test_a_table_cut_short_is_refused(run: RunFiles, tmp_path: Path, left: int) -> None:
    path = tmp_path / "accuracy.parquet"
    reading.write_parquet(path, accuracy_table([run]), columns.ACCURACY)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(LatentgenError, match=f"{re.escape(str(path))} cannot be read"):
        reading.read_parquet(path, columns.ACCURACY)


def test_a_table_that_is_missing_or_another_is_refused(run: RunFiles, tmp_path: Path) -> None:
    with pytest.raises(LatentgenError, match=r"nowhere\.parquet does not exist"):
        reading.read_parquet(tmp_path / "nowhere.parquet", columns.ACCURACY)
    path = tmp_path / "history.parquet"
    reading.write_parquet(path, history_table([run]), columns.HISTORY)
    with pytest.raises(LatentgenError, match=r"history\.parquet has no column layer, probe"):
        reading.read_parquet(path, columns.ACCURACY)


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def first_line_again(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines, lines[1]])


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("history.csv", lambda text: "", "history.csv has no epochs"),
        ("history.csv", first_line_again, "history.csv has two rows for epoch 0"),
        (
            "history.csv",
            lambda text: text.replace(",40,50,", ",51,50,"),
            "history.csv counts 51 correct of 50",
        ),
        ("history.csv", lambda text: text[: text.rindex("50")], "history.csv cannot be read"),
        ("probes/shard-0.csv", first_line_again, "shard-0.csv has two rows for epoch 0, layer conv"),
        (
            "probes/shard-0.csv",
            lambda text: text.replace(",30,", ",51,"),
            "shard-0.csv counts 51 correct of 50",
        ),
        (
            "probes/shard-0.csv",
            lambda text: text.replace(",30,", ",-1,"),
            "shard-0.csv counts -1 correct of 50",
        ),
        ("probes/shard-0.csv", lambda text: text.replace("\n0,", "\n1,"), "has no results for epoch 0"),
        ("probes/shard-1.csv", lambda text: "", "has no results for epoch 3"),
        ("probes/shard-1.csv", lambda text: text + text.split("\n", 2)[1].replace("3,", "7,", 1), "epoch 7"),
        ("probes/shard-1.csv", lambda text: text.replace("\n3,", "\n2,"), "shard-1.csv repeats epoch 2"),
        ("transfer/shard-1.csv", lambda text: text.replace("\n3,", "\n2,"), "shard-1.csv repeats epoch 2"),
        (
            "probes/shard-0.csv",
            lambda text: text.replace("layer", "place", 1),
            "shard-0.csv has no column layer",
        ),
        ("probes/shard-0.csv", lambda text: text[: text.rindex("corrupted")], "shard-0.csv cannot be read"),
        ("transfer/shard-0.csv", lambda text: text.replace(",30,", ",thirty,"), "shard-0.csv cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_with_the_files_name(
    run: RunFiles, file: str, change: Callable[[str], str], message: str
) -> None:
    edit(run.history.parent / file, change)
    with pytest.raises(LatentgenError, match=re.escape(message)):
        accuracy_table([run])


def test_heads_in_the_readout_stand_in_the_tables(run: RunFiles) -> None:
    paths = []
    for k, epochs in enumerate(((0, 2), (3,), ())):
        paths.append(run.history.parent / "heads" / f"shard-{k}.csv")
        write_csv(paths[-1], results(epochs, {"transfer-lda": ("readout",)}))
    (found,) = gathering.run_files([run.history], run.probes, run.transfer, paths)
    table = accuracy_table([found])
    assert len(table) == len(accuracy_table([run])) + len(CHECKPOINTS) * len(MEASURED)
    lda = table[table["probe"] == "transfer-lda"]
    assert set(lda["probe_kind"]) == {"transfer"}
    assert set(lda["epoch"]) == set(CHECKPOINTS)
    edit(paths[1], lambda text: "")
    with pytest.raises(LatentgenError, match="heads has no results for epoch 3"):
        accuracy_table([found])


def test_label_quality_is_gathered_with_what_the_labels_are_from(tmp_path: Path) -> None:
    names = ("relabel_masc_best_memorized", "relabel_masc_fc1")
    paths = [tmp_path / f"digits-mlp-symmetric0.40-seed2-{name}" / "label_quality.csv" for name in names]
    counts = {"wrong": 4, "set_right": 3, "right": 6, "spoilt": 1, "wrong_after": 2}
    rows = [{"layer": layer, "chosen": layer == "fc1"} | counts for layer in ("fc1", "fc2")]
    for path, some in zip(paths, (rows, []), strict=True):
        path.parent.mkdir()
        write_csv(path, some)
    settings = NamedSettings({}, {names[0]: {"edit": "relabel", "layer": "best", "start": "memorized"}})
    table = gathering.label_quality_table(paths, settings)
    assert list(table) == list(columns.LABEL_QUALITY)
    assert table["chosen"].tolist() == [True, False]
    assert set(table["run"]) == {paths[0].parent.name}, "where the truth is not known there is nothing"
    (facts,) = (
        table[["p", "seed", "relabel_layer", *columns.RELABEL_FACTS]].drop_duplicates().to_numpy().tolist()
    )
    assert facts == [0.4, 2, "best", "MASC", "memorized", "corrupted"]


def test_calibration_is_gathered_with_the_runs_identity(run: RunFiles) -> None:
    measured = {"epoch": 3, "network": "model", "nll": 1.5, "ece": 0.25, "total": 50}
    scaled = {"temperature": 2.0, "nll_scaled": 1.25, "ece_scaled": 0.125}
    path = run.history.parent / "heads" / "calibration-0.csv"
    write_csv(path, [measured | scaled, measured | dict.fromkeys(scaled) | {"network": "transfer-lda"}])
    table = gathering.calibration_table([path])
    assert list(table) == list(columns.CALIBRATIONS)
    first, second = table.to_dict("records")
    assert first == dict(run.identity) | measured | scaled
    assert np.isnan(second["temperature"])
    assert second["nll"] == 1.5


def test_probes_of_the_first_and_last_checkpoint_alone_need_no_other(run: RunFiles) -> None:
    for k, epochs in enumerate(((0,), (3,))):
        rows = results(epochs, {"LDA": LAYERS})
        write_csv(run.history.parent / "probes" / f"shard-{k}.csv", rows)
    run, ends = replace(run, transfer=()), {"kind": "LDA", "at": "ends", "max_width": None}
    table = accuracy_table([run], NamedSettings({"LDA": ends}))
    assert set(table.loc[table["probe"] == "LDA", "epoch"]) == {0, 3}
    assert set(table.loc[table["probe"] == "model", "epoch"]) == set(CHECKPOINTS)
    with pytest.raises(LatentgenError, match="has no results for epoch 2"):
        accuracy_table([run], NamedSettings({"LDA": ends | {"at": "every"}}))
    edit(run.history.parent / "probes" / "shard-1.csv", lambda text: "")
    with pytest.raises(LatentgenError, match="has no results for epoch 3"):
        accuracy_table([run], NamedSettings({"LDA": ends}))
    # Layers may all be too wide for a probe: then it has no results anywhere.
    assert len(accuracy_table([run], NamedSettings({"LDA": ends | {"max_width": 2}})))


@pytest.mark.parametrize("file", ["history.csv", "probes/shard-2.csv", "transfer/shard-0.csv"])
def test_a_missing_file_is_named(run: RunFiles, file: str) -> None:
    path = run.history.parent / file
    path.unlink()
    with pytest.raises(LatentgenError, match=f"{re.escape(str(path))} does not exist"):
        accuracy_table([run])


def test_files_are_sorted_by_the_run_whose_folder_they_lie_in(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, seed) for seed in (1, 2)]
    found = gathering.run_files(
        [run.history for run in runs],
        [path for run in runs[::-1] for path in run.probes],
        [path for run in runs[::-1] for path in run.transfer],
    )
    assert found == runs
    with pytest.raises(LatentgenError, match="'elsewhere' is not the name of a run"):
        gathering.run_files([tmp_path / "elsewhere" / "history.csv"], [], [])


def test_a_run_given_twice_is_refused(run: RunFiles) -> None:
    with pytest.raises(LatentgenError, match="seed1 is given twice"):
        accuracy_table([run, replace(run)])


def test_comparisons_are_paired_by_seed_and_corrected_within_their_claim(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, seed, shift=shift) for seed, shift in ((1, 0), (2, 4), (3, 9))]
    table = comparisons_table(accuracy_table(runs))
    assert list(table.columns) == list(columns.COMPARISONS)
    assert len(table) == 4 * len(LAYERS) + 2
    # At the last checkpoint, as write_run has it: 33 − depth + shift against 20 + shift // 2, of 50.
    model = np.array([20, 22, 24]) / 50
    for depth, layer in enumerate(LAYERS):
        masc = np.array([33, 37, 42]) / 50 - depth / 50
        row = table.query("what == 'MASC' and layer == @layer and reference == 'model'").iloc[0]
        test = stats.ttest_rel(masc, model)
        interval = test.confidence_interval()
        assert row[["difference", "low", "high", "p_value"]].tolist() == pytest.approx(
            [np.mean(masc - model), interval.low, interval.high, test.pvalue]
        )
        assert row[["final", "reference_final", "seeds"]].tolist() == pytest.approx(
            [masc.mean(), model.mean(), 3]
        )
        assert row["best"] == (layer == "conv")
    same = table.query("what == 'VeLPIC' and reference == 'MASC'")
    assert same["layer"].tolist() == list(LAYERS)
    assert same["difference"].tolist() == [0, 0, 0]
    assert same["p_value"].isna().all(), "no spread, no test"
    one = table.query("what == 'VeLPIC' and reference == 'MASC-1pc'")
    assert one["layer"].tolist() == list(LAYERS)
    assert one["difference"].tolist() == pytest.approx([2 / 50] * 3)
    assert one["equal"].tolist() == pytest.approx([47 / 50] * 3)
    assert table.loc[table["reference"] != "MASC-1pc", "equal"].isna().all()
    for _, family in table.groupby("claim"):
        np.testing.assert_allclose(family["p_holm"], statistics.holm(family["p_value"]))
    others = table[table["claim"] == "MASC on the other layers against the model, over p and layers"]
    assert len(others) == len(LAYERS) - 1
    assert (others["p_holm"] > others["p_value"]).all()


def test_comparisons_of_one_seed_have_an_interval_but_no_test(run: RunFiles) -> None:
    table = comparisons_table(accuracy_table([run]))
    assert table["p_holm"].isna().all()
    assert (table["low"] < table["difference"]).all()


def test_comparisons_need_no_probe(run: RunFiles) -> None:
    assert comparisons_table(accuracy_table([replace(run, probes=(), transfer=())])).empty


def with_interventions(folder: Path, seed: int) -> list[RunFiles]:
    """Return a run, three edits of it of which one is the control, and two networks trained afresh."""
    plain = write_run(folder, seed)
    runs = [plain]
    names = ("velpic_at_2", "none_at_2", "velpic_at_2_batch1", "early_stop", "relabel_masc_best")
    for place, name in enumerate(names, 1):
        run = str(plain.identity["run"]) + f"-{name}"
        history = pd.read_csv(plain.history)
        history["test_correct"] += place * seed
        write_csv(folder / run / "history.csv", history.astype(object).fillna("").to_dict("records"))
        runs.append(
            RunFiles({**plain.identity, "run": run, "intervention": name}, folder / run / "history.csv")
        )
    for number, run in enumerate(runs):
        history = pd.read_csv(run.history)
        history["rest_correct"], history["rest_total"] = number + 2 * seed, 40
        history["held_out_correct"], history["held_out_total"] = 1, 10
        write_csv(run.history, history.astype(object).fillna("").to_dict("records"))
    return runs


def test_interventions_are_compared_with_control_and_unedited_run(tmp_path: Path) -> None:
    runs = [run for seed in (0, 1, 2) for run in with_interventions(tmp_path, seed)]
    table = comparisons_table(accuracy_table(runs)).query("what == 'model'")
    found = {(row["intervention"], row["reference"]): row["difference"] for row in table.to_dict("records")}
    # Of 50 test items, place × seed more than without; of the 40 others, one more for each place.
    assert found == pytest.approx(
        {
            ("velpic_at_2", "model, none_at_2"): -1 / 50,
            ("velpic_at_2", "model, unedited"): 1 / 50,
            ("none_at_2", "model, unedited"): 2 / 50,
            ("velpic_at_2_batch1", "model, unedited"): 3 / 50,
            ("early_stop", "model, unedited"): 4 / 40,
            ("relabel_masc_best", "model, early_stop"): 1 / 40,
            ("relabel_masc_best", "model, unedited"): 5 / 40,
        }
    )
    assert set(table["seeds"]) == {3}


def test_examples_not_used_for_stopping_are_a_split_of_their_own(tmp_path: Path) -> None:
    table = accuracy_table(with_interventions(tmp_path, 1))
    rest = table[table["split"] == "test_rest"]
    assert set(rest["total"]) == {40}
    assert set(rest["run"]) == set(table["run"])
    assert set(rest["eval_labels"]) == {"true"}
    assert set(rest["probe"]) == {"model"}
