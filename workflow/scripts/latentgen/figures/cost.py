"""The figure `cost`: the cost of probes."""

from collections.abc import Mapping
from math import ceil, floor, log10

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter

from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH
from latentgen.figures.styles import Style, probe_styles
from latentgen.tables.facts import masc_variants

MEASURES = {"seconds": "seconds", "flops": "floating-point operations", "bytes": "bytes moved"}
PHASES = ("fit", "predict")
_DODGE = 0.6


def cost_table(material: Material) -> pd.DataFrame:
    """Return the points: the median over runs, with the lowest and the highest as `low` and `high`."""
    variants = masc_variants(material.all_runs) | masc_variants(material.accuracy)
    cost = material.cost[~material.cost["probe"].isin(variants)]
    by = ["probe", "layer", "width", "fit_items", "predict_items"]
    parts = []
    for phase in PHASES:
        for measure in MEASURES:
            values = cost.groupby(by, sort=False)[f"{phase}_{measure}"]
            medians = values.agg(median="median", low="min", high="max", runs="size").reset_index()
            parts.append(medians.assign(step=phase, measure=measure))
    return pd.concat(parts, ignore_index=True)


def draw_cost(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw the cost of each probe alone, by layer: seconds, operations and bytes to fit and to predict."""
    styles = probe_styles(table["probe"])
    widths = table.drop_duplicates("layer").set_index("layer")["width"]
    # There is no formula for custom probes; and predicting from a dead layer, which has no direction to
    # project on, takes no operations.
    drawn = table[table["median"] > 0]
    measures = [measure for measure in MEASURES if (drawn["measure"] == measure).any()]
    figure = Figure(figsize=(PAGE_WIDTH, 4.4), layout="constrained")
    grid = figure.subplots(len(PHASES), len(measures), sharex=True, sharey="col", squeeze=False)
    for phase, row in zip(PHASES, grid, strict=True):
        items = int(table[f"{phase}_items"].iloc[0])
        for measure, axes in zip(measures, row, strict=True):
            points = drawn[drawn["measure"] == measure]
            lowest, every = _decades(axes, points)
            _draw_points(axes, points[points["step"] == phase], styles, list(widths.index), lowest)
            axes.set_ylim(*every)
            axes.set(xlabel="", ylabel=MEASURES[measure])
            axes.set_title(f"{phase} {items:,} examples")
            many = len(widths) > 4
            axes.set_xticks(
                range(len(widths)),
                [f"{name}{' ' if many else chr(10)}({width:,})" for name, width in widths.items()],
                rotation=90 if many else 0,
            )
    figure.supxlabel("layer (units)", fontsize="medium")
    runs = int(table["runs"].max())
    averaged = f"median of {runs} runs, lines: lowest to highest" if runs > 1 else "one run"
    handles = [
        Line2D([], [], color=style.color, marker=style.marker, linestyle="none", label=style.label)
        for style in styles.values()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        columnspacing=1.0,
        title=f"Each probe alone, at the end of training; {averaged}; "
        "seconds measured, the rest from formulas",
    )
    return figure


def _decades(axes: Axes, points: pd.DataFrame) -> tuple[float, tuple[float, float]]:
    """Give a panel a logarithmic axis of whole decades, so that it always has labelled ticks.

    Returns the lowest decade, and the limits of the axis.
    """
    lowest = points["low"].where(points["low"] > 0, points["median"])
    first, last = floor(log10(lowest.min())), ceil(log10(points["high"].max()))
    every = 1 + (last - first) // 8
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(first, last + 1, every)]))
    axes.yaxis.set_minor_formatter(NullFormatter())
    return 10.0**first, (10.0**first / 1.5, 10.0**last * 1.5)


def _draw_points(
    axes: Axes, points: pd.DataFrame, styles: Mapping[str, Style], layers: list[str], lowest: float
) -> None:
    import seaborn as sns  # takes seconds

    probes = list(styles)
    sns.pointplot(
        points,
        x="layer",
        y="median",
        hue="probe",
        order=layers,
        hue_order=probes,
        palette={probe: style.color for probe, style in styles.items()},
        markers=[style.marker for style in styles.values()],
        linestyles="none",
        markersize=3.2,
        markeredgewidth=0.5,
        dodge=_DODGE if len(probes) > 1 else False,
        errorbar=None,
        legend=False,
        ax=axes,
    )
    for row in points.to_dict("records"):
        shift = (probes.index(row["probe"]) / max(len(probes) - 1, 1) - 0.5) * _DODGE
        x = layers.index(row["layer"]) + shift * (len(probes) > 1)
        low = max(row["low"], lowest / 10)
        axes.vlines(x, low, row["high"], color=styles[row["probe"]].color, linewidth=0.8)
