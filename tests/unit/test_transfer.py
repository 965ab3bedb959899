"""Transfer: the counts in the table are those of the edited network's forward pass."""

import h5py
import numpy as np
import pytest
import torch

from latentgen.data.labels import PARTS, Labels, evaluation_labels
from latentgen.errors import LatentgenError
from latentgen.interventions.transfer import count_correct, edited_readout, transfer_weights
from latentgen.networks.activations import write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import (
    checkpoint_metadata,
    checkpoint_paths,
    load_network,
    load_weights,
    save_checkpoint,
)
from latentgen.probes.fits import Fits
from latentgen.probes.fitting import probe_activations

SHAPE, N_CLASSES = (1, 8, 8), 5
MODELS = {
    "MLP": ({"architecture": "MLP", "widths": [20, 15]}, "fc2"),
    "CNN": ({"architecture": "CNN"}, "fc3"),
}
EPOCHS = (0, 4, 7)


def lively(network):
    """Let a network tell its inputs apart; an untrained one hardly does, and rounding would decide."""
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(3 if weights.ndim > 1 else 1)
    return network


class Case:
    """A run of three checkpoints with activations of the readout's input, and VeLPIC's vectors for them."""

    def __init__(self, name, folder, seed=0):
        rng = np.random.default_rng(seed)
        settings, self.layer = MODELS[name]
        self.make = lambda: make_network(settings, SHAPE, N_CLASSES, seed=50)
        corrupted, true = (rng.integers(N_CLASSES, size=60) for _ in range(2))
        self.labels = evaluation_labels(
            Labels(true, corrupted, redrawn=true != corrupted), rng.integers(N_CLASSES, size=30)
        )
        self.inputs = {
            split: torch.from_numpy(
                rng.normal(size=(len(by_name["true"]), *SHAPE)).astype(np.float32)
                + by_name["true"][:, None, None, None]
            ).float()
            for split, by_name in self.labels.items()
            if split not in PARTS
        }
        for epoch in EPOCHS:
            network = lively(make_network(settings, SHAPE, N_CLASSES, seed=epoch))
            save_checkpoint(folder / "checkpoints", "a-run", epoch, network)
        self.checkpoints = checkpoint_paths(folder / "checkpoints")
        self.file = folder / "activations.h5"
        with h5py.File(self.file, "w") as file:
            write_activations(file, self.make(), self.checkpoints, self.inputs, [self.layer])
            self.vectors = probe_activations(
                file,
                self.labels,
                Fits(
                    N_CLASSES,
                    {"VeLPIC": {"kind": "VeLPIC"}},
                    {"corrupted": self.labels["train"]["corrupted"]},
                    max(EPOCHS),
                ),
                torch.device("cpu"),
            ).vectors
        self.models = folder / "models"
        self.models.mkdir()

    def transfer(self, biases, keep_models_at=()):
        with h5py.File(self.file) as activations:
            return transfer_weights(
                self.checkpoints,
                activations,
                self.vectors,
                self.layer,
                self.labels,
                biases=biases,
                keep_models_at=keep_models_at,
                models=self.models,
            )

    def counts_of_forward_pass(self, path):
        network = self.make().eval()
        load_network(network, path)
        with torch.no_grad():
            return {
                (split, name): int(
                    (network(self.inputs[PARTS.get(split, split)]).argmax(1).numpy() == vector).sum()
                )
                for split, by_name in self.labels.items()
                for name, vector in by_name.items()
            }


@pytest.fixture(params=MODELS)
def case(request, tmp_path):
    """Return a run of either network."""
    return Case(request.param, tmp_path)


def test_counts_are_those_of_the_edited_networks_forward_pass(case):
    rows = case.transfer(["zero", "kept"], keep_models_at=EPOCHS)
    biases = ["zero", "kept"] if case.layer == "fc2" else ["zero"]  # the CNN's readout has none
    seen = set()
    for epoch in EPOCHS:
        for bias in biases:
            path = case.models / f"epoch-{epoch:04d}-{bias}.safetensors"
            counts = {
                (row["split"], row["eval_labels"]): row["correct"]
                for row in rows
                if (row["epoch"], row["probe"]) == (epoch, f"transfer-{bias}")
            }
            assert counts == case.counts_of_forward_pass(path)
            assert checkpoint_metadata(path)["epoch"] == str(epoch)
            assert checkpoint_metadata(path)["run"] == "a-run"
            assert checkpoint_metadata(path)["transfer"] == f"VeLPIC, bias {bias}"
            seen |= set(counts.values())
    assert len(rows) == len(EPOCHS) * len(biases) * 6
    assert {(row["layer"], row["fit_labels"]) for row in rows} == {("readout", "corrupted")}
    redrawn = int((case.labels["train"]["true"] != case.labels["train"]["corrupted"]).sum())
    totals = {"test": 30, "train": 60, "train_redrawn": redrawn, "train_untouched": 60 - redrawn}
    assert all(row["total"] == totals[row["split"]] for row in rows)
    assert len(seen) > 3  # no network that says the same of everything


def test_only_the_readout_changes(case):
    case.transfer(["zero", "kept"])
    before = load_weights(case.checkpoints[7])
    for path in case.models.iterdir():
        after = load_weights(path)
        assert list(after) == list(before)
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
        assert changed <= {"readout.weight", "readout.bias"}
        assert np.array_equal(after["readout.weight"], case.vectors[f"7/{case.layer}/corrupted"])
        assert np.allclose(np.linalg.norm(after["readout.weight"], axis=1), 1)


def test_kept_networks_are_the_last_one_and_those_asked_for(case):
    case.transfer(["zero"], keep_models_at=(4, 5))
    assert sorted(path.name for path in case.models.iterdir()) == [
        "epoch-0004-zero.safetensors",
        "epoch-0007-zero.safetensors",
    ]


def test_the_bias_becomes_zero_or_is_kept(tmp_path):
    case = Case("MLP", tmp_path)
    weights = load_weights(case.checkpoints[4])
    vectors = case.vectors["4/fc2/corrupted"]
    assert weights["readout.bias"].any()
    zero, kept = (edited_readout(weights, vectors, bias) for bias in ("zero", "kept"))
    assert not zero["readout.bias"].any()
    assert np.array_equal(kept["readout.bias"], weights["readout.bias"])
    assert zero["readout.weight"].dtype == weights["readout.weight"].dtype
    assert load_weights(case.checkpoints[4])["readout.bias"].any()  # what was given is left alone
    # The bias matters: with a large one for a class, all items go there.
    weights["readout.bias"][3] = 1e6
    activations = np.ones((7, 15), np.float32)
    labels = {"true": np.full(7, 3)}
    assert count_correct(edited_readout(weights, vectors, "kept"), activations, labels) == {"true": 7}
    assert count_correct({"readout.weight": -np.eye(4, 15)}, -activations, {"true": np.zeros(7)}) == {
        "true": 7
    }


def test_a_readout_without_bias_gets_none_and_is_edited_even_if_only_kept_is_asked_for(tmp_path):
    case = Case("CNN", tmp_path)
    assert "readout.bias" not in edited_readout(load_weights(case.checkpoints[0]), np.zeros((5, 250)), "zero")
    zero = case.transfer(["zero"])
    kept = case.transfer(["kept"])
    assert [row["correct"] for row in kept] == [row["correct"] for row in zero]
    assert {row["probe"] for row in kept} == {"transfer-kept"}


def test_a_readout_whose_weights_are_computed_is_refused_by_name():
    weights = {"readout.parametrizations.weight.original0": np.ones((5, 1)), "fc.weight": np.ones((3, 3))}
    with pytest.raises(
        LatentgenError, match=r"no readout\.weight.*it has readout\.parametrizations.*original0"
    ):
        edited_readout(weights, np.ones((5, 3)), "zero")
