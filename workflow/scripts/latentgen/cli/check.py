"""`latentgen check`: check a study file."""

from pathlib import Path

import click

from latentgen.study.config import load_study


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--quiet", "-q", is_flag=True, help="Print nothing if the file is valid.")
def command(study: Path, quiet: bool) -> None:
    """Check the file STUDY, without running any code that it names.

    All errors are reported, each with file, line and column.
    """
    settings = load_study(study)
    if not quiet:
        click.echo(f"{study} is valid: study {settings.study}, {len(settings.runs)} runs.")
