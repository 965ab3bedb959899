"""Latent generalization during memorization: datasets, noisy labels, training, probes and figures.

Two papers by Ketha and Ramaswamy (arXiv 2501.14687 and 2603.19865) define what is computed here. The
modules follow the data: datasets, labels, models, training, activations, subspaces, probes, transfer, tables,
figures.

``from latentgen import audit, repair`` are the two functions for a network and labels of one's own; they are
imported at first use, so that this import needs no torch.
"""

import gc
from typing import Any

__all__ = ["audit", "repair"]

# torch makes 276,000 objects when it is imported, none of them garbage. To look through them again and again,
# as Python does for every 700 new ones unless told otherwise, takes a fifth of the import, in every job.
gc.set_threshold(500_000, *gc.get_threshold()[1:])


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"latentgen.repairing.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
