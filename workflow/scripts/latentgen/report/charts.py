"""Interactive curves over training, drawn by Bokeh; the page contains the library."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from latentgen.figures.averages import curves_of, probes_at_every_checkpoint
from latentgen.figures.material import select
from latentgen.figures.styles import curve_styles, probe_styles, style_key
from latentgen.report.lookup import Tables, names_of
from latentgen.study.plan import Drawing
from latentgen.tables.selection import on_test

DASHES: tuple[list[int], ...] = ([], [6, 3], [2, 3], [2, 3, 7, 3], [9, 2])
"""Line of each probe, as lengths of dashes and gaps, in the order of the legend; the model's is solid."""
FIRST_P = 0.4
"""Shown first: the labels are noisy, but most are correct."""
FIRST_PROBES = ("model", "MASC", "VeLPIC")
"""Shown first."""
TICKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
EXACT = 4
"""Decimals of percentages and positions."""


@dataclass(frozen=True)
class Choice:
    """One thing that can be switched on and off, and how its curves look."""

    value: str
    shown: bool
    color: str = ""
    dash: str | None = None
    """Lengths of dashes and gaps, in SVG's notation."""


@dataclass(frozen=True)
class Chart:
    """Curves of one pair of data set and network and one noise.

    Attributes
    ----------
    title : str
    choices : mapping
        What can be switched on and off: ``p`` (one at a time), ``probe``, ``layer`` and, where there are
        several, ``pool``.
    curves : list of dict
        Name of each curve in the chart, and its value for each choice.
    item : dict
        The chart, as ``Bokeh.embed.embed_item`` takes it.
    """

    title: str
    choices: Mapping[str, Sequence[Choice]]
    curves: Sequence[Mapping[str, str]]
    item: Mapping[str, Any]

    @property
    def data(self) -> str:
        """Chart and curves as JSON, safe inside a page's script element."""
        text = json.dumps({"item": self.item, "curves": self.curves}, separators=(",", ":"))
        return text.replace("<", "\\u003c")


def library() -> str:
    """Return the source of the library that draws the charts in a browser."""
    from bokeh.resources import Resources

    sources = Resources(mode="inline", components=["bokeh"], log_level="error").js_raw
    return re.sub("</script", r"<\\/script", "\n".join(sources), flags=re.IGNORECASE)


def make_charts(drawings: Sequence[Drawing], tables: Tables) -> list[Chart]:
    """Return a chart for each pair and noise whose networks have at least two checkpoints."""
    charts: list[Chart] = []
    for drawing in drawings:
        accuracy = select(tables.accuracy, **names_of(drawing))
        if accuracy["epoch"].min() < accuracy["epoch"].max():
            title = f"{drawing.pair.name}, {drawing.noise.noise_name}"
            charts.append(_chart(title, f"chart{len(charts)}", accuracy))
    return charts


def _chart(title: str, target: str, accuracy: pd.DataFrame) -> Chart:
    from bokeh.core.types import ID
    from bokeh.embed import json_item

    rows = accuracy[on_test(accuracy)]
    rows = rows[rows["probe"].isin(["model", *probes_at_every_checkpoint(accuracy)])]
    table = curves_of(rows)
    modules = rows.drop_duplicates("layer").set_index("layer")[["module", "pool"]].fillna("")
    styles, probes = curve_styles(table), ["model", *probe_styles(table["probe"])]
    dashes = {"model": DASHES[0]} | dict(zip(probes[1:], cycle(DASHES), strict=False))
    figure = _empty_figure(table)
    curves: list[dict[str, str]] = []
    colors: dict[str, str] = {}
    ps = sorted(table["p"].unique())
    first = FIRST_P if FIRST_P in ps else ps[-1]
    for _, curve in table.groupby(["p", "probe", "layer"], sort=False):
        p, probe, layer = curve[["p", "probe", "layer"]].iloc[0]
        name = f"{target}-{len(curves)}"
        label = "model" if probe == "model" else f"{probe} on {layer}"
        module, pool = ("", "") if probe == "model" else modules.loc[layer]
        color = colors.setdefault(module, to_hex(styles[style_key(curve)].color))
        _add_curve(figure, name, curve, label, color, dashes[probe], p == first and probe in FIRST_PROBES)
        curves.append({"name": name, "p": f"{p:g}", "probe": probe, "layer": module, "pool": pool})
    pools = list(dict.fromkeys(curve["pool"] for curve in curves if curve["probe"] != "model"))
    choices = {
        "p": [Choice(f"{p:g}", p == first) for p in ps],
        "probe": [
            Choice(name, name in FIRST_PROBES, dash=" ".join(map(str, dashes[name]))) for name in probes
        ],
        "layer": [Choice(name, True, color=color) for name, color in colors.items() if name],
        "pool": [Choice(pool, True) for pool in pools] if len(pools) > 1 else [],
    }
    return Chart(
        title,
        {name: several for name, several in choices.items() if several},
        curves,
        json_item(figure, ID(target)),
    )


def _empty_figure(table: pd.DataFrame) -> Any:
    from bokeh.models import FixedTicker, HoverTool, Range1d
    from bokeh.plotting import figure

    chart = figure(
        height=420,
        sizing_mode="stretch_width",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        active_scroll=None,
        x_axis_label="epoch, on a scale of log(1 + epoch); 0: untrained",
        y_axis_label="test accuracy (%)",
        y_range=Range1d(start=0, end=102),
    )
    chart.add_tools(
        HoverTool(
            tooltips=[
                ("", "@label"),
                ("epoch", "@epoch{0.#}"),
                ("accuracy", "@mean{0.0} %, 95 % interval @low{0.0} to @high{0.0}"),
                ("seeds", "@seeds"),
            ]
        )
    )
    ticks = [tick for tick in TICKS if tick <= table["epoch"].max()]
    chart.xaxis.ticker = FixedTicker(ticks=[_position(tick) for tick in ticks])
    chart.xaxis.major_label_overrides = {_position(tick): str(tick) for tick in ticks}
    chart.toolbar.logo = None
    return chart


def _position(epoch: float) -> float:
    return round(float(np.log1p(epoch)), EXACT)


def _add_curve(
    chart: Any, name: str, curve: pd.DataFrame, label: str, color: str, dash: list[int], shown: bool
) -> None:
    from bokeh.models import ColumnDataSource

    curve = curve.sort_values(["epoch", "final"])
    columns: dict[str, Any] = {
        "x": [_position(epoch) for epoch in curve["epoch"]],
        "epoch": curve["epoch"].tolist(),
        "seeds": curve["seeds"].tolist(),
        "label": [label] * len(curve),
    }
    columns |= {name: (100 * curve[name]).round(EXACT).tolist() for name in ("mean", "low", "high")}
    source = ColumnDataSource(columns)
    width = 2.5 if label == "model" else 1.5
    chart.line(
        "x", "mean", source=source, color=color, line_dash=dash, line_width=width, name=name, visible=shown
    )
    chart.scatter("x", "mean", source=source, color=color, size=5, name=f"{name}-points", visible=shown)
