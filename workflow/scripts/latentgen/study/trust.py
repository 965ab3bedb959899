"""Check that a study may call its custom code, before calling it.

A study file names code by import path, so it can run programs. It may name classes of a known kind
(`torch.nn.Module`, scikit-learn estimators) from any installed package, and functions and classes that are
defined in the working folder or in a package that the study lists under ``trusted``. No other code is called,
and modules of Python's standard library are not even imported.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import load

MODULE = ("torch.nn.modules.module", "Module")
ESTIMATOR = ("sklearn.base", "BaseEstimator")
"""Classes whose subclasses may be used from any installed package, by module and name."""


def load_trusted(path: str, trusted: tuple[str, ...] = (), base: tuple[str, str] | None = None) -> Any:
    """Import the object of an import path, if a study may call it.

    Parameters
    ----------
    path : str
        ``module:name``
    trusted : tuple of str
        Packages whose functions may also be called.
    base : (str, str), optional
        Module and name of a class whose subclasses may be called from any package.

    Raises
    ------
    LatentgenError
        If it cannot be imported, is not callable, or may not be called.
    """
    module = path.partition(":")[0]
    if is_of_python(module):
        raise LatentgenError(
            f"{path}: a study may not call Python's standard library. Write a function in the project's "
            "folder and name that."
        )
    loaded = load(path)
    if not callable(loaded):
        raise LatentgenError(f"{path} is neither a function nor a class. Name one.")
    if (
        base
        and inspect.isclass(loaded)
        and base in [(one.__module__, one.__qualname__) for one in loaded.__mro__]
    ):
        return loaded
    definer = getattr(loaded, "__module__", None) or type(loaded).__module__
    if definer.partition(".")[0] not in trusted and not _is_in_working_folder(definer):
        package = definer.partition(".")[0]
        way_out = (
            "Write a function in the project's folder that calls it, and name that."
            if is_of_python(definer)
            else f"If you trust that package, add `trusted: [{package}]` to the study file."
        )
        raise LatentgenError(
            f"{path} is defined in {definer}, outside the project's folder ({Path.cwd()}), so a study may "
            f"not call it. {way_out}"
        )
    return loaded


def is_of_python(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names or module.endswith("__main__")


def _is_in_working_folder(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_relative_to(Path.cwd().resolve()) and not installed
