"""`latentgen unpack`: unpack tables and study file of an archive."""

from pathlib import Path

import click

from latentgen.report.archive import unpack_study


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
def command(archive: Path) -> None:
    """Unpack the tables of ARCHIVE to results/, and print the path of its study file.

    `make figures FROM=ARCHIVE` does this, draws the figures, and compares them with the archive's.
    """
    click.echo(unpack_study(archive))
