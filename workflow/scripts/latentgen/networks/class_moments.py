"""Moment matrices of classes, added up while examples pass: what probes on subspaces need of them.

M_c = Σ z zᵀ over the examples z of class c takes 8 d² bytes, however many examples there are. All sums are in
float64, so that sums over parts of the examples, added, are those over all of them.
"""

from typing import NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgen.linalg import product

MOMENTS = "moments"
"""In place of the training split: a group for each labels that probes are fitted with."""


class Moments(NamedTuple):
    """Of all classes: moment matrices, sums of examples and numbers of them."""

    matrices: Tensor
    """C × d × d, float64."""
    sums: Tensor
    """C × d, float64."""
    counts: Tensor
    """C, int64."""


class ClassMoments:
    """Adds up the moments of the classes.

    Parameters
    ----------
    labels : array, n, integer
        Label of each example.
    n_classes : int
    """

    matrices: Tensor
    sums: Tensor

    def __init__(self, labels: NDArray[np.int64], n_classes: int) -> None:
        self._labels, self._n_classes = torch.from_numpy(labels), n_classes

    def add(self, rows: Tensor, start: int) -> None:
        """Add the examples from `start` on, n × d."""
        width = rows.shape[1]
        if start == 0:
            self.matrices = rows.new_zeros((self._n_classes, width, width), dtype=torch.float64)
            self.sums = rows.new_zeros((self._n_classes, width), dtype=torch.float64)
        labels = self._labels[start : start + len(rows)]
        for c in torch.unique(labels).tolist():
            of_class = rows[(labels == c).to(rows.device)].to(torch.float64)
            self.matrices[c] += product(of_class.T, of_class)
            self.sums[c] += of_class.sum(0)

    def write(self, group: h5py.Group) -> None:
        """Write them to a file, with checksums, a class a chunk."""
        counts = self._labels.bincount(minlength=self._n_classes)
        moments = Moments(self.matrices, self.sums, counts)
        for name, values in moments._asdict().items():
            array = values.cpu().numpy()
            chunks = (1, *array.shape[1:])
            group.create_dataset(name, data=array, chunks=chunks, fletcher32=True)


def read_moments(group: h5py.Group, device: torch.device) -> Moments:
    """Return what `ClassMoments.write` wrote."""
    return Moments(*(torch.from_numpy(group[name][...]).to(device) for name in Moments._fields))
