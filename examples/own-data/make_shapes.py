"""Write a small example data set: data/shapes.npz, 1,000 noisy images of three shapes."""

from pathlib import Path

import numpy as np

rng = np.random.default_rng(1)
SIZE = 12
y, x = np.mgrid[:SIZE, :SIZE]


def draw(shape: str) -> np.ndarray:
    """Draw one image: a disc, a square or a cross at a random position, with noise."""
    row, column = rng.integers(4, SIZE - 4, size=2)
    down, right = np.abs(y - row), np.abs(x - column)
    inside = {
        "disc": down**2 + right**2 <= 10,
        "square": np.maximum(down, right) <= 2,
        "cross": (np.minimum(down, right) == 0) & (np.maximum(down, right) <= 3),
    }[shape]
    return np.clip(150 * inside + rng.normal(50, 25, inside.shape), 0, 255).astype(np.uint8)


names = np.array(["disc", "square", "cross"])
labels = rng.integers(len(names), size=1000)
images = np.stack([draw(names[label]) for label in labels])

Path("data").mkdir(exist_ok=True)
np.savez_compressed(
    "data/shapes.npz",
    train_images=images[:700],
    train_labels=labels[:700],
    test_images=images[700:],
    test_labels=labels[700:],
    class_names=names,
)
