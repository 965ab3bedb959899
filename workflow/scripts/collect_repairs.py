from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.runtime.logs import job_log
from latentgen.tables.audits import repair_table
from latentgen.tables.reading import write_csv_table

with job_log(snakemake.log[0], snakemake.input):
    write_csv_table(snakemake.output.repair, repair_table(snakemake.input.repairs))
