"""Check the custom code that a study names before the study starts."""

from collections.abc import Iterator

from latentgen.probes.custom_classifiers import make_classifier
from latentgen.probes.settings import SklearnProbe
from latentgen.study.config import Study
from latentgen.study.custom_figures import CustomFigure
from latentgen.study.trust import ESTIMATOR, MODULE, load_trusted


def check_custom_code(study: Study) -> None:
    """Import all custom code that a study names, and refuse code that it may not call. No network is built.

    Raises
    ------
    LatentgenError
        If code cannot be imported or called, or may not be called.
    """
    for path, base in _named(study):
        load_trusted(path, study.trusted, base)
    for probe in study.probes:
        if isinstance(probe, SklearnProbe):
            make_classifier(probe.path, probe.arguments)
    check_custom_figures(study)


def check_custom_figures(study: Study) -> None:
    """Do the same only for custom figures: if the tables exist, no other code is called."""
    for figure in study.figures:
        if isinstance(figure, CustomFigure):
            for path in figure.import_paths:
                load_trusted(path, study.trusted)


def _named(study: Study) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """Import paths in a study, each with the class whose subclasses are always trusted."""
    for probe in study.probes:
        if probe.import_path:
            yield probe.import_path, ESTIMATOR
    for noise in study.noise:
        if noise.import_path:
            yield noise.import_path, None
    for pair in study.pairs:
        if pair.dataset.own and pair.dataset.own.import_path:
            yield pair.dataset.own.import_path, None
        if pair.model.architecture == "own" and pair.model.import_path:
            yield pair.model.import_path, MODULE
