"""The two protocols: which defaults a word sets, and a test of each oddity of the published one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from latentgen.data.noise.registry import corrupt
from latentgen.errors import LatentgenError
from latentgen.networks.architectures import make_network
from latentgen.study.config import read_study
from latentgen.study.protocols import DIFFERENCES
from latentgen.training.data import TrainingData
from trainings import train_here

GIVEN = {
    "study": "s",
    "seeds": [1, 2],
    "noise": [{"kind": "symmetric", "p": [0.4]}],
    "probes": [{"kind": "logistic"}, {"kind": "VeLPIC"}],
    "pairs": [
        {
            "dataset": "fashion_mnist",
            "model": {"architecture": "CNN", "dropout": 0.2},
            "interventions": [{"edit": "relabel"}, {"edit": "velpic", "at_epoch": 1}],
            "training": {
                "optimizer": {"name": "SGD", "learning_rate": 0.1},
                "batch_size": 32,
                "max_epochs": 3,
            },
        },
    ],
}


def read(protocol, change=lambda study: None):
    study = copy.deepcopy(GIVEN) | {"protocol": protocol}
    change(study)
    return read_study(study)


def value_at(study, field):
    for step in field.split("."):
        key = step.rstrip("[]?")
        if isinstance(study, tuple):  # the first entry of a list that has the field
            study = next(part for part in study if hasattr(part, key))
        study = getattr(study, key)
    return study


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.field)
def test_one_word_sets_every_default(difference):
    sound, published = read("sound"), read("published")
    assert value_at(sound, difference.field) == difference.sound
    assert value_at(published, difference.field) == difference.published


def test_published_sets_defaults_of_probes_that_are_not_named_too():
    def leave_probes_out(study):
        del study["probes"]

    published, sound = (read(protocol, leave_probes_out) for protocol in ("published", "sound"))
    assert [probe.probe_name for probe in published.probes] == ["MASC", "VeLPIC"]
    assert (published.probes[1].sign, sound.probes[1].sign) == ("all", "own")
    assert (published.velpic_sign, sound.velpic_sign) == ("all", "own")


def test_edits_have_the_sign_of_the_probe_or_of_the_protocol():
    def choose(*probes):
        return lambda study: study.update(probes=[{"kind": "MASC"}, *probes], transfer=None)

    other = {"kind": "VeLPIC", "sign": "all", "name": "VeLPIC-all"}
    assert read("sound", choose()).velpic_sign == "own"
    assert read("published", choose()).velpic_sign == "all"
    assert read("sound", choose(other)).velpic_sign == "own"
    assert read("sound", choose(other, {"kind": "VeLPIC"})).velpic_sign == "own"
    assert read("sound", choose({"kind": "VeLPIC", "sign": "all"})).velpic_sign == "all"


def test_sound_is_the_default_and_what_the_study_says_is_taken():
    assert read_study(copy.deepcopy(GIVEN)) == read("sound")

    def say(study):
        study["noise"][0]["generator"] = "study"
        study["pairs"][0]["training"]["shuffle"] = True
        study["pairs"][0]["training"]["stop"] = None

    published = read("published", say)
    assert published.noise[0].generator == "study"
    assert published.pairs[0].training.shuffle
    assert published.pairs[0].training.stop is None
    assert published.pairs[0].initial_weights == "published"


def test_only_retraining_from_memorized_weights_is_as_in_the_papers():
    def start(weights):
        return lambda study: study["pairs"][0]["interventions"][0].update(start=weights)

    for protocol in ("sound", "published"):
        afresh = read(protocol, start("initial")).pairs[0].interventions[0]
        assert (afresh.patience, afresh.max_epochs, afresh.layer, afresh.result) == (10, None, "best", "best")
    memorized = read("published", start("memorized")).pairs[0].interventions[0]
    assert (memorized.patience, memorized.max_epochs, memorized.result) == (3, 30, "last")


@pytest.mark.parametrize("protocol", ["sound", "published"])
@pytest.mark.parametrize("start", ["initial", "memorized"])
def test_what_is_kept_of_a_study_says_the_same_again(protocol, start):
    study = read(protocol, lambda study: study["pairs"][0]["interventions"][0].update(start=start))
    assert read_study(study.model_dump(mode="json")) == study


def test_a_malformed_study_of_the_published_protocol_is_refused_as_any_other():
    with pytest.raises(LatentgenError, match=r"pairs\[0\].training"):
        read_study(copy.deepcopy(GIVEN) | {"protocol": "published", "pairs": [{"training": 3}], "noise": "x"})


def test_the_runs_settings_are_independent_of_each_other_in_the_file():
    given = copy.deepcopy(GIVEN) | {"protocol": "published"}
    before = copy.deepcopy(given)
    read_study(given)
    assert given == before


def test_published_labels_are_those_of_the_legacy_generator_for_every_seed():
    runs = list(read("published").runs.values())
    true = np.random.default_rng(0).integers(0, 10, 500)
    np.random.seed(42)
    redrawn = np.random.rand(500) <= 0.4
    expected = true.copy()
    expected[redrawn] = [np.random.choice(10) for _ in range(redrawn.sum())]
    for run in runs:
        labels = corrupt(true, 10, "symmetric", 0.4, run.noise.generator, run.label_seed)
        assert np.array_equal(labels.corrupted, expected)
    assert len({run.label_seed for run in read("sound").runs.values()}) == 2


def state_of(settings, seed, rule):
    return make_network(settings, (1, 28, 28), 10, seed, rule).state_dict()


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_published_cnn_starts_from_the_same_weights():
    torch.manual_seed(0)  # a plain script in the manner of the papers' constructor
    channels = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    modules = [nn.Conv2d(*pair, 3, padding=1) for pair in channels]
    modules += [nn.Linear(576, 250), nn.Linear(250, 250), nn.Linear(250, 250), nn.Linear(250, 10, bias=False)]
    expected = [tensor for module in modules for tensor in module.state_dict().values()]
    for seed in (1, 2, 3):
        assert equal(state_of({"architecture": "CNN"}, seed, "published").values(), expected)
    sound = [state_of({"architecture": "CNN"}, seed, "run_seed") for seed in (1, 2)]
    assert not equal(sound[0].values(), sound[1].values())


def test_published_mlps_are_drawn_one_after_the_other_from_seed_42():
    torch.manual_seed(42)
    settings = {"architecture": "MLP", "widths": (7, 5)}
    for seed in (1, 2, 3):
        modules = [nn.Linear(784, 7), nn.Linear(7, 5), nn.Linear(5, 10)]
        expected = [tensor for module in modules for tensor in module.state_dict().values()]
        assert equal(state_of(settings, seed, "published").values(), expected)


class Recorder(nn.Module):
    """A network that notes which items it is trained on, in what order."""

    def __init__(self):
        super().__init__()
        self.readout = nn.Linear(1, 10)
        self.batches = []

    def forward(self, x):
        if self.training:
            self.batches.append(x[:, 0].int().tolist())
        return self.readout(x)


def trained(protocol, n_items=70):
    """Train as a protocol does, without its stop rule."""
    run = next(iter(read(protocol).runs.values()))
    items = torch.arange(n_items, dtype=torch.float32)[:, None]
    labels = torch.zeros(n_items, dtype=torch.int64)
    data = TrainingData(items, labels, labels, labels > 0, items[:3], labels[:3])
    network = Recorder()
    settings = run.pair.training.model_dump(exclude={"threads"})
    settings |= {"checkpoints": run.scheduled, "stop": None}
    settings["optimizer"] = {"name": "SGD", "learning_rate": 1e-9, "momentum": 0.0}
    train_here(network, data, **settings, seed=1)
    return network


def test_the_published_order_is_that_of_the_file_and_its_last_batch_is_kept():
    published = trained("published")
    batches = [list(range(0, 32)), list(range(32, 64)), list(range(64, 70))]
    assert published.batches == 3 * batches
    sound = trained("sound")
    assert sorted(item for batch in sound.batches[:3] for item in batch) == list(range(70))
    assert sound.batches[:3] != sound.batches[3:6] != batches


def test_the_published_stop_rule_looks_at_the_accuracy_during_the_epoch():
    items, labels = torch.ones(8, 1), torch.zeros(8, dtype=torch.int64)
    for protocol, epoch in (("published", 1), ("sound", 0)):
        stop = read(protocol).pairs[0].training.stop
        network = Recorder()
        with torch.no_grad():
            network.readout.bias.copy_(torch.eye(10)[0] * 1e3)
        result, _ = train_here(
            network,
            TrainingData(items, labels, labels, labels > 0, items, labels),
            optimizer={"name": "SGD", "learning_rate": 1e-9, "momentum": 0.0},
            batch_size=4,
            shuffle=False,
            max_epochs=5,
            stop=stop.model_dump(),
            checkpoints=[0],
            seed=1,
        )
        assert result.history[-1].epoch == epoch


def test_what_would_depend_on_the_batch_or_has_no_statistics_is_refused():
    def eval_mode(study):
        study["activations"] = {"mode": "eval"}

    with pytest.raises(LatentgenError, match=r"renorm.*single_images"):
        read("published", eval_mode)

    def digits(study):
        study["pairs"][0] |= {"dataset": "digits", "model": {"architecture": "ResNet18"}}

    with pytest.raises(LatentgenError, match="one pixel per channel"):
        read("published", digits)
    read("sound", digits)


def test_seed_0_is_refused_with_published_weights(study):
    study["seeds"] = [0, 1]
    read_study(study)
    study["protocol"] = "published"
    with pytest.raises(LatentgenError, match="seed 0 starts from the same weights as seed 1"):
        read_study(study)
