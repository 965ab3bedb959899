"""The two protocols, and every field of a study file for which they have different defaults.

``sound`` follows good practice. ``published`` follows the papers' code (arXiv 2501.14687 and 2603.19865), for
comparison with their tables. A protocol only sets defaults: explicit settings win.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from latentgen.probes.settings import DEFAULT_PROBES


@dataclass(frozen=True)
class Difference:
    """A field on which the protocols differ.

    Attributes
    ----------
    field : str
        Path in a study file; ``[]`` stands for every entry of a list, ``?`` for a part that may be left out.
    sound, published : object
        The default under each.
    reason : str
        What the papers' code does, and the problem with it.
    where : callable
        Selects the blocks with the field that are concerned.
    """

    field: str
    sound: Any
    published: Any
    reason: str
    where: Callable[[Mapping[str, Any]], bool] = lambda part: True


def _relabels(one: Mapping[str, Any]) -> bool:
    return one.get("edit") == "relabel"


def _retrains_memorized(one: Mapping[str, Any]) -> bool:
    return _relabels(one) and one.get("start") == "memorized"


DIFFERENCES = (
    Difference(
        "noise[].generator",
        "study",
        "published",
        "The papers draw labels once, from NumPy's legacy generator with seed 42: all their runs share one "
        "draw, so the spread over runs does not reflect the draw of the labels.",
        where=lambda noise: noise.get("kind") == "symmetric",
    ),
    Difference(
        "pairs[].initial_weights",
        "run_seed",
        "published",
        "Their scripts seed torch with 42 once, and the constructor of the CNN seeds it again with 0: every "
        "CNN starts from the same weights, so its runs are not replicates.",
    ),
    Difference(
        "pairs[].training.shuffle",
        True,
        False,
        "Their training loader goes through the examples in the order of the file in every epoch, so the "
        "batches are always the same.",
    ),
    Difference(
        "pairs[].training.stop?.measured",
        "eval",
        "online",
        "They stop on the running accuracy during the epoch, with weights that change and with dropout on, "
        "which lags behind what the network has memorized.",
    ),
    Difference(
        "pairs[].interventions[].batch_size",
        "same",
        1,
        "After an edit, their training uses a loader with the default batch size, 1, and the learning rate "
        "for batches of 32 or 128: some curves diverge on clean labels, which is not due to the edit.",
        where=lambda one: one.get("edit") not in ("early_stop", "relabel", "rewind"),
    ),
    Difference(
        "pairs[].interventions[].start",
        "initial",
        "memorized",
        "They retrain on MASC's labels from the weights that have memorized the noisy ones. How much of the "
        "result is left over from the first training, and how much the labels bring, is then one number.",
        where=_relabels,
    ),
    Difference(
        "pairs[].interventions[].layer",
        "best",
        "best_on_test",
        "They choose MASC's layer by its accuracy on the true labels of a fifth of the test images, which in "
        "practice nobody has.",
        where=_retrains_memorized,
    ),
    Difference(
        "pairs[].interventions[].patience",
        10,
        3,
        "They end this training after three epochs without a better accuracy on that fifth.",
        where=_retrains_memorized,
    ),
    Difference(
        "pairs[].interventions[].max_epochs",
        None,
        30,
        "They allow this training 30 epochs.",
        where=_retrains_memorized,
    ),
    Difference(
        "pairs[].interventions[].result",
        "best",
        "last",
        "They report the network of the last epoch, three epochs past the best one.",
        where=_retrains_memorized,
    ),
    Difference(
        "pairs[].model.renorm",
        False,
        True,
        "In their dropout CNN, features are scaled by their sum over the batch, also in eval mode: the "
        "prediction for an example depends on the other examples in the batch.",
        where=lambda model: model.get("architecture") == "CNN" and bool(model.get("dropout")),
    ),
    Difference(
        "probes[].solver",
        "lbfgs",
        "adam",
        "Their logistic regression is 20 epochs of Adam on unscaled features, which does not converge, so "
        "its accuracy depends on the scale of the features.",
        where=lambda probe: probe.get("kind") == "logistic",
    ),
    Difference(
        "probes[].sign",
        "own",
        "all",
        "They orient each of VeLPIC's vectors towards the mean of all training examples. If activations can "
        "be negative, that mean can be close to zero, and vectors point away from their own class.",
        where=lambda probe: probe.get("kind") == "VeLPIC",
    ),
    Difference(
        "activations?.mode",
        "eval",
        "single_images",
        "They extract activations image by image without switching to eval mode: batch normalization then "
        "uses the statistics of the single image, so the probed network is not the one whose accuracy is "
        "reported. Networks without batch normalization are not affected.",
    ),
)
"""All differences between the protocols."""


def with_defaults_of_protocol(given: Any) -> Any:
    """Return the content of a study file, with the defaults of the published protocol if it has that.

    The sound defaults are those of the settings themselves. Malformed content is not changed; validation
    refuses it.
    """
    if not isinstance(given, Mapping) or given.get("protocol") != "published":
        return given
    filled = deepcopy(dict(given))
    filled.setdefault("probes", [probe.model_dump(exclude_unset=True) for probe in DEFAULT_PROBES])
    for difference in DIFFERENCES:
        *path, field = difference.field.split(".")
        for part in _parts(filled, path):
            if difference.where(part):
                part.setdefault(field, difference.published)
    return filled


def _parts(part: Any, path: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the mappings at a path; optional parts are added."""
    if not isinstance(part, dict):
        return
    if not path:
        yield part
        return
    (step, *rest), key = path, path[0].rstrip("[]?")
    if step.endswith("?"):
        part.setdefault(key, {})
    inner = part.get(key)
    if not step.endswith("[]"):
        yield from _parts(inner, rest)
    elif isinstance(inner, list | tuple):
        for entry in inner:
            yield from _parts(entry, rest)
