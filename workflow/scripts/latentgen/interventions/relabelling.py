"""New labels for the training images: MASC's predictions, fitted on a trained network.

A network that has memorized noisy labels reproduces them; its hidden layers retain more about the true ones.
A network trained on MASC's labels can be better than one trained on the noisy labels (arXiv 2501.14687).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentgen.data.datasets import IntArray
from latentgen.data.labels import Labels
from latentgen.networks.activations import layer_activations
from latentgen.probes.subspace_probes import MASC

logger = logging.getLogger(__name__)


def relabel(
    network: nn.Module, inputs: Tensor, labels: Labels, n_classes: int, layers: Sequence[str]
) -> tuple[Labels, str]:
    """Return labels with MASC's predictions in place of the corrupted ones, and the layer they are from.

    Parameters
    ----------
    network : nn.Module
        The trained network.
    inputs : Tensor, N × C × H × W
        The training images.
    labels : Labels
        MASC is fitted with the corrupted ones. Which images count as redrawn stays as it is.
    n_classes : int
    layers : sequence of str
        Candidates; of several, the one that agrees most with the others is used (`most_agreeing`).
    """
    predictions: dict[str, IntArray] = {}
    for layer in layers:
        X = layer_activations(network, inputs, layer)
        predicted = torch.as_tensor(MASC().fit(X, labels.corrupted, n_classes).predict(X))
        predictions[layer] = predicted.cpu().numpy()
    best = most_agreeing(predictions)
    logger.info("labels are MASC's predictions on %s", best)
    return replace(labels, corrupted=predictions[best]), best


def most_agreeing(predictions: Mapping[str, NDArray[Any]]) -> str:
    """Return the layer whose predictions agree most with those of the other layers, on average.

    No label is used, true or noisy: a layer that knows little agrees with none, and one that has memorized
    noise agrees on the noise with no layer that has not. Ties (two layers always tie) go to the first.
    """
    stacked = np.stack(list(predictions.values()))
    agreement = [float((own == stacked).mean()) for own in stacked]
    return list(predictions)[int(np.argmax(agreement))]
