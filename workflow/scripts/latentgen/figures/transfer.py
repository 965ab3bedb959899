"""The figure `transfer`: the model before and after its readout becomes VeLPIC's vectors or another head."""

from dataclasses import replace

import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from latentgen.figures.averages import curves_of, with_published
from latentgen.figures.curves import finish_curves
from latentgen.figures.material import Material
from latentgen.figures.measured import (
    TEST,
    TRAINING,
    draw_measured,
    is_measured,
    kinds_of,
    styles_of_all_splits,
)
from latentgen.figures.panels import panels
from latentgen.figures.styles import probed_layers

KINDS = {**TEST, **TRAINING}


def transfer_table(material: Material) -> pd.DataFrame:
    """Return the curves: model, edited models and the last layer's VeLPIC, on test and training examples."""
    accuracy = material.accuracy[material.accuracy["fit_labels"] == "corrupted"]
    accuracy = accuracy[is_measured(accuracy, kinds_of(_edited(accuracy), KINDS))]
    last = probed_layers(accuracy)[-1:]
    models = accuracy["probe_kind"].isin(["model", "transfer"])
    table = curves_of(accuracy[models | (accuracy["probe"].eq("VeLPIC") & accuracy["layer"].isin(last))])
    published = material.published
    if published is not None:  # their VeLPIC on the last layer is their transfer with bias zero
        published = published[published["probe"] != "VeLPIC"]
    return with_published(table, published, final=False)


def _edited(accuracy: pd.DataFrame) -> pd.DataFrame:
    return accuracy[accuracy["probe_kind"] == "transfer"]


def draw_transfer(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw the model before and after transfer against epoch: a column per p, a row per kind of examples.

    By construction, transfer with bias zero equals the last layer's VeLPIC probe, which is drawn as a broad
    pale line under the transfer's dashes.
    """
    kinds, ps = kinds_of(table, KINDS), sorted(table["p"].unique())
    figure, grid = panels(len(kinds), len(ps), height=1.75 if len(kinds) == 1 else 1.15)
    styles = styles_of_all_splits(table)
    for key, style in styles.items():
        if key[0] == "VeLPIC":
            pale, label = to_rgba(style.color, 0.45), f"VeLPIC probe of {key[1]}"
            styles[key] = replace(style, label=label, color=pale, marker="none", width=3.5, order=2)
    for (kind, label), line in zip(kinds.items(), grid, strict=True):
        for p, axes in zip(ps, line, strict=True):
            draw_measured(axes, table[table["p"] == p], kind, styles, chance)
        line[0].set_ylabel(label)
    figure.supylabel("accuracy (%)", fontsize="medium")
    finish_curves(figure, grid, table, styles, chance)
    return figure
