"""Transfer of other heads: counts and calibration are those of plain definitions (scikit-learn, numpy)."""

import h5py
import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as RidgeRegression

from latentgen.networks.activations import write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, load_network, save_checkpoint
from latentgen.repairing.transfer import HEADS, transfer_heads

SHAPE, N_CLASSES, WIDTH, EPOCHS = (1, 8, 8), 5, 15, (0, 4)
SIZES = {"train": 200, "test": 90, "held_out": 80}


class Case:
    """A run of two checkpoints whose readout's input tells the classes apart, with noisy labels."""

    def __init__(self, folder, held_out=True):
        rng = np.random.default_rng(3)
        splits = [split for split in SIZES if held_out or split != "held_out"]
        true = {split: rng.integers(N_CLASSES, size=SIZES[split]) for split in splits}
        noisy = {
            split: np.where(rng.random(len(y)) < 0.3, rng.integers(N_CLASSES, size=len(y)), y)
            for split, y in true.items()
        }
        patterns = rng.normal(size=(N_CLASSES, *SHAPE))
        self.labels = {
            "test": {"true": true["test"]},
            "train": {"corrupted": noisy["train"], "true": true["train"]},
        } | ({"held_out": {"corrupted": noisy["held_out"]}} if held_out else {})
        self.inputs = {
            split: torch.from_numpy(patterns[y] + rng.normal(size=(len(y), *SHAPE))).float()
            for split, y in true.items()
        }
        self.make = lambda: make_network({"architecture": "MLP", "widths": [20, WIDTH]}, SHAPE, N_CLASSES, 1)
        for epoch in EPOCHS:
            network = make_network({"architecture": "MLP", "widths": [20, WIDTH]}, SHAPE, N_CLASSES, epoch)
            with torch.no_grad():
                for weights in network.parameters():
                    weights.mul_(3 if weights.ndim > 1 else 1)
            save_checkpoint(folder / "checkpoints", "a-run", epoch, network)
        self.checkpoints = checkpoint_paths(folder / "checkpoints")
        with h5py.File(folder / "activations.h5", "w") as file:
            write_activations(file, self.make(), self.checkpoints, self.inputs, ["fc2"])
            self.vectors = {
                f"{epoch}/fc2/corrupted": np.array(
                    [file[f"{epoch}/fc2/train"][...][noisy["train"] == c].std(0) for c in range(N_CLASSES)]
                )
                for epoch in EPOCHS
            }
            self.results = transfer_heads(
                self.checkpoints,
                file,
                self.vectors,
                "fc2",
                self.labels,
                N_CLASSES,
                heads=list(HEADS),
                biases=["zero", "kept"],
            )

    def activations(self, epoch):
        network = self.make().eval()
        load_network(network, self.checkpoints[epoch])
        seen = {}
        network.readout.register_forward_pre_hook(lambda _, given: seen.update(x=given[0].double()))
        found = {}
        with torch.no_grad():
            for split, X in self.inputs.items():
                logits = network(X)
                found[split] = seen["x"].numpy(), logits.double().numpy()
        return found

    def rows(self, epoch, probe):
        rows = [row for row in self.results.rows if (row["epoch"], row["probe"]) == (epoch, probe)]
        return {(row["split"], row["eval_labels"]): row["correct"] for row in rows}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Return a run with held-out examples."""
    return Case(tmp_path_factory.mktemp("run"))


def plain_logits(head, X, y):
    """Fit a head by its definition; return a function from activations to logits."""
    if head == "nearest_mean":
        means = np.array([X[y == c].mean(0) for c in range(N_CLASSES)])
        return lambda Z: Z @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    if head == "ridge":
        alpha = 0.1 * np.linalg.eigvalsh((X - X.mean(0)).T @ (X - X.mean(0))).mean()
        return RidgeRegression(alpha=alpha).fit(X, np.eye(N_CLASSES)[y]).predict
    if head == "lda":
        return LinearDiscriminantAnalysis().fit(X, y).decision_function
    return LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(X, y).decision_function


def plain_nll(logits, y):
    logits = logits - logits.max(1, keepdims=True)
    return (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]).mean()


def plain_ece(logits, y, bins=15):
    logits = logits - logits.max(1, keepdims=True)
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    confidence, right = odds.max(1), odds.argmax(1) == y
    within = [(confidence >= k / bins) & (confidence < (k + 1) / bins) for k in range(bins)]
    return sum(abs(confidence[b].mean() - right[b].mean()) * b.mean() for b in within if b.any())


@pytest.mark.parametrize("epoch", EPOCHS)
@pytest.mark.parametrize("head", HEADS)
def test_counts_are_those_of_the_plain_definition(case, head, epoch):
    seen = case.activations(epoch)
    logits = plain_logits(head, seen["train"][0], case.labels["train"]["corrupted"])
    expected = {
        (split, name): int((logits(seen[split][0]).argmax(1) == y).sum())
        for split, by_name in case.labels.items()
        for name, y in by_name.items()
    }
    assert case.rows(epoch, f"transfer-{head}") == expected
    assert expected["test", "true"] > 0.6 * SIZES["test"]  # chance is 0.2


def test_heads_differ_and_have_the_columns_of_transfer(case):
    assert len({tuple(case.rows(4, f"transfer-{head}").values()) for head in HEADS}) == len(HEADS)
    assert len(case.results.rows) == len(EPOCHS) * len(HEADS) * 4
    assert {(row["layer"], row["fit_labels"]) for row in case.results.rows} == {("readout", "corrupted")}
    by_example = {(row["epoch"], row["split"]) for row in case.results.rows if row["correct_examples"]}
    assert by_example == {(4, "test")}


def test_calibration_is_that_of_the_plain_definition(case):
    seen, y = case.activations(4), case.labels["test"]["true"]
    vectors = case.vectors["4/fc2/corrupted"]
    fit = plain_logits("ridge", seen["train"][0], case.labels["train"]["corrupted"])
    expected = {
        "model": {split: logits for split, (_, logits) in seen.items()},
        "transfer-zero": {split: X @ vectors.T for split, (X, _) in seen.items()},
        "transfer-ridge": {split: fit(X) for split, (X, _) in seen.items()},
    }
    measured = {row["network"]: row for row in case.results.calibrations if row["epoch"] == 4}
    with_heads = {f"transfer-{name}" for name in HEADS}
    assert set(measured) == {"model", "transfer-zero", "transfer-kept"} | with_heads
    noisy = case.labels["held_out"]["corrupted"]
    for network, logits in expected.items():
        row = measured[network]
        assert row["nll"] == pytest.approx(plain_nll(logits["test"], y), rel=1e-4)
        assert row["ece"] == pytest.approx(plain_ece(logits["test"], y), abs=1e-4)
        if network == "transfer-ridge":  # of networks that guess, every high temperature is as good
            grid = np.exp(np.linspace(-5, 5, 4001))
            best = min(grid, key=lambda t: plain_nll(logits["held_out"] / t, noisy))
            assert row["temperature"] == pytest.approx(best, rel=5e-3)
        scaled = logits["test"] / row["temperature"]
        assert row["nll_scaled"] == pytest.approx(plain_nll(scaled, y), rel=1e-4)
        assert row["ece_scaled"] == pytest.approx(plain_ece(scaled, y), abs=1e-4)


def test_without_held_out_examples_no_temperature_is_fitted(tmp_path):
    for row in Case(tmp_path, held_out=False).results.calibrations:
        assert row["temperature"] is row["nll_scaled"] is row["ece_scaled"] is None
        assert row["nll"] > 0
