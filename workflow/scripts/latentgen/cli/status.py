"""`latentgen status`: show a study's progress."""

import time
from pathlib import Path

import click

from latentgen.jobs.status import status_text, study_status
from latentgen.study.config import load_study

SECONDS = 5
"""Seconds between two updates with --follow."""


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--follow", "-f", is_flag=True, help="Update every few seconds, until the study is finished.")
def command(study: Path, follow: bool) -> None:
    """Show the progress of the study in the file STUDY, and why jobs failed.

    This only reads the study's files.
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
