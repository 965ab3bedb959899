"""Whether code of one's own that a study names can be used: asked before it starts, not hours later."""

from latentgen.errors import LatentgenError
from latentgen.probes.custom_classifiers import make_classifier
from latentgen.probes.settings import SklearnProbe
from latentgen.runtime.import_paths import load
from latentgen.study.config import Study


def check_own_code(study: Study) -> None:
    """Import all that a study names by import path, and make its classifiers; networks are tried elsewhere.

    Raises
    ------
    LatentgenError
        If something cannot be imported or made.
    """
    for probe in study.probes:
        if isinstance(probe, SklearnProbe):
            make_classifier(probe.path, probe.arguments)
    parts = [*study.noise, *(pair.dataset.own for pair in study.pairs if pair.dataset.own)]
    for path in (part.import_path for part in parts if part.import_path):
        if not callable(load(path)):
            raise LatentgenError(f"{path} is no function.")
