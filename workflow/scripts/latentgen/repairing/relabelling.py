"""New labels for the training images: the predictions of a probe on a layer of the trained network.

A network that has memorized noisy labels reproduces them; its hidden layers retain more about the true ones.
A network trained on MASC's labels can be better than one trained on the noisy labels (arXiv 2501.14687).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentgen.data.datasets import IntArray
from latentgen.data.labels import Labels
from latentgen.errors import LatentgenError
from latentgen.networks.activations import layer_activations
from latentgen.networks.examples import Examples
from latentgen.probes.subspace_probes import MASC
from latentgen.repairing.features import Layer, Reduce
from latentgen.repairing.heads import Head, MASCHead, Ridge, UnitMeans
from latentgen.training.data import TrainingData
from latentgen.training.stopping import held_out_items

logger = logging.getLogger(__name__)

HEADS: Mapping[str, type[Head]] = {
    "MASC_cross_fitted": MASCHead,
    "unit_means": UnitMeans,
    "ridge": Ridge,
}
"""Heads that can give labels, besides MASC as in the papers: each leaves out an example's own label."""


Deciding: TypeAlias = tuple[Examples, IntArray]
"""Images that are not trained on (M × C × H × W) with their labels (int64, M): they choose the layer."""


class Relabelled(NamedTuple):
    """New labels, and how good those of every candidate layer are."""

    labels: Labels
    layer: str
    """The layer that they are from."""
    quality: list[dict[str, Any]]
    """For each layer: its name, whether its labels are taken (``chosen``), and `label_quality`; nothing if
    the true labels are not known."""


def label_quality(labels: Labels, new: IntArray) -> dict[str, int]:
    """Return how many wrong labels new ones set right, and how many right ones they spoil.

    Parameters
    ----------
    labels : Labels
        With the true labels; the corrupted ones are those before.
    new : int64 array (N,)
        The labels in place of the corrupted ones.

    Returns
    -------
    dict of str to int
        ``wrong``: corrupted labels that are not true, and ``set_right`` of these; ``right``: corrupted labels
        that are true, and ``spoilt`` of these; ``wrong_after``: new labels that are not true.
    """
    before, after = labels.corrupted == labels.true, new == labels.true
    return {
        "wrong": int((~before).sum()),
        "set_right": int((~before & after).sum()),
        "right": int(before.sum()),
        "spoilt": int((before & ~after).sum()),
        "wrong_after": int((~after).sum()),
    }


def relabel(
    network: nn.Module,
    inputs: Examples,
    labels: Labels,
    n_classes: int,
    layers: Sequence[str],
    labels_from: str = "MASC",
    deciding: Deciding | None = None,
    seed: int = 0,
    subspaces: str = "corrupted",
) -> Relabelled:
    """Return labels with a probe's predictions in place of the corrupted ones, and the probe's layer.

    Parameters
    ----------
    network : nn.Module
        The trained network.
    inputs : Tensor or StoredExamples, N × C × H × W
        The training images.
    labels : Labels
        The mask of redrawn labels stays the same.
    n_classes : int
    layers : sequence of str
        Candidates. With `deciding` examples, the one whose probe predicts most of their labels is used;
        otherwise the one that agrees most with the others (`most_agreeing`).
    labels_from : str
        ``MASC``, which classifies the examples that it is fitted on, as in the papers; or one of `HEADS`.
    deciding : Deciding, optional
    seed : int
        Seed of the folds of cross-fitting.
    subspaces : {"corrupted", "true"}
        The labels that the probe is fitted with.

    Raises
    ------
    LatentgenError
        If true labels are asked for and are not known.
    """
    fit = labels.true if subspaces == "true" else labels.corrupted
    if fit is None:
        raise LatentgenError("subspaces: true needs true training labels, and they are not known.")
    predictions: dict[str, IntArray] = {}
    right: dict[str, int] = {}
    for layer in layers:
        X = layer_activations(network, inputs, layer)
        predictions[layer], predict = _fitted(X, fit, n_classes, layer, labels_from, seed)
        if deciding is not None:
            others, expected = deciding
            right[layer] = int((predict(layer_activations(network, others, layer)) == expected).sum())
    best = max(right, key=lambda layer: right[layer]) if right else most_agreeing(predictions)
    logger.info("labels are the predictions of %s on %s", labels_from, best)
    known = predictions.items() if labels.true is not None else ()
    quality = [{"layer": name, "chosen": name == best} | label_quality(labels, new) for name, new in known]
    return Relabelled(replace(labels, corrupted=predictions[best]), best, quality)


def _fitted(
    X: Tensor, y: IntArray, n_classes: int, layer: str, labels_from: str, seed: int
) -> tuple[IntArray, Callable[[Tensor], IntArray]]:
    """Fit a probe; return its labels of the examples it is fitted on, and what predicts those of others."""
    if labels_from == "MASC":
        masc = MASC().fit(X, y, n_classes)

        def masc_labels(features: Tensor) -> IntArray:
            return torch.as_tensor(masc.predict(features)).cpu().numpy()

        return masc_labels(X), masc_labels
    reduce = Reduce(Layer(layer, layer, 1, tuple(X.shape[1:]))).to(X.device)
    head = HEADS[labels_from](seed)
    head.fit(reduce(X).cpu(), torch.from_numpy(y), n_classes)
    return head.left_out_scores().argmax(
        1
    ).numpy(), lambda features: head.scores(reduce(features).cpu()).argmax(1).numpy()


def deciding_examples(data: TrainingData, layer_by: str, seed: int) -> Deciding | None:
    """Return the examples whose labels choose the layer.

    Parameters
    ----------
    data : TrainingData
        Of the data set.
    layer_by : {"agreement", "held_out", "test"}
        None; the data set's held-out examples with their noisy labels, if there are any; or the fifth of the
        test images that early stopping uses, with their true labels.
    seed : int
        The run's.
    """
    if layer_by == "test":
        fifth = held_out_items(len(data.test_labels), seed).to(data.device)
        return data.test_inputs[fifth], data.test_labels[fifth].flatten().cpu().numpy()
    if layer_by == "held_out" and data.held_out_inputs is not None and data.held_out_labels is not None:
        return data.held_out_inputs, data.held_out_labels.flatten().cpu().numpy()
    return None


def most_agreeing(predictions: Mapping[str, NDArray[Any]]) -> str:
    """Return the layer whose predictions agree most with those of the other layers, on average.

    No label is used, true or noisy. A layer that knows little agrees with no other, and one that has
    memorized noise agrees on the noise only with layers that have too. Ties (two layers always tie) go to
    the first.
    """
    stacked = np.stack(list(predictions.values()))
    agreement = [float((own == stacked).mean()) for own in stacked]
    return list(predictions)[int(np.argmax(agreement))]
