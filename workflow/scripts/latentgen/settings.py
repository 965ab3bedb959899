"""The base class of all settings in a study file, so that all are checked equally strictly."""

from collections.abc import Hashable
from math import isfinite
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Value = TypeVar("Value", bound=Hashable)


class Settings(BaseModel):
    """Immutable settings without unknown keys; the text below each key describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @property
    def import_path(self) -> str | None:
        """Import path of the custom code that these settings name, if any."""
        return None

    @property
    def import_paths(self) -> tuple[str, ...]:
        """All custom code that these settings name."""
        return (self.import_path,) if self.import_path else ()

    @property
    def code_files(self) -> tuple[str, ...]:
        """Files that this code reads, as listed in the settings."""
        return getattr(self, "files", ()) if self.import_paths else ()


CodeFiles = Annotated[tuple[str, ...], Field(exclude=True)]
"""Files that custom code reads: their content matters, not their names."""


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(below) for key, below in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


def only_json(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of custom code, by name; refuse what JSON would change (`ValueError`)."""
    for name, value in arguments.items():
        if not _is_json(value):
            raise ValueError(
                f"{name} must be text, a finite number, true, false, null, or a list or mapping of these, "
                f"but is {value!r}; quote a date, and let your own code convert text into other objects"
            )
    return arguments


Arguments = Annotated[dict[str, Any], AfterValidator(only_json), Field(default_factory=dict)]
"""Arguments of custom code, by name: values that are equal after they were stored as JSON."""

NotBoolean = BeforeValidator(_no_boolean)
"""Refuses true and false, which Python treats as 1 and 0."""

LARGEST = 10**9
"""Largest count in a study; absurdly large numbers would fail later, with a less clear message."""

PositiveInt = Annotated[int, Field(gt=0, le=LARGEST), NotBoolean]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST), NotBoolean]
Epochs = Annotated[int, Field(gt=0, le=100_000), NotBoolean]
PositiveFloat = Annotated[float, Field(gt=0), NotBoolean]
NonNegativeFloat = Annotated[float, Field(ge=0), NotBoolean]


def left_out_if(default: Any) -> Any:
    """Leave a key out of the stored study if it has its default.

    This is for keys added later, so that runs of older study files keep their identity.
    """
    return Field(exclude_if=lambda value: bool(value == default))


def distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return the values; refuse duplicates."""
    twice = [str(value) for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ValueError(f"each may be given once; twice or more: {', '.join(twice)}")
    return values


Distinct = AfterValidator(distinct)
"""Refuses a list with duplicates."""


def _four_decimals(p: float) -> float:
    if round(p, 4) != p:
        raise ValueError("must have at most four decimals, as in run names")
    return abs(p)  # -0.0 is 0


def distinct_by(name: str, way_out: str = "") -> AfterValidator:
    """Refuse two settings of the same name: their results would have the same path."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            distinct(tuple(getattr(value, name) for value in values))
        except ValueError as error:
            raise ValueError(f"{error}{way_out}") from None
        return values

    return AfterValidator(check)


Probability = Annotated[float, Field(ge=0, le=1), AfterValidator(_four_decimals), NotBoolean]
BelowOne = Annotated[float, Field(ge=0, lt=1), NotBoolean]
