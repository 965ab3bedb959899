"""`latentgen check-data`: whether custom data can be used."""

import click

from latentgen.cli.arguments import values
from latentgen.data.custom import check


@click.command()
@click.argument("data", metavar="FILE|FOLDER|MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
def command(data: str, arguments: tuple[str, ...]) -> None:
    """Check a custom data set, and print what a study file must say of it.

    It is an .npz file, a folder, or a function, which is called with the arguments given.
    """
    click.echo(check(data, values(arguments)))
