"""The results of the benchmarks as a page with figures."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.timing import Goal, Growth, Section, Timing

NUMBERS = Path(__file__).with_name("results.json")
DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Part:
    """Results of one module."""

    name: str
    described: str
    """The machine, versions and the date."""
    sections: list[Section]


def write(names: Sequence[str], part: Part) -> None:
    """Replace the last results of a part, and rewrite the page and its figures.

    Numbers are kept in ``results.json``; ``docs/benchmarks.md`` and its figures show them, in the
    order of `names`.
    """
    kept = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    kept[part.name] = asdict(part)
    NUMBERS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    parts = [_part(kept[name]) for name in names if name in kept]
    sections = [section for part in parts for section in part.sections]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; `python -m benchmarks NAME` measures one part again.",
        "",
    ]
    for described in dict.fromkeys(part.described for part in parts):
        measured = ", ".join(part.name for part in parts if part.described == described)
        lines += [f"* {measured}: {described}."]
    lines += [
        "",
        "| what | measured | target | |",
        "|---|---|---|---|",
        *(_row(goal) for section in sections for goal in section.goals),
        "",
        "![Measured values relative to their targets](benchmarks.png)",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.how, ""]
        if section.timings:
            lines += ["| method | seconds | lowest … highest |", "|---|---|---|"]
            lines += [
                f"| {t.way} | {t.median:.3g} | {min(t.seconds):.3g} … {max(t.seconds):.3g} |"
                for t in section.timings
            ]
            lines += [""]
        if section.growth:
            lines += ["| step | by number of | power | seconds |", "|---|---|---|---|"]
            lines += map(_growth_row, section.growth)
            lines += ["", "![Seconds by size](benchmarks-growth.png)"]
            _draw_growth(section.growth)
        lines += [f"* {note}" for note in section.notes]
    (DOCS / "benchmarks.md").write_text("\n".join(lines) + "\n")
    _draw(sections)


def _part(kept: dict) -> Part:
    return Part(**kept | {"sections": [_section(section) for section in kept["sections"]]})


def _section(kept: dict) -> Section:
    parts = {"timings": Timing, "goals": Goal, "growth": Growth}
    return Section(**kept | {name: [kind(**each) for each in kept[name]] for name, kind in parts.items()})


def _row(goal: Goal) -> str:
    sign, verdict = "≥" if goal.at_least else "≤", "reached" if goal.met else "**missed**"
    return f"| {goal.what} | {goal.reached:.3g} {goal.unit} | {sign} {goal.limit:g} {goal.unit} | {verdict} |"


def _growth_row(growth: Growth) -> str:
    measured = ", ".join(f"{size:,}: {s:.3g}" for size, s in zip(growth.sizes, growth.seconds, strict=True))
    return f"| {growth.step} | {growth.varied} | {growth.exponent:.2f} | {measured} |"


def _draw_growth(found: Sequence[Growth]) -> None:
    """Draw a panel for each varied size, with logarithmic axes, and each line with its power."""
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
    figure.savefig(DOCS / "benchmarks-growth.png", dpi=200)
    plt.close(figure)


def _draw(sections: Sequence[Section]) -> None:
    """Draw each number relative to its target; right of the line is better."""
    goals = [goal for section in sections for goal in section.goals if goal.reached > 0 and goal.is_speed]
    better = [g.reached / g.limit if g.at_least else g.limit / g.reached for g in goals]
    figure, axes = plt.subplots(figsize=(7, 0.36 * len(goals) + 0.6), layout="constrained")
    colours = ["#0072B2" if goal.met else "#D55E00" for goal in goals]
    axes.barh(range(len(goals)), [b - 1 for b in better], left=1, color=colours)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [
        tick for tick in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8) if min(better) / 2 < tick < 2 * max(better)
    ]
    axes.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks], fontsize=7)
    axes.set_xticks([], minor=True)
    labels = ["\n".join(textwrap.wrap(goal.what, 60)) for goal in goals]
    axes.set_yticks(range(len(goals)), labels, fontsize=6)
    axes.set_ylim(len(goals) - 0.5, -0.5)
    axes.set_xlabel("relative to the target (left of 1: missed)", fontsize=8)
    figure.savefig(DOCS / "benchmarks.png", dpi=150)
    plt.close(figure)
