"""Curves against epoch, and axes and legend of their panels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latentgen.figures.averages import CURVE
from latentgen.figures.panels import (
    PUBLISHED,
    accuracy_axis,
    epoch_axes,
    first_panels,
    legend,
    ours,
    title_of_p,
)
from latentgen.figures.styles import PUBLISHED_LINE, Key, Style, style_key


def draw_curves(axes: Axes, table: pd.DataFrame, styles: dict[Key, Style]) -> None:
    """Draw the curves of one panel: mean, band, and a marker on the last point and on a few before."""
    curves = list(ours(table).groupby(CURVE, sort=False))
    for rank, (_, curve) in enumerate(curves):
        draw_curve(axes, curve, styles[style_key(curve)], rank, alpha=min(0.15, 0.7 / len(curves)))
    for _, curve in table[table["source"].isin(PUBLISHED)].groupby(CURVE, sort=False):
        sparse = "." if len(curve) <= 12 else "none"
        axes.plot(
            curve["epoch"],
            curve["mean"],
            color=styles[style_key(curve)].color,
            marker=sparse,
            markersize=2,
            **PUBLISHED_LINE,
        )


def draw_curve(axes: Axes, curve: pd.DataFrame, style: Style, rank: int, alpha: float) -> None:
    """Draw one curve: mean, band if it has one, and markers, whose epochs depend on the rank of the curve."""
    if curve["low"].notna().any():
        axes.fill_between(
            curve["epoch"],
            curve["low"],
            curve["high"],
            color=style.color,
            alpha=alpha,
            linewidth=0,
            zorder=style.order - 1,
        )
    axes.plot(
        curve["epoch"],
        curve["mean"],
        color=style.color,
        linestyle=style.line,
        linewidth=style.width,
        marker=style.marker,
        markevery=_marked(curve["epoch"].to_numpy(float), rank),
        zorder=style.order,
    )


def finish_curves(
    figure: Figure,
    grid: Sequence[Sequence[Axes]],
    table: pd.DataFrame,
    styles: dict[Key, Style],
    chance: float | None,
    limits: tuple[float, float] | None = (0, 1),
    more: Sequence[Line2D] = (),
) -> None:
    """Give panels of curves their axes, titles and legend."""
    for p, axes in first_panels(table, grid):
        axes.set_title(title_of_p(p, table))
    for axes in (axes for row in grid for axes in row):
        epoch_axes(axes, table["epoch"].max(), width=5.5 / len(grid[0]))
        accuracy_axis(axes, limits)
    figure.supxlabel("epoch, on a scale of log(1 + epoch); 0: untrained", fontsize="medium")
    entries: list[Style | Artist] = [*styles.values(), *more]
    legend(figure, table, entries, chance, "bands")


def _marked(epochs: np.ndarray, rank: int) -> list[int]:
    """Return the points of a curve that get a marker: the last, and others, shifted from curve to curve."""
    last = len(epochs) - 1
    wanted = np.log1p(epochs[-1]) * (np.arange(3) + (rank * 0.37) % 1) / 3
    near = np.abs(np.log1p(epochs)[:, None] - wanted[None]).argmin(axis=0)
    return sorted({*near.tolist(), last})
