"""`latentgen check`: whether a study file is right."""

from pathlib import Path

import click

from latentgen.study.config import load_study


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--quiet", "-q", is_flag=True, help="Say nothing if the file is right.")
def command(study: Path, quiet: bool) -> None:
    """Check the file STUDY, without running anything that it names.

    All errors are reported, each with file, line and column.
    """
    settings = load_study(study)
    if not quiet:
        click.echo(f"{study} is right: study {settings.study}, {len(settings.runs)} runs.")
