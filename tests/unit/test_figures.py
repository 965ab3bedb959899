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

from latentgen.errors import LatentgenError
from latentgen.figures import averages, making, measured, panels, styles
from latentgen.figures import material as materials
from latentgen.figures.curves import draw_curve
from latentgen.figures.difference import difference_table
from latentgen.figures.dynamics import dynamics_table
from latentgen.study.config import read_study
from latentgen.study.figure_kinds import FIGURES
from latentgen.tables.columns import ACCURACY, BESIDE, COSTS
from latentgen.tables.facts import with_facts
from latentgen.tables.gathering import beside_table
from latentgen.tables.published import FIDELITY, NO_CHECKPOINT
from latentgen.tables.reading import write_csv_table, write_parquet

EPOCHS = (0, 1, 2, 4, 6, 8, 10, 20, 30, 50)
TOTAL = {"test": 200, "train": 500}
ELSEWHERE = (
    "edits",
    "edited_layers",
    "initialization",
    "relabel",
    "label_quality",
    "subspaces",
    "geometry",
    "rewind",
    "audit",
    "repair",
    "training",
)
NAMES = [name for name in FIGURES if name not in ELSEWHERE]
"""Figures of test accuracies of runs without intervention; the others have tests of their own."""
CURVES = ("dynamics", "difference", "transfer")
SUBSPACES = ("MASC", "VeLPIC")
OTHERS = ("logistic", "KNN", "LDA", "RidgeClassifier", "MASC-0.25", "MASC-1pc")
"""Probes of which logistic regression is fitted at every checkpoint, the others at the ends."""


def accuracy(
    ps: tuple[float, ...] = (0.0, 0.4),
    layers: tuple[str, ...] = ("fc1", "conv2"),
    stops: tuple[int, ...] = (50, 40, 45),
    kept: bool = True,
    others: bool = False,
) -> pd.DataFrame:
    """Make the counts of runs on two splits; seed k stops at `stops[k]`, which is a checkpoint of its own.

    With `others` there are the other probes too, and the control with permuted labels.
    """
    rows: list[dict[str, Any]] = []
    for p, (seed, stop) in itertools.product(ps, enumerate(stops, 1)):
        for epoch in [*(e for e in EPOCHS if e < stop), stop]:
            due = SUBSPACES + (OTHERS if epoch in (0, stop) else OTHERS[:1]) * others
            fits = ("corrupted", "permuted")[: 1 + others]
            series = [("model", "readout", "test", "corrupted"), ("model", "readout", "train", "corrupted")]
            series += [(probe, layer, "test", fit) for layer in layers for probe in due for fit in fits]
            series += [
                (f"transfer-{bias}", "readout", "test", "corrupted") for bias in ("zero", "kept")[: 1 + kept]
            ]
            for place, (probe, layer, split, fit) in enumerate(series):
                # Any numbers do, if they differ between all that must not be mixed up.
                value = 0.5 + 0.4 * math.sin(place + 7 * p + 1.3 * seed * (1 + place % 3) + math.log1p(epoch))
                rows.append(
                    {
                        "run": f"digits-mlp-symmetric{p:.2f}-seed{seed}", "dataset": "digits", "model": "mlp",
                        "noise": "symmetric", "p": p, "seed": seed, "intervention": "none", "epoch": epoch,
                        "layer": layer, "probe": probe, "fit_labels": fit, "split": split,
                        "eval_labels": "true" if split == "test" else "corrupted",
                        "correct": round(value * TOTAL[split]), "total": TOTAL[split],
                    }
                )  # fmt: skip
    return with_facts(pd.DataFrame(rows)).reindex(columns=list(ACCURACY)).astype(ACCURACY)


def costs(layers: tuple[str, ...] = ("fc1", "conv2")) -> pd.DataFrame:
    """Make costs of three runs."""
    rows = [
        {
            "run": f"digits-mlp-symmetric0.40-seed{seed}", "dataset": "digits", "model": "mlp",
            "noise": "symmetric", "p": 0.4, "seed": seed, "intervention": "none", "epoch": 50,
            "layer": layer, "width": 100 * (1 + place), "probe": probe, "fit_items": 500,
            "predict_items": 200, "fit_seconds": seed * (1 + rank), "fit_flops": 1e6 * (1 + rank),
            "fit_bytes": 1000, "predict_seconds": 0.1 * seed, "predict_flops": 1e4, "predict_bytes": 2000,
            "device": "cpu", "threads": 1,
        }
        for seed in (1, 2, 3)
        for place, layer in enumerate(layers)
        for rank, probe in enumerate((*SUBSPACES, *OTHERS))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COSTS)).astype(COSTS)


def published(counts: pd.DataFrame, **change: Any) -> pd.DataFrame:
    """Make papers’ numbers of ours: one run, three points less, at its epochs; the last ones are ends."""
    ours = counts[(counts["seed"] == 1) & (counts["fit_labels"] == "corrupted")]
    last = ours["epoch"] == ours.groupby("run")["epoch"].transform("max")
    theirs = ours["correct"] / ours["total"] - 0.03
    cells = ours.assign(theirs=theirs, their_runs=1, their_epoch=ours["epoch"], final=last, why_not="")
    return cells.reindex(columns=list(FIDELITY)).assign(**change)


def material(counts: pd.DataFrame, **more: Any) -> materials.Material:
    """Make what figures are drawn from, with another study of the same counts."""
    shown = materials.select(counts, "digits", "mlp")
    names = tuple(styles.probed_layers(shown))
    other = beside_table(shown, {"study": "twin", "protocol": "published"})
    return materials.Material(shown, **({"cost": costs(names), "other": other} | more))


def draw(
    name: str, counts: pd.DataFrame, chance: float | None = 0.1, **more: Any
) -> tuple[Figure, pd.DataFrame]:
    kind = FIGURES[name]
    table = kind.table(material(counts, **more))
    with matplotlib.rc_context(fname=str(making.STYLE)):
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
    table = dynamics_table(materials.Material(materials.select(counts, "digits", "mlp")))
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
    table = difference_table(materials.Material(materials.select(counts, "digits", "mlp")))
    row = table.query("p == 0.4 and layer == 'conv2' and epoch == 10").iloc[0]
    where = {"p": 0.4, "layer": "conv2", "split": "test"}
    velpic, masc = (plain_mean(counts, probe=probe, **where)[10] for probe in ("VeLPIC", "MASC"))
    interval = stats.ttest_rel(velpic, masc).confidence_interval()
    assert row[["mean", "low", "high"]].tolist() == pytest.approx(
        [np.mean(velpic) - np.mean(masc), interval.low, interval.high]
    )


def test_velpic_is_compared_with_masc_of_one_component_where_that_was_counted() -> None:
    counts = accuracy()
    velpic = (counts["probe"] == "VeLPIC") & (counts["split"] == "test")
    less = counts["correct"].where(velpic) - 1
    same = (counts["total"] - counts["epoch"] % 7).where(velpic)
    figure, table = draw("difference", counts.assign(one_component_correct=less, one_component_equal=same))
    rows = table[table["reference"] == "MASC-1pc"]
    assert set(rows["layer"]) == {"fc1", "conv2"}
    assert rows["mean"].tolist() == pytest.approx([1 / 200] * len(rows))
    assert rows["equal"].tolist() == pytest.approx([194 / 200] * len(rows))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["same class for at least 97.0 % of examples"] * 2


@pytest.mark.parametrize("name", CURVES)
def test_every_line_and_band_is_the_table(name: str) -> None:
    figure, table = draw(name, accuracy())
    panels = [(p, None) for p in (0.0, 0.4)]
    if name == "dynamics":
        panels = [(p, probe) for probe in SUBSPACES for p in (0.0, 0.4)]
    for (p, probe), axes in zip(panels, figure.axes, strict=True):
        of_panel = table[(table["p"] == p) & (table["probe"].isin(["model", probe]) if probe else True)]
        expected = [curve for _, curve in of_panel.groupby(averages.CURVE, sort=False)]
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


def test_one_seed_has_the_interval_of_its_examples() -> None:
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
    counts = accuracy(layers=("fc1", "conv2", "avgpool"), others=True)
    seen: dict[str, set[Any]] = {}
    for name in (*CURVES, "final", "sensitivity", "protocols"):
        for handle in draw(name, counts)[0].legends[0].legend_handles:
            label = str(handle.get_label()).removeprefix("VeLPIC probe of ")
            if isinstance(handle, Line2D):
                seen.setdefault(label, set()).add(to_rgb(handle.get_color()))
    assert {label for label, colors in seen.items() if len(colors) > 1} == set()
    layers = [next(iter(seen[layer])) for layer in ("fc1", "conv2", "avgpool")]
    grey = [np.dot(color, (0.299, 0.587, 0.114)) for color in layers]
    assert np.diff(grey).min() > 0.1, "layers differ in grey too, and get lighter from the first to the last"


def test_chance_is_drawn_only_if_known() -> None:
    assert "chance (10 %)" in labels(draw("dynamics", accuracy())[0])
    assert not any("chance" in label for label in labels(draw("dynamics", accuracy(), chance=None)[0]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n_ps", "n_layers", "n_seeds"), [(1, 1, 1), (8, 9, 1), (6, 3, 3)])
def test_nothing_overlaps_whatever_the_size(name: str, n_ps: int, n_layers: int, n_seeds: int) -> None:
    counts = accuracy(
        ps=tuple(np.round(np.linspace(0, 1, n_ps), 2)),
        layers=tuple(f"dropout{i}" for i in range(n_layers)),
        stops=(50, 40, 45)[:n_seeds],
        others=True,
    )
    figure, _ = draw(name, counts, published=published(counts))
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
    for name in NAMES:
        figure, _ = draw(name, accuracy())
        scales = 3 if name == "cost" else 1  # seconds, operations and bytes
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == scales


def test_epoch_ticks_are_few_enough_to_read() -> None:
    assert panels.epoch_ticks(50, width=5) == ([0, 1, 2, 5, 10, 20, 50], [])
    labelled, others = panels.epoch_ticks(120, width=0.8)
    assert {0, 10, 100} <= set(labelled)
    assert sorted(labelled + others) == [0, 1, 2, 5, 10, 20, 50, 100]


def test_a_curve_without_intervals_has_no_band() -> None:
    """An empty band has no position, and matplotlib's layout then warns of invalid values."""
    axes = Figure().subplots()
    curve = pd.DataFrame({"epoch": [0.0, 50.0], "mean": [90.0, 80.0], "low": math.nan, "high": math.nan})
    draw_curve(axes, curve, styles.Style("fc1", "black", "o"), rank=0, alpha=0.1)
    draw_curve(axes, curve.assign(low=70.0, high=95.0), styles.Style("fc2", "red", "o"), rank=1, alpha=0.1)
    assert len(axes.lines) == 2
    assert len(axes.collections) == 1


def test_only_the_runs_asked_for_are_shown() -> None:
    counts = accuracy()
    others = [
        counts.assign(correct=0, **change)
        for change in (
            {"dataset": "mnist"}, {"model": "cnn"}, {"noise": "asymmetric"},
            {"intervention": "edit40"}, {"fit_labels": "true"},
        )
    ]  # fmt: skip
    for kind in (FIGURES[name] for name in NAMES):
        mixed = kind.table(material(pd.concat([*others, counts])))
        pd.testing.assert_frame_equal(mixed, kind.table(material(counts)))


def test_a_pair_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(LatentgenError, match="no run of mnist mlp symmetric; it has digits mlp symmetric"):
        materials.select(accuracy(), "mnist", "mlp")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_of_probes_that_are_not_there_is_refused(name: str, tmp_path: Path) -> None:
    model = material(accuracy().query("probe == 'model'"), cost=costs().head(0))
    with pytest.raises(LatentgenError, match=f"no probe of digits mlp symmetric that the figure {name}"):
        making.make_figure(model, tmp_path / name, **FIGURES[name].code)


def test_more_layers_than_markers_are_all_drawn() -> None:
    names = tuple(f"block{i}" for i in range(2 * len(styles.MARKERS) + 1))
    assert set(names) <= set(labels(draw("dynamics", accuracy(ps=(0.4,), layers=names))[0]))


SCRIPT = """
import sys
from latentgen.figures.material import read_material
from latentgen.figures.making import make_figure
from latentgen.study.figure_kinds import FIGURES
material = read_material(sys.argv[1], "digits", "mlp", compared=True)
for name in sys.argv[3:]:
    make_figure(material, f"{sys.argv[2]}/{name}-0.4", n_classes=10, **FIGURES[name].code)
assert not {"torch", "sklearn", "snakemake"} & set(sys.modules)
"""


def test_files_are_the_same_bytes_each_time_and_need_no_torch(tmp_path: Path) -> None:
    counts = accuracy(ps=(0.4,), others=True)
    write_parquet(tmp_path / "accuracy.parquet", counts, ACCURACY)
    twin = beside_table(counts, {"study": "twin", "protocol": "published"})
    write_parquet(tmp_path / "beside.parquet", twin, BESIDE)
    write_csv_table(tmp_path / "fidelity.csv", published(counts))
    write_csv_table(tmp_path / "cost.csv", costs())
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\n")
    runs = {
        "a": {"PYTHONHASHSEED": "1"},
        "b": {"PYTHONHASHSEED": "2", "MATPLOTLIBRC": str(tmp_path), "TZ": "Asia/Tokyo"},
    }
    for name, settings in runs.items():
        (tmp_path / name).mkdir()
        subprocess.run(
            [sys.executable, "-c", SCRIPT, tmp_path, tmp_path / name, *NAMES],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings,
            check=True,
        )
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(f"{name}-0.4.{kind}" for name in NAMES for kind in ("csv", "pdf", "png"))
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
    expected = dynamics_table(
        materials.Material(materials.select(counts, "digits", "mlp"), published(counts))
    )
    pd.testing.assert_frame_equal(plotted, expected)


def test_the_style_file_given_is_the_one_used(tmp_path: Path) -> None:
    style = tmp_path / "other.mplstyle"
    style.write_text(making.STYLE.read_text() + "\nlines.markersize: 9\n")
    for name, given in (("a", making.STYLE), ("b", style)):
        making.make_figure(material(accuracy()), tmp_path / name, style=given, **FIGURES["final"].code)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_probes_have_a_row_where_they_were_fitted_at_every_checkpoint() -> None:
    counts = accuracy(others=True)
    assert averages.probes_at_every_checkpoint(counts) == ["MASC", "VeLPIC", "logistic"]
    figure, _ = draw("dynamics", counts)
    assert [axes.get_ylabel().split()[0] for axes in figure.axes[::2]] == ["MASC", "VeLPIC", "logistic"]
    figure, table = draw("difference", counts)
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes[::2]] == [
        "VeLPIC − MASC", "MASC − logistic", "VeLPIC − logistic",
    ]  # fmt: skip
    ends = table[(table["layer"] == "fc1") & (table["p"] == 0.4) & table["final"]]
    by_two = ends.set_index(["probe", "reference"])["mean"]
    assert by_two["VeLPIC", "MASC"] + by_two["MASC", "logistic"] == pytest.approx(
        by_two["VeLPIC", "logistic"]
    )
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_the_control_is_the_range_over_the_layers() -> None:
    counts = accuracy(others=True, layers=("fc1", "conv2", "avgpool"))
    figure, table = draw("dynamics", counts)
    where = {"p": 0.4, "probe": "MASC", "fit_labels": "permuted"}
    by_layer = [
        np.mean(plain_mean(counts, layer=layer, **where)[10]) for layer in ("fc1", "conv2", "avgpool")
    ]
    band = table.query("p == 0.4 and probe == 'MASC' and fit_labels == 'permuted' and epoch == 10").iloc[0]
    assert (band["low"], band["high"]) == pytest.approx((min(by_layer), max(by_layer)))
    assert band["mean"] == pytest.approx(np.mean(by_layer))
    assert "control: permuted labels" in labels(figure)
    assert not any("control" in label for label in labels(draw("dynamics", accuracy())[0]))
    for name in ("final", "sensitivity"):
        assert "control: permuted labels" in labels(draw(name, counts)[0])


def test_the_papers_curves_are_thin_and_of_the_same_colour() -> None:
    counts = accuracy(others=True)
    theirs = published(counts)
    figure, _ = draw("dynamics", counts, published=theirs)
    axes = figure.axes[1]
    assert axes.get_title() == "p = 0.4"
    where = "p == 0.4 and probe == 'MASC' and layer == 'fc1' and ~final"
    cells = theirs.query(where)
    (thin,) = [
        line for line in axes.lines if np.array_equal(line.get_xydata(), cells[["their_epoch", "theirs"]])
    ]
    (look,) = [h for h in figure.legends[0].legend_handles if h.get_label() == "fc1"]
    assert to_rgb(thin.get_color()) == to_rgb(look.get_color())
    assert thin.get_linewidth() < look.get_linewidth()
    assert thin.is_dashed()
    assert "the papers’ numbers" in labels(figure)
    assert "the papers’ numbers" not in labels(draw("dynamics", counts)[0])


def test_the_papers_curves_say_so_where_they_follow_another_protocol() -> None:
    counts = accuracy(others=True)
    why = "their protocol differs: training.shuffle: true here, false there"
    theirs = published(counts, why_not=why)
    kept = materials.comparable(theirs.assign(dataset="digits"), "digits", "mlp")
    assert len(kept) == len(theirs)
    for name in ("dynamics", "final", "transfer", "sensitivity"):
        figure, table = draw(name, counts, published=theirs)
        assert set(table["source"]) == {"ours", "published protocol"}, name
        assert "the papers’ numbers (published protocol)" in labels(figure)
        same, _ = draw(name, counts, published=published(counts))
        assert "the papers’ numbers" in labels(same)
        lines, others = ([len(axes.lines) for axes in one.axes] for one in (figure, same))
        assert lines == others


def test_only_what_can_be_compared_is_drawn_beside_ours() -> None:
    cells = pd.concat(
        [
            published(accuracy(stops=(1,)), why_not=why)
            for why in ("", np.nan, NO_CHECKPOINT, "the layer is not probed")
        ]
    )
    kept = materials.comparable(cells, "digits", "mlp")
    assert len(kept) == 0.75 * len(cells)
    assert set(kept["why_not"].fillna("")) == {"", NO_CHECKPOINT}
    assert materials.comparable(cells.assign(intervention="velpic_at_40"), "digits", "mlp").empty


@pytest.mark.parametrize("name", ["untrained", "probes"])
def test_every_bar_whisker_and_mark_is_the_table(name: str) -> None:
    counts = accuracy(others=True)
    figure, _ = draw(name, counts, published=published(counts))
    stop = {1: 50, 2: 40, 3: 45}
    kinds, layers = ["MASC", "VeLPIC", "logistic", "KNN", "LDA", "RidgeClassifier"], ["fc1", "conv2"]
    for p, axes in zip((0.0, 0.4), figure.axes, strict=True):
        heights = {}
        for container, kind in zip(axes.containers, kinds, strict=True):
            for bar, layer in zip(container, layers, strict=True):
                assert to_rgb(bar.get_facecolor()) == to_rgb(styles.probe_styles(kinds)[kind].color)
                heights[kind, layer] = (bar.get_height(), bar.get_x() + bar.get_width() / 2)
        rows = counts[(counts["p"] == p) & (counts["split"] == "test")]
        at_end = rows[rows["epoch"] == rows["seed"].map(stop)]
        shown = rows[rows["epoch"] == 0] if name == "untrained" else at_end
        whiskers = [s for lines in axes.collections for s in lines.get_segments() if np.ptp(s[:, 0]) == 0]
        for (kind, layer), (height, centre) in heights.items():
            one = shown[(shown["probe"] == kind) & (shown["layer"] == layer)]
            shares = (one["correct"] / one["total"])[one["fit_labels"] == "corrupted"]
            assert height == pytest.approx(shares.mean())
            (whisker,) = [s for s in whiskers if abs(s[0, 0] - centre) < 1e-6]
            interval = stats.t.interval(0.95, 2, shares.mean(), stats.sem(shares))
            np.testing.assert_allclose(whisker[:, 1], interval)
        crosses = next(line for line in axes.lines if line.get_marker() == "x")
        control = shown[(shown["fit_labels"] == "permuted") & shown["probe"].isin(kinds)]
        means = (control["correct"] / control["total"]).groupby([control["probe"], control["layer"]]).mean()
        assert sorted(crosses.get_ydata()) == pytest.approx(sorted(means))
        circles = [line for line in axes.lines if line.get_marker() == "o"]
        assert len(circles) == (name == "probes")
    assert ("control: untrained network" in labels(figure)) == (name == "probes")
    assert ("the papers’ numbers" in labels(figure)) == (name == "probes")


def test_fractions_of_variance_are_in_order() -> None:
    figure, table = draw("sensitivity", accuracy(others=True))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["1 pc", ".25", ".99"]
    rows = table.query("p == 0.4 and layer == 'fc1' and fit_labels == 'corrupted'").sort_values("place")
    assert rows["probe"].tolist() == ["MASC-1pc", "MASC-0.25", "MASC"]
    line = figure.axes[1].containers[0][0]
    np.testing.assert_allclose(line.get_ydata(orig=False), rows["mean"])
    more = accuracy(others=True).replace({"probe": {"MASC-1pc": "MASC-10pc", "MASC-0.25": "MASC-2pc"}})
    figure, table = draw("sensitivity", with_facts(more))
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["2 pc", "10 pc", ".99"]
    assert set(table["probe"]) == {"MASC-2pc", "MASC-10pc", "MASC"}


def test_two_studies_are_drawn_on_what_both_have() -> None:
    counts = accuracy(ps=(0.0, 0.4, 0.8), others=True)
    less = counts[(counts["p"] > 0) & (counts["probe"] != "MASC")].assign(noise="symmetric_published")
    twin = beside_table(less, {"study": "twin", "protocol": "published"})
    other = materials.other_study(twin, "digits", "mlp", "symmetric")
    figure, table = draw("protocols", counts, other=other)
    assert set(table["p"]) == {0.4, 0.8}
    assert set(table["probe"]) == {"model", "VeLPIC", "logistic"}
    assert set(table["layer"]) == {"readout", "conv2"}
    assert {"this study", "twin (published protocol)"} <= set(labels(figure))
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for axes in figure.axes:
        ours, theirs = curves(axes)
        np.testing.assert_array_equal(ours.get_xydata(), theirs.get_xydata())
        assert to_rgb(ours.get_color()) == to_rgb(theirs.get_color())
        assert (ours.is_dashed(), theirs.is_dashed()) == (False, True)


def test_costs_of_nothing_are_left_out() -> None:
    dead = costs()
    of_masc = (dead["probe"] == "MASC") & (dead["layer"] == "fc1")
    dead.loc[of_masc, "predict_flops"] = 0.0
    dead.loc[(dead["probe"] == "VeLPIC") & (dead["seed"] == 1), "predict_flops"] = 0.0
    figure, _ = draw("cost", accuracy(others=True), cost=dead)
    flops = figure.axes[4]
    assert flops.get_ylim()[0] > 0
    drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in flops.lines])
    drawn = drawn[np.isfinite(drawn)]
    assert drawn == pytest.approx([1e4] * len(drawn))
    assert len(drawn) == 2 * 6 - 1, "six probes on two layers, but for MASC on fc1"


def test_only_the_time_is_drawn_of_probes_without_a_formula() -> None:
    own = costs()[costs()["probe"] == "RidgeClassifier"]
    unknown = [f"{step}_{measure}" for step in ("fit", "predict") for measure in ("flops", "bytes")]
    figure, _ = draw("cost", accuracy(), cost=own.assign(**dict.fromkeys(unknown, math.nan)))
    assert [axes.get_ylabel() for axes in figure.axes] == ["seconds"] * 2


def test_costs_are_medians_with_their_range() -> None:
    figure, table = draw("cost", accuracy(others=True))
    seconds = table.query("probe == 'VeLPIC' and layer == 'fc1' and step == 'fit' and measure == 'seconds'")
    assert seconds[["median", "low", "high", "runs"]].to_numpy().tolist() == [[4, 2, 6, 3]]
    assert set(table["probe"]) == {*SUBSPACES, *OTHERS} - {"MASC-0.25", "MASC-1pc"}
    assert [axes.get_yscale() for axes in figure.axes] == ["log"] * 6
    for column in range(3):
        assert figure.axes[column].get_ylim() == figure.axes[column + 3].get_ylim()


def with_pools(**more: Any) -> pd.DataFrame:
    """Make counts of a network with blocks of tokens, of which two pools are probed."""
    layers = ("input", "blocks.0:cls", "blocks.0:mean", "blocks.1:cls", "blocks.1:mean", "readout_input")
    return accuracy(layers=layers, **more)


def test_depth_shows_the_end_the_peak_and_both_controls_by_pool() -> None:
    counts = with_pools()
    figure, table = draw("depth", counts)
    assert table["module"].unique().tolist()[1:] == ["input", "blocks.0", "blocks.1", "readout_input"]
    for probe, p, layer in itertools.product(SUBSPACES, (0.0, 0.4), ("blocks.0:cls", "readout_input")):
        rows = table[(table["probe"] == probe) & (table["p"] == p) & (table["layer"] == layer)]
        means = rows.set_index("moment")["mean"]
        values = plain_mean(counts, p=p, probe=probe, layer=layer)
        at_end = np.mean([values[stop][0] for stop in (40, 45, 50)])
        common = [np.mean(of_seeds) for of_seeds in values.values() if len(of_seeds) == 3]
        assert means["final"] == pytest.approx(at_end)
        assert means["peak"] == pytest.approx(max([*common, at_end]))
        assert means["untrained"] == pytest.approx(np.mean(values[0]))
    panel = figure.axes[1]  # MASC at p = 0.4
    blue = [bars[0].get_ydata().tolist() for bars in panel.containers if bars[0].get_color() == "#0072b2"]
    final = table.query("probe == 'MASC' and p == 0.4 and moment == 'final' and place == place")
    expected = [line.sort_values("place")["mean"].tolist() for _, line in final.groupby("pool", sort=False)]
    assert sorted(blue) == sorted(expected)
    assert len(blue) == 3, "first token, mean, and the readout's input"
    assert {"raw input", "untrained network", "line: first token", "line: mean"} <= set(labels(figure))
    raw = table.query("probe == 'MASC' and p == 0.4 and module == 'input' and moment == 'final'")[
        "mean"
    ].item()
    (level,) = [line for line in panel.lines if set(line.get_ydata()) == {raw}]
    assert level.get_color() == styles.INPUT_STYLE.color, "a control looks the same in all figures"


def test_the_heat_map_is_its_table() -> None:
    figure, table = draw("heatmap", with_pools())
    panel = figure.axes[3]  # VeLPIC at p = 0.4
    (mesh,) = panel.collections
    cells = table[(table["p"] == 0.4) & table["probe"].isin(["model", "VeLPIC"])]
    expected = cells.set_index(["place", "epoch"])["mean"].sort_index().to_numpy().reshape(7, -1)
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(expected.shape), expected)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [
        "input", "blocks.0:cls", "blocks.0:mean", "blocks.1:cls", "blocks.1:mean", "readout input", "model",
    ]  # fmt: skip


def test_figures_by_depth_are_usual_for_networks_of_today(study: dict[str, Any]) -> None:
    assert not {"depth", "heatmap"} & set(read_study(study).figures)
    study["pairs"][0]["model"]["layers"] = [{"match": "fc*", "pool": ["mean"]}]
    assert {"depth", "heatmap"} <= set(read_study(study | {"transfer": None}).figures)
    assert read_study(study | {"transfer": None, "figures": ["depth"]}).figures == ("depth",)


def test_all_networks_of_a_study_stand_side_by_side_with_a_layer_chosen_without_test_labels() -> None:
    counts = accuracy()
    train = counts[counts["probe"].isin(SUBSPACES)].assign(split="train", eval_labels="true", total=500)
    train["correct"] = np.where(train["layer"] == "conv2", 400, 300)  # whatever the test images say
    both = pd.concat([counts, train])
    others = both.assign(model="vit", correct=lambda rows: rows["correct"] // 2)
    kind = FIGURES["architectures"]
    table = kind.table(material(counts, study_runs=pd.concat([both, others])))
    assert table[["model", "place"]].drop_duplicates().to_numpy().tolist() == [["mlp", 0], ["vit", 1]]
    untrained = {"MASC untrained", "VeLPIC untrained"}
    assert set(table["what"]) == {"peak", "end", "MASC", "VeLPIC", "transfer-zero"} | untrained
    assert set(table.loc[table["what"].isin(SUBSPACES), "layer"]) == {"conv2"}
    row = table[(table["model"] == "mlp") & (table["what"] == "VeLPIC") & (table["p"] == 0.4)]
    values = plain_mean(counts, p=0.4, probe="VeLPIC", layer="conv2", split="test")
    assert row["mean"].item() == pytest.approx(np.mean([values[stop][0] for stop in (40, 45, 50)]))
    figure = kind.draw(table, 0.1)
    panel = figure.axes[1]
    drawn = {(bars[0].get_marker(), round(x, 9)) for bars in panel.containers for x in bars[0].get_xdata()}
    of_panel = table[table["p"] == 0.4]
    assert len(drawn) == len(of_panel) == 14
    assert {x for _, x in drawn} == {round(x, 9) for x in of_panel["mean"]}
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["mlp", "vit"]


def test_networks_stand_beside_early_stopping_the_raw_input_and_the_untrained_network() -> None:
    counts = accuracy(layers=("input", "fc1", "fc2"))
    held_out = counts[counts["split"] == "test"].assign(split="held_out", eval_labels="corrupted", total=100)
    held_out["correct"] = np.where(held_out["layer"] == "fc2", 50, 40)
    held_out.loc[held_out["layer"] == "input", "correct"] = 90  # a control is not chosen
    held_out.loc[(held_out["probe"] == "model") & (held_out["epoch"] == 10), "correct"] = 60
    kind = FIGURES["architectures"]
    table = kind.table(material(counts, study_runs=pd.concat([counts, held_out])))
    untrained = {"MASC untrained", "VeLPIC untrained"}
    assert (
        set(table["what"])
        == {"peak", "stopped", "end", "input", "MASC", "VeLPIC", "transfer-zero"} | untrained
    )
    of_p = table[table["p"] == 0.4].set_index("what")
    assert set(of_p.loc[[*SUBSPACES, *untrained], "layer"]) == {"fc2"}
    assert of_p["epoch"]["stopped"] == 10
    for what, probe, layer, epoch in (
        ("stopped", "model", "readout", 10),
        ("VeLPIC untrained", "VeLPIC", "fc2", 0),
    ):
        values = plain_mean(counts, p=0.4, probe=probe, layer=layer, split="test")[epoch]
        assert of_p["mean"][what] == pytest.approx(np.mean(values))
    assert of_p["layer"]["input"] == "input"
    texts = [text.get_text() for text in kind.draw(table, 0.1).legends[0].get_texts()]
    assert "model stopped early by held-out noisy labels" in texts
    assert "control: that layer, untrained" in texts


def test_one_figure_is_of_the_whole_study(study: dict[str, Any]) -> None:
    study["pairs"].append(study["pairs"][0] | {"model": {"architecture": "CNN"}})
    names = list(read_study(study | {"figures": ["architectures", "depth"]}).drawings)
    assert names == ["architectures", "depth-digits-mlp", "depth-digits-cnn"]


def test_the_raw_input_looks_the_same_whatever_else_is_drawn_and_change_no_other_style():
    without = styles.curve_styles(accuracy(layers=("fc1", "fc2")))
    with_input = styles.curve_styles(accuracy(layers=("input", "fc1", "fc2")))
    alone = styles.curve_styles(accuracy(layers=("input", "fc1")))
    raw = {key: style for key, style in with_input.items() if key[1] == "input"}
    assert {key: style for key, style in with_input.items() if key not in raw} == without
    assert {style.label for style in raw.values()} == {"raw input"}
    assert raw == {key: style for key, style in alone.items() if key[1] == "input"}
    assert list(dict.fromkeys(key[1] for key in with_input)) == ["readout", "input", "fc1", "fc2"]


def with_training(counts: pd.DataFrame) -> pd.DataFrame:
    """Add counts of training examples, all, redrawn and untouched, to those of the test set."""
    test = counts[(counts["split"] == "test") & (counts["fit_labels"] == "corrupted")]
    parts = [counts]
    kinds = [("train", "true", 0.9), ("train_redrawn", "corrupted", 0.7), ("train_redrawn", "true", 0.5)]
    for split, of, factor in [*kinds, ("train_untouched", "true", 0.3), ("train", "corrupted", 0.6)]:
        rows = test.assign(split=split, eval_labels=of, correct=(factor * test["correct"]).astype("int64"))
        if (split, of) == ("train", "corrupted"):
            rows = rows[rows["probe"] != "model"]
        parts.append(rows if split == "train" else rows[rows["p"] > 0])
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("name", "probes"), [("training", SUBSPACES), ("transfer", (None,))])
def test_training_examples_have_a_row_of_panels_for_each_kind(name: str, probes: tuple[str | None]) -> None:
    counts = with_training(accuracy())
    figure, table = draw(name, counts)
    kinds = [*measured.TRAINING] if name == "training" else [*measured.TEST, *measured.TRAINING]
    rows = [(probe, kind, p) for probe in probes for kind in kinds for p in (0.0, 0.4)]
    for (probe, (split, of), p), axes in zip(rows, figure.axes, strict=True):
        where = (table["split"] == split) & (table["eval_labels"] == of) & (table["p"] == p)
        where &= table["probe"].isin(["model", probe]) if probe else True
        expected = [curve for _, curve in table[where].groupby(averages.CURVE, sort=False)]
        assert bool(expected) is (p > 0 or not split.startswith("train_"))
        drawn = [line.get_xydata() for line in curves(axes)]
        assert len(drawn) == len(expected)
        for curve, line in zip(expected, drawn, strict=True):
            np.testing.assert_array_equal(line, curve[["epoch", "mean"]])
        assert [text.get_text() for text in axes.texts] == ([] if expected else ["none redrawn"])
    assert "model" in labels(figure)


def test_the_papers_transfer_on_training_examples_is_drawn_as_transfer_and_as_velpic() -> None:
    counts = with_training(accuracy())
    theirs = published(counts)
    theirs = theirs[theirs["probe"] == "transfer-zero"]
    for name, probe, layer in (("transfer", "transfer-zero", "readout"), ("training", "VeLPIC", "conv2")):
        _, table = draw(name, counts, published=theirs)
        drawn = table[(table["source"] == "published") & (table["split"] == "train")]
        assert set(drawn["eval_labels"]) == {"corrupted", "true"}
        assert set(drawn[["probe", "layer"]].itertuples(index=False, name=None)) == {(probe, layer)}
        along = theirs[(theirs["split"] == "train") & ~theirs["final"]]
        assert sorted(drawn["mean"]) == pytest.approx(sorted(along["theirs"]))
