"""The figure `training`: what probes on the layers say of training examples, against both of their labels."""

from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import curves_of, probes_at_every_checkpoint, with_published
from latentgen.figures.curves import finish_curves
from latentgen.figures.material import Material
from latentgen.figures.measured import TRAINING, draw_measured, is_measured, kinds_of, styles_of_all_splits
from latentgen.figures.panels import ours, panels
from latentgen.figures.styles import probed_layers

PROBES = ("MASC", "VeLPIC")


def training_table(material: Material) -> pd.DataFrame:
    """Return the curves: the model, MASC and VeLPIC on training examples (`TRAINING`)."""
    accuracy = material.accuracy[material.accuracy["fit_labels"] == "corrupted"]
    shown = {"model", *probes_at_every_checkpoint(accuracy)} & {"model", *PROBES}
    table = curves_of(accuracy[accuracy["probe"].isin(shown) & is_measured(accuracy, TRAINING)])
    published = material.published
    if published is not None:  # their transfer with bias zero is their VeLPIC of the last layer
        last = "".join(probed_layers(accuracy)[-1:])
        transfer = published["probe"] == "transfer-zero"
        published = published.assign(
            probe=published["probe"].mask(transfer, "VeLPIC"), layer=published["layer"].mask(transfer, last)
        )
    return with_published(table, published, final=False)


def draw_training(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw accuracy against epoch: column per p, row per probe and kind of examples, line per layer."""
    probes = [probe for probe in PROBES if (ours(table)["probe"] == probe).any()]
    kinds = kinds_of(table, TRAINING)
    ps = sorted(table["p"].unique())
    rows = list(product(probes, kinds))
    figure, grid = panels(len(rows), len(ps), height=1.15 if len(rows) < 6 else 0.95)
    styles = styles_of_all_splits(table)
    for (probe, kind), line in zip(rows, grid, strict=True):
        of_probe = table[table["probe"].isin(["model", probe])]
        for p, axes in zip(ps, line, strict=True):
            draw_measured(axes, of_probe[of_probe["p"] == p], kind, styles, chance)
        line[0].set_ylabel(f"{probe}: {kinds[kind]}")
    figure.supylabel("accuracy on training examples (%)", fontsize="medium")
    finish_curves(figure, grid, table, styles, chance)
    return figure
