"""The figure `sensitivity`: final accuracy of MASC by the fraction of variance that its subspaces keep."""

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import at_the_end, permuted_labels_range, with_published
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, first_panels, panels_of_p, title_of_p
from latentgen.figures.points import draw_against, legend_of_points
from latentgen.tables.selection import on_test


def sensitivity_table(material: Material) -> pd.DataFrame:
    """Return the points: final accuracy of MASC, by the variance or components that its subspaces keep.

    ``place`` is the position on the axis: numbers of ``components`` come first, then fractions of the
    ``variance``.
    """
    accuracy = material.accuracy
    sizes = accuracy.loc[accuracy["probe_kind"] == "MASC", ["probe", "components", "variance"]]
    sizes = sizes.drop_duplicates("probe").sort_values(["components", "variance"], ignore_index=True)
    rows = accuracy[accuracy["probe"].isin(sizes["probe"])]
    table = pd.concat([at_the_end(rows[on_test(rows)]), permuted_labels_range(rows, at_the_end)])
    table = with_published(table, material.published, final=True)
    return table.merge(sizes.assign(place=sizes.index.astype(float)), on="probe", how="left")


def draw_sensitivity(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against the fraction of variance kept: a panel per p, a line per layer."""
    figure, grid = panels_of_p(table)
    sizes = table.drop_duplicates("probe").sort_values("place")
    labels = [
        f"{variance:g}".removeprefix("0") if pd.isna(components) else f"{components} pc"
        for components, variance in zip(sizes["components"], sizes["variance"], strict=True)
    ]
    for p, axes in first_panels(table, grid):
        draw_against(axes, table[table["p"] == p], table, "place", ["layer", "split"])
        draw_chance(axes, chance)
        accuracy_axis(axes)
        axes.set_title(title_of_p(p, table))
        axes.set_xticks(range(len(sizes)), labels)
    grid[0][0].set_ylabel("MASC, final test accuracy (%)")
    figure.supxlabel(
        "fraction of the variance that each class’s subspace keeps; pc: number of components",
        fontsize="medium",
    )
    legend_of_points(figure, table, chance)
    return figure
