"""The figure `dynamics`: accuracy against epoch, of the model and of probes on its layers."""

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import (
    curves_of,
    permuted_labels_range,
    probes_at_every_checkpoint,
    with_published,
)
from latentgen.figures.curves import draw_curves, finish_curves
from latentgen.figures.material import Material
from latentgen.figures.panels import draw_chance, draw_control, ours, panels
from latentgen.figures.styles import curve_styles, probe_styles
from latentgen.tables.selection import on_test


def dynamics_table(material: Material) -> pd.DataFrame:
    """Return the curves: the model on the test set and on its training labels, probes on the test set."""
    accuracy = material.accuracy
    rows = accuracy[accuracy["probe"].isin(["model", *probes_at_every_checkpoint(accuracy)])]
    training = (rows["probe"] == "model") & (rows["split"] == "train") & (rows["eval_labels"] == "corrupted")
    parts = [curves_of(rows[training | on_test(rows)]), permuted_labels_range(rows)]
    return with_published(pd.concat(parts), material.published, final=False)


def draw_dynamics(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw accuracy against epoch: column per p, row per probe, line per layer, the model in all rows."""
    rows = list(probe_styles(table["probe"]))
    ps = sorted(table["p"].unique())
    figure, grid = panels(len(rows), len(ps), height=1.75 if len(rows) < 4 else 1.3)
    styles = curve_styles(ours(table))
    for probe, row in zip(rows, grid, strict=True):
        for p, axes in zip(ps, row, strict=True):
            panel = table[(table["p"] == p) & table["probe"].isin(["model", probe])]
            draw_curves(axes, panel, styles)
            draw_control(axes, panel, "epoch")
            draw_chance(axes, chance)
        row[0].set_ylabel(f"{probe}\naccuracy (%)")
    finish_curves(figure, grid, table, styles, chance)
    return figure
