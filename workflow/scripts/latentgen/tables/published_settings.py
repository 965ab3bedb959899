"""The settings of the published networks, and how a study's settings differ from them."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from latentgen.errors import LatentgenError

Settings = Mapping[str, Any]

AT_THE_END = "training.stop."
"""Settings that only matter at the end of training: before it, all stop rules give the same network."""

OTHERS = "other settings: "
"""Prefix of a reason why nothing can be compared."""
PROTOCOL = "their protocol differs: "
"""Prefix of a reason due to the protocol: their numbers are then drawn beside ours, but not compared."""

WITHOUT_EFFECT = {"model.name", "model.layers", "model.measured"}
"""Settings of a network that do not change it."""

RECIPE = (
    *("training.optimizer.", "training.schedule.", "training.augment."),
    *("training.accumulate", "training.clip_gradients", "training.loss", "training.label_smoothing"),
)
"""Settings of a training that no published one has; they are stored only if set."""


class Differences(NamedTuple):
    """Differences in words; empty if there are none."""

    always: str = ""
    at_the_end: str = ""
    by_probe: Mapping[str, str] = MappingProxyType({})


class Comparison(NamedTuple):
    """Differences between a study and a published network."""

    settings: Differences
    """Differences that make it another network or other data: nothing can be compared."""
    protocol: Differences
    """Differences between their protocol and the sound one, which the study follows."""


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


def differences(study: Settings, published: Settings, dataset: str, model: str, noise: str) -> Comparison:
    """Return the settings in which a pair of a study differs from the published network of that name.

    Parameters
    ----------
    study : mapping
        All settings of a study, as plain values, as in ``study.json``.
    published : mapping
        As `read_published_settings` returns it.
    dataset, model, noise : str
        Names in the study's tables.
    """
    pair = _pair(study, dataset, model)
    if pair is None:
        return Comparison(
            Differences(f"the study has no pair {dataset} {model} on all examples"), Differences()
        )
    if pair["weights"]:
        return Comparison(Differences("the weights are given, so their training is not known"), Differences())
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
        if key.startswith(("model.", *RECIPE)) and key not in accepted and key not in WITHOUT_EFFECT and value
    }
    if noise != "symmetric_published":
        ours["noise.generator"] = "study"
        different["noise.generator"] = "noise.generator: study here, published there"
    protocol = {key: text for key, text in different.items() if _is_of_protocol(key, ours.get(key))}
    others = {key: text for key, text in different.items() if key not in protocol}
    of_probes = _of_probes(study, published["probes"])
    return Comparison(
        Differences(*_in_time(others, OTHERS), _by_kind(of_probes, False, OTHERS)),
        Differences(*_in_time(protocol), _by_kind(of_probes, True)),
    )


def _is_of_protocol(key: str, ours: Any) -> bool:
    sound = _sound_values()
    return key in sound and ours == sound[key]


@cache
def _sound_values() -> dict[str, Any]:
    """Return the settings in which the sound protocol differs from the papers' on purpose, with its values.

    With such a difference, curves are still those of the same network; with any other, network or data are
    different.
    """
    from latentgen.study.protocols import DIFFERENCES  # with all settings, which no figure needs

    return {
        one.field.removeprefix("pairs[].").replace("[]", "").replace("?", ""): one.sound
        for one in DIFFERENCES
    }


def _in_time(different: Mapping[str, str], what: str = "") -> tuple[str, str]:
    """Return the differences that always matter, and those that only matter at the end of training."""
    always = [text for key, text in different.items() if not key.startswith(AT_THE_END)]
    at_the_end = [text for key, text in different.items() if key.startswith(AT_THE_END)]
    return _joined(always, what), _joined(at_the_end, what)


def _of_probes(study: Settings, published: Settings) -> list[tuple[str, bool, str]]:
    """Return kind, whether due to the protocol, and text for each probe that differs."""
    return [
        (
            probe["kind"],
            _is_of_protocol(f"probes.{key}", probe[key]),
            _in_words(f"{probe['kind']}.{key}", probe[key], values),
        )
        for probe in study["probes"]
        for key, values in published.get(probe["kind"], {}).items()
        if probe[key] not in values
    ]


def _by_kind(different: list[tuple[str, bool, str]], of_protocol: bool, what: str = "") -> dict[str, str]:
    texts: dict[str, list[str]] = {}
    for kind, deliberate, text in different:
        if deliberate == of_protocol:
            texts.setdefault(kind, []).append(text)
    return {kind: _joined(values, what) for kind, values in texts.items()}


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


def _joined(texts: list[str], what: str) -> str:
    return what + "; ".join(texts) if texts else ""
