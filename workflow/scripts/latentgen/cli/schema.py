"""`latentgen schema`: the keys of a study file, as a JSON schema or as a reference."""

import click

from latentgen.study.reference import reference
from latentgen.study.schema import study_schema


@click.command()
@click.option("--markdown", is_flag=True, help="Print the reference, docs/study-file.md.")
def command(markdown: bool) -> None:
    """Print the JSON schema of study files, config/study.schema.json."""
    click.echo(reference() if markdown else study_schema(), nl=not markdown)
