"""Audit the labels that a network was trained on, and repair the network without retraining.

``from latentgen import audit, repair`` is all that most users need. The package is not called ``repair``:
importing one of its modules would then replace that function by the package.

The modules follow the data: ``examples`` (the caller's input), ``features`` (activations of layers),
``heads`` (classifiers on features), ``choice`` (which layer and head), ``audit``, ``repair``, ``page``,
``command``.
"""
