"""Audit the labels that a network was trained on, and repair the network, with nothing retrained.

``from latentgen import audit, repair`` is all that most users need. The package is not called ``repair``:
importing a module of it would then put the package in the place of that function.

The modules follow the data: ``examples`` (what is given), ``features`` (what layers make of it), ``heads``
(classifiers on features), ``choice`` (which layer and head), ``audit``, ``repair``, ``page``, ``command``.
"""
