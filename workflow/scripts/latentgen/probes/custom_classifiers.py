"""Create classifiers with scikit-learn's interface by import path, without importing torch."""

import inspect
from collections.abc import Mapping
from typing import Any

from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import load


def make_classifier(path: str, arguments: Mapping[str, Any]) -> Any:
    """Return an unfitted classifier; parameters and errors as in `latentgen.probes.custom.SklearnProbe`."""
    make = load(path)
    lacking = [method for method in ("fit", "predict") if not callable(getattr(make, method, None))]
    if not inspect.isclass(make) or lacking:
        raise LatentgenError(
            f"{path} is not a classifier: it must be a class with the methods fit and predict."
        )
    if "random_state" in inspect.signature(make).parameters:
        arguments = {"random_state": 0, **arguments}
    try:
        made = make(**arguments)
        if hasattr(made, "_validate_params"):  # scikit-learn checks parameters only here
            made._validate_params()
    except Exception as error:  # custom code can raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise LatentgenError(f"{path}({given}) fails with {type(error).__name__}: {error}") from error
    if _is_another_estimator(made):
        raise LatentgenError(
            f"{path} is not a classifier but another kind of scikit-learn estimator. Name a classifier."
        )
    return made


def _is_another_estimator(made: Any) -> bool:
    from sklearn.base import BaseEstimator, is_classifier

    return isinstance(made, BaseEstimator) and not is_classifier(made)
