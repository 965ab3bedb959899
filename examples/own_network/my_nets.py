"""A custom network."""

import torch
from torch import nn


class TwoLayer(nn.Module):
    """A convolution and a hidden layer for small images."""

    def __init__(self, channels: int = 8, hidden: int = 32, classes: int = 10, size: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(channels * (size // 2) ** 2, hidden)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a number for each class."""
        x = self.pool(torch.relu(self.conv(x)))
        x = torch.relu(self.hidden(x.view(len(x), -1)))
        return self.out(x)
