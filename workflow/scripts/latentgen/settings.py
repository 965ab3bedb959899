"""The base of everything a study file can say, so that each part is checked the same strict way."""

from collections.abc import Hashable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Value = TypeVar("Value", bound=Hashable)


class Settings(BaseModel):
    """Immutable, knows no other keys than its own, and describes each key by the text below it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


NotBoolean = BeforeValidator(_no_boolean)
"""Refuses true and false, which Python takes for 1 and 0."""

PositiveInt = Annotated[int, Field(gt=0), NotBoolean]
NonNegativeInt = Annotated[int, Field(ge=0), NotBoolean]
PositiveFloat = Annotated[float, Field(gt=0), NotBoolean]


def distinct(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return the values; refuse them if one is there twice."""
    twice = [str(value) for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ValueError(f"each may be given once; twice or more: {', '.join(twice)}")
    return values


Distinct = AfterValidator(distinct)
"""Refuses a list in which something is there twice."""
