"""`latentgen status`: how far a study is."""

import time
from pathlib import Path

import click

from latentgen.jobs.status import status_text, study_status
from latentgen.study.config import load_study

SECONDS = 5
"""Between two looks at the files."""


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--follow", "-f", is_flag=True, help="Show it again every few seconds, until nothing is left to do."
)
def command(study: Path, follow: bool) -> None:
    """Show how far the study in the file STUDY is, and why jobs failed.

    It reads the study's files and starts nothing.
    """
    settings = load_study(study)
    while True:
        status = study_status(settings)
        if follow:
            click.clear()
        click.echo(status_text(status))
        if not follow or status.only_tables or all(job.state == "done" for job in status.jobs):
            return
        time.sleep(SECONDS)
