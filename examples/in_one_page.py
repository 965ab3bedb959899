"""Latent generalization on one page: memorize noisy labels, probe the layers, repair the network.

A small network is trained on digits, 40 % of whose labels were redrawn at random, until it has memorized
them. MASC and VeLPIC, in their plainest form and fitted with the same noisy labels, still classify test
images from its hidden layers. VeLPIC's vectors, written into the output layer, repair the network without
further training (Ketha and Ramaswamy, arXiv 2501.14687 and 2603.19865).

    python examples/in_one_page.py
"""

from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

torch.manual_seed(1)
P, EPOCHS, CLASSES = 0.4, 100, 10

# Data: 1,797 images of 8 × 8 pixels, and labels, each redrawn with probability P uniformly over all classes.
images, labels = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    images / 16, labels, test_size=0.2, random_state=0, stratify=labels
)
X_train, X_test = (torch.tensor(x, dtype=torch.float32) for x in (X_train, X_test))
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
redrawn = torch.rand(len(y_train)) < P
noisy = torch.where(redrawn, torch.randint(CLASSES, y_train.shape), y_train)

# Network: three hidden layers. `layers` returns the activations of each, and the logits last.
widths = [64, 128, 256, 512]
hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
readout = nn.Linear(512, CLASSES)


def layers(x):
    outputs = []
    for linear in hidden:
        x = linear(x).relu()
        outputs.append(x)
    return [*outputs, readout(x)]


def principal_directions(activations):
    """For each class: eigenvalues, decreasing, and eigenvectors (columns) of M_c = Z_cᵀ Z_c, not centred."""
    for c in range(CLASSES):
        Z = activations[noisy == c].double()
        values, vectors = torch.linalg.eigh(Z.T @ Z)
        yield values.flip(0).clamp(min=0), vectors.flip(1)


def masc(train, test, variance=0.99):
    """Predict the class whose principal subspace is at the smallest angle."""
    scores = []
    for values, vectors in principal_directions(train):
        k = int((values.cumsum(0) / values.sum() <= variance).sum()) + 1
        scores.append((test.double() @ vectors[:, :k]).square().sum(1))
    return torch.stack(scores, dim=1).argmax(1)


def velpic_vectors(train):
    """Return each class's first principal direction, with the sign of the class's own mean."""
    first = torch.stack([vectors[:, 0] for _, vectors in principal_directions(train)])
    means = torch.stack([train[noisy == c].double().mean(0) for c in range(CLASSES)])
    return first * (first * means).sum(1, keepdim=True).sign()


def accuracy(predicted, true=y_test):
    return f"{(predicted == true).double().mean().item():.3f}"


optimizer = torch.optim.Adam([*hidden.parameters(), *readout.parameters()], lr=0.002)
print("epoch  train (noisy labels)  test (true labels)")
for epoch in range(EPOCHS + 1):
    for batch in torch.randperm(len(X_train)).split(64) if epoch else ():  # epoch 0: untrained
        loss = nn.functional.cross_entropy(layers(X_train[batch])[-1], noisy[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch in (0, 1, 2, 5, 10, 20, 50, EPOCHS):
        with torch.no_grad():
            on_train, on_test = layers(X_train)[-1].argmax(1), layers(X_test)[-1].argmax(1)
        print(f"{epoch:>5}  {accuracy(on_train, noisy):>20}  {accuracy(on_test):>18}")

print("\nprobes fitted with the noisy labels, test accuracy\nlayer  MASC   VeLPIC")
with torch.no_grad():
    train, test = layers(X_train), layers(X_test)
    for name, a, b in zip(("input", "fc1", "fc2", "fc3"), (X_train, *train), (X_test, *test), strict=False):
        print(f"{name:<5}  {accuracy(masc(a, b))}  {accuracy((b.double() @ velpic_vectors(a).T).argmax(1))}")
    before = accuracy(test[-1].argmax(1))
    readout.weight.copy_(velpic_vectors(train[-2]))  # the vectors of fc3 become the rows of the readout …
    readout.bias.zero_()  # … and that is all
    print(f"\nnetwork, test accuracy: {before}; after transfer: {accuracy(layers(X_test)[-1].argmax(1))}")
