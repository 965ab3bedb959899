"""Symmetric noise, as in the papers: any class with equal probability, including the true one.

With C classes, a fraction 1 - p + p/C of the labels stays true.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from latentgen.data.labels import Labels
from latentgen.data.noise.base import NoiseSettings, TrueLabels
from latentgen.errors import LatentgenError


def symmetric(labels: TrueLabels) -> Labels:
    """Redraw labels uniformly over all classes."""
    rng = labels.stream()
    redrawn = rng.random(len(labels.true)) < labels.p
    return labels.with_redrawn(rng.integers(labels.n_classes, size=len(labels.true)), redrawn)


def symmetric_published(labels: TrueLabels) -> Labels:
    """Redraw labels exactly as ``np.random.seed(seed)`` and the papers' calls of global functions do.

    The papers' labels are those of seed 42.
    """
    if not 0 <= labels.seed < 2**32:
        raise LatentgenError(f"A seed of NumPy's legacy generator must be in 0 … 2³² - 1, not {labels.seed}.")
    rng = np.random.RandomState(labels.seed)
    redrawn = rng.rand(len(labels.true)) <= labels.p
    corrupted = labels.true.copy()
    corrupted[redrawn] = rng.choice(labels.n_classes, redrawn.sum())
    return Labels(labels.true, corrupted, redrawn)


class Symmetric(NoiseSettings):
    """The noise of the papers: a label is redrawn uniformly over all classes, including its own."""

    kind: Literal["symmetric"]
    """Redrawn uniformly over all classes."""
    generator: Literal["study", "published"] = "study"
    """`study`: labels depend on the run's seed. `published`: numpy's legacy generator with seed 42 for all
    runs, which gives exactly the published labels. Published protocol: `published`."""

    functions: ClassVar[Mapping[str, Callable[..., Labels]]] = {
        "study": symmetric,
        "published": symmetric_published,
    }

    @property
    def noise_name(self) -> str:
        """`symmetric`, or `symmetric_published`."""
        return self.kind if self.generator == "study" else f"{self.kind}_{self.generator}"

    @property
    def label_settings(self) -> dict[str, Any]:
        """Kind and generator."""
        return {"kind": self.kind, "generator": self.generator}
