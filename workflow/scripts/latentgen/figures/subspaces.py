"""The figure `subspaces`: noisy or clean network, subspaces from noisy or from true labels."""

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import at_the_end
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_bars_against, draw_chance, legend, panels
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import curve_styles, style_key
from latentgen.tables.selection import last_checkpoint, on_test

NOISY, TRUE, CLEAN = (
    "noisy network, noisy labels",
    "noisy network, true labels",
    "clean network, noisy labels",
)
"""Columns: how the network was trained, and the labels that subspaces are fitted with."""


def subspaces_table(material: Material) -> pd.DataFrame:
    """Return the points: final test accuracy by p; ``shown`` is the column of panels.

    For the clean network, ``p`` is that of the labels that its subspaces were fitted with.
    """
    accuracy = material.all_runs
    test = accuracy[(accuracy["split"] == "test") & (accuracy["eval_labels"] == "true")]
    test = test[test["intervention"].eq("none") & test["probe"].isin(["model", "MASC", "VeLPIC"])]
    ends = last_checkpoint(test)
    noisy, true = ends[on_test(ends)], ends[on_test(ends, "true") | ends["probe"].eq("model")]
    others = ends["fit_p"].where(ends["fit_labels"] != "corrupted").dropna()
    parts = {NOISY: noisy, TRUE: true}
    if len(others):  # otherwise the clean network's column would have one point, at p = 0
        clean = noisy[noisy["p"] == 0]
        # Its own output does not depend on the labels that its subspaces are fitted with.
        model = clean[clean["probe"] == "model"]
        of_others = ends.loc[others.index].assign(p=others)
        parts[CLEAN] = pd.concat([clean, of_others, *(model.assign(p=p) for p in others.unique())])
    averaged = [at_the_end(rows).assign(shown=title) for title, rows in parts.items() if len(rows)]
    return pd.concat(averaged, ignore_index=True)


def draw_subspaces(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against p: column per network and labels, row per probe, line per layer."""
    rows = [probe for probe in ("MASC", "VeLPIC") if (table["probe"] == probe).any()]
    columns = list(table["shown"].unique())
    figure, grid = panels(len(rows), len(columns), height=1.75)
    styles = curve_styles(table)
    for probe, line in zip(rows, grid, strict=True):
        for title, axes in zip(columns, line, strict=True):
            points = table[(table["shown"] == title) & table["probe"].isin(["model", probe])]
            curves = points.groupby(["probe", "layer"], sort=False)
            draw_bars_against(
                axes, [(styles[style_key(curve)], curve) for _, curve in curves], "p", table["p"].unique()
            )
            p_axis(axes, table)
            draw_chance(axes, chance)
            accuracy_axis(axes)
        line[0].set_ylabel(f"{probe}\nfinal test accuracy (%)")
    for title, axes in zip(columns, grid[0], strict=True):
        axes.set_title(title)
    figure.supxlabel(P_LABEL, fontsize="medium")
    entries = {style.label: style for style in styles.values()}
    legend(figure, table.assign(final=True), entries.values(), chance, "bars")
    return figure
