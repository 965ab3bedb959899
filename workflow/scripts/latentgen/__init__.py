"""Latent generalization during memorization: datasets, noisy labels, training, probes and figures.

Two papers by Ketha and Ramaswamy (arXiv 2501.14687 and 2603.19865) define what is computed here. The
modules follow the data: datasets, labels, models, training, activations, subspaces, probes, transfer, tables,
figures.
"""

import gc

# torch makes 276,000 objects when it is imported, none of them garbage. To look through them again and again,
# as Python does for every 700 new ones unless told otherwise, takes a fifth of the import, in every job.
gc.set_threshold(500_000, *gc.get_threshold()[1:])
