"""Augmentation of training images: crops, flips, cutout and mixup, drawn again at every step.

Random numbers depend on the run's seed, the epoch and the position in it, and are the same on every device;
images are changed on their device. Augmentation is not used for evaluation or activations.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentgen.randomness import Purpose, random_generator


class Mixture(NamedTuple):
    """Images that are weighted means of themselves and of a partner in the batch (mixup)."""

    partners: Tensor
    """Index in the batch of each image's partner, int64 N."""
    own: float
    """Weight of the image itself, at least 0.5."""


def augment(
    images: Tensor, augmentation: Mapping[str, Any], blank: Tensor | None, place: tuple[int, int, int]
) -> tuple[Tensor, Mixture | None]:
    """Return an augmented batch of images, and how they are mixed, if they are.

    Parameters
    ----------
    images : Tensor, N × C × H × W
        The batch; it is not changed.
    augmentation : mapping
        As in the study file (`latentgen.study.recipe_settings.Augmentation`): `crop`, `flip`, `cutout` and
        `mixup`, applied in this order.
    blank : Tensor, C × 1 × 1
        A black pixel, for positions outside an image.
    place : (int, int, int)
        Seed of the run, epoch, and position of the batch's first image in the epoch.
    """
    assert blank is not None, "data that is augmented has a black pixel"
    seed, *where = place
    numbers = random_generator(seed, Purpose.AUGMENTATION, *where)
    if augmentation["crop"]:
        images = _cropped(images, augmentation["crop"], blank, numbers)
    if augmentation["flip"]:
        mirrored = _on(images, numbers.random(len(images)) < 0.5)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    if augmentation["cutout"]:
        images = _cut_out(images, augmentation["cutout"], blank, numbers)
    if not augmentation["mixup"]:
        return images, None
    partners = _on(images, numbers.permutation(len(images)))
    share = float(numbers.beta(augmentation["mixup"], augmentation["mixup"]))
    # Every image is the partner of one other, so it does not matter which of the two has the larger weight.
    mixture = Mixture(partners, max(share, 1 - share))
    return mixture.own * images + (1 - mixture.own) * images[partners], mixture


def _cropped(images: Tensor, margin: int, blank: Tensor, numbers: np.random.Generator) -> Tensor:
    """Return windows of the images' size at random positions in the images, which get a margin."""
    n, channels, height, width = images.shape
    padded = blank.expand(n, channels, height + 2 * margin, width + 2 * margin).clone()
    padded[:, :, margin : margin + height, margin : margin + width] = images
    top, left = _on(images, numbers.integers(0, 2 * margin, (2, n), endpoint=True))
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    each = torch.arange(n, device=images.device)[:, None, None]
    windows = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
    return windows.permute(0, 3, 1, 2)  # channels-last, like all images


def _cut_out(images: Tensor, side: int, blank: Tensor, numbers: np.random.Generator) -> Tensor:
    """Blank a square around a random pixel of each image; at the border, only part of it."""
    n, _, height, width = images.shape
    inside = []
    for size in (height, width):
        centres = _on(images, numbers.integers(0, size, n))[:, None]
        distance = torch.arange(size, device=images.device) - centres
        inside.append((-(side // 2) <= distance) & (distance < side - side // 2))
    return torch.where((inside[0][:, :, None] & inside[1][:, None, :])[:, None], blank, images)


def _on(images: Tensor, drawn: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(drawn).to(images.device)
