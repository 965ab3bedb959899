"""The data that a network is trained and evaluated on: a data set with corrupted labels, on a device."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentgen.data.datasets import Dataset
from latentgen.data.inputs import Tokens, examples_per_input
from latentgen.data.labels import Labels
from latentgen.errors import LatentgenError
from latentgen.networks.examples import Examples
from latentgen.networks.forward import Normalization, black_pixel, dataset_inputs
from latentgen.training.resuming import content_digest


@dataclass(frozen=True)
class TrainingData:
    """The data that a network is trained and evaluated on: tensors on one device, or inputs in their file.

    Inputs are float32 N × C × H × W or N × d, or token ids, int64 N × L; labels are int64 N, the mask of
    redrawn ones bool N; if the next tokens are classes, N × L. None stands for unknown or missing data.
    Labels of held-out examples are corrupted ones.
    """

    train_inputs: Examples
    corrupted_labels: Tensor
    true_labels: Tensor | None
    redrawn: Tensor | None
    test_inputs: Examples
    test_labels: Tensor
    held_out_inputs: Examples | None = None
    held_out_labels: Tensor | None = None
    blank: Tensor | None = None
    """A black pixel, float32 C × 1 × 1, which augmentation uses outside an image."""

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.train_inputs.device


def training_data(
    dataset: Dataset,
    labels: Labels,
    input_range: Sequence[float],
    device: torch.device,
    normalize: Normalization = None,
) -> TrainingData:
    """Put a data set and its corrupted labels on a device; inputs that are too large stay in their file.

    Inputs are scaled as in `latentgen.networks.forward.dataset_inputs`.

    Raises
    ------
    LatentgenError
        If the labels are not those of this data set.
    """
    if not np.array_equal(labels.corrupted if labels.true is None else labels.true, dataset.train_labels):
        raise LatentgenError(
            f"The labels file belongs to another data set than {dataset.name}. Delete it and run again."
        )
    held_out = dataset.held_out
    scale = input_range, device, normalize
    per_input = examples_per_input(dataset.input_shape)

    def by_input(array: NDArray[Any] | None) -> Tensor | None:
        moved = None if array is None else torch.from_numpy(array).to(device)
        return moved if moved is None or per_input == 1 else moved.view(-1, per_input)

    corrupted, test_labels = by_input(labels.corrupted), by_input(dataset.test_labels)
    assert corrupted is not None
    assert test_labels is not None
    return TrainingData(
        train_inputs=dataset_inputs(dataset, "train", *scale),
        corrupted_labels=corrupted,
        true_labels=by_input(labels.true),
        redrawn=by_input(labels.redrawn),
        test_inputs=dataset_inputs(dataset, "test", *scale),
        test_labels=test_labels,
        held_out_inputs=None if held_out is None else dataset_inputs(dataset, "held_out", *scale),
        held_out_labels=by_input(labels.held_out),
        blank=black_pixel(dataset, *scale),
    )


def training_identity(
    params: Mapping[str, Any], dataset: Dataset, labels: Labels, device: torch.device
) -> dict[str, Any]:
    """Return everything that a training's result depends on, to the last bit.

    Parameters
    ----------
    params : mapping
        The settings of the training, including the digest of its code.
    dataset, labels
        The training data.
    device : torch.device
        The device of the training.
    """
    apart, shape = {}, dataset.input_shape
    if dataset.held_out is not None and labels.held_out is not None:
        apart["held-out content"] = content_digest(dataset.held_out.inputs, labels.held_out)
    return {
        # Settings that are not given, such as normalize, are left out, so that older results stay valid.
        **{name: value for name, value in params.items() if value is not None},
        **({"tokens": asdict(shape)} if isinstance(shape, Tokens) else {}),
        **apart,
        "dataset content": content_digest(dataset.train_inputs, dataset.test_inputs, dataset.test_labels),
        "labels content": content_digest(
            *(array for array in (labels.corrupted, labels.true, labels.redrawn) if array is not None)
        ),
        "torch": str(torch.__version__),
        "device": device.type,
        "threads": torch.get_num_threads(),
    }


def weights_identity(network: nn.Module) -> dict[str, str]:
    """Return the additional identity of a training that starts from given weights."""
    weights = [tensor.cpu().numpy() for tensor in network.state_dict().values()]
    return {"initial weights": content_digest(*weights)}
