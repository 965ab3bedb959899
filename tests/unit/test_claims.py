"""The papers' claims: the numbers are those of the tables, and what is not computed is said to be so."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from latentgen.report.archive import pack_study
from latentgen.report.claims import WHO, claims_of, write_claims
from latentgen.runtime.files import write_json
from latentgen.study.config import read_study
from latentgen.study.layout import TABLES
from latentgen.tables.best_layers import read_published_best_layers
from latentgen.tables.claims import (
    initializations,
    linear_probes,
    probes_and_network,
    same_class,
    their_accuracy,
    their_untrained_networks,
    transfers,
)
from latentgen.tables.columns import ACCURACY
from latentgen.tables.facts import with_facts
from latentgen.tables.published import read_published
from latentgen.tables.reading import write_parquet
from studies import SMALL_STUDY

PROJECT = Path(__file__).parents[2]
PUBLISHED = PROJECT / "resources/published"
EPOCHS = (0, 1, 5, 10, 40)
TEST = {
    ("model", "readout"): (10, 60, 90, 80, 50),
    ("MASC", "input"): (40, 40, 40, 40, 40),
    ("MASC", "fc1"): (30, 50, 70, 80, 74),
    ("MASC", "fc2"): (30, 50, 80, 70, 75),
    ("VeLPIC", "fc1"): (30, 50, 70, 80, 60),
    ("VeLPIC", "fc2"): (30, 50, 80, 70, 76),
    ("logistic", "fc1"): (0, 0, 0, 0, 76),
    ("logistic", "fc2"): (0, 0, 0, 0, 60),
    ("transfer-zero", "readout"): (20, 55, 85, 78, 70),
    ("transfer-nearest_mean", "readout"): (20, 55, 85, 78, 71),
}
"""Correct of 100 test images at each epoch, of seed 1; those of seed 2 are two more."""
TRAINING = {("MASC", "fc1"): 65, ("MASC", "fc2"): 60, ("VeLPIC", "fc1"): 60, ("VeLPIC", "fc2"): 61}
"""Training images that get their true label at the end: MASC's layer is fc1, though fc2 tests better."""
AT_START = {"velpic_at_0": (80, 70), "none_at_0": (82, 50), "random_at_0": (81, 69)}
"""Peak and end of networks whose readout was set before training."""


def accuracy(noise: str = "symmetric") -> pd.DataFrame:
    """Make the accuracies of two seeds at p = 0.4."""
    rows = []
    for seed in (1, 2):
        common = {
            "run": f"digits-mlp-{noise}0.40-seed{seed}", "dataset": "digits", "model": "mlp", "noise": noise,
            "p": 0.4, "seed": seed, "intervention": "none", "fit_labels": "corrupted", "split": "test",
            "eval_labels": "true", "total": 100,
        }  # fmt: skip
        for (probe, layer), counts in TEST.items():
            for epoch, count in zip(EPOCHS, counts, strict=True):
                velpic = {"one_component_equal": 99 if epoch == 5 else 100} if probe == "VeLPIC" else {}
                rows.append(
                    common
                    | {"probe": probe, "layer": layer, "epoch": epoch, "correct": count + 2 * (seed - 1)}
                    | velpic
                )
        for (probe, layer), count in TRAINING.items():
            where = {"probe": probe, "layer": layer, "epoch": 40, "split": "train"}
            rows.append(common | where | {"correct": count})
        for name, counts in AT_START.items():
            for epoch, count in zip((5, 40), counts, strict=True):
                edited = {"intervention": name, "run": f"{common['run']}-{name}"}
                where = {"probe": "model", "layer": "readout", "epoch": epoch}
                rows.append(common | edited | where | {"correct": count + 2 * (seed - 1)})
    return with_facts(pd.DataFrame(rows)).reindex(columns=list(ACCURACY)).astype(ACCURACY)


def test_peaks_ends_and_controls_are_those_of_the_chosen_layer():
    table = probes_and_network(accuracy()).set_index("probe")
    masc = table.loc["MASC"]
    assert (masc["layer"], masc["chosen"]) == ("fc1", True)
    expected = {
        "peak": 0.81, "peak_epoch": 10, "end": 0.75, "epochs": 40, "network_peak": 0.91,
        "network_peak_epoch": 5, "network_end": 0.51, "raw_input": 0.41, "untrained": 0.31,
        "difference": 0.24, "seeds": 2,
    }  # fmt: skip
    assert masc[list(expected)].to_dict() == pytest.approx(expected)
    assert table.loc["VeLPIC", "layer"] == "fc2"
    without = accuracy().query("split == 'test'")
    best = probes_and_network(without).set_index("probe").loc["MASC"]
    assert (best["layer"], best["chosen"]) == ("fc2", False)
    assert probes_and_network(accuracy(), least_checkpoints=6).empty


def test_a_frozen_layer_has_an_end_and_no_peak():
    rows = accuracy()
    frozen = (rows["probe"] == "MASC") & (rows["split"] == "test") & (rows["layer"] == "fc1")
    rows.loc[frozen, "correct"] = 74
    assert probes_and_network(rows).set_index("probe").loc["MASC", "end"] == 0.74
    assert set(probes_and_network(rows, least_checkpoints=5)["probe"]) == {"VeLPIC"}


def test_linear_probes_transfers_and_initializations_are_differences_of_the_same_seed():
    linear = linear_probes(accuracy()).set_index("probe")
    assert linear.loc["VeLPIC", ["layers", "as_good"]].tolist() == [2, 1]
    assert linear.loc["VeLPIC", ["lowest", "highest"]].tolist() == pytest.approx([-0.14, 0.01])
    assert linear.loc["logistic", ["layers", "as_good"]].tolist() == [2, 1]
    heads = transfers(accuracy()).set_index("head")
    assert heads.loc["zero", ["network", "edited", "difference", "network_peak"]].tolist() == pytest.approx(
        [0.51, 0.71, 0.2, 0.91]
    )
    assert heads.loc["nearest_mean", "difference"] == pytest.approx(0.21)
    starts = initializations(accuracy()).set_index("reference")
    assert starts["difference"].to_dict() == pytest.approx({"ordinary network": 0.2, "random rows": 0.01})
    assert starts.loc["random rows", ["peak", "end"]].tolist() == pytest.approx([0.81, 0.71])
    (same,) = same_class(accuracy()).to_dict("records")
    assert (same["lowest"], same["mean"]) == pytest.approx((0.99, 0.998))


def test_the_papers_numbers_are_read_as_a_study_has_its_own():
    theirs = their_accuracy(read_published(PUBLISHED / "accuracy.csv.gz"))
    rows = theirs.query("dataset == 'mnist' and model == 'cnn' and p == 0.4")
    velpic = probes_and_network(rows, least_checkpoints=5).set_index("probe").loc["VeLPIC"]
    assert velpic["layer"] == "fc3"
    assert velpic["peak_epoch"] < 50, "runs of which only the last epochs are known have no peak"
    transfer = transfers(rows).set_index("head").loc["zero"]
    assert (transfer["seeds"], round(transfer["difference"], 2)) == (3, 0.23)
    assert linear_probes(rows).set_index("probe").loc["VeLPIC", "layers"] == 4
    assert initializations(rows).empty


def test_verdicts_count_cases_and_say_what_is_not_computed():
    claims = claims_of([("sound", "mine", accuracy())])
    assert claims["plateau"].verdicts["sound"] == "2 cases: 2 for it"
    assert claims["peak"].verdicts["sound"] == "2 cases: 2 for it"
    assert claims["linear"].verdicts["sound"] == "1 case: 1 against it"
    assert claims["initialization"].verdicts == {
        "papers": "not published", "published": "not computed yet", "sound": "1 case: 1 for it",
    }  # fmt: skip
    assert claims["transfer"].verdicts["published"] == "not computed yet"
    assert "at least 99.0 %" in claims["quadratic"].facts[0]
    table = claims["plateau"].table
    headings = [column.heading for column in table.columns]
    rows = [dict(zip(headings, row, strict=True)) for row in table.rows]
    assert rows[0] == {
        "results": WHO["sound"], "data and network": "digits mlp", "p": "0.4", "probe, layer": "MASC, fc1",
        "network": "51.0", "probe": "75.0", "difference": "+24.0 (+24.0 to +24.0)", "network’s peak": "91.0",
        "probe on raw input": "41.0", "on untrained network": "31.0",
    }  # fmt: skip


def write_study(folder: Path, protocol: str) -> Path:
    """Write the tables of a study that claims are made from, the others empty."""
    tables = folder / "tables"
    tables.mkdir(parents=True)
    study = read_study(SMALL_STUDY | {"study": f"of_{protocol}", "protocol": protocol}).model_dump(
        mode="json"
    )
    for name in TABLES:
        (tables / name).write_text("{}")
    write_json(tables / "study.json", study)
    noise = "symmetric" if protocol == "sound" else "symmetric_published"
    write_parquet(tables / "accuracy.parquet", accuracy(noise), ACCURACY)
    return folder


def test_the_papers_untrained_networks_are_counted():
    """They published no accuracy of these, but their tables of best layers have MASC on them."""
    theirs = their_untrained_networks(read_published_best_layers(PUBLISHED / "best_layers.csv"))
    assert len(theirs) == 20
    worse = theirs[theirs["end"] <= theirs["untrained"]]
    assert sorted(zip(worse["dataset"], worse["model"], worse["p"], strict=True)) == [
        ("cifar10", "mlp", 0.8),
        ("mnist", "mlp", 0.8),
    ]


def test_the_page_is_made_from_archives_and_folders_with_the_same_bytes(tmp_path):
    published = read_published(PUBLISHED / "accuracy.csv.gz")
    (tmp_path / "theirs").mkdir()
    some = published[(published["dataset"] == "mnist") & (published["p"] == 0.4)]
    some.to_csv(tmp_path / "theirs/accuracy.csv.gz", index=False)
    shutil.copy(PUBLISHED / "best_layers.csv", tmp_path / "theirs")
    sound = write_study(tmp_path / "sound", "sound")
    folder = write_study(tmp_path / "published", "published")
    archive = tmp_path / "published.zip"
    pack_study(archive, read_study(SMALL_STUDY).model_dump(mode="json"), (folder / "tables").iterdir())
    pages = [tmp_path / name for name in ("one.md", "two.md", "none.md")]
    write_claims(pages[0], [sound, archive], tmp_path / "theirs")
    write_claims(pages[1], [sound, folder], tmp_path / "theirs")
    write_claims(pages[2], [], tmp_path / "theirs")
    one, two, none = (page.read_text(encoding="utf-8") for page in pages)
    assert one == two
    assert "of_sound (sound protocol, 2 seeds)" in one
    assert "not computed yet" not in one
    assert none.count("not computed yet") > 8
    assert "MASC on its best layer is above itself on the untrained network in 18 of 20 cases" in one
    assert "| papers | mnist mlp | 0.4 | VeLPIC, fc4 |" in one
    assert "| ours, published protocol | digits mlp | 0.4 | MASC, fc1 |" in one
    assert max(len(page.split()) for page in (one, none)) < 2500


def test_the_page_in_the_documentation_is_up_to_date(tmp_path):
    sources = sorted((PROJECT / "resources/reference").glob("*.zip"))
    write_claims(tmp_path / "claims.md", sources, PUBLISHED)
    written = (PROJECT / "docs/claims.md").read_text(encoding="utf-8")
    assert (tmp_path / "claims.md").read_text(encoding="utf-8") == written, "run: make claims"


def test_torch_is_not_imported():
    code = "import sys; import latentgen.report.claims; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT / "workflow/scripts")
