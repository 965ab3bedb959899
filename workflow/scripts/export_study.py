from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.report.archive import pack_study
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0], snakemake.input):
    pack_study(
        snakemake.output.archive,
        snakemake.params.study,
        [*snakemake.input.tables, *snakemake.input.figures],
    )
