"""`latentgen report`: write a study's results to one page."""

from pathlib import Path

import click

from latentgen.cli.finished import finished_study


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
def command(study: Path) -> None:
    """Write results/{study}/report.html from the tables and figures of the study in the file STUDY.

    Nothing is computed: `make report STUDY=…` computes what is missing first.
    """
    from latentgen.report.lookup import read_tables
    from latentgen.report.page import write_report

    finished = finished_study(study)
    pictures = {name: files["png"] for name, files in finished.figures.items()}
    write_report(finished.layout.report, finished.study, read_tables(finished.layout.tables), pictures)
    click.echo(finished.layout.report)
