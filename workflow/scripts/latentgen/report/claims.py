"""The papers' claims, one by one, with the numbers for and against them: docs/claims.md.

Every number is taken from the papers' published numbers, or from archives and result folders of studies, when
the page is written. A claim without results is “not computed yet”.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from latentgen.figures.wording import percent, percent_at_least, plural
from latentgen.report.archive import STUDY, tables_of
from latentgen.report.readable_tables import Column, ReadableTable, readable
from latentgen.runtime.files import atomic_path
from latentgen.tables.best_layers import read_published_best_layers
from latentgen.tables.claims import (
    initializations,
    linear_probes,
    probes_and_network,
    same_class,
    their_accuracy,
    their_untrained_networks,
    transfers,
)
from latentgen.tables.published import read_published
from latentgen.tables.reading import read_accuracy

TEMPLATE = Path(__file__).with_name("claims.md.j2")
WHO = {
    "papers": "papers",
    "published": "ours, published protocol",
    "sound": "ours, sound protocol",
}
"""Whose numbers they are."""
CURVE = 5
"""Checkpoints of a layer, with one seed, from which its curve has a peak."""
SHOWN_P = (0.4, 0.8)
"""The noise of which the tables have rows: of the papers' numbers the first alone. Verdicts count all."""

_PLACE = {
    "who": Column("results", WHO.__getitem__),
    "data": Column("data and network"),
    "p": Column("p", "{:g}".format, number=True),
}


@dataclass(frozen=True)
class Claim:
    """A claim, with the evidence for and against it.

    Attributes
    ----------
    verdicts : mapping
        By whose numbers they are (`WHO`): in how many cases these are for the claim.
    table : ReadableTable, optional
        The numbers; None if there are none.
    facts : list of str
        Further sentences.
    """

    verdicts: Mapping[str, str]
    table: ReadableTable | None
    facts: list[str]


def write_claims(
    path: str | Path,
    sources: Iterable[str | Path],
    published: str | Path,
    template: str | Path = TEMPLATE,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : str or Path
        Where to.
    sources : paths
        Archives of studies, or folders of their results.
    published : str or Path
        The folder of the papers' numbers.
    template : str or Path

    Raises
    ------
    LatentgenError
        If a source is missing or damaged.
    """
    accuracies = [("papers", "", their_accuracy(read_published(Path(published) / "accuracy.csv.gz")))]
    named = []
    for source in map(Path, sources):
        with tables_of(source) as folder:
            study = json.loads((folder / STUDY).read_text(encoding="utf-8"))
            accuracies.append((study["protocol"], study["study"], read_accuracy(folder / "accuracy.parquet")))
        named.append(
            f"{study['study']} ({study['protocol']} protocol, {plural(len(study['seeds']), 'seed')})"
        )
    claims = claims_of(accuracies)
    theirs = their_untrained_networks(read_published_best_layers(Path(published) / "best_layers.csv"))
    claims["plateau"].facts.append(
        "Papers, by their tables of best layers: at the end, MASC on its best layer is above itself on the "
        f"untrained network in {_of(theirs['end'] > theirs['untrained'])} cases."
    )
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(Path(template).read_text(encoding="utf-8")).render(
        claims=claims, sources=named, who=WHO
    )
    with atomic_path(path) as partial:
        partial.write_text(re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n", encoding="utf-8")


def claims_of(accuracies: Iterable[tuple[str, str, pd.DataFrame]]) -> dict[str, Claim]:
    """Return every claim by name, from accuracies with whose they are and the study's name."""
    accuracies = list(accuracies)

    def gathered(numbers: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        parts = [numbers(accuracy).assign(who=who, study=study) for who, study, accuracy in accuracies]
        parts = [part for part in parts if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"who": []})

    curves = gathered(lambda accuracy: probes_and_network(accuracy, CURVE))
    return {
        "peak": _peak(curves),
        "plateau": _plateau(gathered(probes_and_network)),
        "quadratic": _quadratic(gathered(same_class)),
        "linear": _linear(gathered(linear_probes)),
        "transfer": _transfer(gathered(transfers)),
        "initialization": _initialization(gathered(initializations)),
    }


def _peak(table: pd.DataFrame) -> Claim:
    """Return the first claim; a peak is early if it lies in the first quarter of the epochs."""
    columns = {
        "probe": Column("probe, layer"),
        "epochs": Column("epochs", "{:.0f}".format, number=True),
        "network": Column("network: peak at epoch, end", number=True),
        "curve": Column("probe: peak at epoch, end", number=True),
    }

    def words(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(
            probe=rows["probe"] + ", " + rows["layer"],
            network=[_course(*values) for values in rows[[f"network_{n}" for n in _COURSE]].to_numpy()],
            curve=[_course(*values) for values in rows[list(_COURSE)].to_numpy()],
        )

    facts = [
        f"{_capital(WHO[str(who)])}: from peak to end, the probe loses less than the network in "
        f"{_of(rows['peak'] - rows['end'] < rows['network_peak'] - rows['network_end'])} cases."
        for who, rows in table.groupby("who", sort=False)
    ]
    return _claim(table, lambda rows: rows["peak_epoch"] <= rows["epochs"] / 4, columns, words, facts)


_COURSE = ("peak", "peak_epoch", "end")


def _course(peak: float, epoch: float, end: float) -> str:
    return f"{percent(peak)} at {epoch:.0f}, {percent(end)}"


def _plateau(table: pd.DataFrame) -> Claim:
    columns = {
        "probe": Column("probe, layer"),
        "network_end": Column("network", percent, number=True),
        "end": Column("probe", percent, number=True),
        "gain": Column("difference", number=True),
        "network_peak": Column("network’s peak", percent, number=True),
        "raw_input": Column("probe on raw input", _known, number=True),
        "untrained": Column("on untrained network", _known, number=True),
    }

    def words(rows: pd.DataFrame) -> pd.DataFrame:
        star = rows["chosen"].map({True: "", False: "*"})
        return rows.assign(probe=rows["probe"] + ", " + rows["layer"] + star, gain=_gains(rows))

    facts = []
    for who, rows in table.groupby("who", sort=False):
        facts.append(
            f"{_capital(WHO[str(who)])}: the probe ends above the network’s own peak in "
            f"{_of(rows['end'] > rows['network_peak'])} cases, above itself on raw input in "
            f"{_of((rows['end'] > rows['raw_input'])[rows['raw_input'].notna()])}, and above itself on the "
            f"untrained network in {_of((rows['end'] > rows['untrained'])[rows['untrained'].notna()])}."
        )
    return _claim(table, _higher, columns, words, facts)


def _quadratic(table: pd.DataFrame) -> Claim:
    facts = [
        f"{_capital(WHO[str(who)])}: with one component, MASC gives the same class as VeLPIC to "
        f"{percent_at_least(rows['mean'].mean())} % of the test examples (on each layer, at each checkpoint "
        f"and with each seed at least {percent_at_least(rows['lowest'].min())} %)."
        for who, rows in table.groupby("who", sort=False)
    ]
    return Claim({}, None, facts or ["How often both give the same class: not computed yet."])


def _linear(table: pd.DataFrame) -> Claim:
    columns = {
        "probe": Column("linear probe"),
        "counts": Column("layers on which it is as good", number=True),
        "mean": Column("mean difference to MASC", _signed, number=True),
        "range": Column("from, to", number=True),
    }

    def words(rows: pd.DataFrame) -> pd.DataFrame:
        limits = zip(rows["lowest"], rows["highest"], strict=True)
        counts = zip(rows["as_good"], rows["layers"], strict=True)
        return rows.assign(
            range=[f"{_signed(low)}, {_signed(high)}" for low, high in limits],
            counts=[f"{good} of {layers}" for good, layers in counts],
        )

    velpic = table[table["probe"] == "VeLPIC"] if len(table) else table
    other = table[table["probe"] != "VeLPIC"] if len(table) else table
    facts = [
        f"{_capital(WHO[str(who)])}: logistic regression, trained on the same labels, is as good as MASC on "
        f"{rows['as_good'].sum():.0f} of {rows['layers'].sum():.0f} layers."
        for who, rows in other.groupby("who", sort=False)
    ]
    return _claim(velpic, lambda rows: 2 * rows["as_good"] > rows["layers"], columns, words, facts)


def _transfer(table: pd.DataFrame) -> Claim:
    columns = {
        "head": Column("new readout"),
        "network": Column("network", percent, number=True),
        "edited": Column("edited", percent, number=True),
        "gain": Column("difference", number=True),
        "network_peak": Column("network’s peak", percent, number=True),
    }
    heads = {"zero": "VeLPIC, bias zero", "kept": "VeLPIC, bias kept", "nearest_mean": "class means"}

    def words(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(gain=_gains(rows), head=rows["head"].replace(heads))

    if not len(table):
        return _claim(table, _higher, columns, words)
    shown = table[table["head"] != "kept"]
    velpic = table["head"] == "zero"
    facts = [
        f"{_capital(WHO[str(who)])}: the edited network is above the network’s own peak in "
        f"{_of(rows['edited'] > rows['network_peak'])} cases."
        for who, rows in table[velpic].groupby("who", sort=False)
    ]
    return _claim(table[velpic], _higher, columns, words, facts, shown)


def _initialization(table: pd.DataFrame) -> Claim:
    columns = {
        "reference": Column("compared with"),
        "reference_end": Column("its end", percent, number=True),
        "end": Column("initialized: end", percent, number=True),
        "gain": Column("difference", number=True),
        "peak": Column("initialized: peak", percent, number=True),
    }
    if not len(table):
        return _claim(table, _higher, columns, lambda rows: rows)
    random = table[table["reference"] == "random rows"]
    facts = [
        f"{_capital(WHO[str(who)])}, against random rows of the same norm: {_verdict(_higher(rows), '')}."
        for who, rows in random.groupby("who", sort=False)
    ]
    ordinary = table[table["reference"] == "ordinary network"]
    return _claim(ordinary, _higher, columns, lambda rows: rows.assign(gain=_gains(rows)), facts, table)


def _claim(
    table: pd.DataFrame,
    holds: Callable[[pd.DataFrame], "pd.Series[Any]"],
    columns: Mapping[str, Column],
    words: Callable[[pd.DataFrame], pd.DataFrame],
    facts: list[str] | None = None,
    shown: pd.DataFrame | None = None,
) -> Claim:
    """Return a claim: for how many cases of a table it holds, and what is `shown`, by default the table."""
    none = {"papers": "not published"}
    verdicts = {
        who: _verdict(holds(rows) if len(rows := table[table["who"] == who]) else None,
                      none.get(who, "not computed yet"))
        for who in WHO
    }  # fmt: skip
    shown = table if shown is None else shown
    if not len(shown):
        return Claim(verdicts, None, facts or [])
    first = shown["p"].isin(SHOWN_P[:1])
    ours = shown["who"] != "papers"
    at = shown["p"].isin(SHOWN_P) if shown.loc[ours, "p"].isin(SHOWN_P).any() else ours
    rows = words(shown[(ours & at) | (~ours & first)])
    rows = rows.assign(data=rows["dataset"] + " " + rows["model"])
    return Claim(verdicts, readable("", "", rows, {**_PLACE, **columns}), facts or [])


def _higher(rows: pd.DataFrame) -> "pd.Series[Any]":
    """Tell where a difference is above zero with its whole interval (True), below (False), or neither."""
    higher = pd.Series(None, rows.index, dtype=object)
    return higher.mask(rows["low"] > 0, True).mask(rows["high"] < 0, False)


def _verdict(holds: "pd.Series[Any] | None", none: str) -> str:
    if holds is None or holds.empty:
        return none
    holds = holds.astype(object)
    counts = {"for it": (holds == True).sum(), "against it": (holds == False).sum()}  # noqa: E712
    counts["open"] = len(holds) - sum(counts.values())
    named = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{plural(len(holds), 'case')}: {', '.join(named)}"


def _of(holds: "pd.Series[bool]") -> str:
    return f"{int(holds.sum())} of {len(holds)}"


def _gains(rows: pd.DataFrame) -> list[str]:
    values = zip(rows["difference"], rows["low"], rows["high"], strict=True)
    return [f"{_signed(mean)} ({_signed(low)} to {_signed(high)})" for mean, low, high in values]


def _signed(fraction: float) -> str:
    text = percent(fraction)
    return text if text.startswith("−") else f"+{text}"


def _known(fraction: float) -> str:
    return "–" if pd.isna(fraction) else percent(fraction)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
