"""The procedure of the papers' code, reimplemented from its description, for timing."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose, Normalize, ToTensor

from latentgen.data.datasets import Dataset


def fit(Z: Tensor) -> Tensor:
    """Subspace of one class: features and their negatives stacked, float64 covariance, all eigenvectors."""
    stacked = np.vstack([Z.numpy(), -Z.numpy()]).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(stacked, rowvar=False))
    order = np.argsort(values)[::-1]
    share = np.cumsum(values[order]) / values.sum()
    return torch.from_numpy(vectors[:, order[: np.sum(share <= 0.99) + 1]])


def predict(bases: list[Tensor], X: Tensor, y: Tensor) -> float:
    """Accuracy: batches of 100; the angle of each example to its projection; counted one by one."""
    correct = 0
    for start in range(0, len(X), 100):
        batch = X[start : start + 100].to(torch.float64)
        angles = []
        for U in bases:
            projection = batch @ U @ U.T
            inner = torch.diagonal(batch @ projection.T)
            cosines = inner / (batch.norm(dim=1) * projection.norm(dim=1))
            angles.append(torch.arccos(cosines.clamp(-1, 1)))
        predicted = torch.stack(angles, dim=1).argmin(dim=1)
        for i in range(len(batch)):
            correct += int(predicted[i].item() == y[start + i].item())
    return correct / len(X)


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images that are converted and scaled one at a time whenever they are read, like torchvision's."""

    transform = Compose([ToTensor(), Normalize((0.5,), (0.5,))])

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index, 0])
        return self.transform(image), int(self.labels[index])


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    dataset: Dataset,
    labels: np.ndarray,
    batch_size: int,
) -> float:
    """One epoch by a DataLoader, `.item()` at every step, and the test set in batches of 4; its mean loss."""
    loss_sum, correct = 0.0, 0
    network.train()
    train = Images(dataset.train_inputs, labels)
    for inputs, targets in torch.utils.data.DataLoader(train, batch_size):
        optimizer.zero_grad()
        outputs = network(inputs)
        loss = nn.functional.cross_entropy(outputs, targets)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(targets)
        correct += (outputs.argmax(1) == targets).sum().item()
    network.eval()
    test = Images(dataset.test_inputs, dataset.test_labels)
    with torch.no_grad():
        for inputs, targets in torch.utils.data.DataLoader(test, 4):
            correct += (network(inputs).argmax(1) == targets).sum().item()
    return loss_sum / len(train)
