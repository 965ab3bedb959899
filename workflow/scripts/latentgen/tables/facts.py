"""Columns that describe probes, labels and interventions, and mark runs that are copies."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from latentgen.networks.layer_choice import probed
from latentgen.study.runs import EARLY_STOP
from latentgen.tables.columns import (
    COUNTS,
    EDIT_FACTS,
    GROUP,
    LAYER_FACTS,
    MEASURE,
    PROBE_FACTS,
    RELABEL_FACTS,
)
from latentgen.tables.named_settings import NamedSettings, settings_in_names

DEFAULT_VARIANCE = 0.99
"""MASC's fraction of the variance if the study file gives neither this nor a number of components."""


_CONTROLS = {EARLY_STOP: EARLY_STOP}
"""The edit of the control of an intervention; ``none`` for those that are not listed."""


def with_facts(table: pd.DataFrame, settings: NamedSettings | None = None) -> pd.DataFrame:
    """Add the columns `FACTS` to accuracies.

    Parameters
    ----------
    table : DataFrame
        Accuracies of one study: columns `IDENTITY`, `MEASURE` and `COUNTS` at least.
    settings : NamedSettings, optional
        The study's settings by name; without them, they are inferred from the names.
    """
    if settings is None:
        names = (table[column].unique() for column in ("probe", "intervention", "fit_labels"))
        settings = settings_in_names(*names)
    fit_p = table["fit_labels"].map(dict(settings.fit_p)).astype("float64")
    probes = {name: _probe_facts(given) for name, given in settings.probes.items()} | {
        "model": {"probe_kind": "model"}
    }
    edits = {name: _edit_facts(given) for name, given in settings.interventions.items()}
    facts = {name: _looked_up(table["probe"], probes, name) for name in PROBE_FACTS}
    facts |= {name: _looked_up(table["intervention"], edits, name) for name in EDIT_FACTS}
    facts["fit_p"] = fit_p.mask(table["fit_labels"] == "corrupted", table["p"])
    known = with_layer_facts(table.assign(**facts)).astype(PROBE_FACTS | EDIT_FACTS)
    return known.assign(replicate=_replicates(table))


def with_layer_facts(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `LAYER_FACTS` to a table with the column ``layer``."""
    known = {name: probed(name) for name in table["layer"].unique()}
    return table.assign(
        module=table["layer"].map({name: reference.layer for name, reference in known.items()}),
        pool=table["layer"].map({name: reference.pool for name, reference in known.items()}),
    ).astype(LAYER_FACTS)


def masc_variants(accuracy: pd.DataFrame) -> set[str]:
    """Return the MASC probes whose subspaces differ in size from the papers'."""
    probes = accuracy.drop_duplicates("probe")
    variance = probes["variance"].fillna(DEFAULT_VARIANCE)
    return set(probes.loc[probes["components"].notna() | (variance != DEFAULT_VARIANCE), "probe"])


def usual_probes(accuracy: pd.DataFrame) -> list[str]:
    """Return the probes that are neither a network nor a variant of MASC."""
    networks = accuracy["probe_kind"].isin(["model", "transfer"])
    return [name for name in accuracy.loc[~networks, "probe"].unique() if name not in masc_variants(accuracy)]


def with_edit_facts(table: pd.DataFrame, settings: NamedSettings | None = None) -> pd.DataFrame:
    """Add the columns `EDIT_FACTS` to a table with the column ``intervention``, like `with_facts`."""
    settings = settings or settings_in_names((), table["intervention"].unique(), ())
    edits = {name: _edit_facts(given) for name, given in settings.interventions.items()}
    facts = {name: _looked_up(table["intervention"], edits, name) for name in EDIT_FACTS}
    return table.assign(**facts).astype(EDIT_FACTS)


def with_relabel_facts(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns `RELABEL_FACTS` to a table that was written before they existed."""
    known = with_edit_facts(table[["intervention"]])
    relabelled = (table["edit"] == "relabel").fillna(False)
    return table.assign(**{name: known[name].where(relabelled) for name in RELABEL_FACTS})


def edits_of(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the description of each intervention: columns `EDIT_FACTS`, by name, in order of appearance."""
    rows = accuracy.loc[accuracy["edit"].notna(), ["intervention", *EDIT_FACTS]]
    return rows.drop_duplicates("intervention").set_index("intervention")


def control_of(intervention: str, edits: pd.DataFrame) -> str | None:
    """Return the control of an intervention; None if it is a control itself.

    An edit's control resumes training at the same epoch, with a fresh optimizer and the same batch size;
    that of relabelling stops early in the same way, on the corrupted labels.

    Parameters
    ----------
    intervention : str
        One of `edits`.
    edits : DataFrame
        As `edits_of` returns it.
    """
    edit = edits.loc[intervention]
    if edit["edit"] == "relabel":  # stopped by test images, like its control
        return EARLY_STOP if EARLY_STOP in edits.index else None
    control = _CONTROLS.get(str(edit["edit"]), "none")
    same = edits["edit"] == control
    for fact in ("at_epoch", "edit_batch_size"):
        same &= edits[fact].isna() if pd.isna(edit[fact]) else (edits[fact] == edit[fact]).fillna(False)
    return str(edits.index[same][0]) if same.any() and control != edit["edit"] else None


def _probe_facts(settings: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: settings.get(name) for name in PROBE_FACTS}
    facts["probe_kind"] = settings["kind"]
    if settings["kind"] == "MASC" and facts["variance"] is None and facts["components"] is None:
        facts["variance"] = DEFAULT_VARIANCE
    return facts


def _edit_facts(settings: Mapping[str, Any]) -> dict[str, Any]:
    batch_size = settings.get("batch_size", "same")
    return {
        "edit": settings["edit"],
        "at_epoch": settings.get("at_epoch"),
        "edit_batch_size": None if batch_size == "same" else batch_size,
        "relabel_layer": settings.get("layer"),
        **(_relabel_facts(settings) if settings["edit"] == "relabel" else {}),
    }


def _relabel_facts(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        "relabel_from": settings.get("labels_from", "MASC"),
        "relabel_start": settings.get("start", "initial"),
        "relabel_subspaces": settings.get("subspaces", "corrupted"),
    }


def _looked_up(
    names: "pd.Series[str]", facts: Mapping[str, Mapping[str, Any]], fact: str
) -> "pd.Series[Any]":
    return names.map({name: given.get(fact) for name, given in facts.items()}).astype(object)


def _replicates(table: pd.DataFrame) -> "pd.Series[int]":
    """Return for each row the seed of the first run of its group and p with the same counts."""
    counts = [*MEASURE, *COUNTS]
    digests = pd.util.hash_pandas_object(table[counts], index=False)
    rows = table[[*GROUP, "p", "seed"]].assign(digest=digests)
    # A sum does not depend on the order of the rows; two runs that differ share one by chance once in 2^64.
    runs = rows.groupby([*GROUP, "p", "seed"])["digest"].sum().reset_index()
    runs["replicate"] = runs.groupby([*GROUP, "p", "digest"])["seed"].transform("min")
    keys = [*GROUP, "p", "seed"]
    merged = table[keys].merge(runs[[*keys, "replicate"]], on=keys, how="left", validate="many_to_one")
    return merged["replicate"].set_axis(table.index).astype("Int64")
