"""The figure of what probes cost."""

from math import ceil, floor, log10

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter

from latentgen.figures.panels import PAGE_WIDTH
from latentgen.figures.styles import probe_looks

MEASURES = {"seconds": "seconds", "flops": "floating-point operations", "bytes": "bytes moved"}
STEPS = ("fit", "predict")


def cost_figure_table(cost: pd.DataFrame) -> pd.DataFrame:
    """Return the points of `draw_cost`: the median over runs, and the lowest and highest, as `low`, `high`.

    Parameters
    ----------
    cost : DataFrame
        Rows of the table of costs, of one pair.
    """
    cost = cost[cost["probe"].isin(probe_looks(cost["probe"]))]
    by = ["probe", "layer", "width", "fit_items", "predict_items"]
    parts = []
    for step in STEPS:
        for measure in MEASURES:
            values = cost.groupby(by, sort=False)[f"{step}_{measure}"]
            found = values.agg(median="median", low="min", high="max", runs="size").reset_index()
            parts.append(found.assign(step=step, measure=measure))
    return pd.concat(parts, ignore_index=True)


def draw_cost(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw what each probe costs alone, by layer: seconds, operations and bytes; to fit and to predict."""
    import seaborn as sns  # takes seconds

    looks = probe_looks(table["probe"])
    kinds = list(looks)
    names = list(table["layer"].unique())
    width = table.drop_duplicates("layer").set_index("layer")["width"]
    # No formula is known of a user's own probes; and to predict from a dead layer, which has no direction to
    # project on, takes no operation.
    drawn = table[table["median"] > 0]
    measures = [measure for measure in MEASURES if (drawn["measure"] == measure).any()]
    figure = Figure(figsize=(PAGE_WIDTH, 4.4), layout="constrained")
    grid = figure.subplots(len(STEPS), len(measures), sharex=True, sharey="col", squeeze=False)
    dodge = 0.6
    for step, row in zip(STEPS, grid, strict=True):
        items = int(table[f"{step}_items"].iloc[0])
        for measure, axes in zip(measures, row, strict=True):
            of_both = drawn[drawn["measure"] == measure]
            here = of_both[of_both["step"] == step]
            # Whole decades, so that there are always ticks to read.
            lowest = of_both["low"].where(of_both["low"] > 0, of_both["median"])
            first, last = floor(log10(lowest.min())), ceil(log10(of_both["high"].max()))
            axes.set_yscale("log")
            sns.pointplot(
                here,
                x="layer",
                y="median",
                hue="probe",
                order=names,
                hue_order=kinds,
                palette={kind: look.color for kind, look in looks.items()},
                markers=[look.marker for look in looks.values()],
                linestyles="none",
                markersize=3.2,
                markeredgewidth=0.5,
                dodge=dodge if len(kinds) > 1 else False,
                errorbar=None,
                legend=False,
                ax=axes,
            )
            for one in here.to_dict("records"):
                shift = (kinds.index(one["probe"]) / max(len(kinds) - 1, 1) - 0.5) * dodge
                x = names.index(one["layer"]) + shift * (len(kinds) > 1)
                low = max(one["low"], 10.0**first / 10)
                axes.vlines(x, low, one["high"], color=looks[one["probe"]].color, linewidth=0.8)
            axes.set_ylim(10.0**first / 1.5, 10.0**last * 1.5)
            every = 1 + (last - first) // 8
            axes.yaxis.set_major_locator(
                FixedLocator([10.0**power for power in range(first, last + 1, every)])
            )
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set(xlabel="", ylabel=MEASURES[measure])
            axes.set_title(f"{step} {items:,} items")
            many = len(names) > 4
            axes.set_xticks(
                range(len(names)),
                [f"{name}{' ' if many else chr(10)}({width[name]:,})" for name in names],
                rotation=90 if many else 0,
            )
    figure.supxlabel("layer (units)", fontsize="medium")
    runs = int(table["runs"].max())
    said = f"median of {runs} runs, lines: lowest to highest" if runs > 1 else "one run"
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle="none", label=look.label)
        for look in looks.values()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        columnspacing=1.0,
        title=f"Each probe alone, at the end of training; {said}; seconds measured, the others by formula",
    )
    return figure
