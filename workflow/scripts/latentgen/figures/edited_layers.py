"""The figure `edited_layers`: probes on every layer of networks edited midway, with the control."""

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latentgen.figures.averages import PLOTTED, curves_of
from latentgen.figures.curves import draw_curve
from latentgen.figures.edits import edit_label
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, legend, panels, title_of_p
from latentgen.figures.styles import BLACK, Key, Style, curve_styles
from latentgen.tables.facts import control_of, edits_of
from latentgen.tables.selection import on_test

PROBES = ("MASC", "VeLPIC")
CONTROL = Style("control, no edit", BLACK, "none", (0, (2, 1.2)), width=0.8)
"""Its lines have the colours of the layers."""


def edited_layers_table(material: Material) -> pd.DataFrame:
    """Return the curves: MASC, VeLPIC and the network itself, after ``edit`` and in its control.

    The control (``is_control``) resumes training at the same epoch with the same batch size, and no edit.
    """
    rows = material.all_runs[on_test(material.all_runs)]
    rows = rows[rows["probe"].isin(["model", *PROBES])]
    edits = edits_of(rows)
    parts = []
    for name in _shown(edits):
        edited = rows[rows["intervention"] == name]
        control = rows[(rows["intervention"] == control_of(name, edits)) & rows["p"].isin(edited["p"])]
        for model, is_control in ((edited, False), (control, True)):
            if len(model):
                parts.append(curves_of(model).assign(edit=edit_label(edited.iloc[0]), is_control=is_control))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*PLOTTED, "edit"])


def _shown(edits: pd.DataFrame) -> list[str]:
    """Return the edits midway that are shown: those to VeLPIC's vectors; without any, the others."""
    midway = edits[(edits["at_epoch"] > 0).fillna(False)]
    choices = [midway[midway["edit"] == "velpic"], midway[midway["edit"] != "none"], midway]
    chosen = next((some for some in choices if len(some)), midway)
    return [
        str(name) for name in chosen.sort_values(["at_epoch", "edit_batch_size"], na_position="first").index
    ]


def draw_edited_layers(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy against epoch: a column per p, a row per edit and probe, a line per layer."""
    ps, edits = sorted(table["p"].unique()), list(table["edit"].unique())
    figure, grid = panels(len(edits) * len(PROBES), len(ps), height=1.35)
    styles = curve_styles(table)
    rows = [(edit, probe) for edit in edits for probe in PROBES]
    for (edit, probe), line in zip(rows, grid, strict=True):
        shown = table[(table["edit"] == edit) & table["probe"].isin(["model", probe])]
        for p, axes in zip(ps, line, strict=True):
            _draw_panel(axes, shown[shown["p"] == p], styles)
            draw_chance(axes, chance)
        line[0].set_ylabel(f"probe: {probe}\nedit: {edit}")
    for p, axes in zip(ps, grid[0], strict=True):
        axes.set_title(title_of_p(p, table))
    figure.supylabel("test accuracy (%)", fontsize="medium")
    figure.supxlabel("epoch", fontsize="medium")
    entries = list({style.label: style for style in styles.values()}.values())
    legend(figure, table, [*entries, *([CONTROL] if table["is_control"].any() else [])], chance, "bands")
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, styles: dict[Key, Style]) -> None:
    curves = rows.groupby(["is_control", "probe", "layer"], sort=False)
    for rank, ((is_control, probe, layer), curve) in enumerate(curves):
        style = styles[str(probe), str(layer), "test"]
        if is_control:
            style = replace(CONTROL, color=style.color)
        draw_curve(axes, curve, style, rank, alpha=0 if is_control else 0.1)
    if rows.empty:
        axes.text(0.5, 0.5, "not done", transform=axes.transAxes, ha="center", color="0.4")
    accuracy_axis(axes)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
