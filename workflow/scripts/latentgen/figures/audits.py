"""The figures `audit` and `repair`: wrong labels detected by a trained network, and repaired networks."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from latentgen.figures.material import Material
from latentgen.figures.panels import PAGE_WIDTH, accuracy_axis, draw_bars_against, draw_chance, legend
from latentgen.figures.points import P_LABEL, p_axis
from latentgen.figures.styles import BLACK, GREY, Style
from latentgen.tables.statistics import mean_difference_over_seeds, mean_over_seeds, mean_value_over_seeds

_STYLES = {
    "audit": Style("audit", "#d55e00", "o", order=4),
    "repaired": Style("repaired network", "#d55e00", "o", order=4),
    "network": Style("the network itself", BLACK, "s"),
    "raw_input": Style("raw input", GREY, "D", (0, (4, 1.5))),
}
DRAWN = ["panel", "what", "p", "seeds", "mean", "low", "high", "source", "fit_labels", "final"]
"""Columns of the plotted table, except for the points of the estimate."""

ESTIMATE = "estimate"


def audit_table(material: Material) -> pd.DataFrame:
    """Return how well scores rank wrong labels, over seeds; and estimated and true noise of each run."""
    known = material.audit[material.audit["wrong"].notna()]
    ranked = known[known["average_precision"].notna()]
    if known.empty:
        return pd.DataFrame(columns=[*DRAWN, "true"])
    parts = [
        mean_value_over_seeds(ranked.assign(value=ranked[f"{prefix}average_precision"]), ["p"]).assign(
            panel="average precision", what=what
        )
        for what, prefix in (("audit", ""), ("network", "network_"), ("raw_input", "raw_input_"))
    ]
    counted = known[known["estimated"].notna()]
    total = counted["labels"]
    points = {"mean": "estimated", "low": "low", "high": "high", "true": "wrong"}
    columns = {name: counted[column].astype(float) / total for name, column in points.items()}
    estimates = pd.DataFrame({"p": counted["p"], **columns}).assign(panel=ESTIMATE, what="audit", seeds=1)
    table = pd.concat([*parts, estimates], ignore_index=True)
    return table.assign(source="ours", fit_labels="corrupted", final=True)[[*DRAWN, "true"]]


def draw_audit(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw average precision against p, and the estimated fraction of wrong labels against the true one."""
    ranked, points = table[table["panel"] != ESTIMATE], table[table["panel"] == ESTIMATE]
    figure = Figure(figsize=(PAGE_WIDTH, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = [(_STYLES[str(what)], rows) for what, rows in ranked.groupby("what", sort=False)]
    if shown:
        draw_bars_against(left, shown, "p", ranked["p"].unique())
        p_axis(left, ranked)
    left.set(title="wrong labels ranked first:\naverage precision (%)", xlabel=P_LABEL)
    accuracy_axis(left)
    _draw_estimates(right, points)
    interval = "bars" if len(ranked) and ranked["seeds"].max() > 1 else None
    legend(figure, ranked if len(ranked) else table, [style for style, _ in shown], None, interval)
    return figure


def _draw_estimates(axes: Axes, points: pd.DataFrame) -> None:
    axes.set_title("estimated fraction of\nwrong labels (%)")
    axes.set_xlabel("true fraction of wrong labels (%)")
    limit = max(1e-2, points[["true", "high"]].max().max() * 1.05) if len(points) else 1.0
    axes.set(xlim=(-0.02 * limit, limit), ylim=(-0.02 * limit, limit))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.plot([0, limit], [0, limit], color=GREY, linewidth=0.7)
    if len(points):
        bars = [points["mean"] - points["low"], points["high"] - points["mean"]]
        axes.errorbar(points["true"], points["mean"], yerr=bars, fmt="o", color=_STYLES["audit"].color)
    else:
        axes.text(0.5, 0.5, "no held-out examples:\nnot estimated", ha="center", transform=axes.transAxes)


def repair_table(material: Material) -> pd.DataFrame:
    """Return test accuracies of network, repaired network and raw input, and gains over the network."""
    rows = material.repair
    if rows.empty:
        return pd.DataFrame(columns=DRAWN)
    counts = {
        what: rows[["p", "seed", "total"]].assign(correct=rows[f"{what}_correct"])
        for what in ("network", "repaired", "raw_input")
    }
    reference = counts["network"].rename(columns={"correct": "reference_correct", "total": "reference_total"})
    parts = [
        mean_over_seeds(counted, ["p"]).assign(panel="test accuracy", what=what)
        for what, counted in counts.items()
    ]
    for what in ("repaired", "raw_input"):
        pairs = counts[what].merge(reference, on=["p", "seed"], validate="one_to_one")
        parts.append(mean_difference_over_seeds(pairs, ["p"]).assign(panel="gain", what=what))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(source="ours", fit_labels="corrupted", final=True)[DRAWN]


def draw_repair(table: pd.DataFrame, chance: float | None = None) -> Figure:
    """Draw test accuracy against p, and the paired difference from the network itself."""
    figure = Figure(figsize=(PAGE_WIDTH, 2.9), layout="constrained")
    titles = {"test accuracy": "test accuracy (%)", "gain": "minus the network itself (points)"}
    for axes, (panel, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        rows = table[table["panel"] == panel]
        shown = [(_STYLES[str(what)], curve) for what, curve in rows.groupby("what", sort=False)]
        draw_bars_against(axes, shown, "p", rows["p"].unique())
        p_axis(axes, rows)
        axes.set(title=title, xlabel=P_LABEL)
        accuracy_axis(axes, (0, 1) if panel == "test accuracy" else None)
        if panel == "test accuracy":
            draw_chance(axes, chance)
        else:
            axes.axhline(0, color=BLACK, linewidth=0.6, zorder=1)
    entries = [_STYLES[what] for what in ("network", "repaired", "raw_input")]
    legend(figure, table, entries, chance, "bars")
    return figure
