"""Count a network's correct predictions, in training and for given weights."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from latentgen.networks.examples import Examples, spans, taken
from latentgen.networks.forward import items_per_block
from latentgen.training.data import TrainingData
from latentgen.training.processes import ALONE, Processes


class Count(Protocol):
    """Counts the images whose predicted class equals each vector of labels (see `count_correct`)."""

    def __call__(self, inputs: Examples, *labels: Tensor) -> list[int]:
        """Return one count for each label vector."""


def counting(
    network: nn.Module,
    block_size: int | None = None,
    after_block: Callable[[], None] | None = None,
    processes: Processes = ALONE,
) -> Count:
    """Return `count_correct` for one network."""
    return partial(
        count_correct, network, block_size=block_size, after_block=after_block, processes=processes
    )


def count_correct(
    network: nn.Module,
    inputs: Examples,
    *labels: Tensor,
    block_size: int | None = None,
    after_block: Callable[[], None] | None = None,
    processes: Processes = ALONE,
) -> list[int]:
    """Count, in eval mode, the images whose predicted class equals each vector of labels, block by block.

    Parameters
    ----------
    network : nn.Module
        On the device of the inputs; left in eval mode.
    inputs : Tensor or StoredExamples, N × C × H × W
    *labels : Tensor, int64 N, or N × L
        Label vectors; an image whose label is -1 never counts.
    block_size : int, optional
        Images per forward pass; by default a fast number.
    after_block : function, optional
        Called after every block.
    processes : Processes, optional
        Each of them counts a share of the blocks; all get the sums.
    """
    block_size = block_size or items_per_block(network, inputs)
    network.eval()
    correct = torch.zeros(len(labels), dtype=torch.int64, device=inputs.device)
    with torch.inference_mode():
        blocks = spans(len(inputs), block_size)
        blocks = blocks[processes.share(slice(0, len(blocks)))]
        for block, images in zip(blocks, taken(inputs, blocks), strict=True):
            predicted = network(images).argmax(1)
            for index, vector in enumerate(labels):
                correct[index] += (predicted == vector[block].flatten()).sum()
            if after_block:
                after_block()
    (correct,) = processes.add([correct])
    return [int(count) for count in correct.tolist()]


def counts_on_test(count: Count, data: TrainingData, held_out: Tensor | None = None) -> dict[str, int]:
    """Return the counts on the test images, by their names in `EpochRecord`.

    Parameters
    ----------
    count : function
        Counts for the network (`counting`).
    data : TrainingData
    held_out : Tensor, bool N, optional
        Test images that are also counted separately.
    """
    if held_out is None:
        (correct,) = count(data.test_inputs, data.test_labels)
        return {"test_correct": correct, "test_total": data.test_labels.numel()}
    labels = data.test_labels, torch.where(held_out, data.test_labels, -1)
    correct, held_out_correct = count(data.test_inputs, *labels)
    n_test, n_held_out = held_out.numel(), int(held_out.sum())
    return {
        "test_correct": correct,
        "test_total": n_test,
        "rest_correct": correct - held_out_correct,
        "rest_total": n_test - n_held_out,
        "held_out_correct": held_out_correct,
        "held_out_total": n_held_out,
    }


def counts_on_held_out(count: Count, data: TrainingData) -> dict[str, int]:
    """Return the counts on the examples that the data set holds out, if any, against their noisy labels."""
    if data.held_out_inputs is None or data.held_out_labels is None:
        return {}
    (correct,) = count(data.held_out_inputs, data.held_out_labels)
    return {"noisy_correct": correct, "noisy_total": data.held_out_labels.numel()}


def counts_on_train(count: Count, data: TrainingData) -> dict[str, int]:
    """Return the counts on the training images, by their names in `EpochRecord`.

    They are against the corrupted labels and, if known, the true ones, for all images and for those whose
    label was redrawn.
    """
    totals = {"train_total": data.corrupted_labels.numel()}
    labels = {"train_corrupted_correct": data.corrupted_labels}
    if data.true_labels is not None and data.redrawn is not None:
        labels |= {
            "train_true_correct": data.true_labels,
            "redrawn_corrupted_correct": torch.where(data.redrawn, data.corrupted_labels, -1),
            "redrawn_true_correct": torch.where(data.redrawn, data.true_labels, -1),
        }
    if data.redrawn is not None:
        totals["redrawn_total"] = int(data.redrawn.sum())
    return dict(zip(labels, count(data.train_inputs, *labels.values()), strict=True)) | totals
