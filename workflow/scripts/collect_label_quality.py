from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.runtime.logs import job_log
from latentgen.tables.gathering import label_quality_table
from latentgen.tables.named_settings import NamedSettings
from latentgen.tables.reading import write_csv_table

with job_log(snakemake.log[0], snakemake.input):
    table = label_quality_table(snakemake.input.qualities, NamedSettings(**snakemake.params.named))
    write_csv_table(snakemake.output.quality, table)
