"""Scores of examples in the subspaces of classes, block by block.

The examples go by in blocks, and the classes in groups: what is kept of a block is its two best scores, so
that memory does not grow with examples × classes. Products are taken in the precision of the activations.
Where float32 cannot tell the two best scores of an example apart, it is scored again in float64, so that
rounding decides no prediction.
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
"""Examples and directions that are multiplied at a time: enough to be fast, and no more memory than that."""

RESCORED_ITEMS = 4096
"""Examples that are scored again at a time."""

ROUNDING = 64 * torch.finfo(torch.float32).eps
"""Difference of two float32 scores, relative to their largest possible value, that rounding can make."""


class Coordinates(NamedTuple):
    """Coordinates of a block of examples in the bases of one class."""

    inside: Tensor
    """In the leading directions of its subspace, as many as some probe needs of them; n × k."""
    outside: Tensor | None
    """In the complement of its whole subspace, if that is the way taken; n × (d − k_c)."""


class Scorer(Protocol):
    """A fitted probe on subspaces, as far as it is needed here."""

    degree: int
    """Its scores of 2x are 2 to this power times those of x."""

    @property
    def decomposition(self) -> Sequence[ClassSubspace]:
        """The subspaces that it shares with the probes fitted together with it."""

    @property
    def counts(self) -> Sequence[int]:
        """Number of directions that it uses of each."""

    def scores(self, coordinates: Sequence[Coordinates], classes: slice, squared_norms: Tensor) -> Tensor:
        """Return the scores of a block for some classes (n × as many, float64); -∞ for missing ones."""


def class_scores(scorer: Scorer, X: Tensor) -> Tensor:
    """Return the scores of all examples for all classes (n × C, float64): their largest is the prediction."""
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
    """Return for each scorer the class with the largest score of each example (n): the first of equal ones.

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
    """Yield those rows whose two best scores float32 could have swapped, a number of them at a time."""
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
    """Scores of a few rows for all classes in float64, straight from the definition: class by class."""
    X = X.to(torch.float64)
    squared_norms = torch.linalg.vector_norm(X, dim=1).square()
    scores = X.new_empty((len(X), len(scorer.decomposition)))
    for c, subspace in enumerate(scorer.decomposition):
        coordinates = Coordinates(X @ subspace.basis, None)
        scores[:, c : c + 1] = scorer.scores([coordinates], slice(c, c + 1), squared_norms)
    return scores


class _Bases(NamedTuple):
    """What examples are multiplied with for one class: as few directions as its probes can do with."""

    inside: Tensor
    outside: Tensor | None

    @property
    def n_directions(self) -> int:
        return self.inside.shape[1] + (0 if self.outside is None else self.outside.shape[1])


def _bases(subspace: ClassSubspace, counts: Sequence[int]) -> _Bases:
    """Return the bases for one class, of which some probes use so many directions each."""
    leading = max((k for k in counts if k < subspace.n_components), default=0)
    complement = subspace.complement
    if complement is not None and leading + complement.shape[1] < max(counts):
        return _Bases(subspace.basis[:, :leading], complement)
    return _Bases(subspace.basis[:, : max(counts)], None)


def _scored_blocks(
    scorers: Sequence[Scorer], X: Tensor, exponents: Tensor
) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Yield some rows, some classes, and their scores for each scorer, of rows divided by powers of two."""
    decomposition = scorers[0].decomposition
    bases = [
        _bases(subspace, counts)
        for subspace, *counts in zip(decomposition, *(scorer.counts for scorer in scorers), strict=True)
    ]
    for classes in groups([of_class.n_directions for of_class in bases], SCORED_DIRECTIONS):
        widths = [(b.inside.shape[1], b.n_directions - b.inside.shape[1]) for b in bases[classes]]
        parts = [part for b in bases[classes] for part in (b.inside, b.outside) if part is not None]
        # By columns, as the bases are: to put them together by rows would take three times as long.
        basis = torch.cat([part.T.to(X) for part in parts]).T
        for start in range(0, len(X), SCORED_ITEMS):
            rows = slice(start, start + SCORED_ITEMS)
            block = divided(X[rows], exponents[rows])
            squared_norms = torch.linalg.vector_norm(block, dim=1).to(torch.float64).square()
            split = torch.split(product(block, basis), [width for pair in widths for width in pair], dim=1)
            coordinates = [
                Coordinates(inside, None if b.outside is None else outside)
                for b, inside, outside in zip(bases[classes], split[::2], split[1::2], strict=True)
            ]
            yield rows, classes, [s.scores(coordinates, classes, squared_norms) for s in scorers]
