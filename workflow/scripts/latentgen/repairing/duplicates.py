"""Nearly identical examples with different labels: at least one of the labels is wrong."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

TOLERANCE = 1e-3
"""Largest distance between the features of two examples, scaled to length 1, that count as the same."""

DIRECTIONS = 16
"""Directions along which examples are compared first."""

POWER_STEPS = 4
"""Steps of the power method towards the first principal direction; near it is good enough."""

MOST_PAIRS = 10_000
"""Largest number of pairs listed."""


def contradicting_duplicates(X: Tensor, labels: Tensor) -> list[tuple[int, int]]:
    """Return pairs of rows (n × d) that are nearly identical and have different labels, smaller index first.

    Rows at a distance below ε are also within ε of each other along any direction. So rows are sorted along
    the direction in which they vary most; neighbours within ε are compared along a few random ones, and the
    rest in full.
    """
    unit = normalize(X.to(torch.float32), dim=1)
    generator = torch.Generator().manual_seed(0)
    lines = normalize(torch.randn(X.shape[1], DIRECTIONS, generator=generator), dim=0)
    centred = unit - unit.mean(0)
    for _ in range(POWER_STEPS):
        lines[:, 0] = normalize(centred.T @ (centred @ lines[:, 0]), dim=0)
    positions = centred @ lines
    order = positions[:, 0].argsort()
    positions, ordered = positions[order].contiguous(), labels[order]
    pairs: list[tuple[int, int]] = []
    near = torch.arange(len(X))  # a row that is close to the next but one is close to the next
    for step in range(1, len(X)):
        near = near[near < len(X) - step]
        near = near[positions[near + step, 0] - positions[near, 0] <= TOLERANCE]
        if len(pairs) >= MOST_PAIRS or not len(near):
            break
        rows = near[ordered[near + step] != ordered[near]]
        rows = rows[((positions[rows] - positions[rows + step]).abs() <= TOLERANCE).all(1)]
        one, other = order[rows], order[rows + step]
        same = torch.linalg.vector_norm(unit[one] - unit[other], dim=1) <= TOLERANCE
        pairs += [
            (min(a, b), max(a, b)) for a, b in zip(one[same].tolist(), other[same].tolist(), strict=True)
        ]
    return sorted(pairs)
