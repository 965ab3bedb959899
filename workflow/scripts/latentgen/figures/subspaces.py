"""The figure of whose labels: noisy or clean network, subspaces from noisy or from true labels."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.curves import at_the_end, on_test
from latentgen.figures.panels import draw_bars_against, draw_chance, legend, panels, percent
from latentgen.figures.styles import key_of, looks_of

NOISY, TRUE, CLEAN = (
    "noisy network, noisy labels",
    "noisy network, true labels",
    "clean network, noisy labels",
)
"""Columns: how the network was trained, and the labels that subspaces are fitted with."""

NOISE_LEFT = {NOISY: "both", TRUE: "the network’s noise alone", CLEAN: "the labels’ alone"}
"""Which noise there is in each column."""

_OTHERS = r"corrupted([01]\.\d+)"


def subspaces_table(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the points of `draw_subspaces`: final test accuracy by p, columns of panels in ``shown``.

    Where the network is clean, ``p`` is that of the labels that its subspaces were fitted with.

    Parameters
    ----------
    accuracy : DataFrame
        A pair's runs with all fit labels; those with an intervention are left out.
    """
    test = accuracy[(accuracy["split"] == "test") & (accuracy["eval_labels"] == "true")]
    test = test[test["intervention"].eq("none") & test["probe"].isin(["model", "MASC", "VeLPIC"])]
    ends = test[test["epoch"] == test.groupby(["run"])["epoch"].transform("max")]
    noisy, true = ends[on_test(ends)], ends[on_test(ends, "true") | ends["probe"].eq("model")]
    others = ends["fit_labels"].str.extract(_OTHERS)[0].astype(float).dropna()
    parts = {NOISY: noisy, TRUE: true}
    if len(others):  # else the clean network's column would have one point, at p = 0
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
    looks = looks_of(table)
    ps = np.sort(table["p"].unique())
    for probe, line in zip(rows, grid, strict=True):
        for title, axes in zip(columns, line, strict=True):
            points = table[(table["shown"] == title) & table["probe"].isin(["model", probe])]
            curves = points.groupby(["probe", "layer"], sort=False)
            draw_bars_against(axes, [(looks[key_of(curve)], curve) for _, curve in curves], "p", ps)
            axes.set_xticks(ps, [f"{p:g}" for p in ps])
            draw_chance(axes, chance)
            percent(axes)
        line[0].set_ylabel(f"{probe}\nfinal test accuracy (%)")
    for title, axes in zip(columns, grid[0], strict=True):
        axes.set_title(title)
    figure.supxlabel("p, the probability that a label was redrawn", fontsize="medium")
    things = {look.label: look for look in looks.values()}
    legend(figure, table.assign(final=True), things.values(), chance, "bars")
    return figure
