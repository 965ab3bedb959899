"""Probe a checkpoint that is divided among jobs: fit by ranges of classes, then score by ranges of examples.

`latentgen.probes.fitting.probe_activations` joins what they find: it counts the same predictions as if it had
made them itself. Only probes on subspaces are divided.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import h5py
import numpy as np
import torch

from latentgen.data.labels import PARTS, whole_splits
from latentgen.networks.activation_files import epochs_of
from latentgen.networks.joined_files import Stored
from latentgen.networks.ranges import Range
from latentgen.probes.fits import Fit, Fits, on_subspaces
from latentgen.probes.fitting import counted_examples, fitted_probes, score, stored_layers
from latentgen.probes.stored import StoredLayer
from latentgen.probes.stored_classes import write_classes
from latentgen.probes.stored_ranges import RangeResults, write_scores
from latentgen.probes.subspace_probes import SubspaceProbe, decomposed
from latentgen.runtime.logs import Progress

Array: TypeAlias = np.ndarray[Any, Any]


def fit_range(
    file: h5py.File,
    activations: Stored,
    fits: Fits,
    part: Range,
    device: torch.device,
    room: int | None = None,
) -> None:
    """Decompose a range of the classes for the probes on subspaces, at every layer and epoch, and write them.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    activations : h5py.File or JoinedGroup
        Of all examples.
    fits : Fits
    part : Range
    device : torch.device
    room : int, optional
        Bytes of activations that may be in memory at a time.
    """
    classes = part.classes(fits.n_classes)
    for name, layer, fit in _fits(activations, fits, device, room):
        probes = [probe for probe in fit.new_probes().values() if isinstance(probe, SubspaceProbe)]
        groups = layer.class_groups(fit.labels, fits.n_classes, classes)
        write_classes(file.create_group(name), decomposed(probes, groups, layer.kept))


def score_range(
    file: h5py.File,
    activations: Stored,
    labels: Mapping[str, Mapping[str, Array]],
    fits: Fits,
    part: Range,
    ranges: RangeResults,
    device: torch.device,
    room: int | None = None,
    count_train: int | None = None,
) -> None:
    """Predict a range of the examples with the probes on subspaces, at every layer and epoch, and write that.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    activations : h5py.File
        Of these examples.
    labels : mapping
        Label vectors of all examples, by split and name.
    fits, part, device, room
        As in `fit_range`.
    ranges : RangeResults
        All classes, as `fit_range` wrote them.
    count_train : int, optional
        As in `latentgen.probes.fitting.probe_activations`.
    """
    counted = counted_examples(len(next(iter(labels["train"].values()))), count_train)
    here = {split: part.examples(len(next(iter(labels[split].values())))) for split in whole_splits(labels)}
    labels = {
        split: {name: vector[here[PARTS.get(split, split)]] for name, vector in by_name.items()}
        for split, by_name in labels.items()
    }
    if counted is not None:
        rows = here["train"]
        counted = counted[(counted >= rows.start) & (counted < rows.stop)] - rows.start
    for name, layer, fit in _fits(activations, fits, device, room, ranges):
        fitted = fitted_probes(fit, layer, fits.n_classes)
        write_scores(file.create_group(name), score(fit, fitted, layer, labels, counted))


def _fits(
    activations: Stored,
    fits: Fits,
    device: torch.device,
    room: int | None,
    ranges: RangeResults | None = None,
) -> Iterator[tuple[str, StoredLayer, Fit]]:
    """Yield every fit, without the probes that are not on subspaces: its name in files, and the layer."""
    epochs = epochs_of(activations)
    progress = Progress(len(epochs), "checkpoint")
    for done, epoch in enumerate(epochs, 1):
        for layer, stored in stored_layers(activations, epoch, fits, device, room, ranges):
            data = stored.within(room)
            for fit in fits.at(epoch, data.width):
                if divided := on_subspaces(fit.probes):
                    yield f"{epoch}/{layer}/{fit.names[0]}", data, fit.with_only(divided)
        progress.step(done, f"epoch {epoch}")
