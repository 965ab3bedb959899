from latentgen.runtime.startup import fast_imports

fast_imports()

from pathlib import Path

from latentgen.report.lookup import read_tables
from latentgen.report.page import write_report
from latentgen.runtime.logs import job_log
from latentgen.study.config import read_study

with job_log(snakemake.log[0], snakemake.input):
    write_report(
        snakemake.output.report,
        read_study(snakemake.params.study),
        read_tables(Path(snakemake.input.tables[0]).parent),
        dict(zip(snakemake.params.figures, snakemake.input.figures, strict=True)),
        template=snakemake.input.template,
    )
