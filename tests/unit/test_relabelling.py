"""Labels that a probe predicts, and the layer that is taken for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from latentgen.data.labels import Labels
from latentgen.errors import LatentgenError
from latentgen.networks.activations import captured
from latentgen.networks.architectures import make_network
from latentgen.repairing.relabelling import deciding_examples, label_quality, most_agreeing, relabel
from latentgen.training.data import TrainingData
from latentgen.training.stopping import held_out_items
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
def test_new_labels_are_mascs_predictions_of_the_training_examples(numbers, layers):
    inputs = torch.from_numpy(numbers.normal(size=(400, *SHAPE)).astype(np.float32))
    true, corrupted = (numbers.integers(N_CLASSES, size=400) for _ in range(2))
    labels = Labels(true, corrupted, corrupted != true)
    network = make_network({"architecture": "MLP", "widths": (30, 20, 10)}, SHAPE, N_CLASSES, 1)
    found, layer, quality = relabel(network, inputs, labels, N_CLASSES, layers)
    assert [(row["layer"], row["chosen"]) for row in quality] == [(name, name == layer) for name in layers]
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
    deciding = inputs[300:], labels.held_out
    found, layer, _ = relabel(
        network, inputs[:300], labels, N_CLASSES, layers, labels_from="unit_means", deciding=deciding
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
    found, layer, quality = relabel(
        network, inputs, Labels(None, corrupted, None), N_CLASSES, ["input", "fc1"], labels_from=source
    )
    assert quality == [], "the truth is not known"
    assert layer == "input", "without held-out labels, of two layers the first"
    assert (found.corrupted == corrupted).mean() < 0.6, "labels at random cannot be predicted"


def test_quality_counts_what_is_set_right_and_what_is_spoilt():
    true, before, new = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 0, 2], [0, 0, 2, 2, 2, 1]])
    assert label_quality(Labels(true, before, before != true), new) == {
        "wrong": 3, "set_right": 2, "right": 3, "spoilt": 2, "wrong_after": 3,
    }  # fmt: skip


def masc_of(network, inputs, y, layer, of):
    """MASC's predictions by its definition."""
    rows = []
    for images in (inputs, of):
        with captured(network, [layer]) as outputs, torch.no_grad():
            network.eval()(images)
        rows.append(outputs[layer].numpy())
    classes = eigen(rows[0], y, N_CLASSES)
    return masc_scores(classes, [components_for(c.values, 0.99) for c in classes], rows[1]).argmax(1)


@pytest.mark.parametrize("subspaces", ["corrupted", "true"])
def test_the_oracle_is_fitted_with_true_labels_and_a_fifth_of_the_test_images_chooses_the_layer(
    numbers, subspaces
):
    x = torch.from_numpy(numbers.normal(size=(400, *SHAPE)).astype(np.float32))
    x[:, :, 0, :N_CLASSES] *= 4
    true = x.flatten(1)[:, :N_CLASSES].argmax(1)
    noisy = torch.where(torch.from_numpy(numbers.random(300)) < 0.5, true[:300].roll(7), true[:300])
    data = TrainingData(x[:300], noisy, true[:300], noisy != true[:300], x[300:], true[300:])
    labels = Labels(true[:300].numpy(), noisy.numpy(), (noisy != true[:300]).numpy())
    network = make_network({"architecture": "MLP", "widths": (30, 20, 6)}, SHAPE, N_CLASSES, 1)
    layers = ["fc3", "input", "fc1"]
    deciding = deciding_examples(data, "test", seed=5)
    fifth = held_out_items(100, 5)
    assert torch.equal(deciding[0], x[300:][fifth])
    found, layer, quality = relabel(
        network, x[:300], labels, N_CLASSES, layers, deciding=deciding, subspaces=subspaces
    )
    fit = labels.true if subspaces == "true" else labels.corrupted
    right = {
        name: (masc_of(network, x[:300], fit, name, deciding[0]) == true[300:][fifth].numpy()).sum()
        for name in layers
    }
    assert layer == max(right, key=right.get)
    assert len(set(right.values())) > 1
    assert np.array_equal(found.corrupted, masc_of(network, x[:300], fit, layer, x[:300]))
    for row in quality:
        new = masc_of(network, x[:300], fit, row["layer"], x[:300])
        assert row == {"layer": row["layer"], "chosen": row["layer"] == layer} | label_quality(labels, new)


def test_without_true_labels_there_is_no_oracle(numbers):
    labels = Labels(None, numbers.integers(N_CLASSES, size=20), None)
    network = make_network({"architecture": "MLP", "widths": (8,)}, SHAPE, N_CLASSES, 1)
    with pytest.raises(LatentgenError, match="true training labels"):
        relabel(network, torch.zeros(20, *SHAPE), labels, N_CLASSES, ["fc1"], subspaces="true")


def test_held_out_noisy_labels_decide_only_where_there_are_any(numbers):
    x, y = torch.zeros(10, *SHAPE), torch.zeros(10, dtype=torch.int64)
    without = TrainingData(x, y, y, y > 0, x, y)
    assert deciding_examples(without, "held_out", 1) is None
    assert deciding_examples(without, "agreement", 1) is None
    inputs, labels = deciding_examples(
        replace(without, held_out_inputs=x, held_out_labels=y + 1), "held_out", 1
    )
    assert inputs is x
    assert labels.tolist() == [1] * 10
