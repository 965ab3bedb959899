"""Audit and repair of networks that memorized noisy labels."""

import base64
import copy
import io
import json
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import nn

from latentgen import audit, repair
from latentgen.cli import main
from latentgen.data.inputs import Tokens
from latentgen.data.registry import load_dataset
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.networks.examples import StoredExamples
from latentgen.repairing.choice import right_when_chosen
from latentgen.repairing.duplicates import contradicting_duplicates
from latentgen.repairing.features import RAW_INPUT, READOUT_INPUT, WIDEST, Layer, Reduce, collect, examine
from latentgen.repairing.heads import Ridge
from latentgen.repairing.networks import Shortcut, takes, with_readout
from latentgen.repairing.noise import estimate_noise
from latentgen.repairing.page import _Pictures
from latentgen.repairing.reading import Preprocessing, read_examples
from latentgen.repairing.saving import exported, save_repair

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
CHECKPOINTS = (5, 15)


def mlp(d=64):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)
    )


class Memorized:
    """Digits with 40 % of the labels redrawn; a network that has learned them by heart."""

    def __init__(self, p=0.4, epochs=150):
        digits = load_dataset("digits")
        images = np.concatenate([digits.train_inputs, digits.test_inputs])
        true = np.concatenate([digits.train_labels, digits.test_labels])
        rng = np.random.default_rng(0)
        order = rng.permutation(len(true))
        images, true = images[order].astype(np.float32) / digits.max_value, true[order]
        given = np.where(rng.random(len(true)) < p, rng.integers(0, 10, len(true)), true)
        self.inputs, self.given, self.true = images[:1000], given[:1000], true[:1000]
        self.held_out = images[1000:1500], given[1000:1500]
        self.test_inputs, self.test_labels = torch.from_numpy(images[1500:]), true[1500:]
        torch.manual_seed(0)
        self.network, self.checkpoints = mlp(), {}
        X, y = torch.from_numpy(self.inputs), torch.from_numpy(self.given)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=3e-3)
        for epoch in range(1, epochs + 1):
            for batch in torch.randperm(1000).split(100):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self.network(X[batch]), y[batch]).backward()
                optimizer.step()
            if epoch in CHECKPOINTS:
                self.checkpoints[epoch] = copy.deepcopy(self.network.state_dict())

    @property
    def wrong(self):
        return self.given != self.true

    def accuracy(self, network):
        with torch.no_grad():
            return float((network(self.test_inputs).argmax(1).numpy() == self.test_labels).mean())


@pytest.fixture(scope="module")
def case():
    return Memorized()


@pytest.fixture(scope="module")
def clean():
    return Memorized(p=0.0, epochs=60)


@pytest.fixture(scope="module")
def audited(case):
    return audit(case.network, case.inputs, case.given, held_out=case.held_out)


class TestAudit:
    def test_wrong_labels_have_low_scores(self, case, audited):
        assert roc_auc_score(case.wrong, -audited.table["score"]) > 0.93
        with torch.no_grad():
            confidence = case.network(torch.from_numpy(case.inputs)).softmax(1).numpy()
        own = confidence[np.arange(1000), case.given]
        assert roc_auc_score(case.wrong, -audited.table["score"]) > roc_auc_score(case.wrong, -own) + 0.1

    def test_the_table_is_as_described(self, case, audited):
        table = audited.table
        assert list(table) == ["index", "given", "suggested", "score", "is_issue", "layer", "agreement"]
        assert (table["given"] == case.given).all()
        assert table["score"].between(0, 1).all()
        assert table["agreement"].between(0, 1).all()
        assert (table.loc[table["is_issue"], "suggested"] != table.loc[table["is_issue"], "given"]).all()
        assert audited.pred_probs.shape == (1000, 10)
        np.testing.assert_allclose(audited.pred_probs.sum(1), 1)
        np.testing.assert_array_equal(audited.pred_probs.argmax(1), table["suggested"])

    def test_the_count_is_near_the_truth(self, case, audited):
        assert audited.n_issues.low <= case.wrong.sum() <= audited.n_issues.high
        matrix = audited.noise_matrix
        totals = matrix.groupby("true")["probability"].sum()
        np.testing.assert_allclose(totals, 1)

    def test_references_and_choice(self, audited):
        assert list(audited.references["name"]) == ["chosen", "network itself", "raw input"]
        assert audited.references["held_out_accuracy"].notna().all()
        best = audited.choice.candidates["held_out_accuracy"].max()
        assert audited.references.loc[0, "held_out_accuracy"] == best

    def test_without_held_out_nothing_is_chosen_or_counted(self, case):
        found = audit(case.network, case.inputs, case.given)
        assert found.choice.layer == "all layers"
        assert found.n_issues is None
        assert found.noise_matrix is None
        assert any("quality of this audit is unknown" in finding for finding in found.findings)
        assert roc_auc_score(case.wrong, -found.table["score"]) > 0.93

    def test_an_earlier_checkpoint_is_compared(self, case):
        found = audit(
            case.network, case.inputs, case.given, held_out=case.held_out, checkpoints=case.checkpoints
        )
        assert set(found.choice.candidates["checkpoint"]) == {"as given", "epoch 15"} or set(
            found.choice.candidates["checkpoint"]
        ) == {"as given", "epoch 5"}
        assert roc_auc_score(case.wrong, -found.table["score"]) > 0.93

    def test_names_give_what_numbers_give(self, case, audited):
        def named(labels):
            return pd.Series(pd.Categorical.from_codes(labels, NAMES))

        held_out = case.held_out[0], named(case.held_out[1])
        found = audit(case.network, torch.from_numpy(case.inputs), named(case.given), held_out=held_out)
        np.testing.assert_array_equal(found.table["score"], audited.table["score"])
        assert found.table["given"].tolist() == [NAMES[label] for label in case.given]

    def test_strings_are_taken_in_alphabetical_order(self, case, audited):
        letters = np.array(list("abcdefghij"))
        found = audit(
            case.network,
            case.inputs,
            letters[case.given].tolist(),
            held_out=(case.held_out[0], letters[case.held_out[1]].tolist()),
        )
        np.testing.assert_array_equal(found.table["score"], audited.table["score"])

    def test_it_is_repeatable_and_leaves_the_network_alone(self, case, audited):
        before = copy.deepcopy(case.network.state_dict())
        case.network.train()
        again = audit(case.network, case.inputs, case.given, held_out=case.held_out)
        assert all(module.training for module in case.network.modules())
        pd.testing.assert_frame_equal(again.table, audited.table)
        assert all(torch.equal(before[name], tensor) for name, tensor in case.network.state_dict().items())
        assert not any(module._forward_hooks for module in case.network.modules())

    def test_it_reads_as_cleanlabs(self, audited):
        found = audited.to_cleanlab()
        assert list(found) == ["is_label_issue", "label_score", "given_label", "predicted_label"]

    @pytest.mark.parametrize("probe", ["kNN", "MASC", "VeLPIC", "LDA", "logistic"])
    def test_other_probes(self, case, probe):
        found = audit(case.network, case.inputs, case.given, held_out=case.held_out, probes=[probe])
        assert found.choice.probe == probe
        assert any("between similar classes" in finding for finding in found.findings) == (probe == "kNN")
        assert roc_auc_score(case.wrong, -found.table["score"]) > 0.8

    def test_rare_classes_are_not_all_marked(self, clean):
        """With correct labels and a class ten times rarer than the others."""
        kept = (clean.given != 3) | (np.cumsum(clean.given == 3) <= 10)
        found = audit(clean.network, clean.inputs[kept], clean.given[kept])
        rare = found.table[found.table["given"] == 3]
        assert len(rare) == 10
        assert rare["is_issue"].sum() <= 2

    def test_raw_input_is_used_where_layers_keep_nothing(self, case):
        class Blind(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden, self.out = nn.Linear(64, 3), nn.Linear(3, 10)
                nn.init.zeros_(self.hidden.weight)

            def forward(self, x):
                return self.out(torch.relu(self.hidden(x.flatten(1)) + 1e-3 * x.flatten(1)[:, :3]))

        found = audit(Blind(), case.inputs, case.given, held_out=case.held_out)
        assert found.choice.layer in (RAW_INPUT, "all layers")
        fixed = repair(Blind(), case.inputs, case.given, held_out=case.held_out)
        assert fixed.layer in (RAW_INPUT, "all layers")
        assert case.accuracy(fixed.network) > 0.7


class TestReport:
    def test_it_holds_everything_and_asks_nobody(self, audited, tmp_path):
        page = audited.report(tmp_path / "audit.html")
        assert (tmp_path / "audit.html").read_text(encoding="utf-8") == page
        assert page.count("data:image/png;base64,") > 80
        assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
        assert "https://" not in page

    def test_text_cannot_inject(self, case):
        names = ["<script>alert(1)</script>", *NAMES[1:]]
        labels = pd.Series(pd.Categorical.from_codes(case.given, names))
        assert "<script>" not in audit(case.network, case.inputs, labels).report()

    def test_normalized_images_are_shown_in_their_colours(self):
        """Grey stays grey, though each channel was normalized by itself; what is not normalized stays."""
        grey = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
        mean, std = (torch.tensor(values)[:, None, None] for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
        shown = self.pixels((grey - mean) / std)
        assert (np.ptp(shown, axis=2) <= 1).all()
        blue = grey * torch.tensor([0.2, 0.2, 1.0])[:, None, None]
        assert (self.pixels(blue)[..., 0] <= 0.2 * self.pixels(blue)[..., 2] + 1).all()

    def pixels(self, inputs):
        encoded = _Pictures(SimpleNamespace(inputs=inputs)).png(3)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).astype(int)

    def test_examples_that_are_no_images(self, case):
        flat = case.inputs.reshape(1000, -1)
        assert "no. " in audit(case.network, flat, case.given).report()


class TestRepair:
    def test_a_memorized_network_becomes_better(self, case):
        found = repair(case.network, case.inputs, case.given, held_out=case.held_out)
        assert found.kind in ("shortcut", "readout")
        assert found.gain.low > 0
        assert found.after.value > found.before.value
        assert case.accuracy(found.network) > case.accuracy(case.network) + 0.1
        assert found.calibration["after"].nll < found.calibration["before"].nll

    def test_without_held_out_it_says_that_nothing_is_known(self, case):
        with pytest.warns(UserWarning, match="unknown whether this repair helps"):
            found = repair(case.network, case.inputs, case.given)
        assert (found.before, found.after, found.gain) == (None, None, None)
        assert case.accuracy(found.network) > case.accuracy(case.network) + 0.1

    def test_an_earlier_checkpoint_is_taken(self, case):
        found = repair(
            case.network, case.inputs, case.given, held_out=case.held_out, checkpoints=case.checkpoints
        )
        assert found.gain.low > 0
        assert case.accuracy(found.network) > case.accuracy(case.network) + 0.1

    def test_the_readout_on_request(self, case):
        found = repair(case.network, case.inputs, case.given, held_out=case.held_out, readout=True)
        assert found.kind in ("readout", "none")
        fresh = mlp()
        fresh.load_state_dict(found.state_dict())
        assert case.accuracy(fresh.eval()) >= case.accuracy(case.network)

    @pytest.mark.parametrize("held_out", [True, False])
    def test_what_is_right_is_hardly_changed(self, clean, held_out):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = repair(clean.network, clean.inputs, clean.given, clean.held_out if held_out else None)
        assert clean.accuracy(found.network) >= clean.accuracy(clean.network) - 0.01
        if found.before is not None:
            assert found.after.value >= found.before.value

    @pytest.mark.parametrize("epoch", CHECKPOINTS)
    def test_without_held_out_a_network_that_has_not_memorized_is_left_alone(self, case, epoch):
        network = mlp()
        network.load_state_dict(case.checkpoints[epoch])
        found = repair(network.eval(), case.inputs, case.given)
        assert found.kind == "none"
        assert "has not memorized" in found.findings[-1]
        assert case.accuracy(found.network) == case.accuracy(network)

    def test_the_given_network_stays(self, case):
        before = copy.deepcopy(case.network.state_dict())
        found = repair(case.network, case.inputs, case.given, held_out=case.held_out)
        with torch.no_grad():
            for parameter in found.network.parameters():
                parameter.zero_()
        assert all(torch.equal(before[name], tensor) for name, tensor in case.network.state_dict().items())

    def test_held_out_labels_choose(self, case):
        """A candidate that is right on every held-out label is chosen, whatever it does in training."""
        scores = torch.tensor([[True] * 10, [True] * 5 + [False] * 5])

        class Fixed:
            def __init__(self, correct):
                self.on_held_out = correct

        assert right_when_chosen([Fixed(row) for row in scores]).all()

    def test_choosing_among_chance_is_not_a_gain(self):
        """The best of 200 coins looks right in 58 % of 400 labels; judged by the others' choice in half."""
        generator = torch.Generator().manual_seed(0)

        class Coin:
            def __init__(self):
                self.on_held_out = torch.rand(400, generator=generator) < 0.5

        coins = [Coin() for _ in range(200)]
        assert max(float(coin.on_held_out.double().mean()) for coin in coins) > 0.55
        assert abs(float(right_when_chosen(coins).double().mean()) - 0.5) < 0.06


class Shared(nn.Module):
    """One ReLU module that is called twice, and a ReLU that overwrites."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 40, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.hidden, self.out = nn.Linear(40 * 64, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.out(self.relu(self.hidden(x.flatten(1))))


class Recurrent(nn.Module):
    """Token ids, an LSTM, which returns a tuple, and a readout."""

    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(50, 8), nn.LSTM(8, 12, batch_first=True)
        self.out = nn.Linear(12, 10)

    def forward(self, ids):
        return self.out(self.lstm(self.embed(ids))[0][:, -1])


class Encoder(nn.Module):
    """Token ids, torch's encoder, and a readout."""

    def __init__(self):
        super().__init__()
        self.embed, block = nn.Embedding(50, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(block, 3), nn.Linear(8, 10)

    def forward(self, ids):
        return self.out(self.encoder(self.embed(ids)).mean(1))


class NewHead(nn.Module):
    """A backbone, which is one module, under a new readout."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = Shared(), nn.Linear(10, 10)

    def forward(self, x):
        return self.head(self.backbone(x))


class TestNetworks:
    @pytest.mark.parametrize(
        ("network", "names"),
        [
            (Recurrent, ["embed", "lstm"]),
            (Encoder, ["embed", *(f"encoder.layers.{block}" for block in range(3))]),
            (NewHead, ["backbone.conv", "backbone.relu"]),
        ],
    )
    def test_layers_are_found_inside_of_modules(self, network, names):
        """Not the outermost modules alone: a network's backbone or encoder can be a single one."""
        torch.manual_seed(0)
        network = network().eval()
        inputs = torch.rand(6, 1, 8, 8) if network.__class__ is NewHead else torch.randint(50, (6, 9))
        layers = examine(network, inputs).layers
        assert [layer.name for layer in layers] == [RAW_INPUT, *names, READOUT_INPUT]
        for layer in layers:
            features = collect(network, inputs, [layer]).by_layer[layer.name]
            head = nn.Linear(features.shape[1], 10)
            with torch.no_grad():
                torch.testing.assert_close(Shortcut(network, layer, head)(inputs), head(features))

    def test_layers_are_found(self, case):
        found = examine(case.network, torch.from_numpy(case.inputs))
        assert [layer.name for layer in found.layers] == [RAW_INPUT, "2", READOUT_INPUT]
        assert found.readout == "5"

    def test_wanted_layers(self, case):
        found = examine(case.network, torch.from_numpy(case.inputs), ["[13]"])
        assert [layer.name for layer in found.layers] == [RAW_INPUT, "1", "3", READOUT_INPUT]
        with pytest.raises(LatentgenError, match="'nine' matches no layer"):
            examine(case.network, torch.from_numpy(case.inputs), ["nine"])

    @pytest.mark.parametrize("name", [RAW_INPUT, "conv", "relu", "hidden", READOUT_INPUT])
    def test_a_shortcut_sees_what_was_collected(self, name):
        torch.manual_seed(0)
        network, inputs = Shared().eval(), torch.rand(5, 1, 8, 8)
        layers = {layer.name: layer for layer in examine(network, inputs, ["*"]).layers}
        features = collect(network, inputs, list(layers.values())).by_layer[name]
        assert features.shape[1] <= WIDEST
        head = nn.Linear(features.shape[1], 10)
        with torch.no_grad():
            torch.testing.assert_close(Shortcut(network, layers[name], head)(inputs), head(features))

    def test_a_projection_goes_into_the_readout(self):
        torch.manual_seed(0)
        wide = nn.Sequential(nn.Linear(4, 2 * WIDEST), nn.ReLU(), nn.Linear(2 * WIDEST, 3))
        inputs, labels = torch.randn(40, 4), torch.arange(40) % 3
        layer = examine(wide, inputs).layers[-1]
        features = collect(wide, inputs, [layer]).by_layer[layer.name]
        head = Ridge().fit(features, labels, 3)
        changed = with_readout(wide, "2", head.as_linear(1.0, Reduce(layer).projection))
        with torch.no_grad():
            torch.testing.assert_close(changed(inputs).double(), head.scores(features), rtol=1e-3, atol=1e-3)

    def test_readouts_that_cannot_be_written_are_known(self):
        head = nn.Linear(4, 3)
        assert takes(nn.Sequential(nn.Linear(4, 3)), "0", head)
        assert not takes(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))), "0", head)
        assert not takes(nn.Sequential(nn.Linear(4, 3, bias=False)), "0", head)
        tied = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 3))
        tied[1].weight = tied[0].weight
        assert not takes(tied, "1", head)

    def test_tokens_and_outputs_with_names(self):
        """A network of token ids that returns an object with logits, as transformers do."""

        class Output:
            def __init__(self, logits):
                self.logits = logits

        class Bag(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding, self.out = nn.Embedding(50, 8), nn.Linear(8, 2)

            def forward(self, ids):
                return Output(self.out(self.embedding(ids).mean(1)))

        rng = np.random.default_rng(0)
        labels = np.arange(200) % 2
        ids = rng.integers(0, 25, (200, 12)) + 25 * labels[:, None] * (rng.random((200, 12)) < 0.5)
        flipped = np.where(np.arange(200) < 20, 1 - labels, labels)
        torch.manual_seed(0)
        found = audit(Bag(), ids, flipped)
        assert roc_auc_score(np.arange(200) < 20, -found.table["score"]) > 0.9

    @pytest.mark.parametrize("shape", [(3, 300, 300), (700, 5), (50, 300), (3000,), (64,), (2000, 4, 4)])
    def test_features_are_never_wide(self, shape):
        layer = Layer("any", "any", 1, shape)
        assert 1 <= Reduce(layer)(torch.rand(2, *shape)).shape[1] <= WIDEST


def by_blocks(inputs, most):
    """Return examples that are read as they are needed, and fail if more are asked for at a time."""

    def seen(block):
        assert len(block) <= most
        return block

    return StoredExamples(inputs, seen, torch.device("cpu"))


def test_inputs_that_stay_in_their_file_give_the_same(case, audited, monkeypatch):
    """Nothing asks for more than a block of them."""
    monkeypatch.setattr("latentgen.repairing.examples.MOST_ITEMS", 90)
    monkeypatch.setattr("latentgen.repairing.features.items_per_block", lambda *_: 100)
    held_out = by_blocks(case.held_out[0], 100), case.held_out[1]
    found = audit(case.network, by_blocks(case.inputs, 100), case.given, held_out=held_out)
    pd.testing.assert_frame_equal(found.table, audited.table, rtol=1e-5)
    fixed = repair(case.network, by_blocks(case.inputs, 100), case.given, held_out=held_out)
    expected = repair(case.network, case.inputs, case.given, held_out=case.held_out)
    assert (fixed.kind, fixed.layer, fixed.after) == (expected.kind, expected.layer, expected.after)
    again = by_blocks(case.inputs[:500], 100), case.given[:500]
    with pytest.raises(LatentgenError, match="500 of 500 held-out examples are among the training examples"):
        audit(case.network, by_blocks(case.inputs, 100), case.given, held_out=again)


def test_the_report_shows_images_that_stay_in_their_file(case, audited, monkeypatch):
    found = replace(audited, inputs=by_blocks(case.inputs, 1000))
    assert found.report() == audited.report()
    assert "<img" in found.report()


def test_duplicates_with_different_labels():
    generator = torch.Generator().manual_seed(0)
    X = torch.rand(500, 30, generator=generator)
    X[7], X[400], X[8] = X[450], X[20] * 1.0001, X[9]
    labels = torch.arange(500) % 3
    labels[8] = labels[9]
    labels[7], labels[450], labels[400], labels[20] = 0, 1, 1, 2
    assert contradicting_duplicates(X, labels) == [(7, 450), (20, 400)]


def test_noise_is_estimated_from_certain_examples():
    generator = torch.Generator().manual_seed(0)
    true = torch.arange(4000) % 4
    given = torch.where(torch.rand(4000, generator=generator) < 0.3, (true + 1) % 4, true)
    scores = nn.functional.one_hot(true, 4) + 0.3 * torch.randn(4000, 4, generator=generator)
    found = estimate_noise(scores, given, ("a", "b", "c", "d"), 0)
    assert found.rate.low < 0.3 < found.rate.high
    assert found.rate.high - found.rate.low < 0.08
    row = found.matrix.query("true == 'a' and given == 'b'").iloc[0]
    assert row["low"] < 0.3 < row["high"]


class TestRefusals:
    def test_held_out_examples_that_were_trained_on(self, case):
        with pytest.raises(LatentgenError, match=r"300 of 300 held-out examples are among the training"):
            audit(case.network, case.inputs, case.given, held_out=(case.inputs[:300], case.given[:300]))

    def test_few_held_out_examples_are_reported(self, case):
        few = case.held_out[0][:150], case.held_out[1][:150]
        with pytest.warns(UserWarning, match="only 150 held-out"):
            audit(case.network, case.inputs, case.given, held_out=few)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": np.arange(1000) % 10 + 1}, r"from 1 to 10.*Subtract 1"),
            ({"labels": np.full(1000, np.nan)}, r"1000 labels are missing"),
            ({"labels": np.random.default_rng(0).random(1000)}, r"must be integers or strings"),
            ({"labels": ["a", "b"] * 500}, r"have 2 classes, but the network has 10"),
            ({"labels": np.zeros(1000, int)}, r"All labels are of one class"),
            ({"labels": np.arange(999) % 10}, r"1000 inputs and 999 labels"),
            ({"inputs": np.zeros((1000, 1, 8, 8), np.uint8)}, r"are bytes \(uint8\)"),
            ({"inputs": np.full((1000, 1, 8, 8), np.nan, np.float32)}, r"NaN or infinite"),
            ({"inputs": np.zeros((1000, 1, 9, 9), np.float32)}, r"cannot take the inputs"),
            ({"held_out": np.zeros(3)}, r"must be a pair"),
            ({"checkpoints": "epoch1.pt"}, r"must be a list"),
            ({"checkpoints": [{"x": torch.zeros(1)}]}, r"do not fit the network"),
            ({"network": "mine"}, r"give the torch.nn.Module itself"),
        ],
    )
    def test_what_is_not_as_described(self, case, change, message):
        given = {"network": case.network, "inputs": case.inputs, "labels": case.given}
        if "checkpoints" in change:
            given["held_out"] = case.held_out
        with pytest.raises(LatentgenError, match=message):
            audit(**given | change)

    def test_a_network_that_gives_nan(self, case):
        network = copy.deepcopy(case.network)
        with torch.no_grad():
            network[3].weight[0, 0] = torch.nan
        with pytest.raises(LatentgenError, match="NaN or infinite"):
            audit(network, case.inputs, case.given)


NETS = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, hidden=64):
        super().__init__(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 128), nn.ReLU(),
                         nn.Linear(128, 10))
"""


PHOTO_NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
"""


class TestCommands:
    @pytest.fixture
    def folder(self, case, tmp_path, monkeypatch):
        (tmp_path / "nets_to_repair.py").write_text(NETS)
        np.savez(tmp_path / "mine.npz", inputs=case.inputs, labels=case.given, class_names=NAMES)
        np.savez(tmp_path / "val.npz", inputs=case.held_out[0], labels=case.held_out[1], class_names=NAMES)
        for epoch, state in {**case.checkpoints, 150: case.network.state_dict()}.items():
            torch.save(state, tmp_path / f"epoch{epoch}.pt")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path

    def run(self, *arguments):
        done = CliRunner().invoke(main, arguments, catch_exceptions=False)
        if done.exit_code:  # the command shows the message alone
            raise LatentgenError(done.output)
        return done.output

    def test_audit(self, case, folder):
        common = ("--network", "nets_to_repair:Net", "--argument", "hidden=64", "--weights", "epoch150.pt")
        said = self.run("audit", *common, "--data", "mine.npz", "--held-out", "val.npz", "--out", "audit")
        assert "labels are marked" in said
        table = pd.read_csv(folder / "audit/label_issues.csv")
        assert roc_auc_score(case.wrong, -table["score"]) > 0.93
        summary = json.loads((folder / "audit/audit.json").read_text(encoding="utf-8"))
        assert summary["classes"] == NAMES
        assert summary["n_issues"]["low"] < case.wrong.sum() < summary["n_issues"]["high"]
        assert (folder / "audit/audit.html").exists()

    def test_repair_with_checkpoints(self, case, folder):
        common = ("--network", "nets_to_repair:Net", "--weights", "epoch{epoch}.pt", "--data", "mine.npz")
        said = self.run("repair", *common, "--held-out", "val.npz", "--out", "repaired")
        summary = json.loads((folder / "repaired/repair.json").read_text(encoding="utf-8"))
        assert summary["gain"]["low"] > 0
        assert summary["load"] in said

    @pytest.mark.parametrize("readout", [(), ("--readout",)])
    def test_the_network_is_loaded_by_the_line_that_is_printed(self, case, folder, readout):
        common = ("--network", "nets_to_repair:Net", "--weights", "epoch150.pt", "--data", "mine.npz")
        said = self.run("repair", *common, "--held-out", "val.npz", *readout, "--out", "repaired")
        (line,) = re.findall("^To load it: (.*)$", said, re.MULTILINE)
        scope = {"network": mlp()}
        exec(line, scope)
        assert case.accuracy(scope["network"]) > case.accuracy(case.network) + 0.1

    def test_no_pickle_is_run(self, folder):
        class Evil:
            def __reduce__(self):
                return (open, ("run", "w"))

        torch.save({"x": Evil()}, folder / "evil.pt")
        common = ("--network", "nets_to_repair:Net", "--data", "mine.npz", "--out", "audit")
        with pytest.raises(LatentgenError, match="cannot be read as weights"):
            self.run("audit", *common, "--weights", "evil.pt")
        assert not (folder / "run").exists()

    def test_classes_of_folders_are_in_alphabetical_order_also_if_they_are_numbers(self, tmp_path):
        for value, name in enumerate(["2", "10", "1"]):
            (tmp_path / name).mkdir()
            Image.fromarray(np.full((5, 6), value, np.uint8)).save(tmp_path / name / "a.png")
        inputs, labels = read_examples(tmp_path, Preprocessing(value_range=(0, 255)))
        assert list(labels.categories) == ["1", "10", "2"]
        values = {str(name): float(x.mean()) for name, x in zip(labels, inputs, strict=True)}
        assert values == {"2": 0.0, "10": 1.0, "1": 2.0}

    def test_images_larger_than_memory_are_scaled_as_they_are_needed(self, tmp_path, monkeypatch):
        for name, count in (("cat", 3), ("dog", 2)):
            (tmp_path / name).mkdir()
            for number in range(count):
                pixels = np.random.default_rng(number).integers(256, size=(5, 6, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
        expected, labels = read_examples(tmp_path, Preprocessing(value_range=(-1, 1)))
        monkeypatch.setattr("latentgen.data.inputs.IN_MEMORY", 0)
        inputs, same = read_examples(tmp_path, Preprocessing(value_range=(-1, 1)))
        assert isinstance(inputs, StoredExamples)
        assert list(same) == list(labels)
        np.testing.assert_array_equal(inputs[:], expected)
        np.testing.assert_array_equal(inputs[1:3], expected[1:3])

    def test_a_divided_folder_is_refused(self, tmp_path):
        for part in ("train", "test"):
            (tmp_path / part / "cat").mkdir(parents=True)
            Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / part / "cat" / "a.png")
        with pytest.raises(LatentgenError, match="is divided into training and test images"):
            read_examples(tmp_path)

    def test_images_in_folders(self, case, folder):
        from PIL import Image

        for index in range(300):
            name = NAMES[case.given[index]]
            (folder / "images" / name).mkdir(parents=True, exist_ok=True)
            (folder / "images" / name / "0000.txt").write_text("not an image")
            pixels = (255 * case.inputs[index, 0]).round().astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{index:04d}.png")
        common = ("--network", "nets_to_repair:Net", "--weights", "epoch150.pt")
        self.run("audit", *common, "--data", "images", "--out", "audit")
        table = pd.read_csv(folder / "audit/label_issues.csv")
        assert sorted(table["given"].unique()) == sorted(NAMES)
        assert list(table["file"].str.split("/").str[0]) == list(table["given"])
        for row in table.iloc[[0, 150, 299]].to_dict("records"):
            assert row["file"] == f"{row['given']}/{int(row['file'][-8:-4]):04d}.png"
            assert NAMES[case.given[int(row["file"][-8:-4])]] == row["given"]
        assert table["file"].is_unique
        assert table.nsmallest(1, "score")["file"].iloc[0] in (folder / "audit/audit.html").read_text()

    def test_photos_become_inputs_as_with_torchvision(self, tmp_path, monkeypatch):
        """Photos of several sizes, resized, cropped and normalized, from the command to the network."""
        from torchvision import transforms

        rng, files = np.random.default_rng(0), {"photos": [], "val": []}
        for index in range(40):
            # Resized, an even number of pixels larger than the crop: others are rounded differently.
            height, width = [(20, 28), (20, 32), (24, 24), (32, 20)][index % 4]
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            folder = tmp_path / ("photos" if index < 30 else "val") / NAMES[index % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{index:02d}.png")
            files[folder.parent.name].append(folder / f"{index:02d}.png")
        (tmp_path / "photo_nets.py").write_text(PHOTO_NET)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
        torch.save(
            {"epoch": 3, "model": {f"module.{k}": v for k, v in network.state_dict().items()}},
            tmp_path / "w.pt",
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        options = ("--resize", "10", "--crop", "8", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.4")
        with pytest.warns(UserWarning, match="only 10 held-out"):
            self.run(
                *("audit", "--network", "photo_nets:Net", "--weights", "w.pt", "--data", "photos"),
                *("--held-out", "val", *options, "--out", "audit"),
            )
        prepare = transforms.Compose(
            [
                transforms.Resize(10),
                transforms.CenterCrop(8),
                transforms.ToTensor(),
                transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
            ]
        )
        files["photos"].sort(key=lambda file: (file.parent.name, file.name))
        with torch.no_grad():
            logits = network(torch.stack([prepare(Image.open(file)) for file in files["photos"]]))
        table = pd.read_csv(tmp_path / "audit/label_issues.csv")
        assert table["file"].tolist() == [f"{file.parent.name}/{file.name}" for file in files["photos"]]
        given = torch.tensor([sorted(NAMES[:2]).index(name) for name in table["given"]])
        margins = logits[range(30), given] - logits[range(30), 1 - given]
        ranks = [
            values.argsort().argsort() for values in (margins.numpy(), table["network_score"].to_numpy())
        ]
        np.testing.assert_array_equal(*ranks)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--data", "images", "--mean", "1,2,3"), "mean has 3 values; the images have 1 channels"),
            (("--data", "images", "--std", "0"), "std must be greater than 0"),
            (("--data", "mine.npz", "--resize", "4"), "mine.npz is an array: resize can only change images"),
            (("--data", "mine.npz", "--std", "2"), "mine.npz holds inputs as the network takes them"),
            (("--data", "images", "--resize", "4x"), "4x is neither a number of pixels, as 64, nor two"),
            (("--data", "images", "--mean", "a"), "a is not a number, or several with commas"),
            (("--data", "images", "--channels", "3"), r"cannot take the inputs .*--channels, --resize"),
            (("--data", "labels.csv"), "labels.csv is neither a folder of images by class nor an .npz file"),
        ],
    )
    def test_preparation_that_does_not_fit(self, folder, options, said):
        for name in NAMES[:2]:
            (folder / "images" / name).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "images" / name / "a.png")
        (folder / "labels.csv").write_text("file,label\na.png,cat\n")
        common = ("--network", "nets_to_repair:Net", "--weights", "epoch150.pt", "--out", "audit")
        with pytest.raises(LatentgenError, match=said):
            self.run("audit", *common, *options)

    def test_weights_without_a_match(self, folder):
        common = ("--network", "nets_to_repair:Net", "--data", "mine.npz", "--out", "audit")
        with pytest.raises(LatentgenError, match="No file matches"):
            self.run("audit", *common, "--weights", "step{epoch}.pt")


@pytest.mark.parametrize("layer", ["all layers", "2"])
def test_an_exported_network_gives_the_same(case, layer):
    """Whatever a repair is made of, its program gives the same for any number of examples."""
    if layer == "all layers":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = repair(case.network, case.inputs, case.given)
        network, example = found.network, found
    else:
        anatomy = examine(case.network, torch.from_numpy(case.inputs))
        place = next(one for one in anatomy.layers if one.name == layer)
        network = Shortcut(case.network, place, nn.Linear(64, 10))
        example = SimpleNamespace(network=network, example=torch.from_numpy(case.inputs[:2]))
    program = exported(example).module()
    products = [node for node in program.graph.nodes if "linear" in str(node.target)]
    assert layer == "all layers" or len(products) == 2  # up to the layer, and the head
    for n in (1, 2, 7):
        inputs = torch.from_numpy(case.inputs[:n])
        with torch.no_grad():
            torch.testing.assert_close(program(inputs), network(inputs))


@pytest.mark.parametrize("architecture", ["MLP", "CNN", "ResNet18", "ViT", "Transformer"])
def test_a_built_in_network_cut_at_a_layer_can_be_exported(architecture):
    inputs = torch.rand((5, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    shape = (1, 28, 28)
    if architecture == "Transformer":
        inputs, shape = (999 * inputs[:, 0, :, 0]).long(), Tokens(length=28, vocabulary=1000, padding=0)
    network = make_network({"architecture": architecture}, shape, 10).eval()
    network = getattr(network, "body", network)
    layer = examine(network, inputs).layers[-2]
    width = Reduce(layer)(torch.ones(1, *layer.shape)).shape[1]
    shortcut = Shortcut(network, layer, nn.Linear(width, 10))
    program = exported(SimpleNamespace(network=shortcut, example=inputs[:2])).module()
    with torch.no_grad():
        torch.testing.assert_close(program(inputs), shortcut(inputs))


class Counting(nn.Module):
    """A network that torch.export cannot follow: ``len`` fixes the number of examples."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, *inputs):
        return self.body(inputs[0][: len(inputs[0])])


@pytest.mark.parametrize("is_local", [False, True])
def test_a_network_that_cannot_be_exported_is_pickled(case, is_local, tmp_path):
    class Local(Counting):
        pass

    network = (Local if is_local else Counting)(case.network)
    found = repair(case.network, case.inputs, case.given, held_out=case.held_out)
    load = save_repair(replace(found, network=network, same_architecture=False), tmp_path)
    assert json.loads((tmp_path / "repair.json").read_text(encoding="utf-8"))["load"] == load
    if is_local:
        assert load.startswith("nothing was written: torch.export fails (Constraints violated (batch)!")
        assert "so does pickle (Can't pickle local object" in load
        assert [file.name for file in tmp_path.iterdir()] == ["repair.json"]
    else:
        assert "# it needs the network's code: torch.export fails (Constraints violated (batch)!" in load
        scope = {}
        exec(load, scope)
        inputs = torch.from_numpy(case.inputs)
        assert torch.equal(scope["network"](inputs), case.network(inputs))


def test_both_functions_without_torch_at_import():
    code = (
        "import sys, latentgen; assert 'torch' not in sys.modules;"
        "import latentgen.repairing.repair; from latentgen import audit, repair;"
        "assert callable(audit) and callable(repair)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": sys.path[0], **_environment()}
    )


def _environment():
    import os

    library = Path(__file__).parents[2] / "workflow" / "scripts"
    return {**os.environ, "PYTHONPATH": str(library)}


def test_files_of_checkpoints_are_read(case, tmp_path):
    files = {}
    for epoch, state in case.checkpoints.items():
        files[epoch] = tmp_path / f"{epoch}.safetensors"
        save_file(state, files[epoch])
    one = repair(case.network, case.inputs, case.given, held_out=case.held_out, checkpoints=files)
    other = repair(
        case.network, case.inputs, case.given, held_out=case.held_out, checkpoints=case.checkpoints
    )
    pd.testing.assert_frame_equal(one.candidates, other.candidates)
