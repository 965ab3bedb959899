"""How the published networks were trained, and in which settings a study differs from that."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from latentgen.errors import LatentgenError

Settings = Mapping[str, Any]

AT_THE_END = "training.stop."
"""Settings that matter for the end of training only: before it, all stop rules give the same network."""

WITHOUT_EFFECT = {"model.name", "model.layers", "model.measured"}
"""Settings of a network that do not change it."""


class Differences(NamedTuple):
    """What differs, in words; empty if nothing does."""

    always: str
    at_the_end: str
    by_probe: dict[str, str]


def read_published_settings(path: str | Path) -> dict[str, Any]:
    """Return the published settings.

    Raises
    ------
    LatentgenError
        If the file cannot be read.
    """
    try:
        settings: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LatentgenError(f"{path}, the published settings, cannot be read: {error}") from error
    return settings


def differences(study: Settings, published: Settings, dataset: str, model: str, noise: str) -> Differences:
    """Return in which settings a pair of a study differs from the published network of that name.

    Parameters
    ----------
    study : mapping
        All settings of a study, as plain values: what ``study.json`` holds.
    published : mapping
        As `read_published_settings` returns it.
    dataset, model, noise : str
        Names in the study's tables.
    """
    pair = _pair(study, dataset, model)
    if pair is None:
        return Differences(f"the study has no pair {dataset} {model} on all examples", "", {})
    if pair["weights"]:
        return Differences("the weights are given: how they were trained is not known", "", {})
    accepted = published["every_pair"] | published["pairs"][f"{dataset} {model}"]
    ours = dict(_flat(pair))
    different = {
        key: _in_words(key, ours.get(key), values)
        for key, values in accepted.items()
        if ours.get(key) not in values
    }
    different |= {
        key: _in_words(key, value, ["none"])
        for key, value in ours.items()
        if key.startswith("model.") and key not in accepted and key not in WITHOUT_EFFECT and value
    }
    if noise != "symmetric_published":
        different["noise.generator"] = "noise.generator: study here, published there"
    always = [text for key, text in different.items() if not key.startswith(AT_THE_END)]
    at_the_end = [text for key, text in different.items() if key.startswith(AT_THE_END)]
    return Differences(_joined(always), _joined(at_the_end), _of_probes(study, published["probes"]))


def _of_probes(study: Settings, published: Settings) -> dict[str, str]:
    different = {}
    for probe in study["probes"]:
        accepted = published.get(probe["kind"], {})
        texts = [
            _in_words(f"{probe['kind']}.{key}", probe[key], values)
            for key, values in accepted.items()
            if probe[key] not in values
        ]
        different[probe["kind"]] = _joined(texts)
    return {kind: text for kind, text in different.items() if text}


def _pair(study: Settings, dataset: str, model: str) -> Settings | None:
    for pair in study["pairs"]:
        data, network = pair["dataset"], pair["model"]
        whole = data["train_items"] is None and data["test_items"] is None and not data.get("held_out")
        name = network["name"] or network["architecture"].lower()
        if whole and (data["name"], name) == (dataset, model):
            return dict(pair)
    return None


def _flat(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def _in_words(key: str, ours: Any, theirs: list[Any]) -> str:
    return f"{key}: {_plain(ours)} here, {' or '.join(map(_plain, theirs))} there"


def _plain(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _joined(texts: list[str]) -> str:
    return f"other settings: {'; '.join(texts)}" if texts else ""
