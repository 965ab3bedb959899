"""Latent generalization during memorization: data sets, noisy labels, training, probes and figures.

Two papers by Ketha and Ramaswamy (arXiv 2501.14687 and 2603.19865) define what is computed here. The
packages follow the data: data, networks, probes, training, interventions, study, jobs, tables, figures,
report.
"""
