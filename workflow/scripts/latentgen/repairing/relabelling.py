"""New labels for the training images: the predictions of a probe on a layer of the trained network.

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
from torch import nn

from latentgen.data.datasets import IntArray
from latentgen.data.labels import Labels
from latentgen.networks.activations import layer_activations
from latentgen.networks.examples import Examples
from latentgen.probes.subspace_probes import MASC
from latentgen.repairing.features import Layer, Reduce
from latentgen.repairing.heads import Head, MASCHead, Ridge, UnitMeans

logger = logging.getLogger(__name__)

HEADS: Mapping[str, type[Head]] = {
    "MASC_cross_fitted": MASCHead,
    "unit_means": UnitMeans,
    "ridge": Ridge,
}
"""Heads that can give labels, besides MASC as in the papers: each leaves out an example's own label."""


def relabel(
    network: nn.Module,
    inputs: Examples,
    labels: Labels,
    n_classes: int,
    layers: Sequence[str],
    labels_from: str = "MASC",
    held_out: Examples | None = None,
    seed: int = 0,
) -> tuple[Labels, str]:
    """Return labels with a probe's predictions in place of the corrupted ones, and the probe's layer.

    Parameters
    ----------
    network : nn.Module
        The trained network.
    inputs : Tensor or StoredExamples, N × C × H × W
        The training images.
    labels : Labels
        The probe is fitted with the corrupted ones. The mask of redrawn labels stays the same.
    n_classes : int
    layers : sequence of str
        Candidates. With `HEADS` and held-out examples, the one whose probe predicts most held-out labels is
        used; otherwise the one that agrees most with the others (`most_agreeing`).
    labels_from : str
        ``MASC``, which classifies the examples that it is fitted on, as in the papers; or one of `HEADS`.
    held_out : Tensor or StoredExamples, M × C × H × W, optional
        Held-out images; their labels are in `labels`.
    seed : int
        Seed of the folds of cross-fitting.
    """
    predictions: dict[str, IntArray] = {}
    right: dict[str, int] = {}
    for layer in layers:
        X = layer_activations(network, inputs, layer)
        if labels_from == "MASC":
            predicted = torch.as_tensor(MASC().fit(X, labels.corrupted, n_classes).predict(X))
        else:
            reduce = Reduce(Layer(layer, layer, 1, tuple(X.shape[1:]))).to(X.device)
            head = HEADS[labels_from](seed)
            head.fit(reduce(X).cpu(), torch.from_numpy(labels.corrupted), n_classes)
            predicted = head.left_out_scores().argmax(1)
            if held_out is not None and labels.held_out is not None:
                scores = head.scores(reduce(layer_activations(network, held_out, layer)).cpu())
                right[layer] = int((scores.argmax(1).numpy() == labels.held_out).sum())
        predictions[layer] = predicted.cpu().numpy()
    best = max(right, key=lambda layer: right[layer]) if right else most_agreeing(predictions)
    logger.info("labels are the predictions of %s on %s", labels_from, best)
    return replace(labels, corrupted=predictions[best]), best


def most_agreeing(predictions: Mapping[str, NDArray[Any]]) -> str:
    """Return the layer whose predictions agree most with those of the other layers, on average.

    No label is used, true or noisy. A layer that knows little agrees with no other, and one that has
    memorized noise agrees on the noise only with layers that have too. Ties (two layers always tie) go to
    the first.
    """
    stacked = np.stack(list(predictions.values()))
    agreement = [float((own == stacked).mean()) for own in stacked]
    return list(predictions)[int(np.argmax(agreement))]
