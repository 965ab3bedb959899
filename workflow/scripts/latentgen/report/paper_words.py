"""What a figure of the papers' page shows, in words: its numbers, and how close ours are to theirs."""

import pandas as pd

from latentgen.figures.panels import PUBLISHED, ours
from latentgen.figures.paper import name_of_row, paper_styles, row_order
from latentgen.figures.paper_experiments import EXPERIMENTS, ROW
from latentgen.figures.styles import style_key
from latentgen.figures.wording import percent, plural
from latentgen.report.paper_fidelity import compared_angles, compared_cells, is_compared
from latentgen.tables.published import of_older_networks, without_older_networks

SHOWN_P = (0.4, 0.8)
CURVE = 5
"""Points from which a curve has a peak."""


def result_in_words(table: pd.DataFrame, against: str) -> list[str]:
    """Return a figure's numbers at the end, in sentences by p, and the peaks of its curves.

    Parameters
    ----------
    table : DataFrame
        What the figure shows.
    against : str
        ``epoch`` or ``p``.
    """
    sentences = []
    for who, rows in (("Ours", ours(table)), ("Theirs", table[table["source"].isin(PUBLISHED)])):
        # Where papers have a panel each, ours are the same in both.
        rows = rows.drop_duplicates(["p", "probe", "layer", "split", "epoch", "mean"])
        for p in sorted(set(rows["p"]) & set(SHOWN_P)):
            of_p = rows[rows["p"] == p]
            after = f", after {of_p['epoch'].max():.0f} epochs" if against == "epoch" else ""
            words = _angle(of_p) if of_p["probe"].eq("angle").any() else _curves(of_p, table, against)
            sentences.append(f"{who}, p = {p:g}{after}{words}.")
    if sentences and _has_layers(table):
        sentences.append("Named is the layer that is best at the end, on the same test images.")
    return sentences


def _angle(curve: pd.DataFrame) -> str:
    low, last = curve.sort_values("mean").iloc[0], curve.sort_values("epoch").iloc[-1]
    return f": {last['mean']:.1f}° (lowest {low['mean']:.1f}° at epoch {low['epoch']:.0f})"


def _has_layers(table: pd.DataFrame) -> bool:
    return not table["layer"].isin(["readout", "best"]).all()


def _curves(rows: pd.DataFrame, table: pd.DataFrame, against: str) -> str:
    """Return the last number of each curve; of curves that differ by layer alone, only of the best.

    If a row of panels has no curves by layer, its name comes first.
    """
    styles = paper_styles(table)
    place = list(styles)
    if rows["split"].eq("test").any():
        rows = rows[(rows["probe"] != "model") | ~rows["split"].isin(["train", "true"])]
    groups = sorted(
        (curves for _, curves in rows.groupby([ROW, "probe", "split"], sort=False)),
        key=lambda curves: (*_row_of(curves), place.index(style_key(curves))),
    )
    named = not _has_layers(table) and len(set(rows[ROW])) > 1
    by_row: dict[str, list[str]] = {}
    for curves in groups:
        ends = curves.sort_values("epoch", kind="stable").groupby("layer", sort=False).tail(1)
        end = ends.sort_values("mean", kind="stable").iloc[-1]
        curve, row = curves[curves["layer"] == end["layer"]], str(end[ROW])
        details = []
        name = styles[style_key(curve)].label
        if end["layer"] not in ("readout", "best"):
            details.append(name)
            name = str(end["probe"]) if against == "epoch" else name_of_row(row)
        if len(curve) >= CURVE and end["split"] == "test":
            peak = curve.sort_values("mean", ascending=False, kind="stable").iloc[0]
            details.append(f"peak {percent(peak['mean'])} % at epoch {peak['epoch']:.0f}")
        text = f"{name} {percent(end['mean'])} %" + (f" ({'; '.join(details)})" if details else "")
        by_row.setdefault(name_of_row(row) if named else "", []).append(text)
    joined = {row: "; ".join(texts) for row, texts in by_row.items()}
    return "".join(
        f". {row[0].upper()}{row[1:]}: {text}" if row else f": {text}" for row, text in joined.items()
    )


def _row_of(curves: pd.DataFrame) -> tuple[bool, tuple[int, str]]:
    row = str(curves[ROW].iloc[0])
    return row != "", row_order(row)


def fidelity_in_words(
    name: str, table: pd.DataFrame, fidelity: pd.DataFrame, pair: str
) -> tuple[str, list[str]]:
    """Return how many of a figure's numbers are close to theirs, and why others are not compared.

    Parameters
    ----------
    name : str
        The experiment, or ``geometry`` or ``best_layers``.
    table : DataFrame
        What the figure shows.
    fidelity : DataFrame
        The fidelity table of the pair.
    pair : str
        Data set and network.
    """
    if name == "best_layers":
        return "Not counted: the papers' tables do not give the epochs, and some are of older networks.", []
    if name == "geometry":
        return _closeness(compared_angles(table, pair), "3° of theirs or inside"), []
    cells = EXPERIMENTS[name].rows(fidelity)
    cells = cells[cells["split"] != "unedited"]
    if EXPERIMENTS[name].against == "p":
        cells = cells[cells["final"]]
    reasons = cells.loc[~is_compared(cells), "why_not"].value_counts(sort=True)
    words = _closeness(compared_cells(cells), "3 points of theirs or inside")
    return words, [f"{count}: {why}" for why, count in reasons.items()]


def _closeness(cells: pd.DataFrame, limit: str) -> str:
    if cells.empty:
        return "None of their numbers in this figure can be compared."
    return (
        f"{int(cells['close'].sum())} of {plural(len(cells), 'comparable number')} "
        f"({percent(cells['close'].mean())} %) within {limit} the range of their runs."
    )


def limits_in_words(name: str, table: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    """Return what a figure cannot show, in sentences; `published` are the papers' accuracies of the pair."""
    sentences = [EXPERIMENTS[name].limits] if name in EXPERIMENTS and EXPERIMENTS[name].limits else []
    logs = without_older_networks(published)
    older = set(logs.loc[of_older_networks(logs), "p"])
    networks = table[(table["probe"] == "model") & table["source"].isin(PUBLISHED)]
    drawn = [f"{p:g}" for p in sorted(older & set(networks["p"]))]
    if drawn and name in EXPERIMENTS:
        sentences.append(
            f"Their network at p = {', '.join(drawn)} is an older one, trained in another way than those "
            "that were probed, of which they published no curve."
        )
    return sentences
