from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.runtime.logs import job_log
from latentgen.tables.classes import class_tables
from latentgen.tables.columns import CLASSES
from latentgen.tables.reading import write_parquet_parts

with job_log(snakemake.log[0], snakemake.input):
    write_parquet_parts(snakemake.output.classes, class_tables(snakemake.input.probes), CLASSES)
