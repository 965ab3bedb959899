"""`latentgen claims`: the papers' claims with the numbers for and against them."""

from pathlib import Path

import click

from latentgen.report.claims import write_claims


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--output",
    default="docs/claims.md",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where to write the page.",
)
@click.option(
    "--published",
    default="resources/published",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder of the papers' numbers.",
)
def command(sources: tuple[Path, ...], output: Path, published: Path) -> None:
    """Write the papers' claims with the numbers for and against them, of SOURCES and of the papers.

    SOURCES are archives of studies (`latentgen export`) or folders of their results (results/{study}).
    Without any, the archives in resources/reference are taken.
    """
    write_claims(output, sources or sorted(Path("resources/reference").glob("*.zip")), published)
    click.echo(output)
