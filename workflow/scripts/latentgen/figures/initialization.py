"""The figure `initialization`: training that starts with VeLPIC's vectors in the readout."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentgen.figures.averages import CURVE, PLOTTED
from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH, accuracy_axis, draw_bars_against, draw_chance, legend
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import BLACK, GREY, MARKERS, Style
from latentgen.tables.named_settings import settings_in_names
from latentgen.tables.selection import last_checkpoint, on_test, paired
from latentgen.tables.statistics import mean_difference_over_seeds, mean_over_seeds

_STYLES = {
    "none": Style("ordinary network", BLACK, "o", width=1.3, order=4),
    "velpic": Style("VeLPIC vectors in the readout", "#d55e00", "P", order=5),
    "velpic_old_norms": Style("VeLPIC vectors, old norms", "#cc79a7", "X"),
    "nearest_mean": Style("class means", "#56b4e9", "D"),
    "random": Style("random rows", "#e69f00", "^"),
    "MASC": Style("ordinary network, MASC on its best layer", "#0072b2", "s", (0, (4, 1.5))),
    "VeLPIC": Style("ordinary network, VeLPIC on its best layer", "#009e73", "v", (0, (4, 1.5))),
}
"""The compared networks and probes, in the order of the legend."""
_TITLES = {
    "end": "test accuracy at the end (%)",
    "peak": "peak during training (%)",
    "difference": "end, minus random rows (points)",
}
_SOURCES = {"corrupted": "all", "another_draw": "another\ndraw", "true": "true\nlabels"}


def initialization_table(material: Material) -> pd.DataFrame:
    """Return the points: end and peak of networks whose readout was set before training, by p.

    ``what`` names the network or probe, ``shown`` the number, and ``vectors_from`` the examples and labels
    that vectors were fitted with. A ``difference`` is from random rows with the same seed. Probes are those
    of the ordinary network at its end, on the layer where they are most accurate on the same test images.
    """
    rows = material.all_runs[on_test(material.all_runs)]
    edits = settings_in_names((), rows["intervention"].unique(), ()).interventions
    at_start = {name: edit for name, edit in edits.items() if edit.get("at_epoch") == 0}
    if not any(edit["edit"] != "none" for edit in at_start.values()):
        return pd.DataFrame(columns=[*PLOTTED, "what", "shown", "vectors_from"])
    rows = rows[rows["p"].isin(rows.loc[rows["intervention"].isin(at_start), "p"])]
    model = rows[rows["probe"] == "model"]
    ordinary = next((name for name, edit in at_start.items() if edit["edit"] == "none"), "none")
    networks = {ordinary: {"edit": "none", "vectors_from": "corrupted"}} | {
        name: edit for name, edit in at_start.items() if edit["edit"] in _STYLES
    }
    parts = []
    for name, edit in networks.items():
        parts += _numbers_of(model[model["intervention"] == name], edit)
    random = next((name for name, edit in at_start.items() if edit["edit"] == "random"), None)
    if random is not None:
        parts += _differences(model, networks, random)
    probed = last_checkpoint(rows[rows["intervention"] == ordinary])
    parts += [_best_layer(probed[probed["probe"] == probe], probe) for probe in ("MASC", "VeLPIC")]
    return pd.concat(parts, ignore_index=True)[[*PLOTTED, "what", "shown", "vectors_from"]]


def _numbers_of(model: pd.DataFrame, edit: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Return end and peak of a network over its seeds."""
    accuracy = model["correct"] / model["total"]
    peak = model.loc[accuracy.groupby(model["run"]).idxmax()]
    numbers = {"end": last_checkpoint(model), "peak": peak}
    return [_averaged(counts, edit["edit"], shown, edit["vectors_from"]) for shown, counts in numbers.items()]


def _averaged(counts: pd.DataFrame, what: str, shown: str, source: object = "corrupted") -> pd.DataFrame:
    mean = mean_difference_over_seeds if shown == "difference" else mean_over_seeds
    epochs = counts.groupby(CURVE, sort=False)["epoch"].mean().reset_index()
    table = mean(counts, CURVE).merge(epochs, on=CURVE)
    return table.assign(what=what, shown=shown, vectors_from=str(source), source="ours", final=True)


def _differences(
    model: pd.DataFrame, networks: Mapping[str, Mapping[str, Any]], random: str
) -> list[pd.DataFrame]:
    """Return the final accuracy of each network minus that with random rows, same p and seed."""
    last = last_checkpoint(model)
    reference = last[last["intervention"] == random]
    pairs = {name: paired(last[last["intervention"] == name], reference, ["p", "seed"]) for name in networks}
    return [
        _averaged(both, networks[name]["edit"], "difference", networks[name]["vectors_from"])
        for name, both in pairs.items()
        if name != random and networks[name]["vectors_from"] == "corrupted" and len(both)
    ]


def _best_layer(ends: pd.DataFrame, probe: str) -> pd.DataFrame:
    """Return the layer with the highest mean accuracy of a probe, for each p."""
    if ends.empty:
        return pd.DataFrame(columns=[*PLOTTED, "what", "shown", "vectors_from"]).astype({"p": float})
    layers = _averaged(ends, probe, "end")
    return layers.loc[layers.groupby("p")["mean"].idxmax()]


def draw_initialization(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw end, peak and paired difference against p, and the effect of vectors from other examples."""
    usual = table[table["vectors_from"] == "corrupted"]
    shown = [name for name in _TITLES if (usual["shown"] == name).any()]
    several = len(table["vectors_from"].unique()) > 1
    figure = Figure(figsize=(PAGE_WIDTH, 5.3 if len(shown) + several > 2 else 3.0), layout="constrained")
    rows = 2 if len(shown) + several > 2 else 1
    grid = figure.subplots(rows, 2, squeeze=False).ravel()
    for name, axes in zip(shown, grid, strict=False):
        points = usual[usual["shown"] == name]
        curves = [(style, points[points["what"] == what]) for what, style in _STYLES.items()]
        draw_bars_against(axes, [pair for pair in curves if len(pair[1])], "p", table["p"].unique())
        p_axis(axes, table)
        axes.set(title=_TITLES[name], xlabel=P_LABEL)
        _level(axes, name, chance)
    for axes in grid[len(shown) + several :]:
        axes.set_axis_off()
    if several:
        _draw_sources(grid[len(shown)], table, chance)
    entries = [style for what, style in _STYLES.items() if (table["what"] == what).any()]
    legend(figure, table, entries, chance, "bars")
    return figure


def _level(axes: Axes, shown: str, chance: float | None) -> None:
    accuracy_axis(axes, None if shown == "difference" else (0, 1))
    if shown == "difference":
        axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
    else:
        draw_chance(axes, chance)


def _draw_sources(axes: Axes, table: pd.DataFrame, chance: float | None) -> None:
    """Draw end (filled) and peak (open) by the source of the vectors; a marker per p."""
    velpic = table[(table["what"] == "velpic") & table["shown"].isin(["end", "peak"])]
    varied = velpic.loc[velpic["vectors_from"] != "corrupted", "p"].unique()
    velpic = velpic[velpic["p"].isin(varied)]
    fractions = sorted({name for name in velpic["vectors_from"] if name not in _SOURCES}, key=float)
    places = {name: place for place, name in enumerate(["corrupted", *fractions[::-1], *list(_SOURCES)[1:]])}
    places = {name: places[name] for name in places if (velpic["vectors_from"] == name).any()}
    for rank, (p, marker) in enumerate(zip(sorted(varied), cycle(MARKERS), strict=False)):
        for shown, face in (("end", GREY), ("peak", "white")):
            points = velpic[(velpic["p"] == p) & (velpic["shown"] == shown)]
            x = points["vectors_from"].map(list(places).index) + 0.14 * (rank - (len(varied) - 1) / 2)
            half = [points["mean"] - points["low"], points["high"] - points["mean"]]
            label = f"p = {p:g}, {shown}"
            line: dict[str, Any] = {
                "color": f"C{rank}",
                "markerfacecolor": f"C{rank}" if face == GREY else face,
            }
            axes.errorbar(x, points["mean"], yerr=half, fmt=marker, elinewidth=0.7, label=label, **line)
    names = [_SOURCES.get(name) or f"{100 * float(name):g} %" for name in places]
    axes.set_xticks(range(len(places)), names)
    axes.set(title="VeLPIC vectors fitted with other examples or labels (%)", xlabel="fitted with")
    axes.legend(loc="best", ncols=len(varied))
    draw_chance(axes, chance)
    accuracy_axis(axes)
