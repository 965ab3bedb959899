"""Runs of a study with custom networks are audited and repaired as those of the papers' networks are."""

import numpy as np
import pytest
import torch

from latentgen import repair
from latentgen.data.datasets import Dataset, subset
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint
from latentgen.repairing.runs import arguments_of_run, counts_on_test
from latentgen.training.measuring import count_correct

VOCABULARY, LENGTH, N_CLASSES = 12, 6, 3
BERT = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
NETWORKS = [
    ({"architecture": "Transformer", "dim": 8, "depth": 2, "heads": 2}, "blocks"),
    ({"architecture": "transformers", "network": "bert", "arguments": BERT}, "bert.encoder.layer"),
]


@pytest.fixture
def dataset():
    """Make sequences in which words of the class are frequent; id 0 pads them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(N_CLASSES, size=330)
    own = 1 + labels[:, None] + N_CLASSES * rng.integers(3, size=(330, LENGTH))
    tokens = np.where(rng.random(own.shape) < 0.6, own, rng.integers(1, VOCABULARY, own.shape))
    tokens[::2, 4:] = 0
    tokens = tokens.astype(np.int32)
    made = Dataset(
        "toy", tokens[:250], labels[:250], tokens[250:], labels[250:], np.arange(250), np.arange(80),
        class_names=("a", "b", "c"), max_value=0, source="here", checksums={},
        vocabulary=VOCABULARY, padding=0,
    )  # fmt: skip
    return subset(made, 250, 80, 50)


@pytest.mark.parametrize(("model", "blocks"), NETWORKS)
def test_networks_of_tokens_are_repaired(model, blocks, dataset, tmp_path):
    if model["architecture"] == "transformers":
        pytest.importorskip("transformers")
    labels = corrupt_dataset(dataset, kind="symmetric", p=0.4, seed=1)
    for epoch in (0, 2, 3):
        network = make_network(model, dataset.input_shape, N_CLASSES, seed=epoch)
        save_checkpoint(tmp_path, "run", epoch, network)
    probed = [f"{blocks}.0:mean", f"{blocks}.1:mean", f"{blocks}.1", "readout_input"]
    arguments = arguments_of_run(
        network, dataset, labels, (-1, 1), checkpoint_paths(tmp_path), ["input", *probed], seed=1
    )
    assert arguments["layers"] == [f"{blocks}.0", f"{blocks}.1"]
    fixed = repair(**arguments)
    assert fixed.kind != "none"  # any linear head is better than an untrained network
    counts = counts_on_test(fixed, network, dataset, (-1, 1))
    inputs, truth = torch.from_numpy(dataset.test_inputs).long(), torch.from_numpy(dataset.test_labels)
    assert counts["network"] == count_correct(network, inputs, truth)[0]
    assert counts["repaired"] > counts["network"]
    assert counts["total"] == 80
