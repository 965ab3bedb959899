"""What was measured, as a page and as a figure."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.timing import Goal, Section

HERE = Path(__file__).parent


def write(sections: Sequence[Section], described: str, seconds: float) -> None:
    """Write ``results.md`` and ``results.png``."""
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
        lines += [f"* {note}" for note in section.notes]
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    _draw(sections)


def _row(goal: Goal) -> str:
    sign, verdict = "≥" if goal.at_least else "≤", "reached" if goal.met else "**missed**"
    return f"| {goal.what} | {goal.reached:.3g} {goal.unit} | {sign} {goal.limit:g} {goal.unit} | {verdict} |"


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
