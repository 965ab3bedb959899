"""Labels that MASC predicts, and the layer that is taken for it."""

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
