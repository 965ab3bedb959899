"""Next tokens as classes: every position of a sequence is an example."""

import h5py
import numpy as np
import pytest
import torch

from latentgen.data.custom import check, custom_info
from latentgen.data.datasets import Dataset, read_dataset, subset, with_held_out, write_dataset
from latentgen.data.inputs import Tokens
from latentgen.data.labels import Labels, evaluation_labels
from latentgen.data.next_tokens import next_token_shape, next_tokens
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.data.reshaping import Reshaping
from latentgen.errors import LatentgenError
from latentgen.interventions.edits import edit_readout
from latentgen.networks import activations
from latentgen.networks.activations import layer_activations, write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, save_checkpoint
from latentgen.networks.custom import TransformersNetwork
from latentgen.networks.trial import measure
from latentgen.repairing.relabelling import deciding_examples, relabel
from latentgen.study.config import read_study
from latentgen.training.data import training_data
from latentgen.training.loop import train
from latentgen.training.measuring import counting, counts_on_test, counts_on_train
from latentgen.training.plan import TrainingPlan
from latentgen.training.resuming import Resume
from studies import SMALL_STUDY

LENGTH, VOCABULARY = 7, 5
SHAPE = Tokens(LENGTH, VOCABULARY, None, next_token=True)
MODEL = {"architecture": "Transformer", "causal": True, "dim": 8, "depth": 2, "heads": 2}
CPU = torch.device("cpu")


def sequences(n_train=12, n_test=6):
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, VOCABULARY, (n, LENGTH + 1)).astype(np.int32) for n in (n_train, n_test))
    return Dataset(
        "toy", train, np.zeros(n_train, np.int64), test, np.zeros(n_test, np.int64),
        np.arange(n_train), np.arange(n_test), class_names=("a", "b"), max_value=0, source="here",
        checksums={}, vocabulary=VOCABULARY,
    )  # fmt: skip


@pytest.fixture
def dataset():
    return next_tokens(sequences())


@pytest.fixture
def labels(dataset):
    return corrupt_dataset(dataset, kind="symmetric", p=0.5, seed=1)


@pytest.fixture
def network():
    return make_network(MODEL, SHAPE, VOCABULARY)


def test_labels_are_the_next_tokens_of_all_positions(dataset, tmp_path):
    tokens = sequences()
    assert np.array_equal(dataset.train_inputs, tokens.train_inputs[:, :-1])
    assert np.array_equal(dataset.train_labels.reshape(12, LENGTH), tokens.train_inputs[:, 1:])
    assert (dataset.input_shape, dataset.n_classes) == (SHAPE, VOCABULARY)
    write_dataset(tmp_path / "toy.h5", dataset)
    assert read_dataset(tmp_path / "toy.h5").input_shape == SHAPE


def test_subsets_and_held_out_examples_are_whole_sequences(dataset):
    part = subset(dataset, 9, 4, 3)
    inputs = np.concatenate([part.train_inputs, part.held_out.inputs])
    labels = np.concatenate([part.train_labels, part.held_out.labels]).reshape(9, LENGTH)
    assert np.array_equal(inputs[:, 1:], labels[:, :-1])
    assert (len(part.train_labels), len(part.test_labels)) == (6 * LENGTH, 4 * LENGTH)
    whole, apart = with_held_out(part)
    assert np.array_equal(whole.train_inputs[:, 1:], whole.train_labels.reshape(9, LENGTH)[:, :-1])
    assert np.array_equal(whole.train_labels[apart], part.held_out.labels)
    noisy = corrupt_dataset(part, kind="symmetric", p=0.5, seed=1)
    assert (len(noisy.corrupted), len(noisy.held_out)) == (6 * LENGTH, 3 * LENGTH)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 8, 8), "not images of 1 × 8 × 8"),
        (Tokens(8, 5, 0), "without padding"),
        (Tokens(8, 5000), "4096 at most; the vocabulary has 5000"),
        (Tokens(1, 5), "at least two tokens"),
    ],
)
def test_other_examples_have_no_next_tokens(shape, said):
    with pytest.raises(ValueError, match=said):
        next_token_shape(shape)


def test_a_causal_network_does_not_see_later_tokens(network):
    ids = torch.randint(VOCABULARY, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 4:] = (ids[:, 4:] + 1) % VOCABULARY
    one, other = (network.eval()(of).view(3, LENGTH, -1) for of in (ids, changed))
    assert torch.allclose(one[:, :4], other[:, :4], atol=1e-6)
    assert not torch.allclose(one[:, 4:], other[:, 4:], atol=1e-4)


def test_the_trial_pass_finds_layers_of_positions_and_refuses_a_look_ahead():
    found = measure(lambda: make_network(MODEL, SHAPE, VOCABULARY).body, SHAPE, VOCABULARY, None, None)
    assert found["widths"] == {"blocks.0": 8, "blocks.1": 8, "readout_input": 8}
    assert found["shapes"]["input"] == (VOCABULARY,)

    class LooksAhead(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = torch.nn.Embedding(VOCABULARY, 8), torch.nn.Linear(8, VOCABULARY)

        def forward(self, ids):
            x = self.embed(ids)
            return self.head(x + x.mean(1, keepdim=True))

    with pytest.raises(LatentgenError, match="depend on later tokens"):
        measure(LooksAhead, SHAPE, VOCABULARY, None, None)


def test_costs_of_an_example_are_those_of_a_position():
    long, short = (
        measure(lambda s=s: make_network(MODEL, s, VOCABULARY).body, s, VOCABULARY, None, None)
        for s in (Tokens(2 * LENGTH, VOCABULARY, None, next_token=True), SHAPE)
    )
    attention = (
        2 * 2 * 8 * LENGTH
    )  # two blocks; twice as many tokens are attended to, by queries and by values
    assert long["multiply_adds"] - short["multiply_adds"] == attention


def test_activations_have_a_row_for_each_position(network, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "CHUNK_ITEMS", 16)  # two sequences at a time
    save_checkpoint(tmp_path, "run", 0, network)
    layers = ["input", "embed", "blocks.1", "readout_input"]
    ids = {
        "train": torch.from_numpy(dataset.train_inputs).long(),
        "test": torch.from_numpy(dataset.test_inputs).long(),
    }
    with h5py.File(tmp_path / "activations.h5", "w") as file:
        write_activations(file, network, checkpoint_paths(tmp_path), ids, layers)
        rows = {layer: file[f"0/{layer}/train"][...] for layer in layers}
        predicted = file["0/(predictions)/test"][...]
    assert {len(of) for of in rows.values()} == {12 * LENGTH}
    assert np.array_equal(rows["input"].argmax(1), dataset.train_inputs.ravel())
    assert np.array_equal(rows["embed"], network.body.embed.weight.detach()[dataset.train_inputs.ravel()])
    head = network.body.head
    logits = torch.from_numpy(rows["readout_input"]) @ head.weight.T + head.bias
    assert torch.allclose(logits, network(ids["train"]), atol=1e-5)
    assert np.array_equal(predicted, network(ids["test"]).argmax(1))
    assert np.array_equal(layer_activations(network, ids["train"], "blocks.1"), rows["blocks.1"])


def test_training_counts_every_position(network, dataset, labels, tmp_path):
    data = training_data(dataset, labels, (-1, 1), CPU)
    plan = TrainingPlan(
        optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}, batch_size=5, shuffle=True,
        max_epochs=2, stop=None, checkpoints=(0, 1), seed=1,
    )  # fmt: skip
    result = train(network, data, plan, Resume(tmp_path / "run", "run", {}))
    last = result.history[-1]
    assert (last.online_total, last.train_total, last.test_total) == (12 * LENGTH, 12 * LENGTH, 6 * LENGTH)
    predicted = network(data.train_inputs).argmax(1).numpy()
    assert last.train_corrupted_correct == (predicted == labels.corrupted).sum()
    assert last.redrawn_true_correct == ((predicted == labels.true) & labels.redrawn).sum()
    assert last.rest_total + last.held_out_total == last.test_total
    assert last.held_out_total % LENGTH == 0  # whole sequences


def test_a_batch_in_two_parts_takes_the_same_step(dataset, labels, tmp_path):
    data = training_data(dataset, labels, (-1, 1), CPU)
    weights, losses = [], []
    for accumulate in (1, 2):
        network = make_network(MODEL, SHAPE, VOCABULARY)
        plan = TrainingPlan(
            optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.0}, batch_size=6, shuffle=False,
            max_epochs=1, stop=None, checkpoints=(), seed=1, accumulate=accumulate,
        )  # fmt: skip
        result = train(network, data, plan, Resume(tmp_path / str(accumulate), "run", {}))
        losses.append(result.history[1].loss)
        weights.append(network.body.head.weight.detach())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert torch.allclose(*weights, atol=1e-6)


def test_interventions_see_positions(network, dataset, labels):
    data = training_data(dataset, labels, (-1, 1), CPU)
    edit_readout(network, "velpic", data, "readout_input", 1)
    norms = torch.linalg.vector_norm(network.body.head.weight, dim=1)
    assert torch.allclose(norms, torch.ones(VOCABULARY), atol=1e-5)
    found = relabel(
        network, data.train_inputs, labels, VOCABULARY, ["blocks.0", "blocks.1"],
        deciding=deciding_examples(data, "test", 1),
    )  # fmt: skip
    assert found.labels.corrupted.shape == labels.corrupted.shape


def test_evaluation_labels_go_with_counts(network, dataset, labels):
    assert isinstance(labels, Labels)
    data = training_data(dataset, labels, (-1, 1), CPU)
    count = counting(network)
    by_split = evaluation_labels(labels, dataset.test_labels)
    assert len(by_split["train"]["corrupted"]) == counts_on_train(count, data)["train_total"]
    assert len(by_split["test"]["true"]) == counts_on_test(count, data)["test_total"]


def test_tokens_without_labels_are_for_next_tokens(tmp_path):
    tokens = sequences()
    path = tmp_path / "text.npz"
    np.savez(path, train_tokens=tokens.train_inputs, test_tokens=tokens.test_inputs)
    printed = check(str(path))
    assert "targets: next_token" in printed
    assert f"shape: [{LENGTH}]" in printed
    facts = {"kind": "tokens", "shape": (LENGTH,), "vocabulary": VOCABULARY + 1, "classes": VOCABULARY + 1}
    info = custom_info(
        "text", path=str(path), train=12, test=6, **facts, reshaping=Reshaping(targets="next_token")
    )
    read = info.read(info, tmp_path, False)
    assert (read.n_classes, read.input_shape) == (VOCABULARY + 1, info.shape)
    without = custom_info("text", path=str(path), train=12, test=6, **facts)
    with pytest.raises(LatentgenError, match="targets: next_token"):
        without.read(without, tmp_path, False)


def study(model, **changes):
    dataset = {"name": "wordnet_characters", "targets": "next_token", "train_items": 40, "test_items": 20}
    pair = {
        "dataset": dataset,
        "model": model,
        "training": {"optimizer": {"name": "SGD", "learning_rate": 0.1}, "batch_size": 10, "max_epochs": 2},
    }
    return read_study({**SMALL_STUDY, "pairs": [pair], **changes}, run_own_code=True)


def test_a_study_of_next_tokens_is_planned():
    (pair,) = study(MODEL).pairs
    assert (pair.dataset.n_train, pair.dataset.n_train_inputs, pair.dataset.per_input) == (40 * 64, 40, 64)
    assert pair.dataset.dataset_id == "wordnet_characters_40x20_next_token"
    assert pair.layers == {"blocks.0": 8, "blocks.1": 8, "readout_input": 8}


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        ({"architecture": "MLP", "widths": [8]}, {}, "needs a causal network"),
        ({**MODEL, "causal": False}, {}, "sees the tokens that it is to predict. Set model.causal"),
        (MODEL, {"audit": True}, "audit and repair are not for next tokens"),
    ],
)
def test_what_does_not_go_with_next_tokens_is_refused(model, changes, said):
    with pytest.raises(LatentgenError, match=said):
        study(model, **changes)


def test_hugging_faces_language_models_are_read_at_every_position():
    model = TransformersNetwork(
        architecture="transformers", network="gpt2", arguments={"n_embd": 8, "n_layer": 2, "n_head": 2}
    )
    found = measure(lambda: model.make_body(SHAPE, VOCABULARY), SHAPE, VOCABULARY, None, None)
    assert found["readout"] == "lm_head"
    assert found["widths"] == {"transformer.h.0": 8, "transformer.h.1": 8, "readout_input": 8}


def test_an_array_that_is_no_table_of_tokens_is_refused(tmp_path):
    np.savez(tmp_path / "text.npz", train_tokens=np.array(0), test_tokens=np.zeros((3, 4), np.int64))
    with pytest.raises(
        LatentgenError, match=r"train_tokens in .* have shape \(\); it must be examples × token"
    ):
        check(str(tmp_path / "text.npz"))
