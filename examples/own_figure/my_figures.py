"""A custom figure: a function that computes the plotted numbers, and one that draws them."""

import pandas as pd
from matplotlib.figure import Figure


def gain_table(material):
    """Return, for each run, the final test accuracy of the network and of VeLPIC on each layer."""
    rows = material.accuracy  # a row per count: correct of total, at each epoch, layer, probe and split
    last = rows["epoch"] == rows.groupby("run")["epoch"].transform("max")
    fitted = rows["fit_labels"] == "corrupted"
    rows = rows[last & fitted & (rows["split"] == "test") & rows["probe"].isin(["model", "VeLPIC"])]
    rows = rows.assign(accuracy=rows["correct"] / rows["total"])
    model = rows.loc[rows["probe"] == "model", ["run", "accuracy"]]
    probed = rows.loc[rows["probe"] == "VeLPIC", ["run", "p", "seed", "layer", "accuracy"]]
    return probed.merge(model, on="run", suffixes=("", "_of_model"))


def draw_gain(table: pd.DataFrame, chance: float | None) -> Figure:
    """Draw a point per run and layer: VeLPIC's accuracy against the network's."""
    figure = Figure(figsize=(3.2, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.axline((0.5, 0.5), slope=1, color="0.6", linewidth=0.8)
    for layer, points in table.groupby("layer", sort=False):
        axes.plot(points["accuracy_of_model"], points["accuracy"], "o", label=layer)
    if chance is not None:
        axes.axvline(chance, color="0.8", linewidth=0.8)
    axes.set(xlabel="network, final test accuracy", ylabel="VeLPIC, final test accuracy")
    axes.legend()
    return figure
