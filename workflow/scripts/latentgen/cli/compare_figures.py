"""`latentgen compare-figures`: compare drawn figures with those in an archive."""

from pathlib import Path

import click

from latentgen.report.archive import compare_figures


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
def command(archive: Path) -> None:
    """Compare the figures in results/ with those in ARCHIVE, byte for byte."""
    figures = compare_figures(archive)
    click.echo(f"All {len(figures)} figure files are identical, byte for byte, to those in {archive}.")
