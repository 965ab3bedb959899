"""The block of a study file that describes a custom data set."""

import json
import re
from collections.abc import Mapping
from typing import Any

from latentgen.data.custom_sources.reading import Reading
from latentgen.data.datasets import Dataset
from latentgen.data.inputs import Tokens, kind_of


def settings_block(
    dataset: Dataset,
    function: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    reading: Reading | None = None,
) -> str:
    """Return the block of a study file for a custom data set, in YAML.

    Parameters
    ----------
    dataset : Dataset
    function, arguments : str, mapping, optional
        Its function, if it is not read from files.
    reading : Reading, optional
        How it was read.
    """
    called_with = ", ".join(f"{name}: {json.dumps(value)}" for name, value in (arguments or {}).items())
    labels, shape = label_kind(dataset), dataset.input_shape
    kind, sizes = kind_of(shape), [shape.length] if isinstance(shape, Tokens) else list(shape)
    tokens = {"vocabulary": dataset.vocabulary or None, "padding": dataset.padding}
    return "\n".join(
        [
            "  - dataset:",
            f"      name: {dataset.name}",
            "      own:",
            f"        function: {function}" if function else f"        path: {_yaml_text(dataset.source)}",
            *([f"        arguments: {{{called_with}}}"] if called_with else []),
            *([f"        kind: {kind}"] if kind != "images" else []),
            f"        shape: [{', '.join(map(str, sizes))}]",
            *(f"        {key}: {value}" for key, value in tokens.items() if value is not None),
            f"        classes: {dataset.n_classes}",
            f"        train: {len(dataset.train_inputs)}",
            f"        test: {len(dataset.test_inputs)}",
            *([f"        labels: {labels}"] if labels != "true" else []),
            *(reading or Reading()).lines(),
            *(["      targets: next_token"] if dataset.next_token else []),
        ]
    )


def label_kind(dataset: Dataset) -> str:
    """Return the study file's `labels` key for a data set: true, given or both."""
    if dataset.given_labels is None:
        return "true"
    return "both" if dataset.truth_known else "given"


def _yaml_text(text: str) -> str:
    """Write text for YAML, in quotes if necessary (as for `#`, `: ` and `null`)."""
    plain = re.fullmatch(r"([A-Za-z_/]|~/|\.{1,2}/)[\w./:-]*[\w/]", text, re.ASCII) and re.search(
        "[./]", text
    )
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
