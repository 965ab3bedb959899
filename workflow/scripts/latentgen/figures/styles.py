"""Colours, markers and lines, which are the same in every figure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.typing import ColorType, LineStyleType

from latentgen.networks.base import INPUT
from latentgen.probes.settings import KINDS

BLACK, GREY = "0.0", "0.55"
CHANCE_LINE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": (0, (1, 2))}
CONTROL_BAND: dict[str, Any] = {"facecolor": "0.88", "edgecolor": "0.6", "hatch": "//////", "linewidth": 0.0}
"""Probes fitted with permuted labels, over all layers."""
PUBLISHED_LINE: dict[str, Any] = {"linewidth": 0.7, "linestyle": (0, (5, 2)), "zorder": 6.0}
"""The papers' numbers, in the colour of ours."""
MARKERS = "sD^v<>ph*"


@dataclass(frozen=True)
class Style:
    """Label, colour, marker and line of a curve or point, the same in every figure."""

    label: str
    color: ColorType
    marker: str
    line: LineStyleType = "-"
    width: float = 1.1
    order: float = 3.0


_BUILT_IN_PROBES = {kind: settings.look for kind, settings in KINDS.items() if settings.look}
_OTHER_PROBES = (("#8c510a", "X"), ("#5e3c99", "p"), ("#737373", "<"), ("#dfc27d", ">"), ("#b2abd2", "h"))


def probe_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each probe among the names, in the order of the legend.

    Built-in probes come first and always have the same style; custom ones follow in alphabetical order. The
    model is not a probe. If lines stand for layers, the colour is the layer's.
    """
    names = set(names) - {"model"}
    styles = {name: style for name, style in _BUILT_IN_PROBES.items() if name in names}
    styles |= zip(sorted(names - set(_BUILT_IN_PROBES)), cycle(_OTHER_PROBES), strict=False)
    return {name: Style(name, color, marker, "none") for name, (color, marker) in styles.items()}


Key = tuple[str, str, str]
"""Probe, layer and split, which determine the style of a curve."""

INPUT_STYLE = Style("raw input", "#a6611a", "1", (0, (1, 0.8)), order=2.8)
_MODEL_STYLES: dict[Key, Style] = {
    ("model", "readout", "test"): Style("model, test", BLACK, "o", width=1.3, order=4),
    ("model", "readout", "train"): Style(
        "model, train (corrupted labels)", GREY, "o", (0, (4, 1.5)), order=2
    ),
}
_TRANSFER_STYLES: dict[Key, Style] = {
    ("transfer-zero", "readout", "test"): Style("transfer, bias zero", "#d55e00", "P", (0, (3, 1)), order=5),
    ("transfer-kept", "readout", "test"): Style("transfer, bias kept", "#cc79a7", "X", (0, (1, 1)), order=5),
    ("transfer-nearest_mean", "readout", "test"): Style("class means at norm 1", "#0072b2", "s", order=3.4),
    ("transfer-logistic", "readout", "test"): Style("logistic regression", "#8c510a", "D", order=3.3),
    ("transfer-lda", "readout", "test"): Style("LDA", "#5e3c99", "^", order=3.2),
    ("transfer-ridge", "readout", "test"): Style("ridge regression", "#009e73", "v", order=3.1),
}


def probed_layers(table: pd.DataFrame) -> list[str]:
    """Return the probed layers of a table, in the order of the network."""
    return list(table.loc[table["layer"] != "readout", "layer"].unique())


def style_key(rows: pd.DataFrame) -> Key:
    """Return the key that determines the style of a curve, from its rows."""
    probe, layer, split = rows[["probe", "layer", "split"]].iloc[0]
    return probe, layer, split


def curve_styles(table: pd.DataFrame) -> dict[Key, Style]:
    """Return the style of every curve of a table, in the order of the legend.

    Layers go from light (the last) to dark (the first). Counting from the last gives a layer the same style
    whether or not a figure shows the others. Raw pixels, a control, have their own style.
    """
    names = [name for name in probed_layers(table)[::-1] if name != INPUT]
    colors = matplotlib.colormaps["viridis"](np.linspace(0.8, 0.05, len(names)))
    of_layers = {INPUT: INPUT_STYLE} | {
        name: Style(name, tuple(color), marker)
        for name, color, marker in reversed(list(zip(names, colors, cycle(MARKERS), strict=False)))
    }
    layer_styles = {
        (probe, name, "test"): style
        for name, style in of_layers.items()
        for probe in table.loc[table["layer"] != "readout", "probe"].unique()
    }
    keys = set(table[["probe", "layer", "split"]].itertuples(index=False, name=None))
    styles = _MODEL_STYLES | layer_styles | _TRANSFER_STYLES
    return {key: style for key, style in styles.items() if key in keys}
