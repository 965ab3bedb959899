"""Figures of interventions and of whose labels: what is drawn is the table, and the table the seeds' mean."""

import itertools
import math
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from latentgen.figures.edited_layers import draw_edited_layers, edited_layers_table
from latentgen.figures.edits import draw_edits, edits_table
from latentgen.figures.initialization import draw_initialization, initialization_table
from latentgen.figures.label_quality import draw_label_quality, label_quality_table
from latentgen.figures.making import STYLE
from latentgen.figures.material import Material
from latentgen.figures.relabel import draw_relabel, relabel_table
from latentgen.figures.subspaces import CLEAN, NOISY, TRUE, draw_subspaces, subspaces_table
from latentgen.tables.columns import ACCURACY, LABEL_QUALITY, RELABEL_FACTS
from latentgen.tables.facts import with_facts

SEEDS = (1, 2, 3)
TOTAL = 400
EDITS = ("velpic_at_4", "none_at_4", "velpic_at_8_batch1")
AFRESH = ("early_stop", "relabel_masc_fc2")


def accuracy(interventions: tuple[str, ...] = EDITS + AFRESH) -> pd.DataFrame:
    """Make the counts of a pair: three p, three seeds, and at p = 0.4 all interventions."""
    rows: list[dict[str, Any]] = []

    def add(
        p: float, seed: int, intervention: str, epoch: int, layer: str, probe: str, split: str, labels: str,
        fit: str = "corrupted",
    ) -> None:  # fmt: skip
        # Any numbers do, if they differ between all that must not be mixed up.
        key = (p, seed, intervention, epoch, layer, probe, split, labels, fit)
        share = 0.5 + 0.4 * math.sin(sum(place * ord(char) for place, char in enumerate(str(key))))
        name = "" if intervention == "none" else f"-{intervention}"
        rows.append(
            {
                "run": f"mnist-mlp-symmetric{p:.2f}-seed{seed}{name}", "dataset": "mnist", "model": "mlp",
                "noise": "symmetric", "p": p, "seed": seed, "intervention": intervention, "epoch": epoch,
                "layer": layer, "probe": probe, "fit_labels": fit, "split": split, "eval_labels": labels,
                "correct": round(share * TOTAL), "total": TOTAL,
            }
        )  # fmt: skip

    for p, seed in itertools.product((0.0, 0.4, 0.8), SEEDS):
        for intervention in ("none", *(interventions if p == 0.4 else ())):
            start = int(intervention.split("_")[2]) if "_at_" in intervention else 0
            for epoch in (0, 4, 8, 12, *([30] if intervention == "none" else [])):
                if epoch < start:
                    continue
                for split, labels in (
                    ("test", "true"), ("test_rest", "true"), ("train_untouched", "true"),
                    *((("train_redrawn", "true"), ("train_redrawn", "corrupted")) if p else ()),
                ):  # fmt: skip
                    add(p, seed, intervention, epoch, "readout", "model", split, labels)
                if intervention in AFRESH:
                    continue
                for layer, probe, fit in itertools.product(
                    ("fc1", "fc2"), ("MASC", "VeLPIC"), ("corrupted", "true", "permuted")
                ):
                    add(p, seed, intervention, epoch, layer, probe, "test", "true", fit)
                    if (p, intervention, epoch, fit) == (0, "none", 30, "corrupted"):
                        for other in ("corrupted0.40", "corrupted0.80"):
                            add(p, seed, intervention, epoch, layer, probe, "test", "true", other)
    return with_facts(pd.DataFrame(rows)).reindex(columns=list(ACCURACY)).astype(ACCURACY)


COUNTS = accuracy()


def material(counts: pd.DataFrame) -> Material:
    """Make what figures are drawn from."""
    return Material(counts, all_runs=counts)


def shares(counts: pd.DataFrame | None = None, **where: Any) -> list[float]:
    """Collect the seeds' accuracies, the plain way."""
    rows = (COUNTS if counts is None else counts).to_dict("records")
    rows = [row for row in rows if all(row[key] == value for key, value in where.items())]
    assert len(rows) == len(SEEDS)
    return [row["correct"] / row["total"] for row in rows]


def drawn(draw: Any, table: pd.DataFrame) -> Figure:
    with matplotlib.rc_context(fname=str(STYLE)):
        figure: Figure = draw(table, 0.1)
        FigureCanvasAgg(figure).draw()
    return figure


def test_edits_are_shown_beside_the_unedited_network_up_to_their_last_epoch() -> None:
    table = edits_table(material(COUNTS))
    assert set(table["intervention"]) == {"none", *EDITS}
    assert set(table["p"]) == {0.4}, "nothing was edited at the others"
    assert table["epoch"].max() == 12
    assert set(table.loc[table["intervention"] == "velpic_at_8_batch1", "epoch"]) == {8, 12}
    for intervention in ("none", "velpic_at_4"):
        where = {
            "intervention": intervention,
            "epoch": 8,
            "split": "train_redrawn",
            "eval_labels": "corrupted",
        }
        (row,) = table[np.logical_and.reduce([table[key] == value for key, value in where.items()])].to_dict(
            "records"
        )
        assert row["mean"] == pytest.approx(np.mean(shares(p=0.4, **where)))
    probed = table[table["probe"] == "MASC"]
    assert set(probed["layer"]) == {"fc2"}, "the last one"


def test_every_edit_is_a_line_in_every_row_of_panels() -> None:
    table = edits_table(material(COUNTS))
    figure = drawn(draw_edits, table)
    assert len(figure.axes) == 6
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(np.unique(line.get_ydata())) > 1]
        assert len(lines) == 1 + len(EDITS)
    first = [line.get_ydata() for line in figure.axes[0].lines]
    means = table[(table["split"] == "test") & (table["probe"] == "model")].groupby("intervention")["mean"]
    for _, curve in means:
        assert any(np.array_equal(curve, ydata) for ydata in first)


def test_every_layer_of_edited_networks_is_shown_with_both_probes_beside_the_control() -> None:
    table = edited_layers_table(material(COUNTS))
    assert list(table["edit"].unique()) == ["VeLPIC at 4", "VeLPIC at 8, batch 1"]
    assert set(table.loc[table["is_control"], "edit"]) == {"VeLPIC at 4"}, "the other has no control"
    for is_control, intervention in ((False, "velpic_at_4"), (True, "none_at_4")):
        for probe, layer in itertools.product(("MASC", "VeLPIC"), ("fc1", "fc2")):
            of = table[(table["is_control"] == is_control) & (table["edit"] == "VeLPIC at 4")]
            (row,) = of[(of["probe"] == probe) & (of["layer"] == layer) & (of["epoch"] == 8)].to_dict(
                "records"
            )
            where = {"intervention": intervention, "probe": probe, "layer": layer, "epoch": 8, "p": 0.4}
            expected = shares(**where, split="test", eval_labels="true", fit_labels="corrupted")
            assert row["mean"] == pytest.approx(np.mean(expected))
    figure = drawn(draw_edited_layers, table)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        f"probe: {probe}\nedit: VeLPIC at {edit}"
        for edit in ("4", "8, batch 1")
        for probe in ("MASC", "VeLPIC")
    ]
    drawn_lines = [line.get_ydata() for axes in figure.axes for line in axes.lines]
    for _, curve in table.groupby(["edit", "is_control", "probe", "layer"]):
        assert any(np.array_equal(curve["mean"], ydata) for ydata in drawn_lines)


def test_without_edits_to_velpics_vectors_the_others_are_shown() -> None:
    table = edited_layers_table(material(accuracy(("random_at_4", "none_at_4", "random_at_0"))))
    assert list(table["edit"].unique()) == ["random rows at 4"]
    assert table["is_control"].any()
    assert edited_layers_table(material(accuracy(("random_at_0",)))).empty


STARTS = (
    "none_at_0", "velpic_at_0", "random_at_0", "velpic_at_0_from_0_1", "velpic_at_0_from_true", "velpic_at_4",
)  # fmt: skip


def test_initialized_networks_have_end_peak_and_a_paired_difference_from_random_rows() -> None:
    counts = accuracy(STARTS)
    table = initialization_table(material(counts))
    assert set(table["p"]) == {0.4}
    where = {"p": 0.4, "split": "test", "probe": "model"}
    ends = shares(counts, intervention="velpic_at_0", epoch=12, **where)
    random = shares(counts, intervention="random_at_0", epoch=12, **where)
    epochs = [shares(counts, intervention="velpic_at_0", epoch=epoch, **where) for epoch in (0, 4, 8, 12)]
    peaks = [max(of_seed) for of_seed in zip(*epochs, strict=True)]
    found = table[(table["what"] == "velpic") & (table["vectors_from"] == "corrupted")].set_index("shown")
    interval = stats.ttest_rel(ends, random).confidence_interval()
    assert found["mean"].to_dict() == pytest.approx(
        {"end": np.mean(ends), "peak": np.mean(peaks), "difference": np.mean(ends) - np.mean(random)}
    )
    assert found.loc["difference", ["low", "high"]].tolist() == pytest.approx([interval.low, interval.high])
    assert set(table.loc[table["what"] == "velpic", "vectors_from"]) == {"corrupted", "0.1", "true"}
    of_control = {"intervention": "none_at_0", "epoch": 12, "p": 0.4, "fit_labels": "corrupted"}
    best = max(np.mean(shares(counts, probe="VeLPIC", layer=layer, **of_control)) for layer in ("fc1", "fc2"))
    assert table.loc[table["what"] == "VeLPIC", "mean"].tolist() == pytest.approx([best])


def test_every_number_of_initialized_networks_is_drawn_and_edits_midway_are_elsewhere() -> None:
    counts = accuracy(STARTS)
    table = initialization_table(material(counts))
    figure = drawn(draw_initialization, table)
    points = [y for axes in figure.axes for line in axes.lines for y in np.atleast_1d(line.get_ydata())]
    for mean in table["mean"]:
        assert np.isclose(points, mean).any()
    assert set(edits_table(material(counts))["intervention"]) == {"none", "velpic_at_4"}
    assert initialization_table(material(COUNTS)).empty


def test_relabelled_networks_are_paired_with_both_references() -> None:
    table = relabel_table(material(COUNTS))
    assert set(table["p"]) == {0.4}
    where = {"p": 0.4, "split": "test_rest"}
    relabelled = shares(intervention="relabel_masc_fc2", epoch=12, **where)
    for reference, epoch in (("early_stop", 12), ("none", 30)):
        row = table[(table["intervention"] == "relabel_masc_fc2") & (table["reference"] == reference)].iloc[0]
        other = shares(intervention=reference, epoch=epoch, **where)
        interval = stats.ttest_rel(relabelled, other).confidence_interval()
        assert row[["mean", "low", "high"]].tolist() == pytest.approx(
            [np.mean(relabelled) - np.mean(other), interval.low, interval.high]
        )
    plain = table[table["reference"] == ""].set_index("intervention")["mean"]
    assert plain["relabel_masc_fc2"] == pytest.approx(np.mean(relabelled))
    figure = drawn(draw_relabel, table)
    assert len(figure.axes) == 3
    points = [y for axes in figure.axes for line in axes.lines for y in np.atleast_1d(line.get_ydata())]
    for mean in table["mean"]:
        assert np.isclose(points, mean).any()


def test_no_layer_is_left_out_however_many_there_are() -> None:
    relabelled = COUNTS[COUNTS["intervention"] == "relabel_masc_fc2"]
    more = [
        relabelled.assign(
            intervention=f"relabel_masc_layer{k}", run=relabelled["run"] + f"{k}", relabel_layer=f"layer{k}"
        )
        for k in range(9)
    ]
    table = relabel_table(material(pd.concat([COUNTS, *more])))
    figure = drawn(draw_relabel, table)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {f"MASC’s labels (layer{k}), stopped early" for k in range(9)} <= set(labels)


def test_the_legend_says_whose_labels_and_which_weights_training_started_from() -> None:
    relabelled = COUNTS[COUNTS["intervention"] == "relabel_masc_fc2"]
    facts = {"relabel_layer": "best_on_test", "relabel_start": "memorized"}
    more = [
        relabelled.assign(
            intervention=f"r_{labels}",
            run=f"r_{labels}" + relabelled["run"],
            relabel_subspaces=labels,
            **facts,
        )
        for labels in ("corrupted", "true")
    ]
    table = relabel_table(material(pd.concat([COUNTS, *more])))
    assert set(RELABEL_FACTS) <= set(table)
    labels = [text.get_text() for text in drawn(draw_relabel, table).legends[0].get_texts()]
    assert "MASC’s labels (layer chosen on test), from memorized" in labels
    assert "oracle labels (layer chosen on test), from memorized" in labels
    assert "MASC’s labels (fc2), stopped early" in labels


def test_the_clean_network_stands_at_the_p_of_the_labels() -> None:
    table = subspaces_table(material(COUNTS))
    expected = {
        NOISY: {"p": 0.8, "fit_labels": "corrupted"},
        TRUE: {"p": 0.8, "fit_labels": "true"},
        CLEAN: {"p": 0.0, "fit_labels": "corrupted0.80"},
    }
    for shown, where in expected.items():
        of = table[(table["shown"] == shown) & (table["p"] == 0.8) & (table["layer"] == "fc1")]
        row = of[of["probe"] == "VeLPIC"].iloc[0]
        values = shares(
            **where,
            intervention="none",
            epoch=30,
            layer="fc1",
            probe="VeLPIC",
            split="test",
            eval_labels="true",
        )
        assert row["mean"] == pytest.approx(np.mean(values))
    clean = table[table["shown"] == CLEAN]
    assert set(clean["p"]) == {0, 0.4, 0.8}
    assert len(set(clean.loc[clean["probe"] == "model", "mean"])) == 1
    assert "permuted" not in set(table["fit_labels"])
    figure = drawn(draw_subspaces, table)
    assert [axes.get_title() for axes in figure.axes[:3]] == [NOISY, TRUE, CLEAN]
    assert len(figure.axes) == 6


def test_without_labels_of_other_p_there_is_no_clean_network() -> None:
    table = subspaces_table(material(COUNTS[~COUNTS["fit_labels"].str.startswith("corrupted0")]))
    assert list(table["shown"].unique()) == [NOISY, TRUE]


def test_without_edits_there_is_nothing_to_draw() -> None:
    assert edits_table(material(COUNTS[COUNTS["intervention"] == "none"])).empty


def test_the_legend_has_controls_first_and_early_edits_before_late_ones():
    (legend,) = draw_edits(edits_table(material(accuracy())), 0.1).legends
    told = [text.get_text() for text in legend.get_texts()]
    edits = ["control, no edit at 4", "VeLPIC at 4", "VeLPIC at 8, batch 1"]
    assert [label for label in told if " at " in label] == edits


def qualities() -> pd.DataFrame:
    """Make the counts of two kinds of labels, one of them in two runs with two rules for the layer."""
    random = np.random.default_rng(0)
    rows = []
    for p, seed, subspaces, layer in itertools.product(
        (0.0, 0.4), SEEDS, ("corrupted", "true"), ("fc1", "fc2")
    ):
        wrong, right = round(p * TOTAL), TOTAL - round(p * TOTAL)
        set_right, spoilt = int(random.integers(0, wrong + 1)), int(random.integers(0, right + 1))
        counts = {"wrong": wrong, "set_right": set_right, "right": right, "spoilt": spoilt}
        counts["wrong_after"] = wrong - set_right + spoilt
        for start, rule, chosen in (("initial", "best", "fc1"), ("memorized", "best_on_test", "fc2")):
            rows.append(
                {
                    "dataset": "mnist", "model": "mlp", "noise": "symmetric", "p": p, "seed": seed,
                    "intervention": f"{start}-{subspaces}", "relabel_layer": rule, "relabel_from": "MASC",
                    "relabel_start": start, "relabel_subspaces": subspaces, "layer": layer,
                    "chosen": layer == chosen, **counts,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(run=table["intervention"] + table["seed"].astype(str)).reindex(
        columns=list(LABEL_QUALITY)
    )


def test_quality_of_labels_is_the_seeds_mean_by_layer_and_for_the_chosen_one() -> None:
    rows = qualities()
    table = label_quality_table(Material(COUNTS, label_quality=rows))
    once = rows[
        (rows["relabel_start"] == "initial") & (rows["relabel_subspaces"] == "true") & (rows["p"] == 0.4)
    ]
    found = table[(table["relabel_subspaces"] == "true") & (table["p"] == 0.4)].set_index(
        ["measure", "layer"]
    )
    assert not found.index.duplicated().any()
    for layer, rule in (("fc1", "best"), ("fc2", "best_on_test")):
        of = once[once["layer"] == layer]
        expected = {
            "set_right": (of["set_right"] / of["wrong"]).mean(),
            "spoilt": (of["spoilt"] / of["right"]).mean(),
            "wrong_after": (of["wrong_after"] / TOTAL).mean(),
        }
        for name in (layer, rule):
            assert found.xs(name, level="layer")["mean"].to_dict() == pytest.approx(expected)
    assert found.loc[("wrong_after", "before"), "mean"] == pytest.approx(0.4)
    assert set(table.loc[table["p"] == 0, "measure"]) == {"spoilt", "wrong_after"}, "nothing to set right"


def test_quality_of_every_layer_is_drawn() -> None:
    table = label_quality_table(Material(COUNTS, label_quality=qualities()))
    figure = drawn(draw_label_quality, table)
    assert len(figure.axes) == 6
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["MASC", "MASC,\noracle"]
    points = [y for axes in figure.axes for line in axes.lines for y in np.atleast_1d(line.get_ydata())]
    for mean in table["mean"]:
        assert np.isclose(points, mean).any()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(labels) == {
        "fc1", "fc2", "before: wrong by noise", "chosen layer",
        "layer chosen on test",
    }  # fmt: skip
