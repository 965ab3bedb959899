"""The figure `edits`: networks edited midway, with the unedited network and the control."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import LineStyleType

from latentgen.figures.averages import PLOTTED, curves_of
from latentgen.figures.curves import draw_curve
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, legend, panels, title_of_p
from latentgen.figures.styles import BLACK, GREY, Style, probed_layers
from latentgen.study.runs import FROM

ROWS = {
    ("model", "test", "true"): "test",
    ("model", "train_untouched", "true"): "untouched\ntraining examples",
    ("model", "train_redrawn", "true"): "redrawn examples,\ntrue label",
    ("model", "train_redrawn", "corrupted"): "redrawn examples,\ngiven label",
    ("MASC", "test", "true"): "MASC on {layer},\ntest",
    ("VeLPIC", "test", "true"): "VeLPIC on {layer},\ntest",
}
"""The accuracy in each row of panels, by probe, split and evaluation labels."""

EDIT_COLORS = {
    "none": GREY,
    "velpic": "#d55e00",
    "velpic_old_norms": "#cc79a7",
    "nearest_mean": "#56b4e9",
    "blend25": "#009e73",
    "blend50": "#0072b2",
    "blend75": "#44aa99",
    "random": "#e69f00",
}
_FACTS = ["edit", "at_epoch", "edit_batch_size"]
_LINES: tuple[LineStyleType, ...] = ("-", (0, (3, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
_LABELS = {
    "none": "control, no edit",
    "velpic": "VeLPIC",
    "velpic_old_norms": "VeLPIC, old norms",
    "nearest_mean": "class means",
    "random": "random rows",
    "blend25": "25 % old, 75 % VeLPIC",
    "blend50": "50 % old, 50 % VeLPIC",
    "blend75": "75 % old, 25 % VeLPIC",
}


def edits_table(material: Material) -> pd.DataFrame:
    """Return the curves: the unedited network and the edited ones, to the last edited epoch."""
    accuracy = material.all_runs
    edited = accuracy[(accuracy["at_epoch"] > 0).fillna(False)]
    if edited.empty:
        return pd.DataFrame(columns=[*PLOTTED, "intervention", *_FACTS])
    measured = zip(accuracy["probe"], accuracy["split"], accuracy["eval_labels"], strict=True)
    rows = accuracy[
        (accuracy["fit_labels"] == "corrupted")
        & accuracy["p"].isin(edited["p"])
        & (accuracy["epoch"] <= edited["epoch"].max())
        & accuracy["layer"].isin(["readout", *probed_layers(accuracy)[-1:]])
        & np.array([key in ROWS for key in measured])
    ]
    names = ["none", *edited["intervention"].unique()]
    parts = [curves_of(rows[rows["intervention"] == name]).assign(intervention=name) for name in names]
    facts = edited.drop_duplicates("intervention")[["intervention", *_FACTS]]
    return pd.concat(parts, ignore_index=True).merge(facts, on="intervention", how="left")


def draw_edits(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw accuracy against epoch: column per p, row per kind of examples, line per edit, unedited black."""
    ps = sorted(table["p"].unique())
    here = set(table[["probe", "split", "eval_labels"]].itertuples(index=False, name=None))
    rows = [row for row in ROWS if row in here]
    figure, grid = panels(len(rows), len(ps), height=1.15)
    styles = _styles(table.drop_duplicates("intervention"))
    last = table.loc[table["intervention"] != "none", "epoch"].max()
    for (probe, split, labels), line in zip(rows, grid, strict=True):
        shown = table[
            (table["probe"] == probe) & (table["split"] == split) & (table["eval_labels"] == labels)
        ]
        for p, axes in zip(ps, line, strict=True):
            curves = shown[shown["p"] == p].groupby("intervention", sort=False)
            for rank, (name, curve) in enumerate(curves):
                draw_curve(axes, curve, styles[str(name)], rank, alpha=min(0.12, 0.5 / len(curves)))
            if not len(curves):
                axes.text(0.5, 0.5, "none redrawn", transform=axes.transAxes, ha="center", color="0.4")
            draw_chance(axes, chance)
            accuracy_axis(axes)
            axes.set_xlim(-0.03 * last, 1.03 * last)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        line[0].set_ylabel(ROWS[probe, split, labels].format(layer="".join(probed_layers(table)[-1:])))
    for p, axes in zip(ps, grid[0], strict=True):
        axes.set_title(title_of_p(p, table))
    figure.supylabel("accuracy (%)", fontsize="medium")
    figure.supxlabel("epoch; the readout is edited at the epoch named in the legend", fontsize="medium")
    legend(figure, table, styles.values(), chance, "bands")
    return figure


def _styles(interventions: pd.DataFrame) -> dict[str, Style]:
    """Return the style of every intervention: a colour for its kind, a line style for when and how.

    The legend lists controls first, and early edits before late ones of the same kind.
    """
    edits = interventions[interventions["edit"].notna()]
    when = [
        (row["at_epoch"], row["edit_batch_size"])
        for row in edits.fillna({"edit_batch_size": 0}).to_dict("records")
    ]
    lines = dict(zip(dict.fromkeys(when), cycle(_LINES), strict=False))
    styles = {"none": Style("unedited", BLACK, "none", width=1.3, order=2.5)}
    ranked = sorted(
        zip(edits["intervention"], edits["edit"], when, strict=True),
        key=lambda one: (list(EDIT_COLORS).index(one[1]), one[2]),
    )
    for name, edit, (epoch, batch_size) in ranked:
        label = _label(edit, epoch, batch_size)
        if FROM in name:
            label += f", from {name.partition(FROM)[2].replace('_', ' ')}"
        order = 3.5 if edit == "velpic" else 3
        styles[name] = Style(label, EDIT_COLORS[edit], "none", lines[epoch, batch_size], order=order)
    return styles


def edit_label(edit: "pd.Series[Any]") -> str:
    """Say what an edit is, from its columns `EDIT_FACTS`."""
    batch_size = edit["edit_batch_size"]
    return _label(edit["edit"], edit["at_epoch"], 0 if pd.isna(batch_size) else batch_size)


def _label(edit: str, at_epoch: int, batch_size: int) -> str:
    return f"{_LABELS[edit]} at {at_epoch}" + (f", batch {batch_size}" if batch_size else "")
