"""Zoo networks at their own resolution are planned and trained; `python -m benchmarks zoo` has them whole."""

import math

import pytest
import torch

from latentgen.jobs.resources import job_size
from latentgen.networks.architectures import make_network
from latentgen.networks.trial import made_up
from latentgen.study.config import read_study
from latentgen.training.data import TrainingData
from studies import SMALL_STUDY
from trainings import train_here

IMAGES = {"kind": "images", "shape": [3, 224, 224]}
TOKENS = {"kind": "tokens", "shape": [128], "vocabulary": 30522, "padding": 0}
BASE = 768
"""Width of a token in ViT-B and BERT."""


def blocks(depth, tokens):
    """Multiply-adds of a transformer's blocks: four projections, a hidden layer, and attention twice."""
    return depth * (tokens * BASE * (4 * BASE + 2 * 4 * BASE) + 2 * tokens**2 * BASE)


def bottlenecks():
    """Those of ResNet-50: a stem of 7 × 7, and stages of 3, 4, 6 and 3 bottlenecks."""
    total, channels, side = 49 * 3 * 64 * 112**2, 64, 56
    for stage, count in enumerate((3, 4, 6, 3)):
        width, stride = 64 * 2**stage, 1 if stage == 0 else 2
        for block in range(count):
            before, side = side, side // stride if block == 0 else side
            total += channels * width * before**2 + 9 * width**2 * side**2 + width * 4 * width * side**2
            total += channels * 4 * width * side**2 if block == 0 else 0
            channels = 4 * width
    return total


NETWORKS = {
    "resnet50": ({"architecture": "torchvision", "network": "resnet50"}, IMAGES, bottlenecks()),
    "vit": (
        {"architecture": "timm", "network": "vit_base_patch16_224", "arguments": {"depth": 2}},
        IMAGES,
        196 * 3 * 16**2 * BASE + blocks(2, 197),
    ),
    "bert": (
        {"architecture": "transformers", "network": "bert", "arguments": {"num_hidden_layers": 2}},
        TOKENS,
        blocks(2, 128) + BASE**2,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_planned_and_takes_a_step_at_its_own_resolution(name):
    model, data, multiply_adds = NETWORKS[name]
    own = {**data, "function": "my_data:load", "classes": 10, "train": 4, "test": 2}
    training = {"optimizer": {"name": "AdamW", "learning_rate": 1e-3}, "batch_size": 4, "max_epochs": 1}
    pair = {"dataset": {"name": "few", "own": own}, "model": model, "training": training}
    study = read_study({**SMALL_STUDY, "pairs": [pair]}, run_own_code=True)
    run = next(iter(study.runs.values()))
    assert run.pair.multiply_adds == multiply_adds
    assert job_size("train", run).megabytes > 4 * run.pair.weight_bytes / 10**6
    info = run.pair.dataset.info
    network = make_network(run.pair.model.model_dump(mode="json"), info.shape, info.n_classes)
    before = {key: of.clone() for key, of in network.state_dict().items()}
    labels = torch.arange(4)
    inputs = made_up(info.shape, 4)
    few = TrainingData(inputs, labels, labels, labels > 1, inputs[:2], labels[:2])
    result, _ = train_here(network, few, **run.training, seed=1)
    assert math.isfinite(result.history[1].loss)
    readout = f"{run.pair.model.readout_name}.weight"
    assert not torch.equal(network.state_dict()[readout], before[readout])
