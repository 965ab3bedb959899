"""A folder of images with wrong labels, and a network that memorized them, for an audit."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Classes; in alphabetical order they are the outputs of the network, as in torchvision's ImageFolder."""


class Net(nn.Module):
    """A convolution and two linear layers, for images of 8 × 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.hidden = nn.Linear(16 * 64, 128)
        self.out = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a number for each class."""
        x = torch.relu(self.conv(x)).flatten(1)
        return self.out(torch.relu(self.hidden(x)))


def main(folder: Path) -> None:
    """Write images/CLASS/*.png and val/CLASS/*.png, 30 % of them in a random class, and weights by epoch."""
    digits = load_digits()
    images = (digits.images * 255 / 16).round().astype(np.uint8)
    true = np.array([sorted(NAMES).index(NAMES[digit]) for digit in digits.target])
    rng = np.random.default_rng(0)
    given = np.where(rng.random(len(true)) < 0.3, rng.integers(0, 10, len(true)), true)
    for index, (image, label) in enumerate(zip(images, given, strict=True)):
        part = folder / ("images" if index < 1200 else "val") / sorted(NAMES)[label]
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(part / f"{index:04d}.png")

    torch.manual_seed(0)
    network, inputs = Net(), torch.from_numpy(images[:1200, None] / 255).float()
    labels = torch.from_numpy(given[:1200])
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for epoch in range(1, 61):
        for batch in torch.randperm(len(labels)).split(60):
            optimizer.zero_grad()
            cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
        if epoch in (3, 10, 60):
            torch.save(network.state_dict(), folder / f"epoch{epoch}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
