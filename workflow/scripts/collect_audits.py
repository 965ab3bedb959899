from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.runtime.logs import job_log
from latentgen.tables.audits import audit_tables
from latentgen.tables.columns import ISSUES
from latentgen.tables.reading import write_csv_table, write_parquet

with job_log(snakemake.log[0], snakemake.input):
    issues, audit = audit_tables(snakemake.input.audits, snakemake.input.labels)
    write_parquet(snakemake.output.issues, issues, ISSUES)
    write_csv_table(snakemake.output.audit, audit)
