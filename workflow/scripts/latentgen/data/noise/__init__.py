"""Noisy labels: a module per kind of noise.

The corruption `p` is the probability that a label is redrawn. Each module holds the settings of its noise in
a study file and the function that draws it. A new kind is one module here and one line in the registry.
"""
