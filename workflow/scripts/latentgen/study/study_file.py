"""Read a study file: plain YAML or JSON, in UTF-8, each key once, with the place of every value.

YAML 1.1 reads ``010`` as 8, ``1:30`` as 90 and ``1e-3`` as text, and keeps the last of repeated keys. Here
the first two are refused, the third is a number, and repeated keys are refused with both places.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentgen.errors import LatentgenError

Key = str | int
Location = tuple[Any, ...]
"""Keys and list positions that lead to a value."""

MOST_VALUES = 100_000
"""Largest number of values in a study file; aliases of aliases can expand to billions."""

_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_EXPONENT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")
_ODD_SPACE = re.compile("[\u00a0\u2007\u202f\u200b\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = "an invisible character that is not a plain space. Type the line again."
_YAML = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class StudyFile:
    """The content of a study file, with the places of its values."""

    content: dict[Any, Any]
    places: dict[Location, str] = field(default_factory=dict)
    """``file:line:column`` of each value, by its location; of a value in a block, that of its key."""

    def place_of(self, location: Location) -> str:
        """Place of a value, or of the block that would contain it; empty if unknown."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.places:
                return self.places[location[:length]]
        return ""

    def check_text(self) -> None:
        """Check that all text can be written as UTF-8: an escape in quotes can make half of a character.

        Raises
        ------
        LatentgenError
            With the place of what cannot.
        """
        for location, text in _texts(self.content, ()):
            half = _SURROGATE.search(text)
            if half:
                place = self.place_of(location)
                raise LatentgenError(
                    f"{f'{place}: ' if place else ''}\\u{ord(half[0]):04x} is half of a character. "
                    "Write the character itself."
                )


def read_study_file(path: str | Path) -> StudyFile:
    """Read a study file, in YAML or JSON.

    Raises
    ------
    LatentgenError
        If it is missing, is not UTF-8, is not YAML, has a key twice, or is ambiguous; with file, line and
        column.
    """
    text = _text(Path(path))
    if text.lstrip().startswith("{"):
        try:
            return StudyFile(json.loads(text, object_pairs_hook=_once))
        except (ValueError, RecursionError):  # read as YAML, which reports lines
            pass
    return _Reader(str(path)).read(text)


def _texts(value: Any, location: Location) -> Iterator[tuple[Location, str]]:
    """Yield every text in nested blocks and lists, keys too, with its location."""
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key, (*location, key))
            yield from _texts(inner, (*location, key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _texts(inner, (*location, place))


def merged(files: Iterable[StudyFile], changes: Mapping[str, Any]) -> StudyFile:
    """Return several study files as one, with changes; later values win."""
    content: dict[Any, Any] = {}
    places: dict[Location, str] = {}
    for file in files:
        _update(content, file.content)
        places |= file.places
    _update(content, changes)
    return StudyFile(content, places)


def _update(content: dict[Any, Any], changes: Mapping[Any, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict):
            _update(content[key], value)
        else:
            content[key] = value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key twice")
    return content


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LatentgenError(f"{path} does not exist. Name a study file, as in config/digits.yaml.") from None
    except OSError as error:
        raise LatentgenError(f"{path} cannot be read: {error.strerror}.") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise LatentgenError(f"{path}:1:1: the file is UTF-16. Save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        raise LatentgenError(
            f"{_place(str(path), before)}: byte 0x{content[error.start]:02x} is not UTF-8. Save it as UTF-8."
        ) from None


def _place(path: str, before: str) -> str:
    lines = re.split("\r\n|\r|\n", before)
    return f"{path}:{len(lines)}:{len(lines[-1]) + 1}"


class _Reader:
    """Turns PyYAML's nodes into plain values, and stores their places."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._places: dict[Location, str] = {}
        self._count = 0

    def read(self, text: str) -> StudyFile:
        import yaml  # imported here, since reading a status from JSON does not need it

        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            content = None if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            raise LatentgenError(self._syntax_error(error, text)) from None
        except yaml.reader.ReaderError as error:
            place = _place(self._path, text[: error.position])
            raise LatentgenError(f"{place}: the character {error.character!r} may not be in YAML.") from None
        except RecursionError:
            raise LatentgenError(f"{self._path}:1:1: blocks or lists are nested too deeply.") from None
        if not isinstance(content, dict):
            raise LatentgenError(
                f"{self._path}:1:1: the file holds no settings. A study file is lines of `key: value`."
            )
        return StudyFile(content, self._places)

    def _syntax_error(self, error: Any, text: str) -> str:
        mark = error.problem_mark or error.context_mark
        lines = re.split("\r\n|\r|\n", text)
        odd = _ODD_SPACE.search(text)
        if odd:  # its effect is often noticed only lines later
            return f"{_place(self._path, text[: odd.start()])}: {_INVISIBLE}"
        problem = f"this is not YAML: {error.problem or error.context}."
        if "\t" in lines[min(mark.line, len(lines) - 1)]:
            problem = "a tab. Indent with spaces."
        elif error.context == "expected a single document in the stream":
            problem = "a second document begins here. Write one study per file."
        return f"{self._at(mark)}: {problem}"

    def _at(self, mark: Any) -> str:
        return f"{self._path}:{mark.line + 1}:{mark.column + 1}"

    def _value(self, node: Any, location: Location) -> Any:
        self._count += 1
        if self._count > MOST_VALUES:
            raise LatentgenError(
                f"{self._path}:1:1: with aliases expanded, the file has more than {MOST_VALUES:,} values. "
                "Use fewer aliases."
            )
        self._places.setdefault(location, self._at(node.start_mark))
        kind = node.tag.removeprefix(_YAML)
        if node.id == "mapping" and kind == "map":
            return self._mapping(node, location)
        if node.id == "sequence" and kind == "seq":
            return [self._value(item, (*location, place)) for place, item in enumerate(node.value)]
        if node.id == "scalar":
            return self._scalar(node, kind)
        raise self._error(node, f"the tag {node.tag} is not known in a study file. Remove it.")

    def _mapping(self, node: Any, location: Location) -> dict[Any, Any]:
        content: dict[Any, Any] = {}
        seen: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_YAML}merge":
                parts = value_node.value if value_node.id == "sequence" else [value_node]
                for part in reversed(parts):  # the first of several wins, as does an existing key
                    if part.id != "mapping":
                        raise self._error(part, "`<<` must be followed by the alias of a block.")
                    content = self._mapping(part, location) | content
                continue
            if key_node.id != "scalar":
                raise self._error(key_node, "a key must be one word.")
            key = self._scalar(key_node, key_node.tag.removeprefix(_YAML))
            if key in seen:
                raise self._error(
                    key_node, f"'{key}' is given twice: first at {self._at(seen[key].start_mark)}."
                )
            seen[key] = key_node
            below = (*location, key)
            for place in [place for place in self._places if place[: len(below)] == below]:
                del self._places[place]  # of a merged block, which this key replaces
            self._places[below] = self._at(key_node.start_mark)
            content[key] = self._value(value_node, below)
        return content

    def _scalar(self, node: Any, kind: str) -> Any:
        import yaml

        text = node.value
        if node.style is not None and kind in ("str", "merge"):
            return text
        if _ODD_SPACE.search(text):
            raise self._error(node, _INVISIBLE)
        if _LEADING_ZERO.fullmatch(text):
            digits = ("-" if text.startswith("-") else "") + (text.lstrip("+-0_") or "0")
            raise self._error(
                node,
                f"{text} has a leading zero, which YAML 1.1 reads as octal. Write {digits}, or '{text}' for "
                "text.",
            )
        if _SEXAGESIMAL.fullmatch(text):
            raise self._error(
                node, f"{text} is a base-60 number in YAML 1.1. Write it in digits, or '{text}' for text."
            )
        if kind == "str" and _EXPONENT.fullmatch(text):
            return float(text)
        if kind in ("str", "timestamp", "merge", "value"):
            return text
        if kind not in ("null", "bool", "int", "float"):
            raise self._error(node, f"the tag {node.tag} is not known in a study file. Remove it.")
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError):
            raise self._error(node, f"'{text}' cannot be read as {kind}.") from None

    def _error(self, node: Any, message: str) -> LatentgenError:
        return LatentgenError(f"{self._at(node.start_mark)}: {message}")
