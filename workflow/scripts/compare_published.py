from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.runtime.logs import job_log
from latentgen.tables.gathering import ACCURACY, HISTORY, read_parquet, write_summary
from latentgen.tables.published import fidelity_table, read_published

with job_log(snakemake.log[0]):
    table = fidelity_table(
        read_parquet(snakemake.input.accuracy, ACCURACY),
        read_parquet(snakemake.input.history, HISTORY),
        read_published(snakemake.input.published),
    )
    write_summary(snakemake.output.fidelity, table)
