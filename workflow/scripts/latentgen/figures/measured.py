"""Rows of panels by what is counted: on which examples, and against which labels."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from latentgen.figures.curves import draw_curves
from latentgen.figures.panels import draw_chance, ours
from latentgen.figures.styles import Key, Style, curve_styles

Kind = tuple[str, str]
"""Split and evaluation labels."""

TEST: Mapping[Kind, str] = {("test", "true"): "test"}
TRAINING: Mapping[Kind, str] = {
    ("train", "corrupted"): "training,\ngiven label",
    ("train", "true"): "training,\ntrue label",
    ("train_redrawn", "corrupted"): "redrawn,\ngiven label",
    ("train_redrawn", "true"): "redrawn,\ntrue label",
    ("train_untouched", "true"): "untouched",
}
"""What is counted on training examples, and the label of its row of panels. Redrawn are the examples whose
label was redrawn; the given label of the untouched ones is the true one."""


def is_measured(table: pd.DataFrame, kinds: Collection[Kind]) -> "pd.Series[bool]":
    """Tell which rows count one of some kinds."""
    pairs = zip(table["split"], table["eval_labels"], strict=True)
    return pd.Series([pair in kinds for pair in pairs], table.index, dtype=bool)


def styles_of_all_splits(table: pd.DataFrame) -> dict[Key, Style]:
    """Return the style of each probe and layer, the same on all examples; `draw_measured` uses them."""
    styles = curve_styles(ours(table).assign(split="test"))
    return {key: replace(style, label=style.label.removesuffix(", test")) for key, style in styles.items()}


def draw_measured(
    axes: Axes, table: pd.DataFrame, kind: Kind, styles: dict[Key, Style], chance: float | None
) -> None:
    """Draw the curves of one kind; where there is none at this p, say why."""
    panel = table[is_measured(table, {kind})]
    draw_curves(axes, panel.assign(split="test"), styles)
    if panel.empty:
        some_redrawn = table["split"].eq("train_redrawn").any()
        none = "none untouched" if some_redrawn else "none redrawn"
        axes.text(0.5, 0.5, none, transform=axes.transAxes, ha="center", va="center", color="0.4")
    draw_chance(axes, chance)


def kinds_of(table: pd.DataFrame, kinds: Mapping[Kind, str]) -> dict[Kind, str]:
    """Return those of some kinds that a table has."""
    return {kind: label for kind, label in kinds.items() if np.any(is_measured(table, {kind}))}
