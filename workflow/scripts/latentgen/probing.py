"""The probes of a study on stored activations: every layer, at every checkpoint of a file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np
import torch
from torch import Tensor

from latentgen.activation_files import epochs_of, layers_of
from latentgen.joblog import Progress
from latentgen.probes import MASC, SubspaceProbe, VeLPIC, fit_together, predict_together

Array: TypeAlias = np.ndarray[Any, Any]

PROBES: dict[str, Callable[..., SubspaceProbe]] = {"MASC": MASC, "VeLPIC": VeLPIC}


class ProbeResults(NamedTuple):
    """What probing a file of activations gave."""

    rows: list[dict[str, Any]]
    """Counts: one row per epoch, layer, probe, fit labels, split and evaluation labels."""
    vectors: dict[str, Array]
    """VeLPIC's vectors (C × d, float32) under ``{epoch}/{layer}/{fit labels}``."""


def probe_activations(
    activations: h5py.File,
    labels: Mapping[str, Mapping[str, Array]],
    n_classes: int,
    probes: Mapping[str, Mapping[str, Any]],
    fit_labels: Sequence[str],
    device: torch.device,
) -> ProbeResults:
    """Fit every probe on every layer at every epoch of a file, and count what it classifies correctly.

    Parameters
    ----------
    activations : h5py.File
        As `latentgen.activations` writes it.
    labels : mapping
        Label vectors by split and name: ``labels["train"]["corrupted"]``.
    n_classes : int
    probes : mapping
        Settings of each probe (`kind` and its parameters) by its name in tables.
    fit_labels : sequence of str
        Names of the training labels to fit with, each in turn.
    device : torch.device
        Where to compute.
    """
    results = ProbeResults([], {})
    epochs = epochs_of(activations)
    progress = Progress(len(epochs), "checkpoint")
    for done, epoch in enumerate(epochs, 1):
        for layer in layers_of(activations):
            stored = activations[f"{epoch}/{layer}"]
            features = {split: torch.from_numpy(stored[split][...]).to(device) for split in labels}
            for fit in fit_labels:
                fitted = {name: _probe(settings) for name, settings in probes.items()}
                fit_together(list(fitted.values()), features["train"], labels["train"][fit], n_classes)
                where = {"epoch": epoch, "layer": layer}
                results.rows.extend(where | row for row in _score(fitted, fit, features, labels))
                for probe in fitted.values():
                    if isinstance(probe, VeLPIC):
                        results.vectors[f"{epoch}/{layer}/{fit}"] = probe.vectors_.float().cpu().numpy()
        progress.step(done, f"epoch {epoch}")
    return results


def _probe(settings: Mapping[str, Any]) -> SubspaceProbe:
    parameters = {key: value for key, value in settings.items() if key != "kind"}
    return PROBES[settings["kind"]](**parameters)


def _score(
    probes: Mapping[str, SubspaceProbe],
    fit: str,
    features: Mapping[str, Tensor],
    labels: Mapping[str, Mapping[str, Array]],
) -> list[dict[str, Any]]:
    rows = []
    for split, by_name in labels.items():
        predictions = predict_together(list(probes.values()), features[split])
        for (probe_name, probe), predicted in zip(probes.items(), predictions, strict=True):
            used = probe.n_components_[probe.n_components_ > 0]
            components = (used.min(), used.mean(), used.max()) if used.size else (None, None, None)
            for eval_name, expected in by_name.items():
                rows.append(
                    {
                        "probe": probe_name,
                        "fit_labels": fit,
                        "split": split,
                        "eval_labels": eval_name,
                        "correct": int((torch.as_tensor(predicted).cpu().numpy() == expected).sum()),
                        "total": len(expected),
                        **dict(
                            zip(
                                ("components_min", "components_mean", "components_max"),
                                components,
                                strict=True,
                            )
                        ),
                        "missing_classes": len(probe.missing_classes_),
                    }
                )
    return rows
