"""Study files that several tests start from."""

from typing import Any

SMALL_STUDY: dict[str, Any] = {
    "study": "small",
    "seeds": [1, 2],
    "noise": [{"kind": "symmetric", "p": [0, 0.4]}],
    "pairs": [
        {
            "dataset": "digits",
            "model": {"architecture": "MLP", "widths": [32, 16]},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.01},
                "batch_size": 32,
                "max_epochs": 30,
            },
        }
    ],
}
"""Of settings only: it is not run."""

TINY_STUDY: dict[str, Any] = {
    "study": "tiny",
    "seeds": [1],
    "noise": [{"kind": "symmetric", "p": [0, 0.4]}],
    "pairs": [
        {
            "dataset": {"name": "digits", "train_items": 400, "test_items": 120},
            "model": {"architecture": "MLP", "widths": [24, 40]},
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.02},
                "batch_size": 32,
                "max_epochs": 12,
                "stop": {"train_accuracy": 0.6},
                "checkpoints": [0, 2, 5, 9],
            },
        },
        {
            "dataset": {"name": "digits", "train_items": 300, "test_items": 100},
            "model": {"architecture": "CNN", "layers": ["flatten", "fc3"]},
            "training": {
                "optimizer": {"name": "Adam", "learning_rate": 0.001},
                "batch_size": 50,
                "max_epochs": 2,
                "shuffle": False,
                "stop": None,
                "checkpoints": [0],
            },
        },
    ],
    # Not rounded: tests hold every count against the saved weights, to the item.
    "activations": {"shard_gigabytes": 0.0003, "mantissa_bits": 23},
    # One for each table that figures are drawn from. All of them are drawn in tests of their own.
    "figures": ["dynamics", "transfer", "cost", "geometry"],
}
"""Run for real, in seconds: two networks, shards, an early stop."""
