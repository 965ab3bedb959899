"""The base of everything a study file can say, so that each part is checked the same strict way."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable, knows no other keys than its own, and describes each key by the text below it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
