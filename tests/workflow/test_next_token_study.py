"""A study of next tokens: every position counts, and its class is the token after it."""

import h5py
import hdf5plugin  # noqa: F401  (reads compressed activations)
import numpy as np
import pandas as pd
import pytest
from project_copy import copy_of_project
from safetensors.numpy import load_file

from reference_probes import clear, components_for, eigen, masc_scores, velpic_scores, velpic_vectors
from studies import TINY_STUDY

VOCABULARY, LENGTH, N_TRAIN, N_TEST, COUNTED = 6, 8, 60, 25, 150
VARIANCE = 0.7
OWN = {"path": "sequences.npz", "kind": "tokens", "shape": [LENGTH], "vocabulary": VOCABULARY}
STUDY = TINY_STUDY | {
    "study": "next",
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "pairs": [
        {
            "dataset": {
                "name": "counting",
                "own": OWN | {"classes": VOCABULARY, "train": N_TRAIN, "test": N_TEST},
                "targets": "next_token",
            },
            "model": {
                "architecture": "Transformer", "causal": True, "dim": 8, "depth": 1, "heads": 2,
                "layers": ["input", "embed", "readout_input"],
            },
            "training": {
                "optimizer": {"name": "AdamW", "learning_rate": 0.01},
                "batch_size": 10,
                "max_epochs": 2,
                "stop": None,
                "checkpoints": [0],
            },
        }
    ],
    "probes": [{"kind": "MASC", "variance": VARIANCE}, {"kind": "VeLPIC"}],
    "activations": TINY_STUDY["activations"] | {"count_train": COUNTED, "keep": True},
}  # fmt: skip


def sequences(n, rng):
    """Count up from a random start, with a third of the tokens at random."""
    counting = (rng.integers(VOCABULARY, size=(n, 1)) + np.arange(LENGTH + 1)) % VOCABULARY
    return np.where(
        rng.random(counting.shape) < 1 / 3, rng.integers(VOCABULARY, size=counting.shape), counting
    )


@pytest.fixture(scope="module")
def tokens():
    rng = np.random.default_rng(0)
    return {"train": sequences(N_TRAIN, rng), "test": sequences(N_TEST, rng)}


@pytest.fixture(scope="module")
def results(tokens, tmp_path_factory):
    workflow = copy_of_project(tmp_path_factory.mktemp("next"))
    np.savez(workflow.folder / "sequences.npz", **{f"{split}_tokens": ids for split, ids in tokens.items()})
    workflow.write_study(STUDY)
    workflow.run("tables")
    return workflow.folder / "results/next"


@pytest.fixture(scope="module")
def labels(results):
    (path,) = results.glob("labels/*/*/1.h5")
    with h5py.File(path) as file:
        return {kind: file[kind][:] for kind in ("true", "corrupted", "redrawn")}


@pytest.fixture(scope="module")
def accuracy(results):
    return pd.read_parquet(results / "tables/accuracy.parquet")


def test_noise_is_on_the_next_tokens_alone(tokens, labels):
    assert np.array_equal(labels["true"], tokens["train"][:, 1:].ravel())
    changed = labels["corrupted"] != labels["true"]
    assert not changed[~labels["redrawn"]].any()
    assert 0.3 < labels["redrawn"].mean() < 0.5


def test_all_positions_are_counted_and_a_fixed_sample_of_the_training_positions(accuracy, labels):
    assert set(accuracy["epoch"]) == {0, 2}
    assert set(accuracy["layer"]) == {"input", "embed", "readout_input", "readout"}
    totals = accuracy[accuracy["layer"] != "readout"].groupby("split")["total"].unique()
    assert totals["test"] == [N_TEST * LENGTH]
    assert totals["train"] == [COUNTED]
    assert len(totals["train_redrawn"]) == len(totals["train_untouched"]) == 1
    assert totals["train_redrawn"] + totals["train_untouched"] == [COUNTED]


def test_probes_are_fitted_with_the_noisy_next_tokens_of_all_positions(accuracy, tokens, labels, results):
    seen, after = tokens["train"][:, :-1].ravel(), tokens["test"][:, 1:].ravel()
    (run,) = results.glob("runs/*")
    checkpoints = {
        int(path.stem.removeprefix("epoch-")): load_file(path)["embed.weight"]
        for path in run.glob("checkpoints/*.safetensors")
    }
    assert set(checkpoints) == {0, 2}
    for epoch, X, of_test, embedded in activations(run):
        assert np.array_equal(embedded, checkpoints.pop(epoch)[seen])
        classes = eigen(X, labels["corrupted"], VOCABULARY)
        components = [components_for(one.values, VARIANCE) for one in classes]
        scores = {
            f"MASC-{VARIANCE}": masc_scores(classes, components, of_test),
            "VeLPIC": velpic_scores(classes, velpic_vectors(classes, X, labels["corrupted"]), of_test),
        }
        here = accuracy[(accuracy["epoch"] == epoch) & (accuracy["layer"] == "readout_input")]
        here = here.query("fit_labels == 'corrupted' and split == 'test' and eval_labels == 'true'")
        counts = here.set_index("probe")["correct"]
        for probe, of_probe in scores.items():
            unclear, right = ~clear(of_probe), of_probe.argmax(axis=1) == after
            assert np.sum(right & ~unclear) <= counts[probe] <= np.sum(right | unclear)
            assert np.mean(unclear) < 0.02
    assert not checkpoints


def activations(run):
    """Yield by epoch the inputs of the readout for training and test positions, and the embeddings."""
    for path in run.glob("activations/*.h5"):
        with h5py.File(path) as file:
            for epoch, layers in file.items():
                of_readout = layers["readout_input"]
                yield int(epoch), of_readout["train"][:], of_readout["test"][:], layers["embed/train"][:]


def test_classes_are_the_tokens(results, tokens):
    counted = pd.read_parquet(results / "tables/classes.parquet")
    counted = counted.query("split == 'test' and eval_labels == 'true'").groupby("class")["counted"].unique()
    assert {int(token): list(found) for token, found in counted.items()} == {
        token: [count] for token, count in enumerate(np.bincount(tokens["test"][:, 1:].ravel()))
    }
