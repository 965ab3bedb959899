"""A custom data set and a custom kind of noise, as functions."""

import numpy as np

CLASSES = 3


def stripes(items: int) -> dict[str, np.ndarray]:
    """Return images of horizontal, vertical and diagonal stripes; a third of them are for testing."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=items)
    y, x = np.mgrid[:8, :8]
    along = np.stack([y, x, x + y])[labels]
    wave = 80 * np.sin(along * np.pi / 2 + rng.uniform(0, 2 * np.pi, size=(items, 1, 1)))
    images = np.clip(128 + wave + rng.normal(0, 25, along.shape), 0, 255).astype(np.uint8)
    first = items // 3
    return {
        "train_images": images[first:],
        "train_labels": labels[first:],
        "test_images": images[:first],
        "test_labels": labels[:first],
        "class_names": np.array(["horizontal", "vertical", "diagonal"]),
    }


def neighbour(labels: np.ndarray, p: float, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Make every label the next class with probability p."""
    return np.where(rng.random(len(labels)) < p, (labels + 1) % n_classes, labels)
