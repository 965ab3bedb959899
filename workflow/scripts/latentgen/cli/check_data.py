"""`latentgen check-data`: whether custom data can be used."""

import click

from latentgen.cli.arguments import values
from latentgen.data.custom import as_settings, call_own_data, read_own_data
from latentgen.errors import LatentgenError


@click.command()
@click.argument("data", metavar="FILE|FOLDER|MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
def command(data: str, arguments: tuple[str, ...]) -> None:
    """Check a custom data set, and print what a study file must say of it.

    It is an .npz file, a folder, or a function, which is called with the arguments given.
    """
    from pathlib import Path

    called_with = values(arguments)
    if Path(data).exists() or ":" not in data:
        if called_with:
            raise LatentgenError(
                f"{data} is not a function, and takes no arguments ({', '.join(called_with)})."
            )
        click.echo(as_settings(read_own_data("mine", data)))
    else:
        click.echo(as_settings(call_own_data("mine", data, called_with), called_with))
