"""Common selections of rows: a pair and noise, the last checkpoint, paired by seed."""

from collections.abc import Sequence

import pandas as pd


def of_pair(table: pd.DataFrame, dataset: str, model: str, noise: str) -> pd.DataFrame:
    """Return the rows of a data set, network and kind of noise."""
    return table[(table["dataset"] == dataset) & (table["model"] == model) & (table["noise"] == noise)]


def on_test(table: pd.DataFrame, fit_labels: str = "corrupted") -> "pd.Series[bool]":
    """Mark the rows that count test examples against their true labels, for fits with some labels."""
    return (table["split"] == "test") & (table["eval_labels"] == "true") & (table["fit_labels"] == fit_labels)


def last_checkpoint(table: pd.DataFrame, by: str | Sequence[str] = "run") -> pd.DataFrame:
    """Return the rows of the last epoch of each group.

    Parameters
    ----------
    table : DataFrame
        With a column ``epoch``.
    by : str or sequence of str
        Columns that define a group: ``run``, or those that identify a curve and its seed.
    """
    by = by if isinstance(by, str) else list(by)
    return table[table["epoch"] == table.groupby(by, dropna=False)["epoch"].transform("max")]


def paired(table: pd.DataFrame, reference: pd.DataFrame, on: Sequence[str]) -> pd.DataFrame:
    """Return the rows that have a reference, with its counts.

    Parameters
    ----------
    table, reference : DataFrame
        Counts, and those to compare them with.
    on : sequence of str
        Columns in which a row and its reference are equal, including ``seed``. No two rows of `reference` are
        equal in all of them.

    Returns
    -------
    DataFrame
        The columns of `table`, and the counts of `reference` with the prefix ``reference_``. A pair is a copy
        (``replicate``) if its row and its reference are both copies.
    """
    names = [name for name in ("correct", "total", "correct_examples", "replicate") if name in reference]
    counts = reference[[*on, *names]].rename(columns={name: f"reference_{name}" for name in names})
    pairs = table.merge(counts, on=list(on), validate="many_to_one")
    if "replicate" in pairs and "reference_replicate" in pairs:
        both = [name for name in on if name != "seed"] + ["replicate", "reference_replicate"]
        both += [name for name in ("layer",) if name in pairs and name not in both]
        known = pairs["replicate"].notna() & pairs["reference_replicate"].notna()
        first = pairs.groupby(both, dropna=False)["seed"].transform("min")
        pairs["replicate"] = first.where(known).astype("Int64")
    return pairs.drop(columns="reference_replicate", errors="ignore")


ONE_COMPONENT = "MASC-1pc"
"""MASC with one component, as tables call it, whether or not it is among the study's probes."""


def with_one_component(table: pd.DataFrame) -> pd.DataFrame:
    """Return VeLPIC's rows with the counts of MASC with one component as the reference's (see `paired`).

    VeLPIC is counted together with it. Rows of tables that were written before this was so are left out.
    """
    rows = table[table["one_component_correct"].notna()]
    return rows.assign(reference_correct=rows["one_component_correct"], reference_total=rows["total"])
