"""Noisy labels: which training labels are redrawn, and to what.

The corruption `p` is the probability that a label is redrawn. What it becomes depends on the kind of noise:

``symmetric``
    any class with equal probability, the true one included (so a share 1 − p + p/C of the labels stays true
    among C classes): the noise of the papers
``none_true``
    any class but the true one, with equal probability
``asymmetric``
    the class that the true one is paired with, if it is
``instance``
    a wrong class that depends on the image, more probably for some images than for others (Xia et al. 2020)
``given``
    what came with the data: nothing is redrawn, and how much of it is wrong need not be known
``own``
    what a function of one's own makes of the labels
``human``
    what people answered who were shown the image (CIFAR-10N and CIFAR-100N, Wei et al. 2022)
"""

import codecs
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latentgen.data.datasets import Dataset, IntArray, in_range
from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, random_generator
from latentgen.runtime.files import put, read_h5, write_h5
from latentgen.runtime.import_paths import load

logger = logging.getLogger(__name__)

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The labels of a training set of N items.

    Attributes
    ----------
    true : int64 array (N,), or None
        None if they are not known.
    corrupted : int64 array (N,)
        What a network is trained on.
    redrawn : bool array (N,), or None
        Which labels were redrawn; with ``symmetric`` noise some of these are still true. None if unknown.
    """

    true: IntArray | None
    corrupted: IntArray
    redrawn: BoolArray | None

    @property
    def share_true(self) -> float:
        """Share of the corrupted labels that are true; NaN if that is not known."""
        return float("nan") if self.true is None else float(np.mean(self.corrupted == self.true))


def corrupt(
    true_labels: ArrayLike,
    n_classes: int,
    kind: str,
    p: float,
    generator: str = "study",
    seed: int = 0,
    *,
    images: NDArray[np.uint8] | None = None,
    pairs: Mapping[int, int] | None = None,
    answers: ArrayLike | None = None,
) -> Labels:
    """Corrupt the labels of a training set.

    Parameters
    ----------
    true_labels : integers (N,), each from 0 to `n_classes` − 1
    n_classes : int
    kind : str
        Kind of noise, as in ``"symmetric"``.
    p : float
        Probability, in [0, 1], that a label is redrawn.
    generator : {"study", "published"}
        ``"study"`` draws from the seed's own stream for labels, in such a way that what is redrawn at a small
        p is redrawn, and to the same class, at a larger one. ``"published"`` is NumPy's legacy generator,
        drawn from as in the papers' code.
    seed : int
        The papers' labels are those of generator ``"published"`` and seed 42.
    images : uint8 array (N, C, H, W), optional
        The images that ``instance`` noise depends on.
    pairs : mapping, optional
        For ``asymmetric`` noise: what a class becomes. Classes that are not in it keep their labels.
    answers : integers (N,), optional
        For ``human`` noise: what people answered, as from `read_answers`.

    Raises
    ------
    LatentgenError
        If labels, p, seed, kind or generator are not as described, or if the kind needs something that is
        not given.
    """
    if n_classes < 2:
        raise LatentgenError(f"Label noise needs two classes or more; there are {n_classes}.")
    true = _checked_labels(true_labels, n_classes)
    if not 0 <= p <= 1:  # false for NaN as well
        raise LatentgenError(f"The corruption p is a probability, between 0 and 1; it was given as {p}.")
    if (kind, generator) not in NOISES:
        known = ", ".join(f"{kind} ({generator})" for kind, generator in NOISES)
        raise LatentgenError(
            f"There is no {kind!r} noise from the {generator!r} generator. Known kinds (generators): {known}."
        )
    return NOISES[kind, generator](_Given(true, n_classes, p, seed, images, pairs, answers))


HUMAN_FILES = {"cifar10": "CIFAR-10_human.pt", "cifar100": "CIFAR-100_human.pt"}
"""Files of CIFAR-N in the data folder, by data set."""


def corrupt_dataset(
    dataset: Dataset,
    folder: Path,
    *,
    kind: str,
    generator: str,
    p: float,
    seed: int,
    pairs: Iterable[tuple[int, int]] = (),
    variant: str | None = None,
    path: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Labels:
    """Corrupt the labels of a data set, with what its kind of noise needs from it.

    Parameters
    ----------
    dataset : Dataset
        With its training images.
    folder : Path
        The data folder, in which the files of CIFAR-N are.
    kind, generator, p, seed
        As in `corrupt`.
    pairs : iterable of (int, int)
        For ``asymmetric`` noise: classes and what they become.
    variant : str, optional
        For ``human`` noise: which answers, as in `read_answers`.
    path, arguments : str, mapping
        For ``own`` noise: import path of the function, and what else it is called with.

    Raises
    ------
    LatentgenError
        As `corrupt` and `read_answers`.
    """
    if kind == "given":
        return _as_given(dataset)
    if not dataset.truth_known:
        raise LatentgenError(f"True labels of {dataset.name} are not known: noise of kind {kind} needs them.")
    if kind == "own":
        return corrupt_with(load(path or ""), dataset, p, seed, path or "", arguments or {})
    answers = None
    if kind == "human":
        file = folder / HUMAN_FILES[dataset.name]
        answers = read_answers(file, variant or "", dataset.train_labels, dataset.train_index)
    return corrupt(
        dataset.train_labels,
        dataset.n_classes,
        kind,
        p,
        generator,
        seed,
        images=dataset.train_images if kind == "instance" else None,
        pairs=dict(pairs),
        answers=answers,
    )


def corrupt_with(
    noise: Callable[..., Any], dataset: Dataset, p: float, seed: int, name: str, arguments: Mapping[str, Any]
) -> Labels:
    """Corrupt the labels of a data set with a function of one's own.

    It gets copies of what it may change, and a generator on the seed's own stream for labels. Labels that it
    changes count as redrawn.

    Raises
    ------
    LatentgenError
        If it raises anything, or returns anything but a label for each item.
    """
    given = {
        "labels": dataset.train_labels.copy(),
        "p": p,
        "n_classes": dataset.n_classes,
        "rng": random_generator(seed, Purpose.LABELS),
    }
    try:
        if "images" in inspect.signature(noise).parameters:
            given["images"] = dataset.train_images.copy()
        returned = np.asarray(noise(**given, **arguments))
    except Exception as error:  # code of others can raise anything
        raise LatentgenError(f"{name} ends with {type(error).__name__}: {error}") from error
    true = dataset.train_labels
    if returned.shape != true.shape:
        raise LatentgenError(f"{name} returns labels of shape {returned.shape} for {len(true)} items.")
    try:
        corrupted = _checked_labels(returned, dataset.n_classes)
    except LatentgenError as error:
        raise LatentgenError(f"{name}: {error}") from error
    return Labels(true, corrupted, corrupted != true)


def _as_given(dataset: Dataset) -> Labels:
    """Take labels as they came; what is not true counts as redrawn, if what is true is known."""
    if dataset.given_labels is None:
        raise LatentgenError(f"{dataset.name} has no given labels beside its true ones.")
    if not dataset.truth_known:
        return Labels(None, dataset.given_labels, None)
    true = dataset.train_labels
    return Labels(true, dataset.given_labels, dataset.given_labels != true)


def _checked_labels(labels: ArrayLike, n_classes: int) -> IntArray:
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise LatentgenError(f"Labels must be a list of at least one item; their shape is {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise LatentgenError(f"Labels must be integers, class indices from 0 up; they are {array.dtype}.")
    return in_range(array, n_classes, f"Labels of {n_classes} classes")


# --- Kinds of noise -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Given:
    """What a kind of noise may use: the arguments of `corrupt`, checked."""

    true: IntArray
    n_classes: int
    p: float
    seed: int
    images: NDArray[np.uint8] | None
    pairs: Mapping[int, int] | None
    answers: ArrayLike | None

    def stream(self) -> np.random.Generator:
        return random_generator(self.seed, Purpose.LABELS)

    def redrawn_to(self, drawn: NDArray[np.integer[Any]], redrawn: BoolArray) -> Labels:
        return Labels(self.true, np.where(redrawn, drawn, self.true), redrawn)


# Study noise draws a class for every item, used or not: the noise of a small p is part of a larger one's.


def _symmetric(given: _Given) -> Labels:
    rng = given.stream()
    redrawn = rng.random(len(given.true)) < given.p
    return given.redrawn_to(rng.integers(given.n_classes, size=len(given.true)), redrawn)


def _symmetric_published(given: _Given) -> Labels:
    """Equal, bit for bit, to ``np.random.seed(seed)`` and the papers' calls of global functions."""
    if not 0 <= given.seed < 2**32:
        raise LatentgenError(f"A seed of NumPy's legacy generator must be in 0 … 2³² − 1, not {given.seed}.")
    rng = np.random.RandomState(given.seed)
    redrawn = rng.rand(len(given.true)) <= given.p
    corrupted = given.true.copy()
    corrupted[redrawn] = rng.choice(given.n_classes, redrawn.sum())
    return Labels(given.true, corrupted, redrawn)


def _none_true(given: _Given) -> Labels:
    rng = given.stream()
    redrawn = rng.random(len(given.true)) < given.p
    steps = rng.integers(1, given.n_classes, size=len(given.true))
    return given.redrawn_to((given.true + steps) % given.n_classes, redrawn)


def _asymmetric(given: _Given) -> Labels:
    if not given.pairs:
        raise LatentgenError("Asymmetric noise needs pairs: which class becomes which other.")
    becomes = np.arange(given.n_classes)
    for source, target in given.pairs.items():
        if not (0 <= source < given.n_classes and 0 <= target < given.n_classes) or source == target:
            raise LatentgenError(
                f"Asymmetric noise cannot make class {source} become {target}: a pair is two different "
                f"classes from 0 to {given.n_classes - 1}."
            )
        becomes[source] = target
    paired = np.isin(given.true, list(given.pairs))
    redrawn = (given.stream().random(len(given.true)) < given.p) & paired
    return given.redrawn_to(becomes[given.true], redrawn)


FLIP_RATE_SPREAD = 0.1
"""Standard deviation, over images, of the probability of a wrong label (Xia et al. 2020)."""


def _instance(given: _Given) -> Labels:
    """Redraw labels as in Algorithm 2 of Xia et al. 2020 ("Part-dependent label noise").

    An image x of class y gets a wrong label with a probability q that is drawn from a normal distribution
    around p, cut off at 0 and 1; and it gets label c ≠ y with probability q · softmax(x W_y)_c, the weights
    W_y being standard normal, with pixels standardized over the data set. Nearer to 0 or 1 than 0.2, the cut
    moves the mean of q away from there: at p = 0.1 it is 0.13.
    """
    from scipy.special import ndtr, ndtri, softmax

    if given.images is None or len(given.images) != len(given.true):
        raise LatentgenError("Instance noise needs the images, as many as there are labels.")
    rng = given.stream()
    low, high = ndtr((np.array([0, 1]) - given.p) / FLIP_RATE_SPREAD)
    rates = given.p + FLIP_RATE_SPREAD * ndtri(low + (high - low) * rng.random(len(given.true)))
    if given.p in (0, 1):  # these are not a matter of chance
        rates = np.full(len(given.true), given.p)
    redrawn = rng.random(len(given.true)) < rates
    positions = rng.random(len(given.true))

    images = given.images.reshape(len(given.images), -1)
    mean, spread = _pixel_moments(images)
    drawn = given.true.copy()
    for label in range(given.n_classes):
        weights = rng.standard_normal((images.shape[1], given.n_classes))
        of_class = np.flatnonzero(given.true == label)
        scores = (images[of_class] - mean) / spread @ weights
        scores[:, label] = -np.inf
        cumulative = softmax(scores, axis=1).cumsum(axis=1)
        cumulative /= cumulative[:, -1:]
        drawn[of_class] = (cumulative <= positions[of_class, None]).sum(axis=1)
    return given.redrawn_to(drawn, redrawn)


def _pixel_moments(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Return mean and standard deviation of all pixels, without the floating-point copy that NumPy makes."""
    counts = sum(np.bincount(block.ravel(), minlength=256) for block in np.array_split(images, 100))
    mean = float(np.average(np.arange(256), weights=counts))
    variance = float(np.average((np.arange(256) - mean) ** 2, weights=counts))
    return mean, max(variance, 1e-9) ** 0.5


def _human(given: _Given) -> Labels:
    if given.answers is None:
        raise LatentgenError("Human noise needs the answers people gave, as read from a file of CIFAR-N.")
    answers = _checked_labels(given.answers, given.n_classes)
    if len(answers) != len(given.true):
        raise LatentgenError(f"There are {len(answers)} human answers for {len(given.true)} labels.")
    redrawn = given.stream().random(len(given.true)) < given.p
    return given.redrawn_to(answers, redrawn)


NOISES: dict[tuple[str, str], Callable[[_Given], Labels]] = {
    ("symmetric", "study"): _symmetric,
    ("symmetric", "published"): _symmetric_published,
    ("none_true", "study"): _none_true,
    ("asymmetric", "study"): _asymmetric,
    ("instance", "study"): _instance,
    ("human", "study"): _human,
}
"""Every kind of noise with every generator there is for it."""


def read_answers(
    path: str | Path, variant: str, true_labels: ArrayLike, index: ArrayLike | None = None
) -> IntArray:
    """Read what people answered from a file of CIFAR-10N or CIFAR-100N, as published by its authors.

    Parameters
    ----------
    path : str or Path
        ``CIFAR-10_human.pt`` or ``CIFAR-100_human.pt``.
    variant : str
        ``aggre_label``, ``worse_label`` or ``random_label1`` to ``3`` of CIFAR-10N, ``noisy_label`` of
        CIFAR-100N.
    true_labels : integers (N,)
        True labels of the training set, by which it is checked that the answers are about these images.
    index : integers (N,), optional
        Which images of the official training set these are (`Dataset.train_index`); all by default.

    Returns
    -------
    int64 array (N,)

    Raises
    ------
    LatentgenError
        If the file is missing, holds other things than arrays, lacks the variant, or belongs to other images.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_array_globals()):
            answers = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise LatentgenError(
            f"{path} does not exist. It is part of CIFAR-N (noisylabels.com): put it into the data folder."
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise LatentgenError(
            f"{path} is no file of CIFAR-N, which holds arrays only, or is damaged."
        ) from error
    if not isinstance(answers, dict) or not {variant, "clean_label"} <= set(answers):
        variants = sorted(set(answers) - {"clean_label"}) if isinstance(answers, dict) else []
        raise LatentgenError(f"{path} has no answers {variant!r}; it has: {', '.join(map(str, variants))}.")
    clean, answered = np.asarray(answers["clean_label"]), np.asarray(answers[variant])
    kept = np.arange(clean.size) if index is None else np.asarray(index)
    fits = clean.ndim == 1 and clean.shape == answered.shape and kept.max() < len(clean)
    if not (fits and np.array_equal(clean[kept], np.asarray(true_labels))):
        raise LatentgenError(f"{path} is about other images than these, or the same ones in another order.")
    return answered[kept].astype(np.int64)


def _array_globals() -> list[Any]:
    """Return all that a file with NumPy arrays of integers may ask for."""
    reconstruct = np.empty(0).__reduce__()[0]
    return [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        type(np.dtype(np.int64)),
        type(np.dtype(np.int32)),
        type(np.dtype(np.uint8)),
        (codecs.encode, "_codecs.encode"),
    ]


# --- Files ----------------------------------------------------------------------------------------


def write_labels(path: str | Path, labels: Labels, origin: Mapping[str, Any] | None = None) -> None:
    """Write ``labels/{dataset}/{noise}/{label_seed}.h5``.

    Parameters
    ----------
    path : str or Path
    labels : Labels
    origin : mapping, optional
        How the labels came to be (dataset, kind, p, generator, seed), kept as attributes.
    """
    with write_h5(path) as file:
        for name in ("true", "corrupted", "redrawn"):
            if (array := getattr(labels, name)) is not None:
                put(file, name, array)
        file.attrs["truth_known"] = labels.true is not None
        file.attrs.update(origin or {})


def read_labels(path: str | Path) -> Labels:
    """Read what `write_labels` wrote.

    Raises
    ------
    LatentgenError
        If the file is missing, unfinished or no labels file.
    """
    with read_h5(path) as file:
        known = ("true", "corrupted", "redrawn") if file.attrs.get("truth_known", True) else ("corrupted",)
        if not set(known) <= set(file):
            raise LatentgenError(f"{path} holds no labels. Delete it and run again.")
        arrays = {name: file[name][...] for name in known}
        labels = Labels(arrays.get("true"), arrays["corrupted"], arrays.get("redrawn"))
    if len({array.shape for array in arrays.values()}) > 1:
        raise LatentgenError(f"{path} holds labels of unequal length. Delete it and run again.")
    return labels


def fitting_labels(labels: Labels, names: Sequence[str], seed: int) -> dict[str, IntArray]:
    """Return the training labels that probes are fitted with, by name.

    Parameters
    ----------
    labels : Labels
    names : sequence of {"corrupted", "true", "permuted"}
        ``permuted`` are the corrupted labels in an order that has nothing to do with the items. ``true`` is
        left out, and that is logged, where it is not known.
    seed : int
        The run's seed.
    """
    permuted = random_generator(seed, Purpose.PERMUTED_LABELS).permutation(labels.corrupted)
    known = {"corrupted": labels.corrupted, "permuted": permuted}
    if labels.true is not None:
        known["true"] = labels.true
    elif "true" in names:
        logger.warning("true training labels are not known: no probe is fitted with them")
    return {name: known[name] for name in names if name in known}


def evaluation_labels(labels: Labels, test_labels: IntArray) -> dict[str, dict[str, IntArray]]:
    """Return every label vector that accuracy is measured against, by split and name.

    Test labels are never corrupted: the test set measures what is true. True training labels that are not
    known are left out.
    """
    train = {"corrupted": labels.corrupted} | ({} if labels.true is None else {"true": labels.true})
    return {"test": {"true": test_labels}, "train": train}
