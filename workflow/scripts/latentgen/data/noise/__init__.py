"""Noisy labels: a module per kind of noise.

The corruption `p` is the probability that a label is redrawn. Each module has the settings of its noise in a
study file and the function that draws it. To add a kind, add a module here and a line in the registry.
"""
