"""The parts of a study that figures need, so that a message can name what a study lacks for a figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Contents:
    """The parts of a study that figures need, from its file as far as it has been read."""

    shown: frozenset[str]
    """Probes with their usual settings, fitted with corrupted labels."""
    every: frozenset[str]
    """Those that are fitted at every checkpoint."""
    mascs: int
    """Number of MASC probes fitted with corrupted labels."""
    only_variants: bool
    """Whether no probe has its usual settings, for any fit labels."""
    fit_labels: frozenset[str]
    has_epoch_0: bool
    interventions: frozenset[str]
    """Their kinds."""
    compares: bool
    transfers: bool
    audits: bool
    repairs: bool
    truth_known: bool
    """Whether the true training labels of some pair are known."""
    n_pairs: int
    is_deep: bool
    """Whether some network is not one of the papers', or some layer is pooled."""

    @classmethod
    def of(cls, study: Mapping[str, Any]) -> "Contents | None":
        """Return the contents of a partly read study file; None before its probes are known."""
        if not {"probes", "fit_labels"} <= set(study):
            return None
        fitted = study["probes"] if "corrupted" in study["fit_labels"] else ()
        pairs = study.get("pairs", ())
        return cls(
            shown=frozenset(probe.probe_name for probe in fitted if not probe.is_variant),
            every=frozenset(
                probe.probe_name for probe in fitted if probe.at == "every" and not probe.is_variant
            ),
            mascs=sum(probe.kind == "MASC" for probe in fitted),
            only_variants=all(probe.is_variant for probe in study["probes"]),
            fit_labels=frozenset(study["fit_labels"]),
            has_epoch_0=all(0 in pair.scheduled for pair in pairs),
            interventions=frozenset(one.kind for pair in pairs for one in pair.interventions),
            compares=study.get("compare_with") is not None,
            transfers="transfer" not in study or study["transfer"] is not None,
            audits=study.get("audit", False),
            repairs=study.get("repair", False),
            truth_known=any(pair.dataset.label_kind != "given" for pair in pairs),
            n_pairs=len(pairs),
            is_deep=any(pair.model.is_deep for pair in pairs),
        )
