"""Training is plain stochastic gradient descent or Adam, and its record says what happened."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from latentgen.data.datasets import Dataset
from latentgen.data.labels import Labels
from latentgen.data.noise.registry import corrupt
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.study.training_check import check_trainings
from latentgen.training.batches import check_batch_of_one, epoch_order
from latentgen.training.data import training_data
from latentgen.training.measuring import count_correct
from latentgen.training.stopping import held_out_items
from trainings import train_here

CPU = torch.device("cpu")
SHAPE, N_TRAIN, N_TEST, N_CLASSES = (1, 8, 8), 103, 41, 4
MLP = {"architecture": "MLP", "widths": [24, 12]}
CNN = {"architecture": "CNN"}
SGD = {"name": "SGD", "learning_rate": 0.05, "momentum": 0.9}
ADAM = {"name": "Adam", "learning_rate": 0.002, "betas": [0.8, 0.99]}


def small_dataset(seed=0):
    """Return images of which each class lights its own row, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(N_CLASSES, size=N_TRAIN + N_TEST)
    images = rng.integers(0, 60, (len(labels), *SHAPE), dtype=np.uint8)
    images[np.arange(len(labels)), 0, 2 * labels] += 150
    return Dataset(
        "rows", images[:N_TRAIN], labels[:N_TRAIN], images[N_TRAIN:], labels[N_TRAIN:],
        np.arange(N_TRAIN), np.arange(N_TEST), tuple("abcd"), 255, "here", {},
    )  # fmt: skip


DATASET = small_dataset()
LABELS = corrupt(DATASET.train_labels, N_CLASSES, "symmetric", 0.4, seed=1)
DATA = training_data(DATASET, LABELS, (-1, 1), CPU)


def trained(model=MLP, data=DATA, **changed):
    """Train as told; return the result, the network and the weights saved by epoch."""
    settings = {
        "optimizer": SGD,
        "batch_size": 16,
        "shuffle": True,
        "max_epochs": 4,
        "stop": None,
        "checkpoints": (0, 2, 4),
        "seed": 5,
    }
    network = make_network(model, SHAPE, N_CLASSES, seed=5)
    result, saved = train_here(network, data, **(settings | changed))
    return result, network, saved


def plainly_trained(model, data, optimizer, batch_size, orders):
    """Train with torch's own optimizer and a loop without any economy; return the network and its record."""
    network = make_network(model, SHAPE, N_CLASSES, seed=5)
    if optimizer["name"] == "SGD":
        torch_optimizer = torch.optim.SGD(
            network.parameters(), lr=optimizer["learning_rate"], momentum=optimizer["momentum"]
        )
    else:
        torch_optimizer = torch.optim.Adam(
            network.parameters(), lr=optimizer["learning_rate"], betas=optimizer["betas"]
        )
    epochs = []
    for order in orders:
        network.train()
        losses, correct = [], 0
        for first in range(0, len(order), batch_size):
            items = order[first : first + batch_size]
            inputs = torch.stack([data.train_inputs[item] for item in items])
            targets = torch.tensor([int(data.corrupted_labels[item]) for item in items])
            torch_optimizer.zero_grad()
            logits = network(inputs)
            cross_entropy(logits, targets).backward()
            torch_optimizer.step()
            losses += cross_entropy(logits, targets, reduction="none").tolist()
            correct += sum(int(row.argmax() == target) for row, target in zip(logits, targets, strict=True))
        network.eval()
        with torch.no_grad():
            test = int((network(data.test_inputs).argmax(1) == data.test_labels).sum())
        epochs.append({"loss": math.fsum(losses) / len(losses), "online": correct, "test": test})
    return network, epochs


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("model", "optimizer"),
    [(MLP, SGD), (MLP, {**SGD, "momentum": 0.0}), (MLP, ADAM), (CNN, {**ADAM, "betas": [0.9, 0.999]})],
    ids=["SGD", "SGD without momentum", "Adam", "CNN"],
)
def test_training_is_that_of_torchs_own_optimizer(model, optimizer, shuffle):
    orders = [epoch_order(N_TRAIN, 5, epoch) if shuffle else torch.arange(N_TRAIN) for epoch in range(1, 5)]
    expected, epochs = plainly_trained(model, DATA, optimizer, 16, orders)  # 103 = 6 × 16 + 7 items
    result, network, _ = trained(model, optimizer=optimizer, shuffle=shuffle)
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(weights, expected.state_dict()[name], rtol=1e-4, atol=1e-4)
    untrained, *history = result.history
    assert [record.online_correct for record in history] == [epoch["online"] for epoch in epochs]
    assert [record.test_correct for record in history] == [epoch["test"] for epoch in epochs]
    assert [record.loss for record in history] == pytest.approx([epoch["loss"] for epoch in epochs], rel=1e-4)
    assert untrained.epoch == 0
    # Two networks that stay as they were would agree as well.
    initial = make_network(model, SHAPE, N_CLASSES, seed=5).readout.weight
    assert (network.readout.weight - initial).abs().max() > 0.01


def test_the_order_depends_on_seed_and_epoch_alone():
    order = epoch_order(1000, seed=3, epoch=7)
    torch.manual_seed(1)
    assert torch.equal(epoch_order(1000, seed=3, epoch=7), order)
    assert torch.equal(order.sort().values, torch.arange(1000))
    for other in (epoch_order(1000, seed=3, epoch=8), epoch_order(1000, seed=4, epoch=7)):
        assert (other == order).float().mean() < 0.02


def test_the_same_seed_gives_the_same_bits():
    one, _, first = trained()
    torch.rand(3)
    two, _, again = trained()
    assert all(
        torch.equal(first[epoch][name], again[epoch][name]) for epoch in first for name in first[epoch]
    )
    timeless = [[replace(record, seconds=0) for record in result.history] for result in (one, two)]
    assert timeless[0] == timeless[1]
    _, _, other = trained(seed=6)
    assert torch.equal(first[0]["readout.weight"], other[0]["readout.weight"])  # weights were made before
    assert not torch.equal(first[4]["readout.weight"], other[4]["readout.weight"])


def test_checkpoints_are_the_scheduled_ones_and_the_last():
    _, network, saved = trained(max_epochs=5, checkpoints=(0, 2, 4, 30))
    assert list(saved) == [0, 2, 4, 5]
    assert torch.equal(saved[5]["readout.weight"], network.readout.weight)
    initial = make_network(MLP, SHAPE, N_CLASSES, seed=5)
    assert torch.equal(saved[0]["readout.weight"], initial.readout.weight)
    assert list(trained(max_epochs=3, checkpoints=(2,))[2]) == [2, 3]


def test_history_has_what_was_measured_where_it_was():
    result, _, saved = trained(max_epochs=5, checkpoints=(0, 2, 4))
    assert [record.epoch for record in result.history] == list(range(6))
    for record in result.history:
        trained_on = [record.loss, record.online_correct, record.online_total]
        assert [value is None for value in trained_on] == [record.epoch == 0] * 3
        at_checkpoint = [record.train_corrupted_correct, record.train_true_correct, record.train_total]
        assert [value is None for value in at_checkpoint] == [record.epoch not in (0, 2, 4, 5)] * 3
        assert record.test_total == N_TEST
        assert (record.seconds > 0) == (record.epoch > 0)
    network = make_network(MLP, SHAPE, N_CLASSES)
    for epoch, weights in saved.items():
        network.load_state_dict(weights)
        with torch.no_grad():
            predicted = network(DATA.train_inputs).argmax(1).numpy()
            test = network(DATA.test_inputs).argmax(1).numpy()
        record = result.history[epoch]
        assert record.train_corrupted_correct == (predicted == LABELS.corrupted).sum()
        assert record.train_true_correct == (predicted == LABELS.true).sum()
        assert record.test_correct == (test == DATASET.test_labels).sum()
    assert {row["epoch"] for row in result.history_rows()} == set(range(6))
    summary = result.summary()
    assert "history" not in summary
    assert summary["ended"] == "max_epochs: 5 epochs trained"
    assert summary["items_per_second"] > 0
    assert 20 < summary["peak_memory_mb"] < 20_000


def test_stop_when_memorized_is_looked_for_at_checkpoints():
    stop = {"train_accuracy": 1.0, "measured": "eval"}
    adam = {**ADAM, "learning_rate": 0.01}
    result, _, saved = trained(optimizer=adam, max_epochs=300, stop=stop, checkpoints=range(0, 300, 10))
    last = result.history[-1]
    assert last.epoch < 300
    assert last.epoch % 10 == 0
    assert last.train_corrupted_correct == N_TRAIN
    before = [record.train_corrupted_correct for record in result.history[:-1] if record.epoch % 10 == 0]
    assert max(before) < N_TRAIN
    assert list(saved) == list(range(0, last.epoch + 1, 10))
    assert result.ended == f"stop rule: train accuracy 1 (eval) at epoch {last.epoch}"


def test_stop_by_online_accuracy_is_looked_for_after_every_epoch():
    stop = {"train_accuracy": 0.8, "measured": "online"}
    result, _, saved = trained(max_epochs=300, stop=stop, checkpoints=(0, 300))
    *before, last = [record.online_correct for record in result.history[1:]]
    assert max(before) < 0.8 * N_TRAIN <= last
    assert list(saved) == [0, len(before) + 1]  # the last epoch is kept though it was not scheduled
    assert result.history[-1].train_corrupted_correct is not None
    assert result.ended == f"stop rule: train accuracy 0.8 (online) at epoch {len(before) + 1}"


def test_a_target_that_is_met_exactly_is_met():
    reached = trained(max_epochs=6, checkpoints=range(7))[0].history[-1].train_corrupted_correct
    stop = {"train_accuracy": reached / N_TRAIN, "measured": "eval"}
    result = trained(max_epochs=6, checkpoints=range(7), stop=stop)[0]
    assert result.history[-1].train_corrupted_correct >= reached
    assert result.ended.startswith("stop rule")


def test_held_out_examples_are_a_fifth_that_the_seed_draws():
    held_out = held_out_items(101, seed=1)
    assert held_out.sum() == 20
    assert torch.equal(held_out, held_out_items(101, seed=1))
    assert not torch.equal(held_out, held_out_items(101, seed=2))


def test_early_stopping_ends_with_the_best_epoch_on_held_out_examples():
    plain, _, _ = trained(max_epochs=30, checkpoints=range(31))
    held_out = [record.held_out_correct for record in plain.history]
    waited, best = 3, 0
    while max(held_out[best + 1 : best + 1 + waited]) > held_out[best]:
        best = next(e for e in range(best + 1, 31) if held_out[e] > held_out[best])
    assert 0 < best < 30 - waited, "training goes past its best"
    result, _, saved = trained(max_epochs=30, checkpoints=(0,), patience=waited)
    assert [record.epoch for record in result.history] == list(range(best + 1))
    assert max(saved) == best
    assert (
        result.ended
        == f"early stop: best held-out accuracy at epoch {best}, not surpassed by epoch {best + 3}"
    )
    items = held_out_items(N_TEST, seed=5).numpy()
    network = make_network(MLP, SHAPE, N_CLASSES)
    network.load_state_dict(saved[best])
    with torch.no_grad():
        right = network(DATA.test_inputs).argmax(1).numpy() == DATASET.test_labels
    last = result.history[-1]
    assert (last.held_out_correct, last.held_out_total) == (right[items].sum(), items.sum())
    assert (last.test_correct, last.test_total) == (right[~items].sum(), (~items).sum())
    assert (last.rest_correct, last.rest_total) == (last.test_correct, last.test_total)
    assert last.train_total == N_TRAIN
    without = plain.history[best]
    assert (without.test_correct, without.test_total) == (right.sum(), N_TEST)
    assert (without.rest_correct, without.rest_total) == (last.rest_correct, last.rest_total)


def test_early_stopping_can_leave_the_last_network_in_place_of_the_best():
    waited, settings = 3, {"max_epochs": 30, "checkpoints": (0,)}
    best, _, saved_best = trained(patience=waited, **settings)
    last, network, saved = trained(patience=waited, result="last", **settings)
    end = best.history[-1].epoch + waited
    assert [record.epoch for record in last.history] == list(range(end + 1))
    assert last.ended == best.ended
    assert last.history[-1].train_total, "the end is a checkpoint"
    assert set(saved) == {*saved_best, end}
    for name, tensor in network.state_dict().items():
        assert torch.equal(saved[end][name], tensor)


def test_early_stopping_that_reaches_the_last_epoch_keeps_the_best():
    result, _, saved = trained(max_epochs=2, checkpoints=(0,), patience=50)
    held_out = [record.held_out_correct for record in trained(max_epochs=2)[0].history]
    assert result.history[-1].epoch == max(saved) == int(np.argmax(held_out))


def test_a_loss_that_diverges_ends_the_job_with_a_way_out():
    with pytest.raises(LatentgenError) as refusal:
        trained(optimizer={**SGD, "learning_rate": 1e30})
    assert str(refusal.value) in {
        f"The loss became {loss} in epoch 1, with SGD at learning rate 1e+30. Training has diverged: try a "
        "learning rate of 1e+29 (training.optimizer.learning_rate)."
        for loss in ("nan", "inf")
    }


RESNET = {"architecture": "ResNet18"}


@pytest.mark.parametrize(("batch_size", "works"), [(17, 18), (1, 4), (51, 52), (102, 103)])
def test_a_batch_of_one_that_cannot_be_normalized_is_refused_before_the_start(batch_size, works, tmp_path):
    network = make_network(RESNET, SHAPE, N_CLASSES, seed=5)  # maps of 1 × 1 at the end
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    which = "every" if batch_size == 1 else "the last"
    with pytest.raises(LatentgenError) as refusal:
        trained(RESNET, batch_size=batch_size)
    said = f"With 103 training examples in batches of {batch_size}, {which} batch has one example"
    assert said in str(refusal.value)
    assert f"Set batch_size to {works}." in str(refusal.value)
    with pytest.raises(LatentgenError):
        check_batch_of_one(network, DATA.train_inputs, N_TRAIN, batch_size)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    check_batch_of_one(network, DATA.train_inputs, N_TRAIN, works)


def test_a_batch_of_one_is_trained_on_where_nothing_is_normalized():
    result, _, _ = trained(batch_size=17, max_epochs=1)
    assert result.history[-1].online_total == N_TRAIN


def test_a_batch_of_one_is_reported_before_a_study_starts(study):
    def check(n_train, model, **more):
        pair = study["pairs"][0]
        training = {**pair["training"], "batch_size": 32}
        dataset = {"name": "digits", "train_items": n_train}
        changed = {"dataset": dataset, "model": model, "training": training, **more}
        check_trainings(read_study(study | {"pairs": [changed]}))

    with pytest.raises(
        LatentgenError, match=r"digits_65-resnet18: With 65 training examples in batches of 32"
    ):
        check(65, RESNET)
    with pytest.raises(
        LatentgenError, match=r"in batches of 1, every batch has one example.* Set batch_size to 2"
    ):
        check(64, RESNET, interventions=[{"edit": "velpic", "at_epoch": 10, "batch_size": 1}])
    check(64, RESNET)
    check(65, MLP)


def test_evaluation_in_blocks_counts_every_item_once():
    network = make_network(MLP, SHAPE, N_CLASSES)
    whole = count_correct(network, DATA.train_inputs, DATA.corrupted_labels, DATA.true_labels)
    network.train()
    labels = DATA.corrupted_labels, DATA.true_labels
    assert count_correct(network, DATA.train_inputs, *labels, block_size=10) == whole
    assert not network.training


def test_labels_of_another_dataset_are_refused():
    other = small_dataset(seed=1)
    with pytest.raises(LatentgenError, match="belongs to another data set than rows"):
        training_data(other, LABELS, (-1, 1), CPU)
    short = Labels(LABELS.true[:-1], LABELS.corrupted[:-1], LABELS.redrawn[:-1])
    with pytest.raises(LatentgenError, match="another data set"):
        training_data(DATASET, short, (-1, 1), CPU)


def test_what_is_trained_on_is_the_data_set_with_its_labels():
    assert DATA.train_inputs.shape == (N_TRAIN, *SHAPE)
    assert torch.equal(DATA.corrupted_labels, torch.from_numpy(LABELS.corrupted))
    assert torch.equal(DATA.true_labels, torch.from_numpy(DATASET.train_labels))
    assert torch.equal(DATA.test_labels, torch.from_numpy(DATASET.test_labels))
    expected = DATASET.test_inputs / np.float32(255) * 2 - 1
    np.testing.assert_allclose(DATA.test_inputs.numpy(), expected, atol=1e-6)


def test_half_precision_changes_the_last_digits_of_training_and_not_how_it_is_measured():
    full, _, exact = trained(max_epochs=1, checkpoints=[1])
    half, network, rough = trained(max_epochs=1, checkpoints=[1], precision="bfloat16")
    for name, weights in exact[1].items():
        assert rough[1][name].dtype == torch.float32
        assert 0 < (rough[1][name] - weights).norm() < 2**-6 * weights.norm()
    assert half.history[1].loss != full.history[1].loss
    assert half.history[1].loss == pytest.approx(full.history[1].loss, rel=2**-6)
    assert [half.history[1].test_correct] == count_correct(network, DATA.test_inputs, DATA.test_labels)


def test_compiling_is_for_gpus_alone(monkeypatch):
    _, _, plain = trained()

    def refuse(*_, **__):
        raise AssertionError("compiled on the CPU")

    monkeypatch.setattr(torch, "compile", refuse)
    _, _, found = trained(compile=True)
    for name, weights in plain[4].items():
        assert torch.equal(found[4][name], weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_compiled_steps_are_the_same_steps(optimizer):
    data = training_data(DATASET, LABELS, (-1, 1), torch.device("cuda"))
    losses = []
    for compiled in (False, True):
        network = make_network(MLP, SHAPE, N_CLASSES, seed=5).to("cuda")
        result, _ = train_here(
            network, data, optimizer=optimizer, batch_size=16, shuffle=True, max_epochs=4, stop=None,
            checkpoints=[4], seed=5, compile=compiled,
        )  # fmt: skip
        losses.append([record.loss for record in result.history[1:]])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
