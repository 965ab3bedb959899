"""The figure `sensitivity`: final accuracy of MASC by the fraction of variance that its subspaces keep."""

import re

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import at_the_end, on_test, permuted_labels_range, with_published
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, first_panels, panels_of_p, title_of_p
from latentgen.figures.points import draw_against, legend_of_points


def variance_of(probe: str) -> tuple[float, str] | None:
    """Return the rank of a MASC probe by the variance that it keeps, and its label.

    Returns
    -------
    tuple of float and str, or None
        Numbers of components come first (negative), then fractions. None for other probes.
    """
    match = re.fullmatch(r"MASC(?:-(\d+)pc|-([0-9.]+))?", probe)
    if match is None:
        return None
    components, variance = match.groups()
    if components:
        return -1 / float(components), f"{components} pc"
    return float(variance or 0.99), variance or "0.99"


def sensitivity_table(material: Material) -> pd.DataFrame:
    """Return the points: final accuracy of MASC; ``place`` is the fraction's rank among the others."""
    accuracy = material.accuracy
    kept = {probe: variance for probe in accuracy["probe"].unique() if (variance := variance_of(probe))}
    places = {probe: place for place, probe in enumerate(sorted(kept, key=lambda probe: kept[probe]))}
    rows = accuracy[accuracy["probe"].isin(places)]
    table = pd.concat([at_the_end(rows[on_test(rows)]), permuted_labels_range(rows, at_the_end)])
    table = with_published(table, material.published, final=True)
    return table.assign(place=table["probe"].map(places).astype(float))


def draw_sensitivity(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw final test accuracy against the fraction of variance kept: a panel per p, a line per layer."""
    figure, grid = panels_of_p(table)
    names = table.drop_duplicates("probe").sort_values("place")["probe"]
    labels = [variance_of(name)[1].removeprefix("0") for name in names]  # type: ignore[index]
    for p, axes in first_panels(table, grid):
        draw_against(axes, table[table["p"] == p], table, "place", ["layer", "split"])
        draw_chance(axes, chance)
        accuracy_axis(axes)
        axes.set_title(title_of_p(p, table))
        axes.set_xticks(range(len(names)), labels)
    grid[0][0].set_ylabel("MASC, final test accuracy (%)")
    figure.supxlabel(
        "fraction of the variance that each class’s subspace keeps; pc: number of components instead",
        fontsize="medium",
    )
    legend_of_points(figure, table, chance)
    return figure
