"""Angles of VeLPIC's vectors: measured from files, averaged, drawn, and beside the papers'."""

import math
from copy import deepcopy
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_published import PUBLISHED_STUDY

from latentgen.figures.geometry import draw_geometry
from latentgen.figures.geometry import geometry_table as geometry_figure_table
from latentgen.figures.making import STYLE
from latentgen.figures.material import Material
from latentgen.networks.checkpoints import checkpoint_name, save_weights
from latentgen.study.config import read_study
from latentgen.tables.columns import ACCURACY
from latentgen.tables.geometry import (
    GEOMETRY,
    class_angles,
    geometry_table,
    read_geometry,
    read_published_angles,
    with_energy,
    with_published_angles,
)
from latentgen.tables.published_settings import read_published_settings
from latentgen.tables.reading import write_csv_table

PUBLISHED = Path(__file__).parents[2] / "resources/published"
RUNS = [f"mnist-mlp-symmetric{p:.2f}-seed{seed}" for p in (0.4, 0.8) for seed in (1, 2)]
EPOCHS, C = (0, 1, 4), 3
WIDTHS = {"input": 6, "fc1": 5}
NETWORK = {"layers": list(WIDTHS), "last_layer": "fc1", "readout": "readout"}


def plain_angle(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return math.degrees(math.acos(dot / math.hypot(*a) / math.hypot(*b)))


@pytest.fixture
def files(tmp_path, numbers):
    """Write vectors and weights of some runs; return them with their folders."""
    made, vectors, folders = {}, {}, {}
    for run in RUNS:
        folders[run] = tmp_path / run
        folders[run].mkdir()
        made[run] = {
            f"{epoch}/{layer}/{fit}": numbers.normal(size=(C, width)).astype("float32")
            for epoch in EPOCHS
            for layer, width in WIDTHS.items()
            for fit in ("corrupted", "true")
        }
        for shard, epochs in enumerate([EPOCHS[:2], EPOCHS[2:]]):
            path = tmp_path / f"{run}-{shard}.safetensors"
            part = {name: of for name, of in made[run].items() if int(name.split("/")[0]) in epochs}
            save_weights(path, part)
            vectors.setdefault(run, []).append(path)
        for epoch in EPOCHS:
            weights = {"readout.weight": numbers.normal(size=(C, 5)).astype("float32")}
            save_weights(folders[run] / checkpoint_name(epoch), weights)
            made[run][f"{epoch}/weight"] = weights["readout.weight"]
    return made, vectors, folders


def test_angles_are_those_of_the_definition_in_the_order_of_the_network(files, tmp_path):
    made, vectors, folders = files
    table = geometry_table(vectors, folders, dict.fromkeys(RUNS, NETWORK))
    assert len(table) == len(RUNS) * len(EPOCHS) * 3
    for row in table.to_dict("records"):
        of_run, place = made[row["run"]], f"{row['epoch']}/{row['layer']}"
        other = of_run[f"{row['epoch']}/weight" if row["angle_to"] == "readout" else f"{place}/true"]
        angles = [plain_angle(a, b) for a, b in zip(of_run[f"{place}/corrupted"], other, strict=True)]
        assert row["degrees"] == pytest.approx(np.mean(angles), abs=1e-4)
        assert row["classes"] == C
    assert set(table.loc[table["angle_to"] == "readout", "layer"]) == {"fc1"}
    assert list(table["layer"].unique()) == ["input", "fc1"]
    write_csv_table(tmp_path / "geometry.csv", table)
    pd.testing.assert_frame_equal(read_geometry(tmp_path / "geometry.csv"), table, rtol=1e-5)


def test_a_vector_that_points_away_has_an_angle_above_90_and_a_missing_class_none(files):
    angles = class_angles(np.array([[1.0, 0], [0, 2], [0, 0]]), np.array([[-3.0, 0], [0, 1], [1, 1]]))
    assert angles[:2].tolist() == [180, 0]
    assert np.isnan(angles[2])


def test_a_readout_without_plain_weights_has_no_angle(files, tmp_path):
    _, vectors, folders = files
    for epoch in EPOCHS:
        save_weights(folders[RUNS[0]] / checkpoint_name(epoch), {"other": np.ones(3, "float32")})
    table = geometry_table({RUNS[0]: vectors[RUNS[0]]}, folders, {RUNS[0]: NETWORK})
    assert set(table["angle_to"]) == {"true"}


def curve(dataset="fashion_mnist", model="cnn", noise="symmetric_published"):
    rows = [
        {
            "run": f"{dataset}-{model}-{noise}0.40-seed{seed}", "dataset": dataset, "model": model,
            "noise": noise, "p": 0.4, "seed": seed, "intervention": "none", "source": "ours", "epoch": epoch,
            "layer": layer, "angle_to": to, "degrees": 60 + 3 * seed + epoch + 7 * (to == "true"),
            "classes": 10, "energy_of": None, "energy": None,
        }
        for seed in (1, 2)
        for epoch in (0, 1, 8)
        for layer, to in (("fc1", "true"), ("fc3", "readout"), ("fc3", "true"))
    ]  # fmt: skip
    return pd.DataFrame(rows).astype(GEOMETRY)


def test_the_papers_curves_stand_beside_ours_where_the_settings_are_theirs():
    settings = read_published_settings(PUBLISHED / "settings.json")
    angles = read_published_angles(PUBLISHED / "readout_angle.csv")
    assert angles.groupby(["dataset", "model", "p", "run"]).ngroups == 22
    study = read_study(PUBLISHED_STUDY).model_dump(mode="json")
    table = with_published_angles(curve(), angles, study, settings)
    theirs = table[table["source"] == "published"]
    expected = angles[(angles["dataset"] == "fashion_mnist") & (angles["p"] == 0.4)]
    assert sorted(theirs["degrees"]) == sorted(expected["angle_degrees"])
    assert set(theirs["seed"]) == {1, 2, 3}
    assert set(theirs["layer"]) == {"fc3"}
    sound = read_study(PUBLISHED_STUDY | {"protocol": "sound"}).model_dump(mode="json")
    beside = with_published_angles(curve(noise="symmetric"), angles, sound, settings)
    assert (beside["source"] == "published").sum() == len(expected), "another protocol of the same network"
    other = deepcopy(PUBLISHED_STUDY)
    other["pairs"][0]["training"]["batch_size"] = 100
    for table in (
        with_published_angles(curve(), angles, read_study(other).model_dump(mode="json"), settings),
        with_published_angles(curve(noise="none_true"), angles, study, settings),
    ):
        assert set(table["source"]) == {"ours"}


def test_every_mean_and_every_published_curve_is_drawn():
    settings = read_published_settings(PUBLISHED / "settings.json")
    angles = read_published_angles(PUBLISHED / "readout_angle.csv")
    study = read_study(PUBLISHED_STUDY).model_dump(mode="json")
    empty = pd.DataFrame(columns=list(ACCURACY))
    table = geometry_figure_table(
        Material(empty, geometry=with_published_angles(curve(), angles, study, settings))
    )
    own = table[(table["source"] == "ours") & (table["probe"] == "readout") & ~table["final"]]
    assert own["mean"].tolist() == pytest.approx([64.5, 65.5, 72.5])
    with matplotlib.rc_context(fname=str(STYLE)):
        figure = draw_geometry(table)
        FigureCanvasAgg(figure).draw()
    top, bottom = figure.axes
    lines = [line.get_ydata() for line in top.lines]
    for _, run in table[table["source"] == "published"].groupby("published_run"):
        assert any(len(line) == len(run) and np.allclose(line, run["mean"]) for line in lines)
    assert {line.get_label() for line in figure.legends[0].legend_handles} >= {"fc1", "fc3"}
    assert len(bottom.lines) == 2


def energies():
    """Return accuracies of VeLPIC with the energy along its vectors, and rows that do not belong there."""
    rows = [
        dict.fromkeys(ACCURACY) | {
            "run": f"fashion_mnist-cnn-symmetric_published0.40-seed{seed}", "dataset": "fashion_mnist",
            "model": "cnn", "noise": "symmetric_published", "p": 0.4, "seed": seed, "intervention": of,
            "epoch": epoch, "layer": layer, "probe": probe, "fit_labels": fit, "split": split,
            "eval_labels": labels, "correct": 1, "total": 2,
            "first_energy": 0.9 - 0.1 * (split == "test") - 0.01 * epoch - 0.02 * seed,
        }
        for seed in (1, 2)
        for epoch in (0, 1, 8)
        for layer in ("fc1", "fc3")
        for of, probe, fit, split, labels in (
            ("none", "VeLPIC", "corrupted", "train", "corrupted"),
            ("none", "VeLPIC", "corrupted", "test", "true"),
            ("none", "VeLPIC", "corrupted", "train", "true"),
            ("none", "VeLPIC", "corrupted", "train_redrawn", "corrupted"),
            ("none", "VeLPIC", "true", "test", "true"),
            ("none", "MASC", "corrupted", "test", "true"),
            ("velpic_at_4", "VeLPIC", "corrupted", "test", "true"),
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows).astype(ACCURACY)
    return table.assign(first_energy=table["first_energy"].where(table["probe"] == "VeLPIC"))


def test_energies_stand_in_the_table_and_are_drawn_below_the_angles(tmp_path):
    table = with_energy(curve(), energies())
    added = table[table["energy_of"].notna()]
    assert len(added) == 2 * 3 * 2 * 2
    assert added["degrees"].isna().all()
    test = added[(added["energy_of"] == "test") & (added["epoch"] == 8) & (added["seed"] == 1)]
    assert test["energy"].tolist() == pytest.approx([0.7, 0.7])
    write_csv_table(tmp_path / "geometry.csv", table)
    pd.testing.assert_frame_equal(read_geometry(tmp_path / "geometry.csv"), table, rtol=1e-5)
    shown = geometry_figure_table(Material(pd.DataFrame(columns=list(ACCURACY)), geometry=table))
    with matplotlib.rc_context(fname=str(STYLE)):
        figure = draw_geometry(shown)
        FigureCanvasAgg(figure).draw()
    _, _, training, on_test = figure.axes
    assert [line.get_ydata().tolist() for line in training.lines] == [
        pytest.approx([0.87, 0.86, 0.79, 0.79])
    ] * 2
    assert [line.get_ydata().tolist() for line in on_test.lines] == [
        pytest.approx([0.77, 0.76, 0.69, 0.69])
    ] * 2


def test_a_table_from_before_energies_were_counted_is_read(tmp_path):
    write_csv_table(tmp_path / "geometry.csv", curve().drop(columns=["energy_of", "energy"]))
    assert read_geometry(tmp_path / "geometry.csv")["energy"].isna().all()
