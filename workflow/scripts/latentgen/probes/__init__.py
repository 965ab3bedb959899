"""Probes: classifiers fitted on the activations of one layer.

``from latentgen.probes import MASC, VeLPIC`` is all that most users need. Names are resolved at first
use, so that settings and costs of probes can be read without importing torch.
"""

from importlib import import_module
from typing import Any

_EXPORTED = {
    "MASC": "subspace_probes",
    "VeLPIC": "subspace_probes",
}
__all__ = ["MASC", "VeLPIC"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTED:
        return getattr(import_module(f"{__name__}.{_EXPORTED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
