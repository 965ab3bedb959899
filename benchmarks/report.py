"""What was measured, as a page and as figures."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.timing import Goal, Growth, Section

HERE = Path(__file__).parent


def write(sections: Sequence[Section], described: str, seconds: float) -> None:
    """Write ``results.md``, ``results.png`` and ``growth.png``."""
    goals = [goal for section in sections for goal in section.goals]
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` in {seconds / 60:.0f} minutes. {described}.",
        "",
        "| what | measured | to be reached | |",
        "|---|---|---|---|",
        *map(_row, goals),
        "",
        "![What was to be reached, and what was](results.png)",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.how, ""]
        if section.timings:
            lines += ["| way | seconds | from … to |", "|---|---|---|"]
            lines += [
                f"| {t.way} | {t.median:.3g} | {min(t.seconds):.3g} … {max(t.seconds):.3g} |"
                for t in section.timings
            ]
            lines += [""]
        if section.growth:
            lines += ["| step | by number of | power | seconds |", "|---|---|---|---|"]
            lines += map(_growth_row, section.growth)
            lines += ["", "![Seconds by size](growth.png)", ""]
            _draw_growth(section.growth)
        lines += [f"* {note}" for note in section.notes]
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    _draw(sections)


def _row(goal: Goal) -> str:
    sign, verdict = "≥" if goal.at_least else "≤", "reached" if goal.met else "**missed**"
    return f"| {goal.what} | {goal.reached:.3g} {goal.unit} | {sign} {goal.limit:g} {goal.unit} | {verdict} |"


def _growth_row(growth: Growth) -> str:
    measured = ", ".join(f"{size:,}: {s:.3g}" for size, s in zip(growth.sizes, growth.seconds, strict=True))
    return f"| {growth.step} | {growth.varied} | {growth.exponent:.2f} | {measured} |"


def _draw_growth(found: Sequence[Growth]) -> None:
    """Draw a panel for each thing that was varied, both axes logarithmic, each line with its power."""
    varied = list(dict.fromkeys(growth.varied for growth in found))
    figure, panels = plt.subplots(
        1, len(varied), figsize=(1.75 * len(varied), 2.4), sharey=True, layout="constrained"
    )
    for axes, name in zip(panels, varied, strict=True):
        of_it = [growth for growth in found if growth.varied == name]
        for growth, marker in zip(of_it, "os^", strict=False):
            label = f"{growth.step}, power {growth.exponent:.1f}"
            axes.plot(growth.sizes, growth.seconds, marker=marker, markersize=4, label=label)
        axes.set(xscale="log", yscale="log", xlabel=name)
        sizes = of_it[0].sizes
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=6)
        axes.set_xticks([], minor=True)
        axes.legend(fontsize=6, frameon=False, loc="lower right")
    panels[0].set_ylabel("seconds")
    figure.savefig(HERE / "growth.png", dpi=200)
    plt.close(figure)


def _draw(sections: Sequence[Section]) -> None:
    """Each number as a share of what was to be reached, better to the right of the line."""
    goals = [goal for section in sections for goal in section.goals if goal.reached > 0]
    better = [g.reached / g.limit if g.at_least else g.limit / g.reached for g in goals]
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(goals) + 1), layout="constrained")
    colours = ["#0072B2" if goal.met else "#D55E00" for goal in goals]
    axes.barh(range(len(goals)), [b - 1 for b in better], left=1, color=colours, log=False)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(goals)), [_short(goal.what) for goal in goals], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("times better than was to be reached (left of 1: missed)")
    figure.savefig(HERE / "results.png", dpi=150)
    plt.close(figure)


def _short(text: str, length: int = 62) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
