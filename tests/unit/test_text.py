"""Text: words, vocabularies, the built-in data set of definitions, and the transformer."""

import numpy as np
import pytest
import torch

from latentgen.data.datasets import subset
from latentgen.data.inputs import Tokens
from latentgen.data.labels import Labels
from latentgen.data.registry import dataset_info, load_dataset
from latentgen.data.text import PADDING, UNKNOWN, encode, vocabulary_from, words
from latentgen.errors import LatentgenError
from latentgen.networks.activations import layer_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.pooling import pooled
from latentgen.networks.transformer import Transformer
from latentgen.networks.trial import measure
from latentgen.study.config import read_study
from latentgen.training.data import training_data


def test_words_are_lower_case_and_marks_are_words():
    assert words("Don't STOP — it’s 3.5 €!") == ["don't", "stop", "—", "it’s", "3", ".", "5", "€", "!"]
    assert words("cafe\u0301") == ["caf\u00e9"]
    assert words(" \n") == []


def test_a_vocabulary_is_of_the_most_frequent_words_and_ties_are_in_order():
    texts = ["b a b", "c a d"]
    assert vocabulary_from(texts) == ["<pad>", "<unk>", "a", "b"]
    assert vocabulary_from(texts, 5) == ["<pad>", "<unk>", "a", "b", "c"]
    assert vocabulary_from(reversed(texts), 5) == vocabulary_from(texts, 5)


def test_texts_are_cut_off_and_filled_up():
    ids = encode(["b a x b a", "", "b"], vocabulary_from(["b a b a"]), 4)
    assert ids.tolist() == [[3, 2, UNKNOWN, 3], [PADDING] * 4, [3, 0, 0, 0]]
    assert ids.dtype == np.int32


@pytest.fixture(scope="module")
def wordnet():
    try:
        return load_dataset("wordnet", fetch=False)
    except LatentgenError as error:
        pytest.skip(f"no WordNet here: {str(error).splitlines()[0]}")


def test_definitions_are_read_with_their_topics(wordnet):
    info = dataset_info("wordnet")
    assert wordnet.input_shape == info.shape == Tokens(24, 8000, 0)
    for labels, each in ((wordnet.train_labels, 2500), (wordnet.test_labels, 400)):
        assert np.bincount(labels).tolist() == [each] * 10
    assert wordnet.class_names[wordnet.train_labels[0]] in info.class_names
    train = {row.tobytes() for row in wordnet.train_inputs}
    copies = sum(row.tobytes() in train for row in wordnet.test_inputs)
    assert copies < 0.05 * 4000, "unknown words make some alike"
    assert (wordnet.train_inputs == UNKNOWN).mean() < 0.1
    assert wordnet.train_inputs.max() == 7999


def test_a_missing_or_wrong_file_is_refused_with_what_to_do(tmp_path, monkeypatch):
    info = dataset_info("wordnet")
    monkeypatch.setitem(info.__dict__, "locations", ("wordnet", ""))
    with pytest.raises(
        LatentgenError, match=r"(?s)wordnet was not found. Looked for WordNet's .*wordnet-base"
    ):
        info.read(info, tmp_path, True)
    (tmp_path / "data.noun").write_text("no such thing")
    with pytest.raises(LatentgenError, match="its checksum differs"):
        info.read(info, tmp_path, True)


TRANSFORMER = {"architecture": "Transformer", "dim": 16, "depth": 2, "heads": 2}


def text_study(**changes):
    model = {**TRANSFORMER, **changes}
    pair = {"dataset": {"name": "wordnet", "train_items": 300, "test_items": 100}, "model": model}
    pair["training"] = {
        "optimizer": {"name": "Adam", "learning_rate": 0.001},
        "batch_size": 50,
        "max_epochs": 2,
    }
    noise = [{"kind": "symmetric", "p": [0.4]}]
    return {"study": "text", "seeds": [1], "noise": noise, "pairs": [pair]}


def test_a_transformer_is_measured_and_its_padding_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = ["input", {"match": "embed", "pool": "mean"}, {"match": "blocks.{*}", "pool": ["mean", "last"]}]
    study = read_study(text_study(layers=[*layers, "readout_input"]), run_own_code=True)
    (run,) = study.runs.values()
    assert run.layers == {
        "input": 8000,
        "embed:mean": 16,
        "blocks.0:mean": 16,
        "blocks.0:last": 16,
        "blocks.1:mean": 16,
        "blocks.1:last": 16,
        "readout_input": 16,
    }
    shape = run.pair.dataset.info.shape
    network = make_network(run.pair.model.model_dump(mode="json"), shape, 10, seed=1).eval()
    ids = torch.randint(2, 8000, (3, 24), generator=torch.Generator().manual_seed(0))
    ids[0, 5:] = 0
    ids[1] = 0
    with torch.no_grad():
        logits, short = network(ids), network(ids[:1, :5])
    assert torch.allclose(logits[0], short[0], atol=1e-5)
    assert logits.isfinite().all(), "an empty text"
    means = layer_activations(network, ids, "embed:mean")
    assert torch.allclose(means[0], network.get_submodule("embed")(ids[0, :5]).mean(0), atol=1e-6)


@pytest.mark.parametrize("length", [8, 16])
def test_attention_is_part_of_the_cost(length):
    model, shape = Transformer(**TRANSFORMER), Tokens(length, 50, 0)
    found = measure(lambda: model.make_body(shape, 3), shape, 3, None, None)
    per_token = 2 * (
        4 * 16 * 16 + 2 * 16 * 32
    )  # of two blocks: four products for attention, two for the rest
    assert found["multiply_adds"] == length * per_token + 2 * 2 * length * length * 16


def test_other_examples_and_heads_are_refused():
    wrong = text_study()
    wrong["pairs"][0]["dataset"] = "digits"
    with pytest.raises(LatentgenError, match="Transformer takes tokens; digits has images of 1 × 8 × 8"):
        read_study(wrong)
    with pytest.raises(LatentgenError, match="heads must divide dim"):
        read_study(text_study(heads=3))


def test_a_transformer_learns_topics(wordnet):
    part = subset(wordnet, 1000, 500)
    labels = Labels(part.train_labels, part.train_labels, np.zeros(1000, bool))
    data = training_data(part, labels, (-1, 1), torch.device("cpu"))
    model = read_study(text_study()).pairs[0].model
    torch.manual_seed(0)
    network = model.make_body(part.input_shape, 10)
    optimizer = torch.optim.AdamW(network.parameters(), 0.003)
    for _ in range(15):
        for batch in torch.randperm(1000).split(50):
            loss = torch.nn.functional.cross_entropy(
                network(data.train_inputs[batch]), data.corrupted_labels[batch]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = (network(data.test_inputs).argmax(1) == data.test_labels).float().mean()
    assert accuracy > 0.4, "chance is 0.1"
    assert pooled(network.embed(data.test_inputs), "mean").shape == (500, 16)
