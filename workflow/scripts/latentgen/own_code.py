"""Whether code of one's own that a study names can be used: asked before it starts, not hours later."""

from latentgen.config import Study
from latentgen.own_classifiers import make_classifier
from latentgen.probe_settings import SklearnProbe


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
