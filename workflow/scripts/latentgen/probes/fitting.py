"""Fit the probes of a study on stored activations: every layer, at every checkpoint in a file."""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np
import torch

from latentgen.data.labels import PARTS, labels_of, whole_splits
from latentgen.networks.activation_files import PREDICTIONS, epochs_of, layers_of
from latentgen.probes.base import Probe
from latentgen.probes.costs import cost_of
from latentgen.probes.counting import counts
from latentgen.probes.first_direction import MEASURED, first_direction
from latentgen.probes.stored import StoredLayer
from latentgen.probes.stored_fits import fit_moments, fit_stored, predict_stored
from latentgen.probes.subspace_probes import MASC, SubspaceProbe, VeLPIC
from latentgen.randomness import Purpose, random_generator
from latentgen.runtime.logs import Progress

Array: TypeAlias = np.ndarray[Any, Any]

HOW_IT_IS_FITTED = ("kind", "at", "max_width", "name", "estimator")
"""Settings of a probe that are not parameters of its estimator."""

ONE_COMPONENT = "(one component)"
"""Name of MASC with one component where it is fitted to be compared with VeLPIC, and not itself reported."""

COUNT_ALL, COUNT_SOME = 100_000, 50_000
"""Largest number of training examples that are all counted, and the size of the sample above it."""

MODEL = {"layer": "readout", "fit_labels": "corrupted", "probe": "model"}
"""How the network itself is named among the counts."""


class ProbeResults(NamedTuple):
    """Results of probing a file of activations."""

    rows: list[dict[str, Any]]
    """Counts: one row per epoch, layer, probe, fit labels, split and evaluation labels."""
    vectors: dict[str, Array]
    """VeLPIC's vectors (C × d, float32) under ``{epoch}/{layer}/{fit labels}``."""
    costs: list[dict[str, Any]]
    """Cost of each probe alone: one row per layer and probe, at the run's last checkpoint."""


def probe_activations(
    activations: h5py.File,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    probes: Mapping[str, Mapping[str, Any]],
    fit_labels: Mapping[str, Array],
    final_epoch: int,
    device: torch.device,
    fit_labels_at_end: Mapping[str, Array] | None = None,
    room: int | None = None,
    count_train: int | None = None,
) -> ProbeResults:
    """Fit every probe on every layer at every epoch in a file, and count its correct predictions.

    Parameters
    ----------
    activations : h5py.File
        As written by `latentgen.networks.activations`.
    labels : mapping
        Label vectors by split and name: ``labels["train"]["corrupted"]``.
    n_classes : int
    probes : mapping
        Settings of each probe by its name in tables: `kind`, when and where it is fitted (`at`,
        `max_width`), and its parameters. With `estimator`, the import path of its class, the kinds of
        probes are not imported, which takes a third of a second.
    fit_labels : mapping
        The training labels to fit with, by name.
    final_epoch : int
        The run's last epoch.
    device : torch.device
        The device to compute on.
    fit_labels_at_end : mapping, optional
        Further labels to fit with, only at the last epoch and only for probes on subspaces.
    room : int, optional
        Bytes of activations that may be in memory at a time: larger layers are read in parts, if all of
        their probes are on subspaces, and the cost of each probe alone is not measured there.
    count_train : int, optional
        Number of training examples to count; see `counted_examples`.
    """
    results = ProbeResults([], {}, [])
    counted = counted_examples(len(next(iter(labels["train"].values()))), count_train)
    to_probe = partial(
        _probe_layer, labels=labels, n_classes=n_classes, fit_labels=fit_labels, counted=counted
    )
    epochs = epochs_of(activations)
    progress = Progress(len(epochs), "checkpoint")
    for done, epoch in enumerate(epochs, 1):
        is_last, is_end = epoch == final_epoch, epoch in (0, final_epoch)
        for layer in layers_of(activations):
            stored = activations[f"{epoch}/{layer}"]
            width = stored["test"].shape[1]
            due = {name: how for name, how in probes.items() if _is_due(how, is_end, width)}
            if not due:
                continue
            in_parts = all(issubclass(_estimator(how), SubspaceProbe) for how in due.values())
            data = StoredLayer(stored, device, room if in_parts else None)
            of_layer = to_probe(data, due, at_end=(fit_labels_at_end or {}) if is_last else None)
            results.rows.extend({"epoch": epoch, "layer": layer} | row for row in of_layer.rows)
            results.vectors.update({f"{epoch}/{layer}/{fit}": v for fit, v in of_layer.vectors.items()})
            results.costs.extend(
                {"epoch": epoch, "layer": layer, "width": width} | row for row in of_layer.costs
            )
        if PREDICTIONS in activations[str(epoch)]:
            predicted = {"test": activations[f"{epoch}/{PREDICTIONS}/test"][...]}
            (row,) = counts(predicted, {"test": {"true": labels["test"]["true"]}}, is_last, n_classes)
            about = MODEL | _about(None) | dict.fromkeys(MEASURED)
            results.rows.append({"epoch": epoch} | about | row)
        progress.step(done, f"epoch {epoch}")
    return results


def _probe_layer(
    layer: StoredLayer,
    probes: Mapping[str, Mapping[str, Any]],
    *,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    fit_labels: Mapping[str, Array],
    counted: Array | None,
    at_end: Mapping[str, Array] | None,
) -> ProbeResults:
    """Probe one layer at one checkpoint; `at_end`: the further labels of the last one, None before it."""
    results = ProbeResults([], {}, [])
    for fits in _grouped(fit_labels):
        fitted = _fitted(probes, layer, fit_labels[fits[0]], n_classes, fits[0])
        by_example = at_end is not None and "corrupted" in fits
        rows = _score(fitted, layer, labels, n_classes, counted, by_example)
        for fit in fits:
            results.rows.extend({"fit_labels": fit} | row for row in rows)
            if isinstance(velpic := fitted.get("VeLPIC"), VeLPIC):
                results.vectors[fit] = velpic.vectors_.float().cpu().numpy()
    if at_end is None:
        return results
    on_subspaces = {name: how for name, how in probes.items() if issubclass(_estimator(how), SubspaceProbe)}
    for fit, fit_vector in at_end.items():
        fitted = _fitted(on_subspaces, layer, fit_vector, n_classes)
        rows = _score(fitted, layer, labels, n_classes, counted)
        results.rows.extend({"fit_labels": fit} | row for row in rows)
    if not layer.is_in_parts and "train" in layer.splits:
        results.costs.extend(_costs(probes, layer, next(iter(fit_labels.values())), n_classes))
    return results


def counted_examples(n: int, wanted: int | None = None) -> Array | None:
    """Return the training examples, of n, that correct predictions are counted on, increasing; None: all.

    They are the same for every run with n examples. By default: all up to 100,000, otherwise 50,000.
    """
    wanted = wanted or (n if n <= COUNT_ALL else COUNT_SOME)
    if wanted >= n:
        return None
    drawn: Array = random_generator(0, Purpose.COUNTED).choice(n, wanted, replace=False)
    return np.sort(drawn)


def _grouped(vectors: Mapping[str, Array]) -> list[list[str]]:
    """Group the names of equal vectors: without noise, corrupted labels are the true ones."""
    groups: list[list[str]] = []
    for name, vector in vectors.items():
        same = next((group for group in groups if np.array_equal(vectors[group[0]], vector)), None)
        if same:
            same.append(name)
        else:
            groups.append([name])
    return groups


def _costs(
    probes: Mapping[str, Mapping[str, Any]], layer: StoredLayer, fit: Array, n_classes: int
) -> list[dict[str, Any]]:
    """Measure the cost of each probe by itself; results are computed separately, with shared work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shown already, when the probes were fitted for their results
        return [
            {"probe": name}
            | cost_of(partial(_probe, settings), layer.whole("train"), fit, n_classes, layer.whole("test"))
            for name, settings in probes.items()
        ]


def _is_due(settings: Mapping[str, Any], at_an_end: bool, width: int) -> bool:
    narrow = settings.get("max_width") is None or width <= settings["max_width"]
    return narrow and (at_an_end or settings.get("at", "every") == "every")


def _probe(settings: Mapping[str, Any]) -> Probe:
    parameters = {key: value for key, value in settings.items() if key not in HOW_IT_IS_FITTED}
    return _estimator(settings)(**parameters)


def _fitted(
    probes: Mapping[str, Mapping[str, Any]], layer: StoredLayer, y: Array, n_classes: int, fit: str = ""
) -> dict[str, Probe]:
    """Fit all probes, given their settings; those on subspaces share the decomposition of each class.

    With VeLPIC comes MASC with one component, under the name `ONE_COMPONENT`. `fit` is the name of the
    labels, by which their moments are found if no examples are stored.
    """
    fitted = {name: _probe(settings) for name, settings in probes.items()}
    if any(isinstance(probe, VeLPIC) for probe in fitted.values()):
        fitted[ONE_COMPONENT] = MASC(components=1)
    on_subspaces = [probe for probe in fitted.values() if isinstance(probe, SubspaceProbe)]
    if on_subspaces and (moments := layer.moments(fit)):
        fit_moments(on_subspaces, moments)
    elif on_subspaces:
        fit_stored(on_subspaces, layer, y, n_classes)
    for probe in fitted.values():
        if not isinstance(probe, SubspaceProbe):
            probe.fit(layer.whole("train"), y, n_classes)
    return fitted


def _predict(
    probes: Sequence[Probe], layer: StoredLayer, split: str, only: Array | None = None
) -> list[Array]:
    """Predict with all probes, in order; those on subspaces share the products with their bases."""
    on_subspaces = [probe for probe in probes if isinstance(probe, SubspaceProbe)]
    shared = iter(predict_stored(on_subspaces, layer, split, only) if on_subspaces else [])
    predictions = (
        next(shared)
        if isinstance(probe, SubspaceProbe)
        else probe.predict(torch.cat(list(layer.blocks(split, only))))
        for probe in probes
    )
    return [torch.as_tensor(predicted).cpu().numpy() for predicted in predictions]


def _about(probe: Probe | None) -> dict[str, Any]:
    """Return what a probe reports about itself; for the network, missing values.

    Components are the numbers of directions that it uses, over the classes that have any.
    """
    used = probe.n_components_[probe.n_components_ > 0] if isinstance(probe, SubspaceProbe) else np.empty(0)
    components = (used.min(), used.mean(), used.max()) if used.size else (None, None, None)
    return {
        **dict(zip(("components_min", "components_mean", "components_max"), components, strict=True)),
        "missing_classes": None if probe is None else len(probe.missing_classes_),
        "signs_against_mean": getattr(probe, "signs_against_mean_", None),
    }


def _score(
    probes: Mapping[str, Probe],
    layer: StoredLayer,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    counted: Array | None,
    by_example: bool = False,
) -> list[dict[str, Any]]:
    """Count the correct predictions of probes, for training examples only on those `counted`.

    With `by_example`, also return which test examples are classified correctly.
    """
    only = {"train": counted}
    labels = labels_of(labels, layer.splits)
    measured = {
        split: {
            name: _picked(predicted_classes, only.get(PARTS.get(split, split)))
            for name, predicted_classes in by_name.items()
        }
        for split, by_name in labels.items()
    }
    predictions = {
        split: dict(zip(probes, _predict(list(probes.values()), layer, split, only.get(split)), strict=True))
        for split in whole_splits(labels)
    }
    predicted = {
        name: {split: predicted_classes[name] for split, predicted_classes in predictions.items()}
        for name in probes
    }
    rows = []
    for name, probe in probes.items():
        if name == ONE_COMPONENT:
            continue
        about = {
            "probe": name,
            **_about(probe),
            **dict.fromkeys(MEASURED),
        }
        more: dict[Any, dict[str, Any]] = {}
        if isinstance(probe, VeLPIC):
            both = predicted[name], predicted[ONE_COMPONENT]
            more = first_direction(probe.vectors_, *both, layer, measured, only)
        rows += [
            about | row | more.get((row["split"], row["eval_labels"]), {})
            for row in counts(predicted[name], measured, by_example, n_classes)
        ]
    return rows


def _picked(vector: Array, only: Array | None) -> Array:
    return vector if only is None else vector[only]


def _estimator(settings: Mapping[str, Any]) -> type[Probe]:
    if "estimator" not in settings:
        from latentgen.probes.settings import KINDS

        return KINDS[settings["kind"]].estimator()
    estimator: type[Probe] = resolve_name(settings["estimator"])
    return estimator
