"""How things look: the same colour for the same thing in every figure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.typing import ColorType, LineStyleType

from latentgen.probes.settings import KINDS

BLACK, GREY = "0.0", "0.55"
CHANCE_LINE: dict[str, Any] = {"color": "0.4", "linewidth": 0.7, "linestyle": (0, (1, 2))}
CONTROL_BAND: dict[str, Any] = {"facecolor": "0.88", "edgecolor": "0.6", "hatch": "//////", "linewidth": 0.0}
"""Probes fitted with permuted labels, over all layers."""
PUBLISHED_LINE: dict[str, Any] = {"linewidth": 0.7, "linestyle": (0, (5, 2)), "zorder": 6.0}
"""The papers' numbers, in the colour of what they are beside."""
MARKERS = "sD^v<>ph*"


@dataclass(frozen=True)
class Look:
    """How one thing is drawn, in every figure in which it occurs."""

    label: str
    color: ColorType
    marker: str
    line: LineStyleType = "-"
    width: float = 1.1
    order: float = 3.0


_OUR_PROBES = {kind: settings.look for kind, settings in KINDS.items() if settings.look}
_OTHER_PROBES = (("#8c510a", "X"), ("#5e3c99", "p"), ("#737373", "<"), ("#dfc27d", ">"), ("#b2abd2", "h"))


def probe_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the probes among some names, to stand side by side, and how each looks there.

    Ours come first and always look the same; a user's own follow in the order of their names. MASC with
    another share of the variance is none of them: it has a figure of its own. Where a line is a layer, its
    colour is the layer's.
    """
    here = {name for name in names if name != "model" and not name.startswith(("transfer-", "MASC-"))}
    looks = {name: look for name, look in _OUR_PROBES.items() if name in here}
    looks |= zip(sorted(here - set(_OUR_PROBES)), cycle(_OTHER_PROBES), strict=False)
    return {name: Look(name, color, marker, "none") for name, (color, marker) in looks.items()}


Key = tuple[str, str, str]
"""Probe, layer and split: what a thing's look depends on."""

_MODEL_LOOKS: dict[Key, Look] = {
    ("model", "readout", "test"): Look("model, test", BLACK, "o", width=1.3, order=4),
    ("model", "readout", "train"): Look("model, train (corrupted labels)", GREY, "o", (0, (4, 1.5)), order=2),
}
_TRANSFER_LOOKS: dict[Key, Look] = {
    ("transfer-zero", "readout", "test"): Look("transfer, bias zero", "#d55e00", "P", (0, (3, 1)), order=5),
    ("transfer-kept", "readout", "test"): Look("transfer, bias kept", "#cc79a7", "X", (0, (1, 1)), order=5),
}


def layers(table: pd.DataFrame) -> list[str]:
    """Return the probed layers of a table, in the order of the network."""
    return list(table.loc[table["layer"] != "readout", "layer"].unique())


def key_of(rows: pd.DataFrame) -> Key:
    """Return what the look of some rows, all of one thing, depends on."""
    probe, layer, split = rows[["probe", "layer", "split"]].iloc[0]
    return probe, layer, split


def looks_of(table: pd.DataFrame) -> dict[Key, Look]:
    """Give every curve of a table its look, in the order of the legend.

    Layers go from light to dark from the last to the first. Counting from the last gives it one look, whether
    or not a figure shows the others.
    """
    names = layers(table)[::-1]
    colors = matplotlib.colormaps["viridis"](np.linspace(0.8, 0.05, len(names)))
    of_layers = {
        (probe, name, "test"): Look(name, tuple(color), marker)
        for name, color, marker in reversed(list(zip(names, colors, cycle(MARKERS), strict=False)))
        for probe in table.loc[table["layer"] != "readout", "probe"].unique()
    }
    here = set(table[["probe", "layer", "split"]].itertuples(index=False, name=None))
    return {key: look for key, look in (_MODEL_LOOKS | of_layers | _TRANSFER_LOOKS).items() if key in here}
