"""How close our results are to the papers' numbers: cell by cell, and counted by quantity and epochs."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from latentgen.figures.panels import PUBLISHED, ours
from latentgen.figures.wording import percent
from latentgen.tables.published import CELL

CLOSE = 3
"""Ours counts as reproducing theirs if it is within 3 points (or degrees), or in the range of their runs."""

CELLS = {
    "dataset": "str",
    "model": "str",
    "p": "float64",
    "quantity": "str",
    "probe": "str",
    "layer": "str",
    "fit_labels": "str",
    "split": "str",
    "eval_labels": "str",
    "intervention": "str",
    "epochs": "str",
    "epoch": "float64",
    "unit": "str",
    "theirs": "float64",
    "their_low": "float64",
    "their_high": "float64",
    "their_runs": "int64",
    "ours": "float64",
    "difference": "float64",
    "close": "bool",
}
"""Columns and types of the compared cells; ``epoch`` is ours, numbers are in ``unit`` (% or degrees)."""

QUANTITIES = {
    "model": "network, test",
    "training": "network, training",
    "edited": "edited network, trained further",
    "MASC": "MASC",
    "VeLPIC": "VeLPIC",
    "transfer": "transfer",
    "logistic": "logistic regression",
    "nearest_mean": "nearest mean",
    "other": "other probes",
    "angle": "angle of vectors and readout",
}
"""The quantities, in the order of the table."""

EPOCHS = {"untrained": 0, "1 to 10": 10, "11 to 40": 40, "41 to 100": 100, "over 100": float("inf")}
"""Ranges of epochs, and the last epoch of each."""
END = "end"


def compared_cells(fidelity: pd.DataFrame) -> pd.DataFrame:
    """Return the compared cells of a fidelity table (`latentgen.tables.published`), columns `CELLS`."""
    rows = fidelity[is_compared(fidelity)]
    numbers = 100 * rows[["theirs", "their_low", "their_high", "ours", "difference"]]
    epoch = rows["our_epoch"].where(rows["final"], rows["epoch"].astype(float))
    return _cells(rows.assign(**numbers, quantity=_quantity(rows), epoch=epoch, unit="%"))


def is_compared(fidelity: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the cells of a fidelity table that could be compared."""
    return fidelity["why_not"].isna() | (fidelity["why_not"] == "")


def compared_angles(table: pd.DataFrame, pair: str) -> pd.DataFrame:
    """Return the angles of the figure `geometry` at epochs that both have, columns `CELLS`.

    None if ours are of another protocol.
    """
    theirs = table[table["source"] == PUBLISHED[0]]
    both = ours(table).merge(theirs, on=["p", "epoch"], suffixes=("", "_theirs"))
    dataset, model = pair.split()
    return _cells(
        both.assign(
            dataset=dataset,
            model=model,
            intervention="none",
            final=False,
            quantity=QUANTITIES["angle"],
            unit="degrees",
            theirs=both["mean_theirs"],
            their_low=both["low_theirs"],
            their_high=both["high_theirs"],
            their_runs=both["seeds_theirs"],
            ours=both["mean"],
            difference=both["mean"] - both["mean_theirs"],
        )
    )


def _quantity(rows: pd.DataFrame) -> "pd.Series[str]":
    """Return which of `QUANTITIES` accuracies are, theirs or ours."""
    kind = rows["probe"].str.split("-").str[0]
    kind = kind.where(kind.isin(list(QUANTITIES)), "other")
    kind = kind.mask((kind == "model") & (rows["split"] != "test"), "training")
    return kind.mask(rows["intervention"] != "none", "edited").map(QUANTITIES)


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    close = rows["difference"].abs() <= CLOSE
    close |= rows["ours"].between(rows["their_low"], rows["their_high"])
    epochs = pd.cut(rows["epoch"], [-1, *EPOCHS.values()], labels=list(EPOCHS)).astype("str")
    rows = rows.assign(epochs=epochs.mask(rows["final"].astype(bool), END), close=close)
    return rows[list(CELLS)].astype(CELLS).reset_index(drop=True)


def compare_their_runs(published: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Compare each of their runs with the mean and the range of their others, as ours are with theirs.

    Parameters
    ----------
    published : DataFrame
        As `latentgen.tables.published.read_published` returns it.
    cells : DataFrame
        Ours: only their runs of the same data, network, p and quantity are compared, at all epochs.

    Returns
    -------
    DataFrame
        One row per run and cell that has more than one run: ``quantity``, ``close``.
    """
    compared = cells[["dataset", "model", "p", "quantity"]].drop_duplicates()
    rows = published.assign(quantity=_quantity(published), accuracy=100 * published["accuracy"])
    rows = rows.merge(compared, on=list(compared))
    rows["cell"] = rows.groupby([*CELL, "repository", "table"], sort=False, dropna=False).ngroup()
    runs, x = rows.groupby("cell")["accuracy"], rows["accuracy"]
    n = runs.transform("size")
    others = (runs.transform("sum") - x) / (n - 1).clip(lower=1)
    extreme = (x == runs.transform("max")) | (x == runs.transform("min"))
    inside = ~extreme | rows.duplicated(["cell", "accuracy"], keep=False)  # in the range of the others
    return rows.assign(close=inside | ((x - others).abs() <= CLOSE)).loc[n > 1, ["quantity", "close"]]


def count_close(cells: pd.DataFrame, their_runs: pd.DataFrame) -> list[list[str]]:
    """Return rows of a table: a quantity, how many of its compared cells are close, by epochs and in all.

    The last column is that of their runs (`compare_their_runs`); the first row is the head, the last is over
    all quantities.
    """
    columns = [name for name in [*EPOCHS, END] if (cells["epochs"] == name).any()]
    quantities = [name for name in QUANTITIES.values() if (cells["quantity"] == name).any()]
    rows = [(name, cells["quantity"] == name, their_runs["quantity"] == name) for name in quantities]
    rows.append(("all", cells["quantity"].notna(), their_runs["quantity"].notna()))
    body = [
        [
            name,
            *(_count(cells[mine & (cells["epochs"] == column)]) for column in columns),
            _percent(cells[mine]),
            _percent(their_runs[theirs]),
        ]
        for name, mine, theirs in rows
    ]
    return [["quantity", *columns, "all", "their runs among themselves"], *body]


def _count(cells: pd.DataFrame) -> str:
    return f"{int(cells['close'].sum())} of {len(cells)}" if len(cells) else ""


def _percent(cells: pd.DataFrame) -> str:
    return f"{_count(cells)} ({percent(cells['close'].mean())} %)" if len(cells) else "–"


def cells_outside(cells: pd.DataFrame) -> list[list[str]]:
    """Return rows of a table of the cells that are not close; the first row is the head."""
    outside = cells[~cells["close"]].sort_values(
        ["dataset", "model", "p", "epoch", "quantity"], kind="stable"
    )
    return [
        ["data and network", "p", "quantity", "epoch", "theirs", "their runs", "ours", "difference"],
        *(
            [
                f"{cell['dataset']} {cell['model']}",
                f"{cell['p']:g}",
                _what(cell),
                f"{cell['epoch']:.0f}" + (", end" if cell["epochs"] == END else ""),
                f"{cell['theirs']:.1f}",
                f"{cell['their_low']:.1f} to {cell['their_high']:.1f}" if cell["their_runs"] > 1 else "one",
                f"{cell['ours']:.1f}",
                f"{cell['difference']:+.1f}".replace("-", "−"),
            ]
            for cell in outside.to_dict("records")
        ),
    ]


def _what(cell: Mapping[Hashable, Any]) -> str:
    """Return the quantity of a cell, with its layer, probe and labels if these are not the usual ones."""
    details = [] if cell["layer"] == "readout" else [cell["layer"]]
    if cell["quantity"] == QUANTITIES["transfer"]:
        details.append(cell["probe"].replace("transfer-", "bias "))
    elif cell["probe"].startswith("MASC-") or cell["quantity"] == QUANTITIES["other"]:
        details.append(cell["probe"])
    if cell["fit_labels"] == "true":
        details.append("fitted with true labels")
    if cell["split"] == "train" and cell["quantity"] != QUANTITIES["training"]:
        details.append(f"training examples, {cell['eval_labels']} labels")
    return str(cell["quantity"]) + (f" ({', '.join(details)})" if details else "")
