"""Latent generalization during memorization: datasets, noisy labels, training, probes and figures.

Two papers by Ketha and Ramaswamy (arXiv 2501.14687 and 2603.19865) define what is computed here. The
modules follow the data: datasets, labels, models, training, activations, subspaces, probes, transfer, tables,
figures.
"""
