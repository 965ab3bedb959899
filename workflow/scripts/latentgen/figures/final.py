"""The figure `final`: test accuracy at the end of training against p."""

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import at_the_end, permuted_labels_range, with_published
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, panels
from latentgen.figures.points import P_LABEL, draw_against, legend_of_points, p_axis
from latentgen.tables.selection import on_test

_PANELS = {"MASC": ["MASC"], "VeLPIC": ["VeLPIC"], "transfer": ["transfer-zero", "transfer-kept"]}


def final_table(material: Material) -> pd.DataFrame:
    """Return the points: test accuracy at the seeds' final checkpoints."""
    shown = ["model", "MASC", "VeLPIC", "transfer-zero", "transfer-kept"]
    rows = material.accuracy[material.accuracy["probe"].isin(shown)]
    table = pd.concat([at_the_end(rows[on_test(rows)]), permuted_labels_range(rows, at_the_end)])
    return with_published(table, material.published, final=True)


def draw_final(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against p, with the model in every panel: MASC, VeLPIC, transfer."""
    shown = {title: probes for title, probes in _PANELS.items() if table["probe"].isin(probes).any()}
    figure, grid = panels(1, len(shown), height=2.1)
    for (title, probes), axes in zip(shown.items(), grid[0], strict=True):
        points = table[table["probe"].isin(["model", *probes])]
        draw_against(axes, points, table, "p", ["probe", "layer", "split"])
        axes.set_title(title)
        p_axis(axes, table)
        draw_chance(axes, chance)
        accuracy_axis(axes)
    grid[0][0].set_ylabel("final test accuracy (%)")
    figure.supxlabel(P_LABEL, fontsize="medium")
    legend_of_points(figure, table, chance)
    return figure
