"""Rewinding: layers from an earlier checkpoint, and what the network then classifies correctly."""

import copy

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_intervention_figures import accuracy, material, shares
from test_interventions import with_interventions

from latentgen.errors import LatentgenError
from latentgen.figures.making import STYLE
from latentgen.figures.rewind import draw_rewind, rewind_table
from latentgen.interventions.rewinding import rewind, rewound_names
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint
from latentgen.study.runs import RunSpec
from latentgen.study.training_settings import Rewind
from latentgen.training.data import TrainingData

SHAPE = (1, 6, 6)
MLP = {"architecture": "MLP", "widths": (12, 9)}


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, *SHAPE, generator=generator)
    true, corrupted = (torch.randint(0, 4, (90,), generator=generator) for _ in range(2))
    return TrainingData(x, corrupted, true, corrupted != true, x[:50], true[:50])


@pytest.fixture
def networks(tmp_path):
    """Write a run with three checkpoints; return the networks by epoch."""
    made = {epoch: make_network(MLP, SHAPE, 4, epoch + 1) for epoch in (0, 4, 9)}
    for epoch, network in made.items():
        save_checkpoint(tmp_path, "run", epoch, network)
    return made


@pytest.mark.parametrize("layers_from", ["readout", "fc2", "fc1"])
def test_only_the_layers_that_are_named_are_taken(networks, data, tmp_path, layers_from):
    taken = {"readout": ["readout"], "fc2": ["fc2", "readout"], "fc1": ["fc1", "fc2", "readout"]}[layers_from]
    result = rewind(make_network(MLP, SHAPE, 4, 77), checkpoint_paths(tmp_path), [0, 4, 7], layers_from, data)
    assert [record.epoch for record in result.history] == [0, 4, 9]
    for record in result.history:
        expected = copy.deepcopy(networks[9])
        for layer in taken:
            expected.get_submodule(layer).load_state_dict(
                networks[record.epoch].get_submodule(layer).state_dict()
            )
        with torch.no_grad():
            test, train = (expected(x).argmax(1) for x in (data.test_inputs, data.train_inputs))
        assert record.test_correct == (test == data.test_labels).sum()
        assert record.test_total == 50
        assert record.train_corrupted_correct == (train == data.corrupted_labels).sum()
        assert record.redrawn_true_correct == (train == data.true_labels)[data.redrawn].sum()


def test_running_statistics_come_with_their_layer_and_layers_without_weights_count():
    network = make_network({"architecture": "ResNet18"}, (3, 32, 32), 10, 1)
    names = rewound_names(network, "l4")
    assert {name.split(".")[0] for name in names} >= {"readout"}
    assert any("running_mean" in name for name in names)
    assert len(names) < len(network.state_dict())
    cnn = make_network({"architecture": "CNN"}, (1, 28, 28), 10, 1)
    assert {name.split(".")[0] for name in rewound_names(cnn, "flatten")} == {"fc1", "fc2", "fc3", "readout"}
    with pytest.raises(LatentgenError, match="no layer 'fc9'"):
        rewound_names(cnn, "fc9")


def test_blocks_of_a_transformer_can_be_rewound():
    vit = make_network({"architecture": "ViT", "patch": 2, "dim": 8, "depth": 2, "heads": 2}, SHAPE, 4)
    names = rewound_names(vit, "blocks.1")
    assert {name.split(".")[0] for name in names} == {"blocks", "norm", "head"}
    assert not any(name.startswith("blocks.0") for name in names)
    with pytest.raises(LatentgenError, match=r"has no layer 'blocks\.2'"):
        rewound_names(vit, "blocks.2")
    rewind = Rewind(edit="rewind", layers_from="blocks.1")
    run = RunSpec("digits", "vit", "symmetric", 0.4, 1, rewind.intervention_name)
    assert RunSpec.parse(run.slug) == run


def test_a_rewound_network_is_a_run_that_is_neither_trained_nor_probed():
    study = with_interventions({"edit": "rewind"}, {"edit": "rewind", "layers_from": "fc3", "to_epoch": 4})
    run = study.runs["digits-mlp-symmetric0.40-seed2-rewind_fc3"]
    assert (run.training_step, run.scheduled, run.shards, run.transfer) == ("rewind", (4,), [], None)
    readout = study.runs["digits-mlp-symmetric0.40-seed2-rewind_readout"]
    assert readout.scheduled == study.runs["digits-mlp-symmetric0.40-seed2"].scheduled
    assert "rewind" in study.figures
    published = with_interventions({"edit": "rewind"}, protocol="published")
    assert "digits-mlp-symmetric_published0.40-seed1-rewind_readout" in published.runs


@pytest.mark.parametrize(
    ("intervention", "said"),
    [
        ({"layers_from": "fc9"}, "no layer 'fc9', did you mean 'fc"),
        ({"to_epoch": [4, 41]}, "at epoch 41 to rewind"),
    ],
)
def test_layers_and_epochs_that_are_not_there_are_refused(intervention, said):
    with pytest.raises(LatentgenError, match=said):
        with_interventions({"edit": "rewind"} | intervention)


def test_the_figure_has_the_network_and_each_rewound_one():
    counts = accuracy(("rewind_readout", "rewind_fc2", "velpic_at_4"))
    table = rewind_table(material(counts))
    assert set(table["what"]) == {"model", "rewind_readout", "rewind_fc2"}
    where = {"intervention": "rewind_fc2", "p": 0.4, "epoch": 4, "split": "test", "probe": "model"}
    found = table[(table["what"] == "rewind_fc2") & (table["epoch"] == 4)]
    assert found["mean"].tolist() == pytest.approx([np.mean(shares(counts, **where))])
    with matplotlib.rc_context(fname=str(STYLE)):
        figure = draw_rewind(table, 0.1)
        FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    lines = [line.get_ydata() for line in axes.lines]
    for _, curve in table.groupby("what"):
        assert any(np.array_equal(line, curve["mean"]) for line in lines)
    assert rewind_table(material(accuracy(()))).empty
