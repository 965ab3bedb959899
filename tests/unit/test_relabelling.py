"""Labels that a probe predicts, and the layer that is taken for it."""

import numpy as np
import pytest
import torch

from latentgen.data.labels import Labels
from latentgen.networks.activations import captured
from latentgen.networks.architectures import make_network
from latentgen.repairing.relabelling import most_agreeing, relabel
from reference_probes import components_for, eigen, masc_scores

SHAPE, N_CLASSES = (1, 6, 6), 4


def test_the_layer_that_agrees_most_with_the_others_is_taken():
    consensus = np.zeros(10, int)
    some, many = consensus.copy(), consensus.copy()
    some[-2:], many[:7] = 1, 2
    assert most_agreeing({"a": many, "b": consensus, "c": some}) == "b"
    assert most_agreeing({"c": some, "a": many, "b": consensus}) == "b"
    assert most_agreeing({"first": some, "second": many}) == "first"


@pytest.mark.parametrize("layers", [["fc1"], ["fc1", "fc2", "fc3"]])
def test_new_labels_are_mascs_predictions_of_the_training_items(numbers, layers):
    inputs = torch.from_numpy(numbers.normal(size=(400, *SHAPE)).astype(np.float32))
    true, corrupted = (numbers.integers(N_CLASSES, size=400) for _ in range(2))
    labels = Labels(true, corrupted, corrupted != true)
    network = make_network({"architecture": "MLP", "widths": (30, 20, 10)}, SHAPE, N_CLASSES, 1)
    found, layer = relabel(network, inputs, labels, N_CLASSES, layers)
    assert layer in layers
    with captured(network, [layer]) as outputs, torch.no_grad():
        network.eval()(inputs)
    X = outputs[layer].numpy()
    classes = eigen(X, corrupted, N_CLASSES)
    scores = masc_scores(classes, [components_for(c.values, 0.99) for c in classes], X)
    assert np.array_equal(found.corrupted, scores.argmax(1))
    assert not np.array_equal(found.corrupted, corrupted)
    assert np.array_equal(found.true, true)
    assert np.array_equal(found.redrawn, labels.redrawn)


def left_out_means(X, labels):
    """Predict each row by the other rows' class means, both at length 1, one row after the other."""
    predicted = []
    for i, x in enumerate(X):
        others = np.arange(len(X)) != i
        means = np.stack([X[others & (labels == c)].sum(0) for c in range(N_CLASSES)])
        predicted.append(np.argmax(means @ x / np.linalg.norm(means, axis=1)))
    return np.array(predicted)


def test_with_unit_means_no_label_vouches_for_itself_and_held_out_labels_choose_the_layer(numbers):
    inputs = torch.from_numpy(numbers.normal(size=(500, *SHAPE)).astype(np.float32))
    inputs[:, :, 0, :N_CLASSES] *= 4
    true = inputs.flatten(1)[:, :N_CLASSES].argmax(1).numpy()
    noisy = np.where(numbers.random(500) < 0.3, numbers.integers(N_CLASSES, size=500), true)
    labels = Labels(true[:300], noisy[:300], true[:300] != noisy[:300], noisy[300:])
    network = make_network({"architecture": "MLP", "widths": (30, 20, 2)}, SHAPE, N_CLASSES, 1)
    layers = ["fc3", "input", "fc1"]
    found, layer = relabel(
        network, inputs[:300], labels, N_CLASSES, layers, labels_from="unit_means", held_out=inputs[300:]
    )
    assert layer == "input", "random layers keep less, two units least"
    X = inputs[:300].flatten(1).numpy().astype(np.float64)
    assert np.array_equal(found.corrupted, left_out_means(X, labels.corrupted))
    assert (found.corrupted == labels.true).mean() > (labels.corrupted == labels.true).mean()
    assert np.array_equal(found.held_out, labels.held_out)


@pytest.mark.parametrize("source", ["ridge", "MASC_cross_fitted"])
def test_wide_layers_are_projected_and_every_source_gives_labels(numbers, source):
    inputs = torch.from_numpy(numbers.normal(size=(120, 1, 40, 40)).astype(np.float32))
    corrupted = numbers.integers(N_CLASSES, size=120)
    network = make_network({"architecture": "MLP", "widths": (8,)}, (1, 40, 40), N_CLASSES, 1)
    found, layer = relabel(
        network, inputs, Labels(None, corrupted, None), N_CLASSES, ["input", "fc1"], labels_from=source
    )
    assert layer == "input", "without held-out labels, of two layers the first"
    assert (found.corrupted == corrupted).mean() < 0.6, "labels at random cannot be predicted"
