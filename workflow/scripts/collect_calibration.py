from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.runtime.logs import job_log
from latentgen.tables.gathering import calibration_table
from latentgen.tables.reading import write_csv_table

with job_log(snakemake.log[0], snakemake.input):
    write_csv_table(snakemake.output.calibration, calibration_table(snakemake.input.calibrations))
