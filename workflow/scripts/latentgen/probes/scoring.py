"""Scores of examples in the subspaces of classes, block by block.

Examples are processed in blocks and classes in groups. Only the two best scores of an example are kept, so
memory does not grow with examples × classes. Products use the precision of the activations. If float32 cannot
separate the two best scores of an example, it is scored again in float64, so that rounding does not decide
any prediction.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from latentgen.linalg import product
from latentgen.probes.class_subspace import ClassSubspace
from latentgen.probes.inputs import divided, row_exponents
from latentgen.probes.stored import groups

SCORED_ITEMS = 2048
SCORED_DIRECTIONS = 1024
"""Examples and directions multiplied at a time: enough to be fast, with bounded memory."""

RESCORED_ITEMS = 4096
"""Number of examples scored again at a time."""

ROUNDING = 64 * torch.finfo(torch.float32).eps
"""Largest difference of two float32 scores due to rounding, relative to their largest possible value."""


class Coordinates(NamedTuple):
    """Coordinates of a block of examples in the bases of one class."""

    inside: Tensor
    """In the leading directions of its subspace, as many as any probe needs; n × k."""
    outside: Tensor | None
    """In the complement of its whole subspace, if that is used; n × (d − k_c)."""


class Scorer(Protocol):
    """The parts of a fitted probe on subspaces that scoring needs."""

    degree: int
    """Its scores of 2x are 2 to this power times those of x."""

    @property
    def decomposition(self) -> Sequence[ClassSubspace]:
        """The subspaces that it shares with the probes fitted together with it."""

    @property
    def counts(self) -> Sequence[int]:
        """Number of directions that it uses for each class."""

    def scores(self, coordinates: Sequence[Coordinates], classes: slice, squared_norms: Tensor) -> Tensor:
        """Return the scores of a block for some classes (n × as many, float64); -∞ for missing ones."""


def class_scores(scorer: Scorer, X: Tensor) -> Tensor:
    """Return the scores of all examples for all classes (n × C, float64); the largest is the prediction."""
    exponents = row_exponents(X)
    scores = X.new_empty((len(X), len(scorer.decomposition)), dtype=torch.float64)
    for rows, classes, (block_scores,) in _scored_blocks([scorer], X, exponents):
        scores[rows, classes] = block_scores
    if X.dtype == torch.float32:
        best = scores.topk(min(2, scores.shape[1]), dim=1).values
        for close in _undecided(best, X, exponents, scorer.degree):
            scores[close] = _float64_scores(scorer, divided(X[close], exponents[close]))
    return torch.ldexp(scores, scorer.degree * exponents[:, None])


def best_classes(scorers: Sequence[Scorer], X: Tensor) -> list[Tensor]:
    """Return for each scorer the class with the largest score of each example (n); ties go to the first.

    Parameters
    ----------
    scorers : sequence of Scorer
        All fitted together: they share the product with the bases.
    X : Tensor, n × d
        In float32 or float64.
    """
    exponents = row_exponents(X)
    bests = [X.new_full((len(X), 2), -torch.inf, dtype=torch.float64) for _ in scorers]
    predicted = [torch.zeros(len(X), dtype=torch.int64, device=X.device) for _ in scorers]
    for rows, classes, all_scores in _scored_blocks(scorers, X, exponents):
        for best, positions, scores in zip(bests, predicted, all_scores, strict=True):
            largest, at = scores.max(dim=1)
            positions[rows] = torch.where(largest > best[rows, 0], at + classes.start, positions[rows])
            two = scores.topk(min(2, scores.shape[1]), dim=1).values
            best[rows] = torch.cat([best[rows], two], dim=1).topk(2, dim=1).values
    if X.dtype == torch.float32:
        for scorer, best, positions in zip(scorers, bests, predicted, strict=True):
            for close in _undecided(best, X, exponents, scorer.degree):
                scores = _float64_scores(scorer, divided(X[close], exponents[close]))
                positions[close] = scores.argmax(dim=1)
    return predicted


def _undecided(best: Tensor, X: Tensor, exponents: Tensor, degree: int) -> Iterator[Tensor]:
    """Yield, some at a time, the rows whose two best scores may be swapped by float32 rounding."""
    if best.shape[1] < 2:
        return
    norms = torch.cat(
        [
            torch.linalg.vector_norm(divided(*pair), dim=1).to(torch.float64)
            for pair in zip(torch.split(X, SCORED_ITEMS), torch.split(exponents, SCORED_ITEMS), strict=True)
        ]
    )
    decided = best[:, 0] - best[:, 1] > ROUNDING * norms**degree
    if not bool(decided.all()):
        yield from torch.split((~decided).nonzero()[:, 0], RESCORED_ITEMS)


def _float64_scores(scorer: Scorer, X: Tensor) -> Tensor:
    """Scores of a few rows for all classes in float64, from the definition, class by class."""
    X = X.to(torch.float64)
    squared_norms = torch.linalg.vector_norm(X, dim=1).square()
    scores = X.new_empty((len(X), len(scorer.decomposition)))
    for c, subspace in enumerate(scorer.decomposition):
        coordinates = Coordinates(X @ subspace.basis, None)
        scores[:, c : c + 1] = scorer.scores([coordinates], slice(c, c + 1), squared_norms)
    return scores


class _Bases(NamedTuple):
    """The directions of one class that examples are multiplied with, as few as its probes need."""

    inside: Tensor
    outside: Tensor | None

    @property
    def n_directions(self) -> int:
        return self.inside.shape[1] + (0 if self.outside is None else self.outside.shape[1])


def _bases(subspace: ClassSubspace, counts: Sequence[int]) -> _Bases:
    """Return the bases of one class, given the number of directions that each probe uses."""
    leading = max((k for k in counts if k < subspace.n_components), default=0)
    complement = subspace.complement
    if complement is not None and leading + complement.shape[1] < max(counts):
        return _Bases(subspace.basis[:, :leading], complement)
    return _Bases(subspace.basis[:, : max(counts)], None)


def _scored_blocks(
    scorers: Sequence[Scorer], X: Tensor, exponents: Tensor
) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Yield rows and classes, with the scores of each scorer; rows are divided by powers of two."""
    decomposition = scorers[0].decomposition
    bases = [
        _bases(subspace, counts)
        for subspace, *counts in zip(decomposition, *(scorer.counts for scorer in scorers), strict=True)
    ]
    for classes in groups([of_class.n_directions for of_class in bases], SCORED_DIRECTIONS):
        parts = [part for b in bases[classes] for part in (b.inside, b.outside) if part is not None]
        # Column-major like the bases: concatenating by rows would take three times as long.
        basis = torch.cat([part.T.to(X) for part in parts]).T
        for start in range(0, len(X), SCORED_ITEMS):
            rows = slice(start, start + SCORED_ITEMS)
            block = divided(X[rows], exponents[rows])
            coordinates = _coordinates(block, basis, bases[classes])
            squared_norms = torch.linalg.vector_norm(block, dim=1).to(torch.float64).square()
            scores = [s.scores(coordinates, classes, squared_norms) for s in scorers]
            del coordinates  # before those of the next block, which are as large
            yield rows, classes, scores


def _coordinates(block: Tensor, basis: Tensor, bases: Sequence[_Bases]) -> list[Coordinates]:
    """Return the coordinates of a block of examples in each class, from one product."""
    widths = [(b.inside.shape[1], b.n_directions - b.inside.shape[1]) for b in bases]
    split = torch.split(product(block, basis), [width for pair in widths for width in pair], dim=1)
    return [
        Coordinates(inside, None if b.outside is None else outside)
        for b, inside, outside in zip(bases, split[::2], split[1::2], strict=True)
    ]
