from pathlib import Path

from latentgen.config import read_study
from latentgen.joblog import job_log
from latentgen.report import write_report
from latentgen.report_tables import read_tables

with job_log(snakemake.log[0], snakemake.input):
    write_report(
        snakemake.output.report,
        read_study(snakemake.params.study),
        read_tables(Path(snakemake.input.tables[0]).parent),
        dict(zip(snakemake.params.figures, snakemake.input.figures, strict=True)),
        template=snakemake.input.template,
    )
