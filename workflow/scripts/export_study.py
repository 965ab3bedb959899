from latentgen.export import pack_study
from latentgen.joblog import job_log

with job_log(snakemake.log[0], snakemake.input):
    pack_study(
        snakemake.output.archive,
        snakemake.params.study,
        [*snakemake.input.tables, *snakemake.input.figures],
    )
