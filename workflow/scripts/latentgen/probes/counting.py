"""Counting what a classifier gets right, on all evaluation labels alike."""

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from latentgen.data.labels import PARTS
from latentgen.probes.correctness import by_class, confusion, packed


def counts(
    predicted: Mapping[str, NDArray[Any]],
    labels: Mapping[str, Mapping[str, NDArray[Any]]],
    by_example: bool = False,
    n_classes: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield what a classifier gets right: a row for each split and label vector of the evaluation labels.

    A part of a split of which no example is counted has no row.

    Parameters
    ----------
    predicted : mapping of str to array
        The predicted classes of the examples of each split that is no part of another one.
    labels : mapping
        As `latentgen.data.labels.evaluation_labels` returns them.
    by_example : bool
        Whether to say which test examples they are.
    n_classes : int, optional
        With it, they are counted by class too; with `by_example`, test examples have a confusion matrix.
    """
    for split, by_name in labels.items():
        for name, expected in by_name.items():
            total = int((expected >= 0).sum())
            if not total:
                continue
            correct = predicted[PARTS.get(split, split)] == expected
            wanted = by_example and (split, name) == ("test", "true")
            classes: dict[str, str | None] = {}
            if n_classes is not None:
                classes_predicted = predicted[PARTS.get(split, split)]
                classes.update(by_class(classes_predicted, expected, n_classes))
                classes["confusion"] = confusion(classes_predicted, expected, n_classes) if wanted else None
            yield {
                "split": split,
                "eval_labels": name,
                "correct": int(correct.sum()),
                "total": total,
                **classes,
                "correct_examples": packed(correct) if wanted else None,
            }
