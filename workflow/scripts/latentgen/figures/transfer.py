"""The figure `transfer`: the model before and after its readout becomes VeLPIC's vectors or another head."""

from dataclasses import replace

import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from latentgen.figures.averages import curves_of, with_published
from latentgen.figures.curves import draw_curves, finish_curves
from latentgen.figures.material import Material
from latentgen.figures.panels import draw_chance, first_panels, ours, panels_of_p
from latentgen.figures.styles import curve_styles, probed_layers
from latentgen.tables.selection import on_test


def transfer_table(material: Material) -> pd.DataFrame:
    """Return the curves: model, edited models and the last layer's VeLPIC, on the test set."""
    test = material.accuracy[on_test(material.accuracy)]
    last = probed_layers(test)[-1:]
    models = test["probe_kind"].isin(["model", "transfer"])
    table = curves_of(test[models | (test["probe"].eq("VeLPIC") & test["layer"].isin(last))])
    published = material.published
    if published is not None:  # their VeLPIC on the last layer is their transfer with bias zero
        published = published[published["probe"] != "VeLPIC"]
    return with_published(table, published, final=False)


def draw_transfer(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw the model before and after transfer against epoch, a panel per p.

    By construction, transfer with bias zero equals the last layer's VeLPIC probe, which is drawn as a broad
    pale line under the transfer's dashes.
    """
    figure, grid = panels_of_p(table)
    styles = curve_styles(ours(table))
    for key, style in styles.items():
        if key[0] == "VeLPIC":
            pale, label = to_rgba(style.color, 0.45), f"VeLPIC probe of {key[1]}"
            styles[key] = replace(style, label=label, color=pale, marker="none", width=3.5, order=2)
    for p, axes in first_panels(table, grid):
        draw_curves(axes, table[table["p"] == p], styles)
        draw_chance(axes, chance)
    for row in grid:
        row[0].set_ylabel("test accuracy (%)")
    finish_curves(figure, grid, table, styles, chance)
    return figure
