"""Changed copies of the training images: crops, flips, cutout and mixtures, drawn anew at every step.

What is drawn follows from the run's seed, the epoch and the place in it, on every device alike; images are
changed on their device. Nothing here is used when a network is measured or its activations are taken.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentgen.randomness import Purpose, random_generator


class Mixture(NamedTuple):
    """Images that are weighted means of two: each of itself and of a partner in its batch (mixup)."""

    partners: Tensor
    """Index in the batch of each image's partner, int64 N."""
    own: float
    """Weight of the image itself, at least a half."""


def augment(
    images: Tensor, augmentation: Mapping[str, Any], blank: Tensor | None, place: tuple[int, int, int]
) -> tuple[Tensor, Mixture | None]:
    """Return a batch of images as they are trained on, and how they are mixed if they are.

    Parameters
    ----------
    images : Tensor, N × C × H × W
        The batch; it is not changed.
    augmentation : mapping
        As in the study file (`latentgen.study.recipe_settings.Augmentation`): `crop`, `flip`, `cutout` and
        `mixup`, applied in this order.
    blank : Tensor, C × 1 × 1
        A black pixel, which is put where an image has none.
    place : (int, int, int)
        Seed of the run, epoch, and number of the batch's first image in it.
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
    # Every image is the partner of one other: which of the two has the larger weight makes no difference.
    mixture = Mixture(partners, max(share, 1 - share))
    return mixture.own * images + (1 - mixture.own) * images[partners], mixture


def _cropped(images: Tensor, margin: int, blank: Tensor, numbers: np.random.Generator) -> Tensor:
    """Return windows of the images' size, at random places of the images with a margin around them."""
    n, channels, height, width = images.shape
    padded = blank.expand(n, channels, height + 2 * margin, width + 2 * margin).clone()
    padded[:, :, margin : margin + height, margin : margin + width] = images
    top, left = _on(images, numbers.integers(0, 2 * margin, (2, n), endpoint=True))
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    each = torch.arange(n, device=images.device)[:, None, None]
    windows = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
    return windows.permute(0, 3, 1, 2)  # in the channels-last layout, as all images are


def _cut_out(images: Tensor, side: int, blank: Tensor, numbers: np.random.Generator) -> Tensor:
    """Blank a square around a random pixel of each image; at the border, a part of it."""
    n, _, height, width = images.shape
    inside = []
    for size in (height, width):
        centres = _on(images, numbers.integers(0, size, n))[:, None]
        distance = torch.arange(size, device=images.device) - centres
        inside.append((-(side // 2) <= distance) & (distance < side - side // 2))
    return torch.where((inside[0][:, :, None] & inside[1][:, None, :])[:, None], blank, images)


def _on(images: Tensor, drawn: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(drawn).to(images.device)
