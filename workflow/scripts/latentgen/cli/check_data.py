"""`latentgen check-data`: check a custom data set."""

import click

from latentgen.cli.arguments import values
from latentgen.data.custom import check


@click.command()
@click.argument("data", metavar="FILE|FOLDER|MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
def command(data: str, arguments: tuple[str, ...]) -> None:
    """Check a custom data set, and print its block for a study file.

    DATA is a file, a folder, or a function, which is called with the given arguments.
    """
    click.echo(check(data, values(arguments)))
