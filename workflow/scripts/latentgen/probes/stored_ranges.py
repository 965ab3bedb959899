"""What jobs on ranges of classes and of examples found, joined: subspaces, predictions and energies.

Both kinds of files have a group ``/{epoch}/{layer}/{fit labels}``: that of a range of classes as
`latentgen.probes.stored_classes` writes it, that of a range of examples with ``predicted/{split}/{probe}``, a
class for each example that counts, and ``energies/{probe}/{split}/{labels}``, 1 × 2 × C.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import h5py
import numpy as np
import torch

from latentgen.networks.joined_files import JoinedGroup
from latentgen.probes.class_subspace import Decomposition
from latentgen.probes.stored_classes import read_classes
from latentgen.runtime.files import put, read_h5

Array: TypeAlias = np.ndarray[Any, Any]
Place: TypeAlias = tuple[str, str]
"""Split and name of a vector of evaluation labels."""


class Scores(NamedTuple):
    """What fitted probes say of some examples."""

    predicted: dict[str, dict[str, Array]]
    """The predicted classes of those that count, by split and probe."""
    energies: dict[str, dict[Place, Array]]
    """Of probes that have vectors, the result of `latentgen.probes.first_direction.class_energies`."""

    @property
    def names(self) -> set[str]:
        """The probes."""
        return {name for of_split in self.predicted.values() for name in of_split}


def write_scores(group: h5py.Group, scores: Scores) -> None:
    """Write what probes say of a range of examples."""
    for part in Scores._fields:
        group.create_group(part)
    for split, by_probe in scores.predicted.items():
        for probe, predicted in by_probe.items():
            if predicted.size:
                put(group, f"predicted/{split}/{probe}", predicted)
    for probe, by_place in scores.energies.items():
        for (split, name), energies in by_place.items():
            put(group, f"energies/{probe}/{split}/{name}", energies[None])


@dataclass(frozen=True)
class RangeResults:
    """Files of all ranges of classes, and of all ranges of examples, or groups in them."""

    classes: Sequence[h5py.Group]
    examples: Sequence[h5py.Group] = ()
    """Empty while examples are being scored."""

    def of(self, name: str) -> "RangeResults":
        """Return the groups of a name, such as ``{epoch}/{layer}``; none if nothing was fitted there."""
        classes, examples = (
            [groups[name] for groups in files if name in groups] for files in (self.classes, self.examples)
        )
        return replace(self, classes=classes, examples=examples)

    def decomposition(self, fit: str, device: torch.device) -> Decomposition | None:
        """Return the classes as decomposed for the probes of a fit; None if it has none on subspaces."""
        groups = [file[fit] for file in self.classes if fit in file]
        return read_classes(groups, device) if groups else None

    def scores(self, fit: str) -> Scores | None:
        """Return what the probes of a fit say of all examples; None if nothing is known."""
        groups = [file[fit] for file in self.examples if fit in file]
        if not groups:
            return None
        joined = JoinedGroup(groups)
        predicted, energies = joined["predicted"], joined["energies"]
        return Scores(
            {split: {name: predicted[split][name][...] for name in predicted[split]} for split in predicted},
            {
                probe: {
                    (split, name): energies[probe][split][name][...].sum(0)
                    for split in energies[probe]
                    for name in energies[probe][split]
                }
                for probe in energies
            },
        )


@contextmanager
def read_results(
    classes: Sequence[str | Path], examples: Sequence[str | Path] = ()
) -> Iterator[RangeResults | None]:
    """Yield what jobs on ranges found, from their files in the order of the ranges; None without files.

    Raises
    ------
    DamagedFileError, UnreadableFileError
        As in `read_h5`.
    """
    with ExitStack() as opened:
        files = [[opened.enter_context(read_h5(path)) for path in paths] for paths in (classes, examples)]
        yield RangeResults(*files) if files[0] else None
