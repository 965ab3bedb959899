"""The tables of a study against a recomputation from its weights and labels that shares no code with it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from latentgen.probes.correctness import unpacked
from reference_probes import clear, components_for, eigen, masc_scores, velpic_scores, velpic_vectors
from studies import TINY_STUDY

MLP_RUN = "digits_400x120-mlp-symmetric0.40-seed1"
CNN_RUN = "digits_300x100-cnn-symmetric0.40-seed1"


@pytest.fixture(scope="module")
def results(tiny) -> Path:
    return tiny.folder / "results"


@pytest.fixture(scope="module")
def accuracy(results) -> pd.DataFrame:
    return pd.read_parquet(results / "tiny/tables/accuracy.parquet")


def relu(x):
    return np.maximum(x, 0)


def mlp(weights, images):
    """Return the outputs of every layer, from the definition of the network."""
    x = images.reshape(len(images), -1)
    layers = {}
    for layer in ("fc1", "fc2"):
        x = layers[layer] = relu(x @ weights[f"{layer}.0.weight"].T + weights[f"{layer}.0.bias"])
    return layers, x @ weights["readout.weight"].T + weights["readout.bias"]


def convolve(x, kernel, bias):
    """3 × 3 correlation with zero padding of 1, on N × C × H × W."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True) + bias[:, None, None]


def cnn(weights, images):
    x = images
    for block in ("block1", "block2", "block3"):
        for position in (0, 2):
            x = relu(convolve(x, weights[f"{block}.{position}.weight"], weights[f"{block}.{position}.bias"]))
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
    x = x.reshape(len(x), -1)
    layers = {"flatten": x}  # of the layers, the study probes the first and the last
    for layer in ("fc1", "fc2", "fc3"):
        x = relu(x @ weights[f"{layer}.0.weight"].T + weights[f"{layer}.0.bias"])
    layers["fc3"] = x
    return layers, x @ weights["readout.weight"].T


def recompute(results, run, forward):
    """Return every classifier's scores by key and split, from a run's saved weights, and all labels."""
    dataset, _, noise, seed = run.split("-")
    with h5py.File(results / f"datasets/{dataset}.h5") as file:
        images = {split: file[f"{split}_images"][:] / 8.0 - 1.0 for split in ("train", "test")}
        test_labels = file["test_labels"][:]
    with h5py.File(results / f"tiny/labels/{dataset}/{noise}/{seed.removeprefix('seed')}.h5") as file:
        train_labels = {"corrupted": file["corrupted"][:], "true": file["true"][:]}
    scores = {}
    for path in sorted((results / f"tiny/runs/{run}/checkpoints").glob("*.safetensors")):
        epoch = int(path.stem.removeprefix("epoch-"))
        weights = {name: array.astype(np.float64) for name, array in load_file(path).items()}
        outputs = {split: forward(weights, images[split]) for split in images}
        layers = {split: outputs[split][0] for split in images}
        scores[epoch, "readout", "model", "corrupted"] = {split: outputs[split][1] for split in images}
        for fit_labels, labels in train_labels.items():
            for layer, X in layers["train"].items():
                classes = eigen(X, labels, 10)
                components = [components_for(found.values, 0.99) for found in classes]
                vectors = velpic_vectors(classes, X, labels)
                for split in images:
                    of_masc = masc_scores(classes, components, layers[split][layer])
                    of_velpic = velpic_scores(classes, vectors, layers[split][layer])
                    scores.setdefault((epoch, layer, "MASC", fit_labels), {})[split] = of_masc
                    scores.setdefault((epoch, layer, "VeLPIC", fit_labels), {})[split] = of_velpic
        y = train_labels["corrupted"]
        vectors = velpic_vectors(eigen(layers["train"][layer], y, 10), layers["train"][layer], y)
        for name in ("zero", "kept") if "readout.bias" in weights else ("zero",):
            bias = weights["readout.bias"] if name == "kept" else 0
            scores[epoch, "readout", f"transfer-{name}", "corrupted"] = {
                split: layers[split][layer] @ vectors.T + bias for split in images
            }
    labels = {("test", "true"): test_labels} | {("train", name): v for name, v in train_labels.items()}
    return scores, labels


@pytest.mark.parametrize(("run", "forward"), [(MLP_RUN, mlp), (CNN_RUN, cnn)])
def test_every_count_follows_from_the_saved_weights(results, accuracy, run, forward):
    scores, labels = recompute(results, run, forward)
    rows = accuracy[(accuracy["run"] == run) & accuracy["split"].isin(["test", "train"])]
    key = ["epoch", "layer", "probe", "fit_labels", "split", "eval_labels"]
    found = dict(zip(rows[key].itertuples(index=False, name=None), rows["correct"], strict=True))
    assert found.keys() == {(*who, *where) for who in scores for where in labels}
    wrong = {}
    for (*who, split, name), count in found.items():
        of_split = scores[*who][split]
        expected = (of_split.argmax(1) == labels[split, name]).sum()
        # A network computes in float32: where its two best outputs are equal to 1e-4, either may win.
        # (An untrained network gives all items nearly the same features.) Probes have no such excuse.
        excused = 0 if who[2] in ("MASC", "VeLPIC") else (~clear(of_split)).sum()
        if abs(count - expected) > excused:
            wrong[*who, split, name] = (count, expected, excused)
    assert wrong == {}


def test_which_test_examples_are_correct_is_known_of_every_last_checkpoint(results, accuracy):
    rows = accuracy[(accuracy["split"] == "test") & (accuracy["fit_labels"] == "corrupted")]
    last = rows["epoch"] == rows.groupby("run")["epoch"].transform("max")
    assert rows.loc[~last, "correct_examples"].isna().all()
    found = rows[last]
    assert {"model", "MASC", "VeLPIC", "transfer-zero"} <= set(found["probe"])
    counts = [unpacked(row.correct_examples, row.total).sum() for row in found.itertuples()]
    assert counts == found["correct"].tolist()
    for run, forward in ((MLP_RUN, mlp), (CNN_RUN, cnn)):
        scores, labels = recompute(results, run, forward)
        for row in found[found["run"] == run].itertuples():
            of_split = scores[row.epoch, row.layer, row.probe, "corrupted"]["test"]
            sure = clear(of_split)
            correct = of_split.argmax(1) == labels["test", "true"]
            np.testing.assert_array_equal(unpacked(row.correct_examples, row.total)[sure], correct[sure])
    comparisons = pd.read_csv(results / "tiny/tables/comparisons.csv")
    # Of MASC with one component, agreement with VeLPIC is counted, and no single examples.
    comparisons = comparisons[comparisons["equal"].isna()]
    assert comparisons["what_only"].notna().all()
    difference = (comparisons["what_only"] - comparisons["reference_only"]) / comparisons["dataset"].map(
        {"digits_400x120": 120, "digits_300x100": 100}
    )
    np.testing.assert_allclose(difference, comparisons["difference"], atol=1e-6)


def test_every_run_has_every_checkpoint_and_ends_early_where_it_should(results, accuracy):
    assert set(accuracy["run"]) == {path.name for path in (results / "tiny/runs").iterdir()}
    assert accuracy["run"].nunique() == 4
    mlp_epochs = sorted(set(accuracy.loc[accuracy["run"] == MLP_RUN, "epoch"]))
    clean_epochs = sorted(set(accuracy.loc[accuracy["run"] == MLP_RUN.replace("0.40", "0.00"), "epoch"]))
    assert clean_epochs[-1] < 12, "the clean run meets its stop rule before the end"
    assert set(clean_epochs) <= {0, 2, 5, 9}
    ended = json.loads((results / f"tiny/runs/{MLP_RUN}/training.json").read_text())["ended"]
    assert ended.startswith("stop rule" if mlp_epochs[-1] < 12 else "max_epochs")
    assert sorted(set(accuracy.loc[accuracy["run"] == CNN_RUN, "epoch"])) == [0, 2]


def test_shards_beyond_the_end_are_empty_and_cost_no_row(results):
    shards = sorted((results / f"tiny/runs/{MLP_RUN.replace('0.40', '0.00')}/probes").glob("shard-*.csv"))
    assert len(shards) > 1
    assert shards[0].stat().st_size > 0
    assert shards[-1].stat().st_size == 0


def test_activations_are_gone_once_used(results):
    assert list((results / "tiny/runs").rglob("activations/*.h5")) == []


def test_the_edited_model_gives_the_counts_in_the_table(results, accuracy):
    """A kept, edited network is a checkpoint like any other: its own forward pass, in torch."""
    import torch

    from latentgen.data.datasets import read_dataset
    from latentgen.networks.architectures import make_network
    from latentgen.networks.checkpoints import checkpoint_metadata, load_network
    from latentgen.networks.forward import as_input

    dataset = read_dataset(results / "datasets/digits_400x120.h5")
    settings = {"architecture": "MLP", "widths": (24, 40)}
    network = make_network(settings, dataset.input_shape, dataset.n_classes)
    edited = sorted((results / f"tiny/runs/{MLP_RUN}/transfer").glob("shard-*/*.safetensors"))
    assert {path.stem.rsplit("-", 1)[1] for path in edited} == {"zero", "kept"}
    for path in edited:
        load_network(network, path)
        inputs = as_input(dataset.test_inputs, dataset.max_value, (-1, 1), torch.device("cpu"))
        with torch.inference_mode():
            predicted = network(inputs).argmax(1).numpy()
        bias = path.stem.rsplit("-", 1)[1]
        row = accuracy[
            (accuracy["run"] == MLP_RUN)
            & (accuracy["epoch"] == int(checkpoint_metadata(path)["epoch"]))
            & (accuracy["probe"] == f"transfer-{bias}")
            & (accuracy["split"] == "test")
        ]
        assert (predicted == dataset.test_labels).sum() == row["correct"].item()


def test_the_summary_says_peak_and_end(results, accuracy):
    summary = pd.read_csv(results / "tiny/tables/summary.csv")
    assert list(summary.columns) == [
        "run", "dataset", "model", "p", "seed", "intervention", "what", "layer", "fit_labels", "peak",
        "peak_epoch", "final", "final_epoch",
    ]  # fmt: skip
    for row in summary.itertuples():
        curve = accuracy[
            (accuracy["run"] == row.run) & (accuracy["probe"] == row.what) & (accuracy["layer"] == row.layer)
            & (accuracy["fit_labels"] == row.fit_labels) & (accuracy["split"] == "test")
        ].sort_values("epoch")  # fmt: skip
        values = (curve["correct"] / curve["total"]).to_numpy()
        assert row.peak == pytest.approx(values.max(), abs=1e-6)
        assert row.peak_epoch == curve["epoch"].iloc[values.argmax()]
        assert (row.final, row.final_epoch) == (pytest.approx(values[-1], abs=1e-6), curve["epoch"].iloc[-1])


def test_one_figure_of_each_kind_and_pair_is_drawn(results):
    figures = {path.name for path in (results / "tiny/figures").iterdir()}
    assert figures == {
        f"{kind}-{pair}.{suffix}"
        for kind in TINY_STUDY["figures"]
        for pair in ("digits_400x120-mlp", "digits_300x100-cnn")
        for suffix in ("pdf", "png", "csv")
    }


def test_costs_are_there_of_every_run_layer_and_probe(results):
    cost = pd.read_csv(results / "tiny/tables/cost.csv")
    summary = pd.read_csv(results / "tiny/tables/summary.csv")
    probed = summary[summary["what"].isin(["MASC", "VeLPIC"]) & (summary["fit_labels"] == "corrupted")]
    expected = probed[["run", "what", "layer", "final_epoch"]]
    assert sorted(cost[["run", "probe", "layer", "epoch"]].itertuples(index=False, name=None)) == sorted(
        expected.itertuples(index=False, name=None)
    )
    measured = cost[[f"{step}_{of}" for step in ("fit", "predict") for of in ("seconds", "flops", "bytes")]]
    assert (measured > 0).all(axis=None)
