"""Fit the probes of a study on stored activations: every layer, at every checkpoint in a file."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from latentgen.data.labels import PARTS, labels_of, whole_splits
from latentgen.networks.activation_files import PREDICTIONS, epochs_of, layers_of
from latentgen.networks.base import INPUT
from latentgen.networks.joined_files import Stored
from latentgen.probes.base import Probe
from latentgen.probes.costs import cost_of
from latentgen.probes.counting import counts
from latentgen.probes.first_direction import MEASURED, class_energies, first_direction
from latentgen.probes.fits import ONE_COMPONENT, Fit, Fits, Settings, new_probe, on_subspaces
from latentgen.probes.stored import StoredLayer
from latentgen.probes.stored_fits import fit_decomposed, fit_moments, fit_stored, predict_stored
from latentgen.probes.stored_ranges import Place, RangeResults, Scores
from latentgen.probes.subspace_probes import SubspaceProbe, VeLPIC
from latentgen.randomness import Purpose, random_generator
from latentgen.runtime.logs import Progress

Array: TypeAlias = np.ndarray[Any, Any]

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
    activations: Stored,
    labels: Mapping[str, Mapping[str, Array]],
    fits: Fits,
    device: torch.device,
    room: int | None = None,
    count_train: int | None = None,
    ranges: RangeResults | None = None,
) -> ProbeResults:
    """Fit every probe on every layer at every epoch in a file, and count its correct predictions.

    Parameters
    ----------
    activations : h5py.File or JoinedGroup
        As written by `latentgen.networks.activations`.
    labels : mapping
        Label vectors by split and name: ``labels["train"]["corrupted"]``.
    fits : Fits
        The probes, and the labels that they are fitted with.
    device : torch.device
        The device to compute on.
    room : int, optional
        Bytes of activations that may be in memory at a time: larger layers are read in parts, if all of
        their probes are on subspaces, and the cost of each probe alone is not measured there.
    count_train : int, optional
        Number of training examples to count; see `counted_examples`.
    ranges : RangeResults, optional
        What jobs on ranges of classes and examples found (`latentgen.probes.ranges`): probes on subspaces are
        not fitted here then, nor do they predict.
    """
    results = ProbeResults([], {}, [])
    of_input: dict[object, ProbeResults] = {}  # the raw input is the same at every checkpoint
    counted = counted_examples(len(next(iter(labels["train"].values()))), count_train)
    epochs = epochs_of(activations)
    progress = Progress(len(epochs), "checkpoint")
    for done, epoch in enumerate(epochs, 1):
        for layer, data in stored_layers(activations, epoch, fits, device, room, ranges):
            about = {"epoch": epoch, "layer": layer}
            for fit in fits.at(epoch, data.width):
                key = fit.names, *fit.probes, fit.is_last
                of_layer = of_input.get(key) if layer == INPUT else None
                of_layer = of_layer or _probe_layer(data, fit, labels, fits.n_classes, counted)
                if layer == INPUT:
                    of_input[key] = of_layer
                results.rows.extend(about | row for row in of_layer.rows)
                results.vectors.update({f"{epoch}/{layer}/{name}": v for name, v in of_layer.vectors.items()})
            if epoch == fits.final_epoch and data.has_costs:
                due, fitted = fits.due(epoch, data.width), next(iter(fits.labels.values()))
                costs = _costs(due, data, fitted, fits.n_classes)
                results.costs.extend(about | {"width": data.width} | row for row in costs)
        if PREDICTIONS in activations[str(epoch)]:
            predicted = {"test": activations[f"{epoch}/{PREDICTIONS}/test"][...]}
            is_last = epoch == fits.final_epoch
            (row,) = counts(predicted, {"test": {"true": labels["test"]["true"]}}, is_last, fits.n_classes)
            about = MODEL | _about(None) | dict.fromkeys(MEASURED)
            results.rows.append({"epoch": epoch} | about | row)
        progress.step(done, f"epoch {epoch}")
    return results


def stored_layers(
    activations: Stored,
    epoch: int,
    fits: Fits,
    device: torch.device,
    room: int | None,
    ranges: RangeResults | None = None,
) -> Iterator[tuple[str, StoredLayer]]:
    """Yield the layers at an epoch on which probes are fitted, with their names."""
    for layer in layers_of(activations):
        stored = activations[f"{epoch}/{layer}"]
        data = StoredLayer(stored, device, ranges=ranges and ranges.of(f"{epoch}/{layer}"))
        due = fits.due(epoch, data.width)
        if due:
            yield layer, data.within(room) if len(on_subspaces(due)) == len(due) else data


def _probe_layer(
    layer: StoredLayer,
    fit: Fit,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    counted: Array | None,
) -> ProbeResults:
    """Probe one layer at one checkpoint with one vector of labels."""
    results = ProbeResults([], {}, [])
    fitted = fitted_probes(fit, layer, n_classes)
    measured = _measured(labels, layer, counted)
    by_example = fit.is_last and "corrupted" in fit.names
    rows = _rows(fitted, score(fit, fitted, layer, labels, counted), measured, n_classes, by_example)
    for name in fit.names:
        results.rows.extend({"fit_labels": name} | row for row in rows)
        if fit.is_of_run and isinstance(velpic := fitted.get("VeLPIC"), VeLPIC):
            results.vectors[name] = velpic.vectors_.float().cpu().numpy()
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


def _costs(
    probes: Mapping[str, Settings], layer: StoredLayer, fit: Array, n_classes: int
) -> list[dict[str, Any]]:
    """Measure the cost of each probe by itself; results are computed separately, with shared work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shown already, when the probes were fitted for their results
        return [
            {"probe": name}
            | cost_of(partial(new_probe, settings), layer.whole("train"), fit, n_classes, layer.whole("test"))
            for name, settings in probes.items()
        ]


def fitted_probes(fit: Fit, layer: StoredLayer, n_classes: int) -> dict[str, Probe]:
    """Return all probes of a fit, fitted; those on subspaces share the decomposition of each class.

    It is computed, unless others did that, or only the moments of the classes are stored.
    """
    fitted = fit.new_probes()
    subspaces = [probe for probe in fitted.values() if isinstance(probe, SubspaceProbe)]
    if subspaces and (moments := layer.moments(fit.names[0])):
        fit_moments(subspaces, moments)
    elif subspaces and (decomposition := layer.decomposition(fit.names[0])):
        fit_decomposed(subspaces, decomposition, layer.width)
    elif subspaces:
        fit_stored(subspaces, layer, fit.labels, n_classes)
    for probe in fitted.values():
        if not isinstance(probe, SubspaceProbe):
            probe.fit(layer.whole("train"), fit.labels, n_classes)
    return fitted


def score(
    fit: Fit,
    fitted: Mapping[str, Probe],
    layer: StoredLayer,
    labels: Mapping[str, Mapping[str, Array]],
    counted: Array | None,
) -> Scores:
    """Return what fitted probes say of the examples of a layer; of the training examples, of those `counted`.

    It is computed, but for what others found.
    """
    scores = layer.scores(fit.names[0]) or Scores({}, {})
    left = {name: probe for name, probe in fitted.items() if name not in scores.names}
    only = {"train": counted}
    measured = _measured(labels, layer, counted)
    for split in whole_splits(measured) if left else ():
        predicted = _predict(list(left.values()), layer, split, only.get(split))
        scores.predicted.setdefault(split, {}).update(zip(left, predicted, strict=True))
    for name, probe in left.items():
        if isinstance(probe, VeLPIC):
            scores.energies[name] = class_energies(probe.vectors_, layer, measured, only)
    return scores


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


def _rows(
    probes: Mapping[str, Probe],
    scores: Scores,
    measured: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    by_example: bool = False,
) -> list[dict[str, Any]]:
    """Count the correct predictions of probes; `by_example`: also return which test examples they are."""
    rows = []
    for name, probe in probes.items():
        if name == ONE_COMPONENT:
            continue
        about = {"probe": name, **_about(probe), **dict.fromkeys(MEASURED)}
        predicted = {split: by_probe[name] for split, by_probe in scores.predicted.items()}
        more: dict[Place, dict[str, Any]] = {}
        if isinstance(probe, VeLPIC):
            masc = {split: by_probe[ONE_COMPONENT] for split, by_probe in scores.predicted.items()}
            more = first_direction(predicted, masc, measured, scores.energies[name])
        rows += [
            about | row | more.get((row["split"], row["eval_labels"]), {})
            for row in counts(predicted, measured, by_example, n_classes)
        ]
    return rows


def _measured(
    labels: Mapping[str, Mapping[str, Array]], layer: StoredLayer, counted: Array | None
) -> dict[str, dict[str, Array]]:
    """Return the evaluation labels of the examples that count, of the splits that are stored."""
    only = {"train": counted}
    return {
        split: {name: _picked(vector, only.get(PARTS.get(split, split))) for name, vector in by_name.items()}
        for split, by_name in labels_of(labels, layer.splits).items()
    }


def _picked(vector: Array, only: Array | None) -> Array:
    return vector if only is None else vector[only]
