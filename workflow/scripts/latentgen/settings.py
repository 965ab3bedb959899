"""The base of everything a study file can say, so that each part is checked the same strict way."""

from collections.abc import Hashable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Value = TypeVar("Value", bound=Hashable)


class Settings(BaseModel):
    """Immutable, knows no other keys than its own, and describes each key by the text below it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @property
    def import_path(self) -> str | None:
        """Where the custom code is that these settings name, if they do."""
        return None

    @property
    def import_paths(self) -> tuple[str, ...]:
        """All custom code that these settings name."""
        return (self.import_path,) if self.import_path else ()

    @property
    def code_files(self) -> tuple[str, ...]:
        """Files that this code reads, as far as the settings name them."""
        return getattr(self, "files", ()) if self.import_paths else ()


CodeFiles = Annotated[tuple[str, ...], Field(exclude=True)]
"""Files that custom code reads: what they hold counts, and not how they are called."""


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


NotBoolean = BeforeValidator(_no_boolean)
"""Refuses true and false, which Python takes for 1 and 0."""

LARGEST = 10**9
"""No count in a study is larger; numbers beyond all measure would make it fail later, and in other words."""

PositiveInt = Annotated[int, Field(gt=0, le=LARGEST), NotBoolean]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST), NotBoolean]
Epochs = Annotated[int, Field(gt=0, le=100_000), NotBoolean]
PositiveFloat = Annotated[float, Field(gt=0), NotBoolean]
NonNegativeFloat = Annotated[float, Field(ge=0), NotBoolean]


def left_out_if(default: Any) -> Any:
    """Leave a key out of what is kept of a study file where it has its default.

    For keys that came later: without them, study files written before them keep the identity of their runs.
    """
    return Field(exclude_if=lambda value: bool(value == default))


def distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return the values; refuse them if one is there twice."""
    twice = [str(value) for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ValueError(f"each may be given once; twice or more: {', '.join(twice)}")
    return values


Distinct = AfterValidator(distinct)
"""Refuses a list in which something is there twice."""


def _four_decimals(p: float) -> float:
    if round(p, 4) != p:
        raise ValueError("run names keep four decimals of p; this has more")
    return abs(p)  # -0.0 is 0


def distinct_by(name: str, way_out: str = "") -> AfterValidator:
    """Refuse two settings of the same name: their results would have the same place."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            distinct(tuple(getattr(value, name) for value in values))
        except ValueError as error:
            raise ValueError(f"{error}{way_out}") from None
        return values

    return AfterValidator(check)


Probability = Annotated[float, Field(ge=0, le=1), AfterValidator(_four_decimals), NotBoolean]
BelowOne = Annotated[float, Field(ge=0, lt=1), NotBoolean]
