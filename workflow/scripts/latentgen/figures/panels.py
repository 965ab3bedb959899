"""Common parts of all figures: panels, their axes, controls behind the data, one legend above."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from latentgen.figures.styles import CHANCE_LINE, CONTROL_BAND, PUBLISHED_LINE, Style
from latentgen.figures.wording import plural

PUBLISHED = ("published", "published protocol")
"""The ``source`` of the papers' numbers: in figures of a study with the same protocol, and with another."""

PAGE_WIDTH = 7.0
"""Width of every figure, in inches."""


def panels(rows: int, columns: int, height: float) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of panels with shared axes; `height` is the height of a row, in inches."""
    figure = Figure(figsize=(PAGE_WIDTH, height * rows + 0.65), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return figure, [list(row) for row in grid]


def panels_of_p(table: pd.DataFrame, rows: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a column for each p."""
    return panels(rows, table["p"].nunique(), height=1.75)


def first_panels(table: pd.DataFrame, grid: Sequence[Sequence[Axes]]) -> Iterable[tuple[float, Axes]]:
    """Pair each p with its panel in the first row."""
    return zip(sorted(table["p"].unique()), (axes for row in grid for axes in row), strict=False)


def title_of_p(p: float, table: pd.DataFrame) -> str:
    """Return the title of the panel of p, with its number of seeds if that differs between p."""
    seeds = ours(table).groupby("p")["seeds"].max()
    count = f", {plural(seeds[p], 'seed')}" if seeds.min() < seeds.max() else ""
    return f"p = {p:g}{' (control)' if p == 1 else ''}{count}"


def ours(table: pd.DataFrame) -> pd.DataFrame:
    """Return the study's own rows, without controls."""
    return table[(table["source"] == "ours") & (table["fit_labels"] != "permuted")]


def epoch_axes(axes: Axes, last: float, width: float) -> None:
    """Give a panel an axis of epochs, up to `last`; `width` is the width of the panel, in inches."""
    labelled, minor = epoch_ticks(last, width)
    axes.set_xscale("function", functions=(np.log1p, np.expm1))
    axes.set_xlim(*np.expm1(np.log1p(last) * np.array([-0.03, 1.03])))
    axes.xaxis.set_major_locator(FixedLocator(labelled))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(FixedLocator(minor))
    axes.xaxis.set_minor_formatter(NullFormatter())


def epoch_ticks(last: float, width: float) -> tuple[list[float], list[float]]:
    """Return the ticks 0, 1, 2, 5, 10, … up to `last`: those with room for a label, and the others."""
    ticks = [0.0, *(m * 10.0**e for e in range(7) for m in (1, 2, 5) if m * 10.0**e <= last)]
    position = {tick: np.log1p(tick) / np.log1p(max(last, 1)) * width for tick in ticks}
    labelled: list[float] = []
    for tick in sorted(ticks, key=lambda tick: (tick != 0, np.log10(tick or 1) % 1 != 0, -tick)):
        if all(
            abs(position[tick] - position[other]) > 0.045 * (len(f"{max(tick, other):g}") + 2)
            for other in labelled
        ):
            labelled.append(tick)
    return sorted(labelled), [tick for tick in ticks if tick not in labelled]


def accuracy_axis(axes: Axes, limits: tuple[float, float] | None = (0, 1)) -> None:
    """Give a panel an axis of accuracies; without limits, of their differences."""
    if limits is not None:
        axes.set_ylim(limits[0] - 0.02, limits[1] + 0.02)
        axes.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))


def draw_chance(axes: Axes, chance: float | None) -> None:
    """Draw the level of chance, if it is known."""
    if chance is not None:
        axes.axhline(chance, **CHANCE_LINE, zorder=1)


def draw_control(axes: Axes, table: pd.DataFrame, x: str) -> None:
    """Draw the control with permuted labels: the range over the layers, against column `x`."""
    control = table[table["fit_labels"] == "permuted"].sort_values(x)
    if not control.empty:
        axes.fill_between(control[x], control["low"], control["high"], **CONTROL_BAND, zorder=0.5)


def draw_bars_against(
    axes: Axes, curves: Sequence[tuple[Style, pd.DataFrame]], x: str, values: Iterable[float]
) -> None:
    """Draw lines with error bars against column `x`; its values determine the limits.

    Points at the same value are drawn side by side, so that their bars do not overlap.
    """
    at = np.sort(list(values))
    span = np.ptp(at) or 1.0
    step = min(0.012 * span, 0.6 * np.diff(at).min(initial=span) / len(curves))
    for rank, (style, curve) in enumerate(curves):
        curve = curve.sort_values(x)
        axes.errorbar(
            curve[x] + (rank - (len(curves) - 1) / 2) * step,
            curve["mean"],
            yerr=[curve["mean"] - curve["low"], curve["high"] - curve["mean"]],
            color=style.color,
            marker=style.marker,
            linestyle=style.line,
            linewidth=style.width,
            elinewidth=0.7,
            zorder=style.order,
        )
    axes.set_xlim(at[0] - 0.08 * span, at[-1] + 0.08 * span)


def legend(
    figure: Figure,
    table: pd.DataFrame,
    entries: Iterable[Style | Artist],
    chance: float | None,
    interval: str | None,
    published: dict[str, Any] = PUBLISHED_LINE,
) -> None:
    """Put a legend above the panels; its title describes the points and intervals.

    Parameters
    ----------
    figure : Figure
    table : DataFrame
        The plotted table: the legend has the papers' numbers and the control only if they are in it.
    entries : iterable
        Styles, or handles as matplotlib takes them, in order.
    chance : float, optional
        The level of chance, if it is drawn.
    interval : str, optional
        What shows the intervals, such as "bands"; without it, the title does not mention intervals.
    published : dict
        Line settings of the papers' numbers.
    """
    handles = [_handle(entry) for entry in dict.fromkeys(entries)]
    if (table["source"].isin(PUBLISHED)).any():
        other = " (published protocol)" if (table["source"] == PUBLISHED[1]).any() else ""
        handles.append(Line2D([], [], color="0.2", **published, label=f"the papers’ numbers{other}"))
    if (table["fit_labels"] == "permuted").any() and interval != "whiskers":  # bars have marks instead
        handles.append(Patch(**CONTROL_BAND, label="control: permuted labels"))
    if chance is not None:
        handles.append(Line2D([], [], **CHANCE_LINE, label=f"chance ({100 * chance:.3g} %)"))
    columns = _columns([len(str(handle.get_label())) for handle in handles])
    figure.legend(
        # Matplotlib fills a legend column by column; row by row is easier to read.
        handles=[handle for column in range(columns) for handle in handles[column::columns]],
        loc="outside upper center",
        ncols=columns,
        title=_title(ours(table), interval),
    )


def _columns(lengths: Sequence[int]) -> int:
    """Return the number of columns that labels of these lengths fit into, filled evenly row by row."""
    for rows in range(1, len(lengths) + 1):
        columns = ceil(len(lengths) / rows)
        width = sum(0.45 + 0.058 * max(lengths[column::columns]) for column in range(columns))
        if columns <= 6 and width < PAGE_WIDTH:
            return columns
    return 1


def _handle(entry: Style | Artist) -> Artist:
    if isinstance(entry, Artist):
        return entry
    return Line2D(
        [],
        [],
        color=entry.color,
        linestyle=entry.line,
        linewidth=entry.width,
        marker=entry.marker,
        label=entry.label,
    )


def _title(table: pd.DataFrame, interval: str | None) -> str:
    if table.empty:
        return "The papers’ numbers only: mean of their runs"
    counts = table["seeds"]
    low, high = counts.min(), counts.max()
    title = f"Mean of {f'{low} to ' if low < high else ''}{plural(high, 'seed')}" if high > 1 else "1 seed"
    if interval is not None:
        kinds = {"Student t": high > 1, "binomial": low == 1}
        named = " or, of one seed, ".join(kind for kind, occurs in kinds.items() if occurs)
        title += f", {interval}: 95 % interval ({named})"
    if not table["final"].all():
        title += "; last marker: final checkpoint" + ("s" if high > 1 else "")
    return title
