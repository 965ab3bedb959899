"""Networks of torchvision, timm and transformers at their own resolution: planned, and one step trained."""

import time

import torch

from benchmarks.timing import Goal, Section, Timing
from latentgen.data.inputs import InputShape, Tokens
from latentgen.jobs.work import FLOPS
from latentgen.networks.architectures import ByName, make_network
from latentgen.networks.custom import TimmNetwork, TorchvisionNetwork, TransformersNetwork
from latentgen.networks.trial import made_up, measure
from latentgen.training.data import TrainingData
from latentgen.training.plan import TrainingPlan
from latentgen.training.steps import Steps

N_CLASSES, BATCH = 1000, 4
IMAGE = (3, 224, 224)
SEQUENCE = Tokens(128, 30522, 0)
BLOCKS = 12 * 768**2 * 12
"""Weights of the twelve blocks of ViT-B and BERT: each token takes a multiply-add with each."""


def attention(tokens: int) -> int:
    """Multiply-adds of scores and mixing in these blocks."""
    return 12 * 2 * tokens**2 * 768


NETWORKS: list[tuple[ByName, InputShape, int]] = [
    (TorchvisionNetwork(architecture="torchvision", network="resnet50"), IMAGE, 4_087_136_256),
    (
        TimmNetwork(architecture="timm", network="vit_base_patch16_224"),
        IMAGE,
        196 * 768**2 + 197 * BLOCKS + attention(197),
    ),
    (
        TransformersNetwork(architecture="transformers", network="bert"),
        SEQUENCE,
        128 * BLOCKS + attention(128) + 768**2,
    ),
]
"""Networks, their inputs, and their multiply-adds without the readout, by formula (ResNet-50: He et al.)."""


def run() -> list[Section]:
    """Measure each network as a study's plan does, and train it on random examples for one step."""
    timings, goals, notes = [], [], []
    for model, shape, expected in NETWORKS:
        started = _seconds()
        found = measure(lambda m=model, s=shape: m.make_body(s, N_CLASSES), shape, N_CLASSES, None, None)
        planned = _seconds()
        step = _step(model, shape)
        estimate = 3 * 2 * BATCH * found["multiply_adds"] / (FLOPS * torch.get_num_threads())
        timings += [
            Timing(f"{model.network}: plan", (planned - started,)),
            Timing(f"{model.network}: a step of {BATCH}", (step,)),
        ]
        goals.append(
            Goal(
                f"{model.network}: operations counted, relative to the formula",
                found["multiply_adds"] / expected,
                1.0001,
            )
        )
        notes.append(
            f"{model.network}: {found['multiply_adds'] / 1e9:.2f} G multiply-adds per example, by formula "
            f"{expected / 1e9:.2f} G; a step is estimated at {estimate:.1f} s and takes {step:.1f} s"
        )
    how = (
        f"Random weights, {N_CLASSES} classes; images of 224 × 224 pixels, sequences of 128 tokens. "
        "Seconds are processor time per thread."
    )
    return [Section("Networks at their own resolution", how, timings, goals, notes)]


def _step(model: ByName, shape: InputShape) -> float:
    """Return the seconds of a training step."""
    network = make_network(model.model_dump(mode="json"), shape, N_CLASSES)
    labels, inputs = torch.arange(BATCH), made_up(shape, BATCH)
    data = TrainingData(inputs, labels, labels, labels > 1, inputs, labels)
    plan = TrainingPlan(
        optimizer={"name": "SGD", "learning_rate": 0.01, "momentum": 0.9}, batch_size=BATCH, shuffle=False,
        max_epochs=1, stop=None, checkpoints=(), seed=1,
    )  # fmt: skip
    steps = Steps(network.train(), data, plan)
    started = _seconds()
    steps.take(1, 0, inputs, labels)
    return _seconds() - started


def _seconds() -> float:
    """Return processor time per thread, which other work on the machine changes little."""
    return time.process_time() / torch.get_num_threads()
