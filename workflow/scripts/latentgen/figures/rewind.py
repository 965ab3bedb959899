"""The figure `rewind`: the final network with its last layers taken from earlier checkpoints."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures.averages import PLOTTED, curves_of
from latentgen.figures.curves import draw_curve
from latentgen.figures.material import Material
from latentgen.figures.panels import accuracy_axis, draw_chance, epoch_axes, legend, panels, title_of_p
from latentgen.figures.styles import BLACK, Style
from latentgen.study.runs import REWIND
from latentgen.tables.selection import on_test

_COLORS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def rewind_table(material: Material) -> pd.DataFrame:
    """Return the curves: the network, the network with VeLPIC's vectors, and the rewound final network."""
    rows = material.all_runs[on_test(material.all_runs)]
    rewound = [name for name in rows["intervention"].unique() if name.startswith(REWIND)]
    rows = rows[rows["p"].isin(rows.loc[rows["intervention"].isin(rewound), "p"])]
    shown = {
        name: rows[(rows["intervention"] == "none") & (rows["probe"] == name)]
        for name in ("model", "transfer-zero")
    }
    model = rows[rows["probe"] == "model"]
    shown |= {name: model[model["intervention"] == name] for name in rewound}
    parts = [curves_of(counts).assign(what=name) for name, counts in shown.items() if rewound and len(counts)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*PLOTTED, "what"])


def draw_rewind(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy against the epoch that layers were taken from; a panel per p."""
    ps = sorted(table["p"].unique())
    figure, ((*grid,),) = panels(1, len(ps), height=2.0)
    styles = _styles(list(table["what"].unique()))
    for p, axes in zip(ps, grid, strict=True):
        curves = table[table["p"] == p].groupby("what", sort=False)
        for rank, (name, curve) in enumerate(curves):
            draw_curve(axes, curve, styles[str(name)], rank, alpha=0.12)
        draw_chance(axes, chance)
        accuracy_axis(axes)
        epoch_axes(axes, table["epoch"].max(), width=5.5 / len(ps))
        axes.set_title(title_of_p(p, table))
    grid[0].set_ylabel("test accuracy (%)")
    figure.supxlabel(
        "epoch of the network, or of the checkpoint that layers are taken from; scale of log(1 + epoch)",
        fontsize="medium",
    )
    legend(figure, table, styles.values(), chance, "bands")
    return figure


def _styles(names: list[str]) -> dict[str, Style]:
    styles = {
        "model": Style("network", BLACK, "o", width=1.3, order=4),
        "transfer-zero": Style("network with VeLPIC’s vectors", "#d55e00", "P", (0, (3, 1)), order=5),
    }
    rewound = [name for name in names if name.startswith(REWIND)]
    for name, color, marker in zip(rewound, cycle(_COLORS), cycle("sD^v<>"), strict=False):
        layer = name.removeprefix(REWIND)
        what = "readout" if layer == "readout" else f"layers from {layer} on"
        styles[name] = Style(f"final network, earlier {what}", color, marker)
    return {name: style for name, style in styles.items() if name in names}
