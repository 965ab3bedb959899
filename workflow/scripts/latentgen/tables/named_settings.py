"""Settings of probes, interventions and labels, by their names in a study's tables.

They come from the study's settings (`named_settings`). Older tables without the columns of
`latentgen.tables.facts` have only the names; for these, `settings_in_names` infers the settings. No other
code parses names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from latentgen.study.runs import EARLY_STOP, RELABEL, REWIND

if TYPE_CHECKING:
    from latentgen.study.config import Study

TRANSFER = "transfer-"
"""Prefix of the names of transfers; the bias follows for VeLPIC's vectors, the name for other heads."""

_MASC = re.compile(r"MASC(?:-(?P<components>\d+)pc|-(?P<variance>[0-9.e-]+))?")
_KNN = re.compile(r"KNN-\d+")
_EDIT = re.compile(
    r"(?P<edit>[a-z0-9_]+)_at_(?P<at_epoch>\d+)(?:_batch(?P<batch_size>\d+))?(?:_from_(?P<vectors_from>\w+))?"
)
_OTHER_LABELS = re.compile(r"corrupted(?P<p>[01]\.\d+)")
_KINDS = ("model", "VeLPIC", "nearest_mean", "KNN", "LDA", "QDA", "logistic")


@dataclass(frozen=True)
class NamedSettings:
    """Settings of a study, by the names in its tables.

    Attributes
    ----------
    probes : mapping of str to mapping
        For each probe, its ``kind``, as in the study file, or ``model`` or ``transfer``; and its settings.
    interventions : mapping of str to mapping
        For each intervention, its ``edit``, as in the study file, and its settings.
    fit_p : mapping of str to float
        The p of labels of other runs that probes were fitted with, by their name among the fit labels.
    """

    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    interventions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fit_p: Mapping[str, float] = field(default_factory=dict)


def named_settings(study: "Study") -> dict[str, Any]:
    """Return the fields of a study's `NamedSettings`, as plain sorted values."""
    biases = study.transfer.bias if study.transfer else ()
    probes = {probe.probe_name: probe.model_dump(mode="json") for probe in study.probes}
    probes |= {f"{TRANSFER}{bias}": {"kind": "transfer", "bias": bias} for bias in biases}
    heads = study.transfer.other_heads if study.transfer else ()
    probes |= {f"{TRANSFER}{head}": _transfer_in(head) for head in heads}
    interventions = {
        one.intervention_name: one.model_dump(mode="json")
        for pair in study.pairs
        for one in pair.interventions
    }
    others = {name: spec.p for run in study.runs.values() for name, spec in run.other_labels.items()}
    return {
        "probes": {name: dict(sorted(probes[name].items())) for name in sorted(probes)},
        "interventions": {name: dict(sorted(interventions[name].items())) for name in sorted(interventions)},
        "fit_p": dict(sorted(others.items())),
    }


def settings_in_names(
    probes: Iterable[str], interventions: Iterable[str], fit_labels: Iterable[str]
) -> NamedSettings:
    """Infer settings from names, for tables that have nothing else."""
    return NamedSettings(
        {name: _probe_in(name) for name in probes},
        {name: _intervention_in(name) for name in interventions if name != "none"},
        {name: float(match["p"]) for name in fit_labels if (match := _OTHER_LABELS.fullmatch(name))},
    )


def _probe_in(name: str) -> dict[str, Any]:
    if match := _MASC.fullmatch(name):
        return {
            "kind": "MASC",
            "components": int(match["components"]) if match["components"] else None,
            "variance": float(match["variance"]) if match["variance"] else None,
        }
    if name.startswith(TRANSFER):
        return _transfer_in(name.removeprefix(TRANSFER))
    if _KNN.fullmatch(name):
        return {"kind": "KNN"}
    if name == "VeLPIC":  # older tables have only the papers' sign
        return {"kind": "VeLPIC", "sign": "all"}
    return {"kind": name if name in _KINDS else "sklearn"}


def _transfer_in(what: str) -> dict[str, Any]:
    """Return the description of a transfer, from the end of its name."""
    without_bias = {"nearest_mean": "zero"}
    return {
        "kind": "transfer",
        "bias": what if what in ("zero", "kept") else without_bias.get(what, "fitted"),
    }


def _intervention_in(name: str) -> dict[str, Any]:
    if name == EARLY_STOP:
        return {"edit": EARLY_STOP}
    if name.startswith(REWIND):
        return {"edit": "rewind"}
    for source, prefix in RELABEL.items():  # before edits: a layer's name may look like one
        if name.startswith(prefix):
            return {"edit": "relabel", "layer": name.removeprefix(prefix), "labels_from": source}
    edit = _EDIT.fullmatch(name)
    return {
        "edit": edit["edit"] if edit else name,
        "at_epoch": int(edit["at_epoch"]) if edit else None,
        "batch_size": int(edit["batch_size"]) if edit and edit["batch_size"] else "same",
        "vectors_from": _source_in(edit["vectors_from"] if edit else None),
    }


def _source_in(text: str | None) -> str | float:
    fraction = re.fullmatch(r"0_(\d+)", text or "")
    return float(f"0.{fraction[1]}") if fraction else text or "corrupted"
