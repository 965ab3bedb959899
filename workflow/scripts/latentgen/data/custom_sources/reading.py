"""The user's choices for reading custom data: sizes of images, columns of tables, text as tokens."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from latentgen.data.custom_sources.tables import Columns
from latentgen.data.custom_sources.texts import TextForm
from latentgen.data.reshaping import Reshaping


@dataclass(frozen=True)
class Reading:
    """Changes to images, tokenization of text, and names of columns in tables."""

    reshaping: Reshaping = field(default_factory=Reshaping)
    text: TextForm = field(default_factory=TextForm)
    columns: Columns = field(default_factory=Columns)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Reading":
        """Return the choices in options by name.

        Raises
        ------
        TypeError
            If there is an unknown option.
        """
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
        }
        reshaping, text, columns = (
            {name: given.pop(name) for name in _names(part) if name in given}
            for part in (Reshaping, TextForm, Columns)
        )
        if given:
            raise TypeError(", ".join(given))
        return cls(Reshaping(**reshaping), TextForm(**text), Columns(**columns))

    def lines(self) -> Iterator[str]:
        """Yield the further lines of its block in a study file, in YAML."""
        names = {name: value for name, value in vars(self.columns).items() if value is not None}
        if self.text.tokenizer is not None:
            yield f"        tokenizer: {json.dumps(self.text.tokenizer)}"
        if names:
            block = ", ".join(f"{what}: {json.dumps(name)}" for what, name in names.items())
            yield f"        columns: {{{block}}}"
        for name in self.reshaping.of_images:
            yield f"      {name}: {json.dumps(self.reshaping.plain[name])}"


def _names(part: type[Any]) -> list[str]:
    return [one.name for one in fields(part)]


OPTIONS = tuple(name for part in (Reshaping, TextForm, Columns) for name in _names(part))
"""Names of the options."""
