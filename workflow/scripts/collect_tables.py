from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.jobs.provenance import provenance
from latentgen.runtime.files import write_json
from latentgen.runtime.logs import job_log
from latentgen.tables.classes import class_tables
from latentgen.tables.columns import ACCURACY, CLASSES, HISTORY
from latentgen.tables.comparisons import comparisons_table
from latentgen.tables.gathering import accuracy_table, cost_table, history_table, run_files
from latentgen.tables.named_settings import NamedSettings
from latentgen.tables.reading import write_csv_table, write_parquet, write_parquet_parts
from latentgen.tables.summary import summary_table

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    given = snakemake.input
    runs = run_files(given.histories, given.probes, given.transfers, given.heads)
    accuracy = accuracy_table(runs, NamedSettings(**params.named))
    write_parquet(snakemake.output.accuracy, accuracy, ACCURACY)
    write_parquet(snakemake.output.history, history_table(runs), HISTORY)
    write_csv_table(snakemake.output.summary, summary_table(accuracy))
    write_csv_table(snakemake.output.comparisons, comparisons_table(accuracy))
    write_csv_table(snakemake.output.cost, cost_table(snakemake.input.costs))
    write_parquet_parts(snakemake.output.classes, class_tables(given.probes), CLASSES)
    write_json(snakemake.output.study, params.study)
    datasets, trainings = snakemake.input.datasets, snakemake.input.trainings
    made_with = provenance(datasets, trainings, params.logs, params.steps, params.kept)
    write_json(snakemake.output.provenance, made_with)
