"""Custom data from a Python function that returns the arrays by name, in a dict."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from latentgen.data.custom_sources.raw import ARRAYS, CLASS_NAMES, WANTED, RawData, listed
from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import load


def call_function(path: str, arguments: Mapping[str, Any]) -> RawData:
    """Import a function and call it.

    Raises
    ------
    LatentgenError
        If it cannot be imported or called, or returns anything but a dict.
    """
    try:
        returned = load(path)(**arguments)
    except LatentgenError:
        raise
    except Exception as error:  # custom code can raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise LatentgenError(f"{path}({given}) failed with {type(error).__name__}: {error}") from error
    if not isinstance(returned, Mapping):
        raise LatentgenError(
            f"{path} returned a {type(returned).__name__}; it must return a dict with {', '.join(ARRAYS)}."
        )
    try:
        arrays = {part: np.asarray(returned[part]) for part in WANTED if part in returned}
    except Exception as error:  # lists of unequal length, tensors on a GPU
        raise LatentgenError(f"{path} returned something that is not an array ({error}).") from error
    others = [str(key) for key in returned if key not in (*WANTED, CLASS_NAMES)]
    notes = [f"Not read: {listed(others)}."] if others else []
    return RawData(arrays, returned.get(CLASS_NAMES), notes)
