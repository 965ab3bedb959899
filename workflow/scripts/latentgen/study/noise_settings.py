"""Label noise in the study file: any kind in the registry."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import AfterValidator, Field

from latentgen.data.noise.base import NoiseSettings
from latentgen.data.noise.registry import NOISE_NAMES, NOISES
from latentgen.study.error_messages import MistakeBelow


def _has_its_own_name(noise: NoiseSettings) -> NoiseSettings:
    """Refuse custom noise with the name of another kind, with which tables and figures would confuse it."""
    if noise.import_path and noise.noise_name in NOISE_NAMES:
        raise MistakeBelow("name", f"'{noise.noise_name}' is another kind of noise; choose another name")
    return noise


if TYPE_CHECKING:
    Noise = NoiseSettings
else:
    Noise = Annotated[Union[NOISES], Field(discriminator="kind"), AfterValidator(_has_its_own_name)]  # noqa: UP007
