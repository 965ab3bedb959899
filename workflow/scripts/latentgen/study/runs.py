"""The identity of a run, as values and as the name of its folder."""

import re
from dataclasses import dataclass

from latentgen.errors import LatentgenError

NAME = "[a-z][a-z0-9_]*"
"""Pattern of the names of studies, data sets, models and interventions, which become parts of file names."""

_SLUG = re.compile(
    rf"(?P<dataset>{NAME})-(?P<model>{NAME})-(?P<noise>[a-z_]+)(?P<p>[01]\.[0-9]{{2,4}})"
    rf"-seed(?P<seed>[0-9]+)(?:-(?P<intervention>{NAME}))?"
)


FROM = "_from_"
"""Separates an edit's name from the source of its vectors, if that is not the default."""
REWIND = "rewind_"
"""Prefix of rewinding interventions; the first layer that is taken from an earlier checkpoint follows."""
EARLY_STOP = "early_stop"
"""Intervention of training on the corrupted labels with early stopping: the control of relabelling."""
EARLY_STOP_NOISY = "early_stop_held_out"
"""The same, stopped by held-out noisy labels."""
RELABEL = {
    "MASC": "relabel_masc_",
    "MASC_cross_fitted": "relabel_cross_fitted_masc_",
    "unit_means": "relabel_unit_means_",
    "ridge": "relabel_ridge_",
}
"""Prefixes of interventions that train on a probe's predictions, by kind of probe; the probe's layer
follows."""

BEST = "best"
BEST_ON_TEST = "best_on_test"
CHOSEN_LAYERS = (BEST, BEST_ON_TEST)
"""In place of the layer's name: a rule chooses the layer."""


@dataclass(frozen=True, order=True)
class RunSpec:
    """One training: dataset × model × noise × seed (× intervention)."""

    dataset: str
    model: str
    noise: str
    p: float
    seed: int
    intervention: str = "none"

    @property
    def noise_level(self) -> str:
        """The noise with its probability, as in ``symmetric0.40``."""
        return f"{self.noise}{decimals(self.p)}"

    @property
    def slug(self) -> str:
        """The run's name, such as ``digits-mlp-symmetric0.40-seed1``, unique in a study."""
        edit = "" if self.intervention == "none" else f"-{self.intervention}"
        return f"{self.dataset}-{self.model}-{self.noise_level}-seed{self.seed}{edit}"

    @classmethod
    def parse(cls, slug: str) -> "RunSpec":
        """Return the run that a slug names.

        Raises
        ------
        LatentgenError
            If no run could have this name.
        """
        match = _SLUG.fullmatch(slug)
        if match:
            parts = match.groupdict()
            run = cls(
                parts["dataset"],
                parts["model"],
                parts["noise"],
                float(parts["p"]),
                int(parts["seed"]),
                parts["intervention"] or "none",
            )
            if run.p <= 1 and run.slug == slug:  # seed01 would be another name for seed1
                return run
        raise LatentgenError(
            f"'{slug}' is not the name of a run. "
            "Names look like digits-mlp-symmetric0.40-seed1: data set, model, noise with p, seed."
        )


def decimals(p: float) -> str:
    """Write p with two decimals, or as many as it takes up to four."""
    text = f"{p:.4f}".rstrip("0")
    return text.ljust(4, "0")
