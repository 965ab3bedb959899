"""`latentgen schema`: what a study file may say, for editors and for people."""

import click

from latentgen.study.reference import reference
from latentgen.study.schema import study_schema


@click.command()
@click.option("--markdown", is_flag=True, help="Print the reference for people, docs/study-file.md.")
def command(markdown: bool) -> None:
    """Print the JSON schema of study files, config/study.schema.json."""
    click.echo(reference() if markdown else study_schema(), nl=not markdown)
