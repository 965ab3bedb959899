"""Arguments of custom code on the command line: NAME=VALUE, with values as in a study file."""

from collections.abc import Iterable
from typing import Any

from latentgen.errors import LatentgenError


def values(arguments: Iterable[str]) -> dict[str, Any]:
    """Return arguments by name, with their values as YAML reads them.

    Raises
    ------
    LatentgenError
        If an argument is not NAME=VALUE, or if a study file could not have such a value.
    """
    import yaml

    from latentgen.settings import only_json

    options = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.isidentifier():
            raise LatentgenError(f"{argument} is not NAME=VALUE, as in size=12.")
        try:
            options[name] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            raise LatentgenError(
                f"{name}: {text} cannot be read as a value ({type(error).__name__})."
            ) from None
    try:
        return only_json(options)
    except ValueError as error:
        raise LatentgenError(f"{error}.") from None
