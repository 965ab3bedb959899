"""The first examples of a data set, for the trial pass of a custom network before a study starts."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from latentgen.data.datasets import read_dataset
from latentgen.data.registry import data_dir
from latentgen.errors import LatentgenError
from latentgen.study.dataset_settings import DatasetChoice
from latentgen.study.layout import DATASET

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1000
"""Largest memory, in MB, to read a data set for a few examples."""


def first_examples(dataset: DatasetChoice, count: int) -> "Tensor | None":
    """Return the first training examples as inputs of a network; None if they are not available now.

    They are read from the file written by the study's first step, or from the source, unless it is large, is
    a function, or would have to be downloaded.
    """
    info, file = dataset.info, Path(DATASET.format(dataset=dataset.dataset_id))
    if dataset.megabytes > LARGEST:
        return None
    try:
        if file.exists():
            data = read_dataset(file)
        elif dataset.own is not None and dataset.own.function is not None:
            return None
        else:
            data = info.read(info, data_dir(), False)
    except LatentgenError:  # reported by the step that needs it
        return None
    import torch

    from latentgen.networks.forward import dataset_inputs

    if data.input_shape != info.shape:  # written by another study
        return None
    if dataset.normalization != "training":  # which needs all examples
        data = replace(data, train_inputs=data.train_inputs[:count])
    inputs = dataset_inputs(data, "train", dataset.input_range, torch.device("cpu"), dataset.normalization)
    return inputs[:count] if len(inputs) >= count else None
