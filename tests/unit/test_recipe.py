"""Today's training recipe is that of torch: optimizers, schedules, losses, clipping and augmentation."""

import numpy as np
import pytest
import torch
from test_training import DATASET, N_CLASSES, SHAPE, small_dataset
from torch.nn.functional import cross_entropy, one_hot
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, SequentialLR
from torchvision.transforms import functional

from latentgen.data.noise.registry import corrupt
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.study.tables_study import tables_study
from latentgen.tables.published_settings import differences, read_published_settings
from latentgen.training.augmentation import augment
from latentgen.training.batches import epoch_order
from latentgen.training.data import training_data
from latentgen.training.learning_rates import learning_rate_factor
from latentgen.training.parameter_groups import parameter_groups, train_mode
from latentgen.training.steps import loss_function
from trainings import train_here

BATCH, EPOCHS, SEED = 16, 4, 5
MLP = {"architecture": "MLP", "widths": [24, 12]}
LABELS = corrupt(DATASET.train_labels, N_CLASSES, "symmetric", 0.4, seed=1)
DATA = training_data(DATASET, LABELS, (-1, 1), torch.device("cpu"))
N_TRAIN = len(DATA.corrupted_labels)
STEPS = -(-N_TRAIN // BATCH)
RATE = 0.02
NOTHING = {"crop": 0, "flip": False, "cutout": 0, "mixup": 0.0}


def trained(optimizer, **recipe):
    network = make_network(MLP, SHAPE, N_CLASSES, seed=SEED)
    result, _ = train_here(
        network, DATA, optimizer=optimizer, batch_size=BATCH, shuffle=True, max_epochs=EPOCHS, stop=None,
        checkpoints=[EPOCHS], seed=SEED, **recipe,
    )  # fmt: skip
    return network, result


def plainly_trained(make_optimizer, make_scheduler=None, loss=cross_entropy, clip=None, mixup=0.0):
    """Train with torch's own classes, as a script would."""
    network = make_network(MLP, SHAPE, N_CLASSES, seed=SEED)
    biases = [of for name, of in network.named_parameters() if name.endswith("bias")]
    weights = [of for name, of in network.named_parameters() if not name.endswith("bias")]
    optimizer = make_optimizer([{"params": weights}, {"params": biases, "weight_decay": 0.0}])
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    for epoch in range(1, EPOCHS + 1):
        for number, items in enumerate(epoch_order(N_TRAIN, SEED, epoch).split(BATCH)):
            images, labels = DATA.train_inputs[items], DATA.corrupted_labels[items]
            if mixup:
                place = (SEED, epoch, number * BATCH)
                images, mixture = augment(images, NOTHING | {"mixup": mixup}, DATA.blank, place)
                both = one_hot(labels, N_CLASSES), one_hot(labels[mixture.partners], N_CLASSES)
                labels = mixture.own * both[0] + (1 - mixture.own) * both[1]
            optimizer.zero_grad()
            loss(network(images), labels).backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
            if scheduler:
                scheduler.step()
    return network


def assert_same_weights(found, expected):
    for name, weights in found.state_dict().items():
        torch.testing.assert_close(weights, expected.state_dict()[name], rtol=1e-4, atol=1e-5)


SGD = {"name": "SGD", "learning_rate": RATE, "momentum": 0.9, "not_decayed": ["bias", "norm"]}
OPTIMIZERS = {
    "SGD with decay": (
        SGD | {"weight_decay": 0.1},
        lambda p: torch.optim.SGD(p, RATE, 0.9, weight_decay=0.1),
    ),
    "Nesterov": (
        SGD | {"weight_decay": 0.1, "nesterov": True},
        lambda p: torch.optim.SGD(p, RATE, 0.9, weight_decay=0.1, nesterov=True),
    ),
    "Adam with decay": (
        {**SGD, "name": "Adam", "betas": [0.8, 0.99], "weight_decay": 0.1, "momentum": None},
        lambda p: torch.optim.Adam(p, RATE, (0.8, 0.99), weight_decay=0.1),
    ),
    "AdamW": (
        {
            **SGD,
            "name": "AdamW",
            "betas": [0.9, 0.95],
            "weight_decay": 0.5,
            "epsilon": 1e-6,
            "momentum": None,
        },
        lambda p: torch.optim.AdamW(p, RATE, (0.9, 0.95), 1e-6, 0.5),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_torchs_with_weight_decay_on_weights_alone(name):
    ours, theirs = OPTIMIZERS[name]
    found, _ = trained({key: value for key, value in ours.items() if value is not None})
    assert_same_weights(found, plainly_trained(theirs))


def test_everything_decays_if_nothing_is_excluded():
    found, _ = trained(SGD | {"weight_decay": 0.3, "not_decayed": []})
    assert_same_weights(
        found,
        plainly_trained(
            lambda groups: torch.optim.SGD([of for group in groups for of in group["params"]], RATE, 0.9,
                                           weight_decay=0.3)
        ),
    )  # fmt: skip


def test_biases_and_the_scales_of_normalization_are_recognized():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.LayerNorm([3, 6, 6])
    )
    network[0].weight.requires_grad_(False)

    def decayed(*excluded):
        return {of.weight_decay: len(of.parameters) for of in parameter_groups(network, 1.0, 0.1, excluded)}

    assert decayed("bias", "norm") == {0.1: 1, 0.0: 4}  # a LayerNorm over maps has scales of three dimensions
    assert decayed("bias") == {0.1: 2, 0.0: 3}
    assert decayed("norm") == {0.1: 4, 0.0: 1}
    assert decayed() == {0.1: 5}


SCHEDULES = {
    "constant": ({"name": "constant"}, lambda o: LinearLR(o, 1.0, 1.0)),
    "cosine": (
        {"name": "cosine", "final": 0.1},
        lambda o: CosineAnnealingLR(o, EPOCHS * STEPS - STEPS, eta_min=0.1 * RATE),
    ),
    "linear": ({"name": "linear", "final": 0.2}, lambda o: LinearLR(o, 1.0, 0.2, EPOCHS * STEPS - STEPS)),
    "step": (
        {"name": "step", "epochs": [2, 3], "factor": 0.3},
        lambda o: MultiStepLR(o, [STEPS, 2 * STEPS], 0.3),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_torchs_after_a_linear_warmup(name):
    schedule, after = SCHEDULES[name]

    def scheduler(optimizer):
        warmup = LinearLR(optimizer, 1 / STEPS, 1.0, STEPS - 1)
        return SequentialLR(optimizer, [warmup, after(optimizer)], [STEPS])

    found, _ = trained(SGD, schedule={**schedule, "warmup_epochs": 1})
    assert_same_weights(found, plainly_trained(lambda p: torch.optim.SGD(p, RATE, 0.9), scheduler))
    plain, _ = trained(SGD)
    assert not torch.allclose(found.readout.weight, plain.readout.weight, atol=1e-4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_learning_rate_at_a_step_depends_on_the_step_alone(name):
    factor = learning_rate_factor({**SCHEDULES[name][0], "warmup_epochs": 0.5}, 10, 4)
    forwards = [factor(step) for step in range(40)]
    assert [factor(step) for step in reversed(range(40))] == forwards[::-1]
    assert forwards[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert forwards[5] == 1.0
    assert sorted(forwards[5:], reverse=True) == forwards[5:]


def test_gradients_are_clipped_as_torch_does():
    found, _ = trained(SGD, clip_gradients=0.05)
    assert_same_weights(found, plainly_trained(lambda p: torch.optim.SGD(p, RATE, 0.9), clip=0.05))


def test_labels_are_smoothed_as_torch_does():
    found, _ = trained(SGD, label_smoothing=0.3)

    def smoothed(logits, labels):
        spread = one_hot(labels, N_CLASSES) * 0.7 + 0.3 / N_CLASSES
        return -(spread * logits.log_softmax(1)).sum(1).mean()

    assert_same_weights(found, plainly_trained(lambda p: torch.optim.SGD(p, RATE, 0.9), loss=smoothed))


def test_generalized_cross_entropy_is_its_formula_from_mean_absolute_error_to_cross_entropy():
    def formula(logits, labels):
        p = logits.softmax(1)[torch.arange(len(labels)), labels]
        return ((1 - p**0.7) / 0.7).mean()

    found, _ = trained(SGD, loss="gce")
    assert_same_weights(found, plainly_trained(lambda p: torch.optim.SGD(p, RATE, 0.9), loss=formula))
    hopeless = torch.tensor([[0.0, 500.0]], requires_grad=True)
    loss_function("gce")(hopeless, torch.tensor([0])).backward()
    assert hopeless.grad.isfinite().all()


@pytest.mark.parametrize("parts", [2, 4, 16])
def test_a_batch_in_parts_is_the_same_step(parts):
    whole, one = trained(SGD, label_smoothing=0.1)
    found, other = trained(SGD, label_smoothing=0.1, accumulate=parts)
    assert_same_weights(found, whole)
    assert [record.online_correct for record in other.history] == [
        record.online_correct for record in one.history
    ]
    assert [of.loss for of in other.history[1:]] == pytest.approx(
        [of.loss for of in one.history[1:]], rel=1e-5
    )


IMAGES = torch.arange(1.0, 1 + 64 * 2 * 6 * 5).reshape(64, 2, 6, 5)
BLANK = torch.tensor([-1.0, -2.0])[:, None, None]


def changed(place=(1, 2, 3), images=IMAGES, **augmentation):
    return augment(images, NOTHING | augmentation, BLANK, place)


def test_crops_are_shifts_of_which_every_one_comes():
    padded = torch.stack([functional.pad(IMAGES[:, c : c + 1], [2, 2], fill=BLANK[c].item()) for c in (0, 1)])
    padded = padded[:, :, 0].permute(1, 0, 2, 3)
    shifts = set()
    for number in range(12):
        found, mixture = changed((1, 2, number), crop=2)
        assert mixture is None
        for image, wide in zip(found, padded, strict=True):
            at = [
                (top, left)
                for top in range(5)
                for left in range(5)
                if torch.equal(functional.crop(wide, top, left, 6, 5), image)
            ]
            assert len(at) == 1
            shifts |= set(at)
    assert len(shifts) == 25


def test_half_of_the_images_are_mirrored():
    found, _ = changed(flip=True)
    mirrored = [torch.equal(image, functional.hflip(of)) for image, of in zip(found, IMAGES, strict=True)]
    same = [torch.equal(image, of) for image, of in zip(found, IMAGES, strict=True)]
    assert [a != b for a, b in zip(mirrored, same, strict=True)] == [True] * 64
    assert 20 < sum(mirrored) < 44


@pytest.mark.parametrize("side", [2, 3])
def test_cutout_blanks_a_square_around_any_pixel(side):
    centres = set()
    for number in range(12):
        found, _ = changed((1, 2, number), cutout=side)
        for image, of in zip(found, IMAGES, strict=True):
            at = []
            for row in range(6):
                for column in range(5):
                    expected = of.clone()
                    top, left = row - side // 2, column - side // 2
                    rows, columns = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
                    expected[:, rows, columns] = BLANK
                    at += [(row, column)] if torch.equal(expected, image) else []
            assert len(at) == 1
            centres |= set(at)
    assert len(centres) == 30


def test_mixup_is_a_mean_of_two_images_of_the_batch():
    shares = []
    for number in range(400):
        found, mixture = changed((1, 2, number), images=IMAGES[:8], mixup=0.4)
        expected = mixture.own * IMAGES[:8] + (1 - mixture.own) * IMAGES[mixture.partners]
        torch.testing.assert_close(found, expected)
        assert sorted(mixture.partners.tolist()) == list(range(8))
        shares.append(mixture.own)
    drawn = np.random.default_rng(0).beta(0.4, 0.4, 100_000)
    expected = np.maximum(drawn, 1 - drawn)
    assert np.mean(shares) == pytest.approx(expected.mean(), abs=4 * expected.std() / 20)
    assert min(shares) >= 0.5


@pytest.mark.parametrize("parts", [1, 4])
def test_the_loss_of_a_mixture_is_that_of_mixed_labels(parts):
    found, _ = trained(SGD, augment=NOTHING | {"mixup": 2.0}, accumulate=parts)
    assert_same_weights(found, plainly_trained(lambda p: torch.optim.SGD(p, RATE, 0.9), mixup=2.0))
    plain, _ = trained(SGD)
    assert not torch.allclose(found.readout.weight, plain.readout.weight, atol=1e-2)


def test_what_is_drawn_depends_on_seed_epoch_and_place_alone():
    every = {"crop": 2, "flip": True, "cutout": 2, "mixup": 1.0}
    found, _ = changed(**every)
    torch.rand(3)
    np.random.random()
    assert torch.equal(changed(**every)[0], found)
    for place in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(changed(place, **every)[0], found)


def test_images_are_changed_in_training_and_nowhere_else():
    data = training_data(small_dataset(), LABELS, (-1, 1), torch.device("cpu"))
    before = data.train_inputs.clone(), data.test_inputs.clone()
    network, result = trained(SGD, augment=NOTHING | {"crop": 1, "flip": True, "cutout": 2})
    assert torch.equal(DATA.train_inputs, before[0])
    assert torch.equal(DATA.test_inputs, before[1])
    with torch.no_grad():
        predicted = network(DATA.train_inputs).argmax(1)
    assert result.history[-1].train_corrupted_correct == int((predicted == DATA.corrupted_labels).sum())
    assert DATA.blank.flatten().tolist() == [-1.0]


def test_frozen_parts_stay_in_eval_mode():
    nn = torch.nn
    frozen = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).requires_grad_(False)
    network = nn.Sequential(
        frozen, nn.Sequential(nn.Dropout(0.5)), nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    )
    train_mode(network)
    assert not any(part.training for part in frozen.modules())
    assert all(network[index].training for index in (1, 2))
    assert network.training
    before = frozen[1].running_mean.clone()
    network(torch.rand(4, 1, 8, 8))
    assert torch.equal(frozen[1].running_mean, before)


RECIPE = {
    "optimizer": {"name": "AdamW", "learning_rate": 0.001, "weight_decay": 0.05},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "augment": [{"crop": 4}, "flip", "mixup", "cutout"],
    "clip_gradients": 1,
    "label_smoothing": 0.1,
    "accumulate": 2,
}


def test_a_study_has_its_recipe_and_others_keep_the_identity_of_their_runs(study):
    (run, *_) = read_study(study).runs.values()
    assert list(run.training) == [
        "optimizer", "batch_size", "shuffle", "max_epochs", "stop", "checkpoints", "precision", "compile",
    ]  # fmt: skip
    assert list(run.training["optimizer"].items()) == [
        ("name", "SGD"), ("learning_rate", 0.01), ("momentum", 0.9),
    ]  # fmt: skip
    study["pairs"][0]["training"] |= RECIPE
    read = read_study(study)
    (run, *_) = read.runs.values()
    assert run.training["augment"] == {"crop": 4, "flip": True, "cutout": 8, "mixup": 0.2}
    assert run.training["schedule"] == {"name": "cosine", "warmup_epochs": 1, "final": 0}
    again = read_study(tables_study(read))
    assert tables_study(again) == tables_study(read)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"augment": ["flipp"]}, r"training\.augment\.flipp: unknown key; did you mean 'flip'"),
        ({"augment": ["flip", "flip"]}, "each may be given once; twice or more: flip"),
        ({"augment": [{"crop": -1}]}, r"augment\.crop: must be at least 0"),
        ({"schedule": {"name": "cosine", "warmup_epochs": 30}}, "less than max_epochs, 30"),
        ({"schedule": {"name": "cosin"}}, "did you mean 'cosine'. known: constant, cosine, linear, step"),
        ({"accumulate": 3}, "must divide batch_size, 32"),
        ({"loss": "gce", "label_smoothing": 0.1}, "is for cross_entropy only"),
        ({"optimizer": SGD | {"momentum": 0, "nesterov": True}}, "nesterov needs a momentum above 0"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(study, changes, said):
    study["pairs"][0]["training"] |= changes
    with pytest.raises(LatentgenError, match=said):
        read_study(study)


def test_a_recipe_is_not_the_published_one(study):
    study["pairs"][0] |= {"dataset": "mnist", "model": {"architecture": "MLP"}}
    published = read_published_settings("resources/published/settings.json")

    def said():
        settings = tables_study(read_study(study))
        return differences(settings, published, "mnist", "mlp", "symmetric_published").settings.always

    assert "schedule" not in said()
    study["pairs"][0]["training"] |= {"schedule": RECIPE["schedule"], "clip_gradients": 1}
    assert "training.schedule.name: cosine here, none there" in said()
    assert "training.clip_gradients: 1.0 here, none there" in said()
