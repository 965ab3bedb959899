"""Layers of custom networks may have any name: relabelling by them runs to the tables."""

import pandas as pd

LAYERS = {"block.0": "relabel_masc_block_0", "look_at_2": "relabel_masc_look_at_2"}
CODE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.block = nn.Sequential(nn.Linear(64, 16), nn.ReLU())
        self.look_at_2 = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        return self.out(self.look_at_2(self.block(self.flatten(x))))
"""
STUDY = {
    "study": "names",
    "seeds": [1],
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [
        {
            "dataset": {"name": "digits", "train_items": 200, "test_items": 100},
            "model": {"architecture": "own", "path": "named_nets:Net", "layers": [*LAYERS, "readout_input"]},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.02},
                "batch_size": 32,
                "max_epochs": 2,
                "checkpoints": [0, 1, 2],
            },
            "interventions": [
                {"edit": "early_stop", "patience": 1},
                *({"edit": "relabel", "layer": layer, "patience": 1} for layer in LAYERS),
            ],
        }
    ],
    "probes": [{"kind": "VeLPIC"}],
    "figures": ["relabel"],
}


def test_any_layer_of_a_custom_network_can_be_relabelled_by(empty_copy):
    (empty_copy.folder / "named_nets.py").write_text(CODE)
    empty_copy.write_study(STUDY)
    empty_copy.run()
    tables = empty_copy.folder / "results/names/tables"
    accuracy = pd.read_parquet(tables / "accuracy.parquet")
    facts = accuracy.drop_duplicates("intervention").set_index("intervention")
    for layer, name in LAYERS.items():
        assert facts.loc[name, "edit"] == "relabel"
        assert facts.loc[name, "relabel_layer"] == layer
        assert pd.isna(facts.loc[name, "at_epoch"])
    drawn = empty_copy.folder / "results/names/figures"
    bars = pd.read_csv(next(drawn.glob("relabel-*.csv")), dtype=str)
    assert set(LAYERS.values()) < set(bars["intervention"])
