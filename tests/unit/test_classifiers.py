"""The other probes against scikit-learn, on activations of trained networks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier

from latentgen.data.datasets import subset
from latentgen.data.labels import fitting_labels
from latentgen.data.noise.registry import corrupt
from latentgen.data.registry import load_dataset
from latentgen.errors import LatentgenError
from latentgen.networks.activations import captured
from latentgen.networks.architectures import make_network
from latentgen.networks.forward import as_input
from latentgen.probes.discriminant import LDA, QDA
from latentgen.probes.logistic import LogisticRegression
from latentgen.probes.nearest import KNN, NearestMean
from latentgen.training.data import training_data
from trainings import train_here

ALL = [NearestMean, KNN, LDA, QDA, LogisticRegression]


class SklearnMean:
    """Nearest class mean by cosine, from scikit-learn's cosines (it has no such classifier)."""

    def fit(self, X, y):
        self.means = np.stack([X[y == c].mean(0) for c in range(10)])
        return self

    def predict(self, X):
        return cosine_similarity(X, self.means).argmax(1)


def fashion_mnist():
    if not Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("Fashion-MNIST is not on this machine (Debian package dataset-fashion-mnist)")
    return subset(load_dataset("fashion_mnist", Path("nowhere")), 1500, 1000)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Everything here is so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["digits", "fashion_mnist"])
def activations(request):
    """Return the activations of a layer of a network trained on noisy labels, and these labels."""
    dataset = load_dataset("digits", Path("nowhere")) if request.param == "digits" else fashion_mnist()
    labels = corrupt(dataset.train_labels, 10, "symmetric", 0.4, seed=1)
    device = torch.device("cpu")
    data = training_data(dataset, labels, (-1, 1), device)
    network = make_network({"architecture": "MLP", "widths": (48, 32)}, dataset.input_shape, 10, 1)
    train_here(
        network,
        data,
        optimizer={"name": "SGD", "learning_rate": 0.02, "momentum": 0.9},
        batch_size=32,
        shuffle=True,
        max_epochs=10,
        stop=None,
        checkpoints=[10],
        seed=1,
    )
    with captured(network.eval(), ["fc1"]) as outputs, torch.no_grad():
        found = []
        for images in (dataset.train_inputs, dataset.test_inputs):
            network(as_input(images, dataset.max_value, (-1, 1), device))
            found.append(outputs["fc1"].numpy())
    return found[0], labels.corrupted, found[1]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (NearestMean(), SklearnMean()),
        (KNN(), KNeighborsClassifier(5, metric="cosine")),
        (LDA(), LinearDiscriminantAnalysis()),
        (QDA(reg_param=1e-3), QuadraticDiscriminantAnalysis(reg_param=1e-3)),
        (LogisticRegression(), SklearnLogistic(max_iter=2000, tol=1e-5)),
    ],
    ids=lambda probe: type(probe).__name__,
)
def test_predictions_are_scikit_learns(activations, ours, theirs):
    X, y, T = activations
    expected = theirs.fit(X.astype(np.float64), y).predict(T.astype(np.float64))
    found = ours.fit(X, y, 10).predict(T)
    assert np.mean(found == expected) >= 0.995
    assert np.mean(ours.predict(torch.from_numpy(T)).numpy() == found) == 1


def test_logistic_regression_ends_where_the_gradient_vanishes(activations):
    X, y, _ = activations
    X, y = X.astype(np.float64), np.where(y == 3, 4, y)  # and class 3 is missing
    probe = LogisticRegression().fit(X, y, 10)
    assert probe.missing_classes_ == [3]
    present = [0, 1, 2, 4, 5, 6, 7, 8, 9]
    W, b = probe.coef_.numpy()[present], probe.intercept_.numpy()[present]
    scores = X @ W.T + b
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    residuals = shares - (y[:, None] == present)
    assert np.abs(residuals.T @ X + W).max() / len(X) <= LogisticRegression.TOLERANCE
    assert np.abs(residuals.sum(0)).max() / len(X) <= LogisticRegression.TOLERANCE
    assert probe.n_passes_ < 100  # about a thousand, without the preconditioner


def test_the_papers_logistic_regression_is_close_to_a_plain_torch_script(activations):
    """Another order of the batches, so not the same predictions, but most of them."""
    X, y, T = activations
    torch.manual_seed(1)
    layer = torch.nn.Linear(X.shape[1], 10)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    items, labels = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(20):
        for batch in torch.randperm(len(X)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(items[batch]), labels[batch]).backward()
            optimizer.step()
    expected = layer(torch.from_numpy(T)).argmax(1).numpy()
    probe = LogisticRegression("adam").fit(X, y)
    assert np.mean(probe.predict(T) == expected) > 0.85
    again = LogisticRegression("adam").fit(X, y)
    assert torch.equal(probe.coef_, again.coef_)


@pytest.mark.parametrize("kind", ALL)
def test_a_class_without_examples_is_never_predicted(kind):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 2], 30)
    X = rng.normal(size=(60, 4))
    X[np.arange(60), y] += 5
    probe = kind().fit(X, y, n_classes=4)
    assert probe.missing_classes_ == [1, 3]
    predicted = probe.predict(X)
    assert set(predicted) == {0, 2}
    assert np.mean(predicted == y) > 0.9


@pytest.mark.parametrize("kind", ALL)
def test_units_that_never_vary_and_duplicates_do_no_harm(kind):
    """As after ReLU: units that are dead for all items, or for a class, and more units than items."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = np.zeros((40, 60), dtype=np.float32)
    X[:, :3] = rng.normal(size=(40, 3))
    X[np.arange(40), y] += 6
    X[:, 3] = X[:, 2]
    X[y == 0, 4] = rng.random(20)
    probe = kind().fit(X, y)
    assert np.isfinite(probe.decision_function(X)).all()
    assert np.mean(probe.predict(X) == y) == 1
    nothing = kind().fit(np.zeros((40, 3), dtype=np.float32), y)
    assert set(nothing.predict(np.zeros((5, 3), dtype=np.float32))) <= {0, 1}


@pytest.mark.parametrize("kind", ALL)
def test_wrong_input_is_refused_in_words(kind):
    X = np.ones((4, 3))
    with pytest.raises(LatentgenError, match="not fitted yet"):
        kind().predict(X)
    with pytest.raises(LatentgenError, match="NaN"):
        kind().fit(np.full((4, 3), np.nan), [0, 1, 0, 1])
    probe = kind().fit(X, np.array([0, 1, 0, 1]))
    with pytest.raises(LatentgenError, match=r"X has 2 features, but .* is expecting 3 features"):
        probe.predict(X[:, :2])


def test_permuted_labels_are_the_corrupted_ones_in_an_order_of_their_own():
    true = np.arange(20_000) % 10
    labels = corrupt(true, 10, "symmetric", 0.4, seed=3)
    fitting = fitting_labels(labels, ["corrupted", "permuted"], seed=3)
    assert list(fitting) == ["corrupted", "permuted"]
    permuted = fitting["permuted"]
    assert np.array_equal(np.bincount(permuted), np.bincount(labels.corrupted))
    assert np.mean(permuted == labels.corrupted) == pytest.approx(0.1, abs=0.01)
    assert np.mean(permuted == true) == pytest.approx(0.1, abs=0.01)
    assert np.array_equal(fitting_labels(labels, ["permuted"], 3)["permuted"], permuted)
    assert not np.array_equal(fitting_labels(labels, ["permuted"], 4)["permuted"], permuted)
