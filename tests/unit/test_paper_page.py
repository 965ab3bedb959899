"""The papers' figures on one page: from published numbers alone, and with an archive of ours beside them."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from latentgen.figures.panels import PUBLISHED as PUBLISHED_LABELS
from latentgen.figures.paper import draw_paper, our_best_layers, our_points, their_points
from latentgen.figures.paper_experiments import EXPERIMENTS, ROW
from latentgen.report.archive import pack_study
from latentgen.report.paper import Source, draw_pair, find_sources, with_running_accuracy, write_page
from latentgen.report.paper_fidelity import compare_their_runs, compared_angles
from latentgen.study.config import read_study
from latentgen.study.layout import TABLES
from latentgen.tables.columns import ACCURACY, HISTORY, IDENTITY
from latentgen.tables.published import FIDELITY, read_published
from latentgen.tables.reading import write_parquet

PROJECT = Path(__file__).parents[2]
PUBLISHED = PROJECT / "resources/published"
REPORT = PROJECT / "workflow/scripts/latentgen/report"
PAIR = "tiny_imagenet alexnet"
STUDY = {
    "study": "reference",
    "protocol": "published",
    "seeds": [1],
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [
        {
            "dataset": "tiny_imagenet",
            "model": {"architecture": "AlexNet"},
            "training": {
                "optimizer": {"name": "Adam", "learning_rate": 0.0001},
                "batch_size": 500,
                "max_epochs": 2,
            },
        }
    ],
}


def accuracy_table(final: int) -> pd.DataFrame:
    """Return a model and MASC on fc2 at two epochs, of 1,000 test examples."""
    common = {name: None for name in ACCURACY} | {
        "run": "one", "dataset": "tiny_imagenet", "model": "alexnet", "noise": "symmetric_published",
        "p": 0.4, "seed": 1, "intervention": "none", "fit_labels": "corrupted", "split": "test",
        "eval_labels": "true",
        "total": 1000,
    }  # fmt: skip
    rows = [
        common | {"epoch": epoch, "probe": probe, "layer": layer, "correct": correct}
        for probe, layer, counts in (("model", "readout", (10, final)), ("MASC", "fc2", (50, 150)))
        for epoch, correct in zip((0, 20), counts, strict=True)
    ]
    return pd.DataFrame(rows)


def history_table() -> pd.DataFrame:
    """Return the running training accuracy of the model at these epochs; there is none before training."""
    run = {name: "none" if name == "intervention" else accuracy_table(40)[name][0] for name in IDENTITY}
    known = {name: 0 for name, kind in HISTORY.items() if kind in ("int64", "float64")}
    epochs = [{"epoch": 0}, {"epoch": 20, "online_correct": 640, "online_total": 800}]
    return pd.DataFrame([known | run | epoch for epoch in epochs]).reindex(columns=list(HISTORY))


def fidelity_table() -> pd.DataFrame:
    """Return three cells of MASC by epoch: one close, one far, one not comparable."""
    common = {name: None for name in FIDELITY} | {
        "dataset": "tiny_imagenet", "model": "alexnet", "noise": "symmetric_published", "p": 0.4,
        "intervention": "none", "final": False, "layer": "fc2", "probe": "MASC", "fit_labels": "corrupted",
        "split": "test", "eval_labels": "true", "their_runs": 1, "table": "masc_by_epoch",
    }  # fmt: skip
    values = ((0.15, 0.16, None), (0.15, 0.3, None), (None, 0.2, "the layer is not probed"))
    rows = [
        common
        | {"epoch": epoch, "ours": ours, "theirs": theirs, "their_low": theirs, "their_high": theirs}
        | {"difference": ours and ours - theirs, "why_not": why_not}
        for epoch, (ours, theirs, why_not) in enumerate(values)
    ]
    return pd.DataFrame(rows)


def make_archive(path: Path, final: int = 40) -> Path:
    tables = path.parent / f"made-{path.stem}/tables"
    tables.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        (tables / name).write_text("{}")
    write_parquet(tables / "accuracy.parquet", accuracy_table(final), ACCURACY)
    write_parquet(tables / "history.parquet", history_table(), HISTORY)
    fidelity_table().to_csv(tables / "fidelity.csv", index=False)
    path.parent.mkdir(exist_ok=True)
    pack_study(path, read_study(STUDY).model_dump(mode="json"), [tables / name for name in TABLES])
    return path


def described(folder: Path) -> dict:
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))["figures"]
    return {figure["stem"].removeprefix("tiny_imagenet-alexnet-"): figure for figure in figures}


def bytes_in(folder: Path) -> dict:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_without_an_archive_published_numbers_are_drawn_alone_with_a_note_and_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        draw_pair(tmp_path / name, PAIR, PUBLISHED, [])
        write_page(
            tmp_path / f"{name}.html",
            tmp_path / f"{name}.csv",
            {PAIR: tmp_path / name},
            PUBLISHED / "accuracy.csv.gz",
            REPORT / "paper.html.j2",
            REPORT / "report.html.j2",
        )
    figures = described(tmp_path / "one")
    assert set(figures) == {"dynamics", "end", "baselines", "true_labels", "best_layers"}
    assert {figure["alone"] for figure in figures.values()} == {"theirs"}
    assert bytes_in(tmp_path / "one") == bytes_in(tmp_path / "two")
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "two.html").read_text(encoding="utf-8")
    assert page.count("Their numbers alone") == page.count("data:image/png;base64,") == len(figures)
    assert "http" not in page.split("</style>")[1]


def test_an_archive_is_drawn_with_theirs_and_its_fidelity_is_counted(tmp_path):
    archive = make_archive(tmp_path / "reference.zip")
    draw_pair(tmp_path / "pair", PAIR, PUBLISHED, [archive])
    figure = described(tmp_path / "pair")["dynamics"]
    assert figure["alone"] == ""
    assert figure["sources"] == ["reference.zip"]
    assert figure["fidelity"].startswith("1 of 2 comparable numbers (50.0 %)")
    assert figure["not_compared"] == ["1: the layer is not probed"]
    table = pd.read_csv(tmp_path / "pair/tiny_imagenet-alexnet-dynamics.csv", keep_default_na=False)
    assert set(table["source"]) == {"ours", "published"}
    model = table[(table["source"] == "ours") & (table["probe"] == "model") & (table["epoch"] == 20)]
    means = {split: set(rows["mean"].astype(float)) for split, rows in model.groupby("split")}
    assert means == {"test": {0.04}, "train": {0.8}}


def test_the_page_counts_close_numbers_and_lists_the_others(tmp_path):
    archive = make_archive(tmp_path / "reference.zip")
    draw_pair(tmp_path / "pair", PAIR, PUBLISHED, [archive])
    write_page(
        tmp_path / "page.html",
        tmp_path / "fidelity.csv",
        {PAIR: tmp_path / "pair"},
        PUBLISHED / "accuracy.csv.gz",
        REPORT / "paper.html.j2",
        REPORT / "report.html.j2",
    )
    cells = pd.read_csv(tmp_path / "fidelity.csv")
    assert cells[["quantity", "epochs", "theirs", "ours", "close"]].to_numpy().tolist() == [
        ["MASC", "untrained", 16, 15, True],
        ["MASC", "1 to 10", 30, 15, False],
    ]
    text = re.sub(
        r"\s*<[^>]+>\s*", "|", (tmp_path / "page.html").read_text("utf-8").split('id="fidelity"')[1]
    )
    assert "|MASC||1 of 1||0 of 1||1 of 2 (50.0 %)|" in text
    assert "|tiny_imagenet alexnet||0.4||MASC (fc2)||1||30.0||one||15.0||−15.0|" in text


def test_their_runs_are_compared_with_the_mean_and_the_range_of_their_others():
    """Runs of 50, 50 and 90 %: the first two equal each other, the third is 40 points from the others."""
    place = {"dataset": "d", "model": "m", "p": 0.4, "intervention": "none", "final": False, "epoch": 5}
    what = {
        "layer": "fc",
        "probe": "VeLPIC",
        "fit_labels": "corrupted",
        "split": "test",
        "eval_labels": "true",
    }
    row = place | what | {"repository": "r", "table": "t"}
    published = pd.DataFrame(
        [row | {"run": run, "accuracy": accuracy} for run, accuracy in enumerate((0.5, 0.5, 0.9))]
        + [row | {"run": 1, "accuracy": 0.5, "epoch": 6}]  # one run: nothing to compare with
        + [row | {"run": run, "accuracy": accuracy, "p": 0.8} for run, accuracy in enumerate((0.1, 0.9))]
    )
    cells = pd.DataFrame([{"dataset": "d", "model": "m", "p": 0.4, "quantity": "VeLPIC"}])
    assert compare_their_runs(published, cells)["close"].tolist() == [True, True, False]


def test_angles_are_compared_under_the_papers_protocol_alone():
    angle = {"p": 0.4, "epoch": 10.0, "probe": "angle", "layer": "readout", "fit_labels": "corrupted"}
    angle |= {"split": "angle", "eval_labels": "none", "seeds": 1}
    points = [("ours", 70.0), (PUBLISHED_LABELS[0], 75.0)]
    rows = [angle | {"source": who, "mean": at, "low": at, "high": at} for who, at in points]
    cells = compared_angles(pd.DataFrame(rows), "mnist cnn")
    assert cells[["quantity", "unit", "difference", "close"]].to_numpy().tolist() == [
        ["angle of vectors and readout", "degrees", -5, False]
    ]
    rows[1]["source"] = PUBLISHED_LABELS[1]
    assert compared_angles(pd.DataFrame(rows), "mnist cnn").empty


def test_sources_are_archives_unless_the_user_has_the_pair(tmp_path):
    archive = make_archive(tmp_path / "reference/reference.zip")
    assert find_sources(tmp_path / "reference", tmp_path) == [Source(archive, frozenset({PAIR}))]
    own = tmp_path / "results/paper/tables"
    own.mkdir(parents=True)
    for name in TABLES:
        (own / name).write_text(json.dumps(read_study(STUDY).model_dump(mode="json")))
    (source,) = find_sources(tmp_path / "reference", tmp_path)
    assert source.is_own
    assert source.path == tmp_path / "results/paper"
    assert find_sources(tmp_path / "none") == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_theirs_are_means_between_their_lowest_and_highest_run(name):
    table = their_points(read_published(PUBLISHED / "accuracy.csv.gz"), EXPERIMENTS[name], "published")
    assert len(table)
    assert table["mean"].between(table["low"] - 1e-9, table["high"] + 1e-9).all()


def test_every_published_epoch_of_velpic_is_drawn():
    published = read_published(PUBLISHED / "accuracy.csv.gz").query("dataset == 'mnist' and model == 'mlp'")
    rows = published.query("probe == 'VeLPIC' and not final and p == 0.4")
    drawn = their_points(published, EXPERIMENTS["dynamics"], "published").query(
        "probe == 'VeLPIC' and p == 0.4"
    )
    assert set(rows["epoch"]) <= set(drawn["epoch"])
    assert len(set(rows["epoch"])) > 10


def test_ours_are_the_counts_of_the_table():
    points = our_points(accuracy_table(40), EXPERIMENTS["end"])
    assert points.set_index("probe")["mean"].to_dict() == {"model": 0.04, "MASC": 0.15}


def test_our_best_layers_are_hidden_layers_and_our_network_is_the_trained_one():
    """The papers' tables leave out the raw input too."""
    raw = accuracy_table(40).query("probe == 'MASC'").assign(layer="input", correct=300)
    of_true = accuracy_table(40).query("probe == 'MASC'").assign(fit_labels="true", correct=[60, 170])
    points = our_best_layers(pd.concat([accuracy_table(40), raw, of_true]), ["decoding"])
    assert len(points) == 4
    assert points.set_index(["probe", "split"])["mean"].to_dict() == {
        ("model", "test"): 0.04,
        ("MASC", "corrupted"): 0.15,
        ("MASC", "true"): 0.17,
        ("MASC", "untrained"): 0.05,
    }


def test_logs_of_older_networks_are_drawn_only_where_there_are_no_others():
    """Otherwise the curve would be a mean over two ways of training."""
    published = read_published(PUBLISHED / "accuracy.csv.gz").query("dataset == 'cifar10' and model == 'mlp'")
    table = their_points(published, EXPERIMENTS["dynamics"], "published")
    network = table[(table["probe"] == "model") & (table["split"] == "test")]
    assert network.query("p == 0.4")["seeds"].eq(1).all()
    assert network.query("p == 0.4")["epoch"].max() == 200
    assert network.query("p == 1")["seeds"].max() == 3


def published_points(pair: str, name: str) -> pd.DataFrame:
    dataset, model = pair.split()
    published = read_published(PUBLISHED / "accuracy.csv.gz")
    of_pair = published[(published["dataset"] == dataset) & (published["model"] == model)]
    return their_points(of_pair, EXPERIMENTS[name], "published")


def test_ours_are_solid_and_theirs_dashed_and_the_legend_says_of_both_what_is_drawn():
    theirs = published_points("fashion_mnist cnn", "transfer")
    ours = theirs.query("p == 0.4").assign(source="ours")
    figure = draw_paper(pd.concat([ours, theirs], ignore_index=True), "epoch", 0.1)
    lines = [line for line in figure.axes[2].lines if len(line.get_xdata()) > 2]
    assert [line.get_linestyle() for line in lines].count("-") == 2
    assert [line.get_linestyle() for line in lines].count("--") == 2
    title = figure.legends[0].get_title().get_text()
    assert "Ours: " in title
    assert "The papers’: mean of their runs, pale bands: their range" in title


def test_small_accuracies_fill_the_panels():
    for name, against in (("end", "p"), ("dynamics", "epoch")):
        figure = draw_paper(published_points(PAIR, name), against, 0.005)
        assert 0.19 < figure.axes[0].get_ylim()[1] < 0.26
    figure = draw_paper(published_points("mnist mlp", "end"), "p", 0.1)
    assert figure.axes[0].get_ylim()[1] > 1


def test_edited_networks_are_drawn_from_the_edit_on_beside_the_unedited_one():
    table = published_points("mnist cnn", "edits")
    unedited = table[table["split"] == "unedited"]
    assert set(unedited[ROW]) == {"edited at epoch 10", "edited at epoch 40"}
    assert unedited.groupby(ROW)["epoch"].agg(["min", "max"]).to_numpy().tolist() == [[10, 100], [40, 100]]
    assert draw_paper(table, "epoch", 0.1).axes[0].get_xlim()[0] > 5


def test_every_figure_has_its_numbers_in_the_words_of_its_legend(tmp_path):
    draw_pair(tmp_path, "mnist mlp", PUBLISHED, [])
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["figures"]
    assert all(figure["result"] for figure in figures)
    text = json.dumps([figure["result"] for figure in figures])
    for name in ("transfer-zero", "nearest_mean", "MASC-1pc", "logistic "):
        assert name not in text.replace("logistic regression", "")
    result = {figure["stem"].removeprefix("mnist-mlp-"): figure["result"] for figure in figures}
    assert result["dynamics"][0] == (
        "Theirs, p = 0.4, after 310 epochs: model, test 71.1 % (peak 96.4 % at epoch 25); "
        "MASC 96.0 % (fc4); VeLPIC 93.3 % (fc4; peak 95.9 % at epoch 30)."
    )
    assert "transfer, bias zero" in result["transfer_training"][0]
    assert result["best_layers"][0].startswith("Theirs, p = 0.4. “Decoding …”: model, test 73.3 %; MASC")
    assert result["best_layers"][0].count("“Decoding …”") == 1


def test_torch_is_not_imported(tmp_path):
    code = (
        "import sys; from latentgen.report.paper import draw_pair; "
        f"draw_pair({str(tmp_path / 'pair')!r}, {PAIR!r}, {str(PUBLISHED)!r}, []); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT / "workflow/scripts")


def test_training_accuracy_is_measured_during_the_epoch_as_theirs():
    accuracy = accuracy_table(40)
    after = accuracy.iloc[[1]].assign(split="train", eval_labels="corrupted", correct=300)
    of_true = after.assign(eval_labels="true", correct=200)
    table = with_running_accuracy(pd.concat([accuracy, after, of_true]), history_table())
    training = table[table["split"] == "train"].set_index("eval_labels")[["epoch", "correct", "total"]]
    assert training.loc["corrupted"].tolist() == [20, 640, 800]
    assert training.loc["true"].tolist() == [20, 200, 1000]
    assert len(table) == len(accuracy) + 2
    without = history_table().assign(online_total=None)
    assert (with_running_accuracy(after, without)["correct"] == 300).all(), "weights that are given"
