"""All kinds of label noise by name, and functions to corrupt labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from numpy.typing import ArrayLike

from latentgen.data.datasets import Dataset, with_held_out
from latentgen.data.labels import Labels, set_apart
from latentgen.data.noise.asymmetric import Asymmetric
from latentgen.data.noise.base import NoiseSettings
from latentgen.data.noise.custom import CustomNoise
from latentgen.data.noise.given import Given
from latentgen.data.noise.human import Human
from latentgen.data.noise.instance import Instance
from latentgen.data.noise.none_true import NoneTrue
from latentgen.data.noise.symmetric import Symmetric
from latentgen.errors import LatentgenError

NOISES: tuple[type[NoiseSettings], ...] = (
    Symmetric,
    NoneTrue,
    Asymmetric,
    Instance,
    Given,
    Human,
    CustomNoise,
)
"""Every kind of noise; to add one, add a module in `latentgen.data.noise` and a line here."""

_BY_KIND = {get_args(noise.model_fields["kind"].annotation)[0]: noise for noise in NOISES}

NOISE_NAMES = sorted(
    {
        kind if generator == "study" else f"{kind}_{generator}"
        for kind, noise in _BY_KIND.items()
        for generator in ("study", *noise.functions)
        if noise is not CustomNoise
    }
)
"""Names in run names and tables of all kinds of noise except custom ones."""


def corrupt(
    true_labels: ArrayLike,
    n_classes: int,
    kind: str,
    p: float,
    generator: str = "study",
    seed: int = 0,
    **options: Any,
) -> Labels:
    """Corrupt the labels of a training set.

    Parameters
    ----------
    true_labels : integers (N,), each from 0 to `n_classes` - 1
    n_classes : int
    kind : str
        Kind of noise, as in ``"symmetric"``.
    p : float
        Probability, in [0, 1], that a label is redrawn.
    generator : {"study", "published"}
        ``"study"`` draws from the seed's own stream for labels, such that a label redrawn at a small p is
        also redrawn at a larger one, and to the same class. ``"published"`` is NumPy's legacy generator, used
        as in the papers' code; the papers' labels are those of seed 42.
    seed : int
    **options
        Further arguments of the kind of noise: ``inputs``, images or vectors, for ``instance`` noise;
        ``pairs``, a mapping of class numbers, for ``asymmetric`` noise; ``human_labels``, integers (N,), for
        ``human`` noise.

    Raises
    ------
    LatentgenError
        If labels, p, seed, kind or generator are not as described, or if the kind needs other options.

    Examples
    --------
    >>> labels = corrupt([0, 1, 2, 0, 1, 2], 3, "none_true", p=1.0)
    >>> labels.fraction_true
    0.0
    """
    if kind not in _BY_KIND or generator not in _BY_KIND[kind].functions:
        known = ", ".join(f"{name} ({one})" for name, noise in _BY_KIND.items() for one in noise.functions)
        raise LatentgenError(
            f"There is no {kind!r} noise from the {generator!r} generator. Known kinds (generators): {known}."
        )
    return _BY_KIND[kind].corrupt_labels(true_labels, n_classes, p, generator, seed, **options)


def corrupt_dataset(
    dataset: Dataset,
    files: Sequence[str | Path] = (),
    *,
    kind: str,
    p: float,
    seed: int,
    generator: str = "study",
    **settings: Any,
) -> Labels:
    """Corrupt the training labels of a data set.

    Held-out examples are corrupted with the others, so their labels are the same as if nothing were held out.

    Parameters
    ----------
    dataset : Dataset
        With its training images.
    files : sequence of str or Path
        The files that the noise is read from (`NoiseSettings.input_files`).
    kind, generator, p, seed
        As in `corrupt`.
    **settings
        The rest of the noise's settings (`NoiseSettings.label_settings`).

    Raises
    ------
    LatentgenError
        As in `corrupt`, or if the data set or the files lack what the noise needs.
    """
    noise = _BY_KIND[kind]
    whole, apart = with_held_out(dataset)
    labels = noise.corrupt(
        whole, p=p, seed=seed, generator=generator, files=[Path(file) for file in files], **settings
    )
    return set_apart(labels, apart)
