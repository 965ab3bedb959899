"""What is fitted in a study: which probes, with which labels, on which layers and at which checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pkgutil import resolve_name
from typing import Any, TypeAlias

import numpy as np

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import evaluation_labels, fitting_labels, read_labels
from latentgen.networks.checkpoints import checkpoint_paths
from latentgen.probes.base import Probe
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC

Array: TypeAlias = np.ndarray[Any, Any]
Settings: TypeAlias = Mapping[str, Any]

HOW_IT_IS_FITTED = ("kind", "at", "max_width", "name", "estimator")
"""Settings of a probe that are not parameters of its estimator."""

ONE_COMPONENT = "(one component)"
"""Name of MASC with one component where it is fitted to be compared with VeLPIC, and not itself reported."""


@dataclass(frozen=True)
class Fit:
    """Training labels, and the probes that are fitted with them on a layer at a checkpoint."""

    names: tuple[str, ...]
    """Names of the labels: of equal ones, all."""
    labels: Array
    probes: Mapping[str, Settings]
    is_last: bool
    """Whether the checkpoint is the run's last one."""
    is_of_run: bool = True
    """Whether the labels are the run's, and not those of another."""

    def with_only(self, probes: Mapping[str, Settings]) -> "Fit":
        """Return the same with some of the probes."""
        return replace(self, probes=probes)

    def new_probes(self) -> dict[str, Probe]:
        """Return the probes, unfitted. With VeLPIC comes MASC with one component, as `ONE_COMPONENT`."""
        estimators = {name: new_probe(how) for name, how in self.probes.items()}
        if any(isinstance(probe, VeLPIC) for probe in estimators.values()):
            estimators[ONE_COMPONENT] = MASC(components=1)
        return estimators


@dataclass(frozen=True)
class Fits:
    """What is fitted on the activations of a run."""

    n_classes: int
    probes: Mapping[str, Settings]
    """Settings of each probe by its name in tables: `kind`, when and where it is fitted (`at`, `max_width`),
    and its parameters. With `estimator`, the import path of its class, the kinds of probes are not imported,
    which takes a third of a second."""
    labels: Mapping[str, Array]
    """The training labels to fit with, by name."""
    final_epoch: int
    """The run's last epoch."""
    labels_at_end: Mapping[str, Array] = field(default_factory=dict)
    """Further labels to fit with, only at the last epoch and only for probes on subspaces."""

    def due(self, epoch: int, width: int) -> dict[str, Settings]:
        """Return the probes that are fitted on a layer of a width at an epoch."""
        at_an_end = epoch in (0, self.final_epoch)
        return {name: how for name, how in self.probes.items() if _is_due(how, at_an_end, width)}

    def at(self, epoch: int, width: int) -> list[Fit]:
        """Return what is fitted on a layer of a width at an epoch."""
        due, is_last = self.due(epoch, width), epoch == self.final_epoch
        if not due:
            return []
        fits = [Fit(tuple(names), self.labels[names[0]], due, is_last) for names in self._equal]
        if is_last and (subspaces := on_subspaces(due)):
            fits += [
                Fit((name,), vector, subspaces, is_last, is_of_run=False)
                for name, vector in self.labels_at_end.items()
            ]
        return fits

    @cached_property
    def _equal(self) -> list[list[str]]:
        """The names of equal labels together: without noise, corrupted labels are the true ones."""
        groups: list[list[str]] = []
        for name, vector in self.labels.items():
            same = next((group for group in groups if np.array_equal(self.labels[group[0]], vector)), None)
            if same:
                same.append(name)
            else:
                groups.append([name])
        return groups


def fits_of_job(given: Any, params: Any) -> tuple[Fits, dict[str, dict[str, Array]]]:
    """Return what is fitted in a job of a run, and the labels that predictions are compared with.

    Parameters
    ----------
    given, params
        Inputs and params of a rule with `PROBING` (rules/probes.smk). The folder of the run's weights tells
        its last epoch.
    """
    dataset, labels = read_dataset(given.dataset, split="test"), read_labels(given.labels)
    others = zip(params.others, given.others, strict=True)
    fits = Fits(
        dataset.n_classes,
        params.probes,
        labels=fitting_labels(labels, params.fit_labels, params.seed),
        final_epoch=max(checkpoint_paths(given.checkpoints)),
        labels_at_end={name: read_labels(path).corrupted for name, path in others},
    )
    return fits, evaluation_labels(labels, dataset.test_labels)


def on_subspaces(probes: Mapping[str, Settings]) -> dict[str, Settings]:
    """Return those of some probes that are on class subspaces."""
    return {name: how for name, how in probes.items() if issubclass(_estimator(how), SubspaceProbe)}


def new_probe(settings: Settings) -> Probe:
    """Return an unfitted probe with these settings."""
    parameters = {key: value for key, value in settings.items() if key not in HOW_IT_IS_FITTED}
    return _estimator(settings)(**parameters)


def _is_due(settings: Settings, at_an_end: bool, width: int) -> bool:
    narrow = settings.get("max_width") is None or width <= settings["max_width"]
    return narrow and (at_an_end or settings.get("at", "every") == "every")


def _estimator(settings: Settings) -> type[Probe]:
    if "estimator" not in settings:
        from latentgen.probes.settings import KINDS

        return KINDS[settings["kind"]].estimator()
    estimator: type[Probe] = resolve_name(settings["estimator"])
    return estimator
