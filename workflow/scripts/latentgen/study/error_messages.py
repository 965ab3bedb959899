"""Readable messages for errors in a study file: where, what is wrong, and what is allowed.

pydantic detects the errors; this module turns its output into messages for users who do not know pydantic.
"""

import difflib
import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def nearest(wrong: object, known: list[str]) -> str:
    """List the allowed names, the nearest one first if there is one."""
    by_lower = {name.lower(): name for name in reversed(known)}
    near = [by_lower[name] for name in difflib.get_close_matches(str(wrong).lower(), by_lower, n=1)]
    return (f"did you mean '{near[0]}'? " if near else "") + f"known: {', '.join(known)}"


class MistakeBelow(ValueError):
    """An error in a key below the one being checked."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def mistakes_in_words(
    error: ValidationError,
    root: type[BaseModel],
    place_of: Callable[[tuple[Any, ...]], str] = lambda location: "",
) -> str:
    """Return all errors, one per line.

    Parameters
    ----------
    error : ValidationError
        pydantic's error.
    root : type
        The settings that the file was read as.
    place_of : callable
        Returns the place in the file of a location: keys and list positions.
    """
    # pydantic also reports a list as too short if all its items are wrong: the items' own errors are enough.
    problems = [one for one in error.errors() if not (one["type"] == "too_short" and one["input"])]
    listed = "".join(
        f"\n  {_placed(problem, root, place_of)}{_in_words(problem, root)}" for problem in problems
    )
    return f"The study file has {len(problems)} mistake{'s' if len(problems) > 1 else ''}:{listed}"


_BLOCK = "must be a block of keys with values"
WORDS = {
    "model_type": _BLOCK,
    "model_attributes_type": _BLOCK,
    "tuple_type": "must be a list",
    "dict_type": _BLOCK,
    "too_short": "must not be empty",
    "too_long": "must have no more than {max_length} values",
    "string_type": "must be text",
    "string_pattern_mismatch": "must be lower-case letters, digits and underscores, a letter first",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number in digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}
"""Messages for pydantic's kinds of errors."""


def _in_words(problem: ErrorDetails, root: type[BaseModel]) -> str:
    *parents, key = problem["loc"] or ("",)
    path = _path(problem["loc"], root)
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        path = f"{_path(tuple(parents), root)}.{key}".removeprefix(".")
        return f"{path}: unknown key; {nearest(key, sorted(_keys_at(parents, root)))}"
    if kind == "invalid_key":
        path = f"{_path(tuple(parents), root)}.{value!r}".removeprefix(".")
        return f"{path}: keys must be text; YAML reads an unquoted on, off, yes and no as true and false"
    if kind == "missing":
        return f"{path}: missing; it is required"
    if kind in ("union_tag_invalid", "literal_error"):
        allowed = context.get("expected_tags") or context["expected"]
        names = [name.strip(" '") for name in allowed.replace(" or ", ", ").split(",")]
        wrong = context.get("tag", value)
        if kind == "union_tag_invalid":  # reported for the block; the error is in the key of its kind
            path += f".{context['discriminator'].strip(chr(39))}"
        return f"{path}: '{wrong}' is not among the choices; {nearest(wrong, names)}"
    if kind == "union_tag_not_found":
        return f"{path}: missing {context['discriminator']}, which says what kind it is"
    mistake = context.get("error")
    if isinstance(mistake, MistakeBelow):
        return f"{path}.{mistake.key}: {mistake}"
    if kind == "value_error":
        message = str(mistake)
    else:
        message = WORDS[kind].format(**context) if kind in WORDS else problem["msg"]
    scalar = value is None or isinstance(value, str | int | float)
    shown = f" (found: {json.dumps(value, ensure_ascii=False)})" if scalar else ""
    return f"{path}: {message}{shown}" if path else message


def _placed(problem: ErrorDetails, root: type[BaseModel], place_of: Callable[[tuple[Any, ...]], str]) -> str:
    location = [
        part
        for part, (_, is_key) in zip(problem["loc"], _walk(problem["loc"], root), strict=True)
        if is_key or isinstance(part, int)
    ]
    if problem["type"] == "extra_forbidden":
        location = [*location[:-1], problem["loc"][-1]]
    if problem["type"] == "union_tag_invalid":
        location.append(problem["ctx"]["discriminator"].strip("'"))
    mistake = problem.get("ctx", {}).get("error")
    if isinstance(mistake, MistakeBelow):
        location.append(mistake.key)
    place = place_of(tuple(location))
    return f"{place}: " if place else ""


def _path(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """Write a location as in the study file, without pydantic's tags for unions."""
    text = ""
    for part, (_, is_key) in zip(loc, _walk(loc, root), strict=True):
        if isinstance(part, int):
            text += f"[{part}]"
        elif is_key:
            text += f".{part}" if text else part
    return text


def _keys_at(loc: list[int | str], root: type[BaseModel]) -> set[str]:
    *_, (models, _) = [({root}, True), *_walk(tuple(loc), root)]
    return {key for model in models for key in model.model_fields}


def _walk(loc: tuple[int | str, ...], root: type[BaseModel]) -> Iterator[tuple[set[type[BaseModel]], bool]]:
    """Follow a location through the settings: after each part, the possible models, and if it is a key."""
    models: set[type[BaseModel]] = {root}
    for part in loc:
        if isinstance(part, int):
            yield models, False
            continue
        tagged = {model for model in models if part in _tags(model)}
        if tagged:
            models = tagged
            yield models, False
        elif any(part in model.model_fields for model in models):
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = {submodel for field in fields for submodel in _models_in(field.annotation)}
            yield models, True
        else:  # an unknown key, or a validator's own tag
            yield models, not any(sign in part for sign in "[(")


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the values of a model's discriminator in its union."""
    fields = (model.model_fields.get(name) for name in ("kind", "architecture", "name", "edit"))
    return {value for field in fields if field for value in get_args(field.annotation)}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {submodel for part in get_args(annotation) for submodel in _models_in(part)}
