"""The figures: what is drawn is the table, the table is the seeds' mean, the files are the same each time."""

import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from scipy import stats

from latentgen import figures
from latentgen.errors import LatentgenError
from latentgen.tables import ACCURACY, write_parquet

EPOCHS = (0, 1, 2, 4, 6, 8, 10, 20, 30, 50)
TOTAL = {"test": 200, "train": 500}
CURVES = ("dynamics", "difference", "transfer")


def accuracy(
    ps: tuple[float, ...] = (0.0, 0.4),
    layers: tuple[str, ...] = ("fc1", "conv2"),
    stops: tuple[int, ...] = (50, 40, 45),
    kept: bool = True,
) -> pd.DataFrame:
    """Make the counts of runs on two splits; seed k stops at `stops[k]`, which is a checkpoint of its own."""
    rows: list[dict[str, Any]] = []
    for p, (seed, stop) in itertools.product(ps, enumerate(stops, 1)):
        for epoch in [*(e for e in EPOCHS if e < stop), stop]:
            series = [("model", "readout", "test"), ("model", "readout", "train")]
            series += [(probe, layer, "test") for layer in layers for probe in ("MASC", "VeLPIC")]
            series += [(f"transfer-{bias}", "readout", "test") for bias in ("zero", "kept")[: 1 + kept]]
            for place, (probe, layer, split) in enumerate(series):
                # Any numbers do, if they differ between all that must not be mixed up.
                value = 0.5 + 0.4 * math.sin(place + 7 * p + 1.3 * seed * (1 + place % 3) + math.log1p(epoch))
                rows.append(
                    {
                        "run": f"digits-mlp-symmetric{p:.2f}-seed{seed}", "dataset": "digits", "model": "mlp",
                        "noise": "symmetric", "p": p, "seed": seed, "intervention": "none", "epoch": epoch,
                        "layer": layer, "probe": probe, "fit_labels": "corrupted", "split": split,
                        "eval_labels": "true" if split == "test" else "corrupted",
                        "correct": round(value * TOTAL[split]), "total": TOTAL[split],
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=list(ACCURACY)).astype(ACCURACY)


def draw(name: str, counts: pd.DataFrame, chance: float | None = 0.1) -> tuple[Figure, pd.DataFrame]:
    kind = figures.FIGURES[name]
    table = kind.aggregate(figures.select(counts, "digits", "mlp"))
    with matplotlib.rc_context(fname=str(figures.STYLE)):
        figure = kind.draw(table, chance)
        FigureCanvasAgg(figure).draw()
    return figure, table


def curves(axes: Axes) -> list[Line2D]:
    """Return the lines of a panel that stand for data, and not for chance or zero."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def plain_mean(counts: pd.DataFrame, **where: Any) -> dict[int, list[float]]:
    """Collect the seeds' accuracies by epoch, the slow and plain way."""
    values: dict[int, list[float]] = {}
    for row in counts.to_dict("records"):
        if all(row[name] == value for name, value in where.items()):
            values.setdefault(row["epoch"], []).append(row["correct"] / row["total"])
    return values


def test_means_are_over_all_seeds_and_the_last_point_is_their_ends() -> None:
    counts = accuracy()
    table = figures.dynamics_table(figures.select(counts, "digits", "mlp"))
    where = {"p": 0.4, "probe": "VeLPIC", "layer": "fc1", "split": "test"}
    curve = table[np.logical_and.reduce([table[name] == value for name, value in where.items()])]
    values = plain_mean(counts, **where)
    common = [epoch for epoch, of_seeds in values.items() if len(of_seeds) == 3]
    assert common == list(EPOCHS[:-1]), "40, 45 and 50 are not reached by all"
    assert curve["epoch"].tolist() == [*common, 45], "the mean of 40, 45 and 50"
    ends = [values[stop][0] for stop in (40, 45, 50)]
    samples = [*(values[epoch] for epoch in common), ends]
    assert curve["mean"].tolist() == pytest.approx([np.mean(sample) for sample in samples])
    intervals = [stats.t.interval(0.95, 2, np.mean(sample), stats.sem(sample)) for sample in samples]
    np.testing.assert_allclose(curve[["low", "high"]], intervals)
    assert curve["final"].tolist() == [False] * len(common) + [True]
    assert set(table["seeds"]) == {3}


def test_differences_are_paired_by_seed() -> None:
    counts = accuracy()
    table = figures.difference_table(figures.select(counts, "digits", "mlp"))
    row = table.query("p == 0.4 and layer == 'conv2' and epoch == 10").iloc[0]
    where = {"p": 0.4, "layer": "conv2", "split": "test"}
    velpic, masc = (plain_mean(counts, probe=probe, **where)[10] for probe in ("VeLPIC", "MASC"))
    interval = stats.ttest_rel(velpic, masc).confidence_interval()
    assert row[["mean", "low", "high"]].tolist() == pytest.approx(
        [np.mean(velpic) - np.mean(masc), interval.low, interval.high]
    )


@pytest.mark.parametrize("name", CURVES)
def test_every_line_and_band_is_the_table(name: str) -> None:
    figure, table = draw(name, accuracy())
    panels = [(p, None) for p in (0.0, 0.4)]
    if name == "dynamics":
        panels = [(p, probe) for probe in figures.PROBES for p in (0.0, 0.4)]
    for (p, probe), axes in zip(panels, figure.axes, strict=True):
        of_panel = table[(table["p"] == p) & (table["probe"].isin(["model", probe]) if probe else True)]
        expected = [curve for _, curve in of_panel.groupby(figures.CURVE, sort=False)]
        bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
        for curve, line, band in zip(expected, curves(axes), bands, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), curve[["epoch", "mean"]])
            edge = band.get_paths()[0].vertices
            assert {*edge[:, 1]} == {*curve["low"], *curve["high"]}


@pytest.mark.parametrize("stops", [(50, 40, 45), (50,)], ids=["three seeds", "one seed"])
def test_every_final_point_and_bar_is_the_table(stops: tuple[int, ...]) -> None:
    figure, table = draw("final", accuracy(stops=stops))
    panels = [["MASC"], ["VeLPIC"], ["transfer-zero", "transfer-kept"]]
    for probes, axes in zip(panels, figure.axes, strict=True):
        shown = table[table["probe"].isin(["model", *probes])]
        expected = [curve for _, curve in shown.groupby(["probe", "layer"], sort=False)]
        for curve, bars in zip(expected, axes.containers, strict=True):
            line, _, (bar,) = bars
            np.testing.assert_allclose(line.get_ydata(orig=False), curve["mean"])
            np.testing.assert_allclose(line.get_xdata(orig=False), curve["p"], atol=0.02)
            ends = np.array([segment[:, 1] for segment in bar.get_segments()])
            np.testing.assert_allclose(ends, curve[["low", "high"]])


def test_one_seed_has_the_interval_of_its_items() -> None:
    figure, table = draw("final", accuracy(stops=(50,)))
    row = table.iloc[0]
    interval = stats.binomtest(round(row["mean"] * 200), 200).proportion_ci(method="wilson")
    assert (row["low"], row["high"]) == pytest.approx(interval)
    assert figure.legends[0].get_title().get_text() == "1 seed, bars: 95 % interval (binomial)"


def test_the_number_of_seeds_is_stated() -> None:
    counts = accuracy()
    figure, _ = draw("dynamics", counts)
    assert figure.legends[0].get_title().get_text().startswith("Mean of 3 seeds, bands")
    figure, _ = draw("dynamics", counts[~((counts["p"] == 0.4) & (counts["seed"] > 1))])
    assert figure.legends[0].get_title().get_text().startswith("Mean of 1 to 3 seeds, bands")
    assert [axes.get_title() for axes in figure.axes[:2]] == ["p = 0, 3 seeds", "p = 0.4, 1 seed"]


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_network_without_bias_has_no_transfer_that_keeps_it() -> None:
    for name in ("transfer", "final"):
        assert "transfer, bias kept" in labels(draw(name, accuracy())[0])
        assert "transfer, bias kept" not in labels(draw(name, accuracy(kept=False))[0])


def test_transfer_shows_the_probe_of_the_networks_last_layer() -> None:
    assert "VeLPIC probe of conv2" in labels(draw("transfer", accuracy())[0])


def test_a_layer_looks_the_same_in_every_figure() -> None:
    counts = accuracy(layers=("fc1", "conv2", "avgpool"))
    seen: dict[str, set[Any]] = {}
    for name in figures.FIGURES:
        for handle in draw(name, counts)[0].legends[0].legend_handles:
            label = str(handle.get_label()).removeprefix("VeLPIC probe of ")
            seen.setdefault(label, set()).add(to_rgb(handle.get_color()))
    assert {label for label, colors in seen.items() if len(colors) > 1} == set()
    layers = [next(iter(seen[layer])) for layer in ("fc1", "conv2", "avgpool")]
    grey = [np.dot(color, (0.299, 0.587, 0.114)) for color in layers]
    assert np.diff(grey).min() > 0.1, "layers differ in grey too, and get lighter from the first to the last"


def test_chance_is_drawn_only_if_known() -> None:
    assert "chance (10 %)" in labels(draw("dynamics", accuracy())[0])
    assert not any("chance" in label for label in labels(draw("dynamics", accuracy(), chance=None)[0]))


@pytest.mark.parametrize("name", figures.FIGURES)
@pytest.mark.parametrize(("n_ps", "n_layers", "n_seeds"), [(1, 1, 1), (8, 9, 1), (6, 3, 3)])
def test_nothing_overlaps_whatever_the_size(name: str, n_ps: int, n_layers: int, n_seeds: int) -> None:
    counts = accuracy(
        ps=tuple(np.round(np.linspace(0, 1, n_ps), 2)),
        layers=tuple(f"dropout{i}" for i in range(n_layers)),
        stops=(50, 40, 45)[:n_seeds],
    )
    figure, _ = draw(name, counts)
    assert figure.get_figwidth() == 7.0
    assert len(figure.legends) == 1
    page, legend = figure.bbox, figure.legends[0].get_window_extent()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    for text in texts:
        assert text.get_fontsize() >= 6.5
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= page.x1 + 1 and box.y0 >= -1 and box.y1 <= page.y1 + 1, text  # noqa: PT018
    for axes in figure.axes:
        assert not legend.overlaps(axes.get_tightbbox())
        ticks = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text() and t.get_visible()]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(ticks))
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(titles))


def test_panels_share_their_axes() -> None:
    for name in figures.FIGURES:
        figure, _ = draw(name, accuracy())
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1


def test_epoch_ticks_are_few_enough_to_read() -> None:
    assert figures._epoch_ticks(50, width=5) == ([0, 1, 2, 5, 10, 20, 50], [])
    labelled, others = figures._epoch_ticks(120, width=0.8)
    assert {0, 10, 100} <= set(labelled)
    assert sorted(labelled + others) == [0, 1, 2, 5, 10, 20, 50, 100]


def test_only_the_runs_asked_for_are_shown() -> None:
    counts = accuracy()
    others = [
        counts.assign(correct=0, **change)
        for change in (
            {"dataset": "mnist"}, {"model": "cnn"}, {"noise": "asymmetric"},
            {"intervention": "edit40"}, {"fit_labels": "true"},
        )
    ]  # fmt: skip
    for kind in figures.FIGURES.values():
        mixed = kind.aggregate(figures.select(pd.concat([*others, counts]), "digits", "mlp"))
        pd.testing.assert_frame_equal(mixed, kind.aggregate(figures.select(counts, "digits", "mlp")))


def test_a_pair_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(LatentgenError, match="no run of mnist mlp symmetric; it has digits mlp symmetric"):
        figures.select(accuracy(), "mnist", "mlp")


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_of_probes_that_are_not_there_is_refused(name: str, tmp_path: Path) -> None:
    model = accuracy().query("probe == 'model'")
    with pytest.raises(LatentgenError, match=f"no probe of digits mlp symmetric that the figure {name}"):
        figures.make_figure(name, model, tmp_path / name, dataset="digits", model="mlp")


def test_more_layers_than_markers_are_all_drawn() -> None:
    names = tuple(f"block{i}" for i in range(2 * len(figures._MARKERS) + 1))
    assert set(names) <= set(labels(draw("dynamics", accuracy(ps=(0.4,), layers=names))[0]))


SCRIPT = """
import sys
from latentgen.figures import FIGURES, make_figure
from latentgen.tables import ACCURACY, read_parquet
table = read_parquet(sys.argv[1], ACCURACY)
for name in FIGURES:
    make_figure(name, table, f"{sys.argv[2]}/{name}-0.4", dataset="digits", model="mlp", n_classes=10)
assert not {"torch", "sklearn", "snakemake"} & set(sys.modules)
"""


def test_files_are_the_same_bytes_each_time_and_need_no_torch(tmp_path: Path) -> None:
    counts = accuracy(ps=(0.4,))
    write_parquet(tmp_path / "accuracy.parquet", counts, ACCURACY)
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\n")
    runs = {
        "a": {"PYTHONHASHSEED": "1"},
        "b": {"PYTHONHASHSEED": "2", "MATPLOTLIBRC": str(tmp_path), "TZ": "Asia/Tokyo"},
    }
    for name, settings in runs.items():
        (tmp_path / name).mkdir()
        subprocess.run(
            [sys.executable, "-c", SCRIPT, tmp_path / "accuracy.parquet", tmp_path / name],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings,
            check=True,
        )
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(f"{name}-0.4.{kind}" for name in figures.FIGURES for kind in ("csv", "pdf", "png"))
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    pdf = (tmp_path / "a" / "dynamics-0.4.pdf").read_bytes()
    assert b"/FontFile2" in pdf, "fonts are embedded as TrueType"
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    assert re.search(rb"/MediaBox \[ 0 0 504 ", pdf), "7 inches of 72 points"
    png = (tmp_path / "a" / "dynamics-0.4.png").read_bytes()
    assert int.from_bytes(png[16:20]) == 7 * 300
    plotted = pd.read_csv(tmp_path / "a" / "dynamics-0.4.csv")
    expected = figures.dynamics_table(figures.select(counts, "digits", "mlp"))
    pd.testing.assert_frame_equal(plotted, expected)


def test_the_style_file_given_is_the_one_used(tmp_path: Path) -> None:
    style = tmp_path / "other.mplstyle"
    style.write_text(figures.STYLE.read_text() + "\nlines.markersize: 9\n")
    for name, given in (("a", figures.STYLE), ("b", style)):
        figures.make_figure("final", accuracy(), tmp_path / name, dataset="digits", model="mlp", style=given)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
