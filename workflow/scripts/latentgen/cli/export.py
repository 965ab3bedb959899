"""`latentgen export`: pack a study into one archive."""

from pathlib import Path

import click

from latentgen.cli.finished import finished_study
from latentgen.report.archive import pack_study


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
def command(study: Path) -> None:
    """Pack the tables, settings and figures of the study in the file STUDY into results/{study}/{study}.zip.

    Nothing is computed: `make export STUDY=…` computes what is missing first.
    """
    finished = finished_study(study)
    files = [*finished.tables, *(file for files in finished.figures.values() for file in files.values())]
    pack_study(finished.layout.archive, finished.study.model_dump(mode="json"), files)
    click.echo(finished.layout.archive)
