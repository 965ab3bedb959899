"""Latent generalization during memorization: data sets, noisy labels, training, probes and figures.

The experiments are those of two papers by Ketha and Ramaswamy (arXiv 2501.14687 and 2603.19865). The
packages follow the data: data, networks, probes, training, interventions, study, jobs, tables, figures,
report.

``from latentgen import audit, repair`` imports the two functions for your own network and labels. They are
loaded at first use, so ``import latentgen`` does not import torch.
"""

from typing import Any

__all__ = ["audit", "repair"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"latentgen.repairing.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
