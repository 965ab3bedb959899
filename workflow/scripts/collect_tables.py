from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.jobs.provenance import provenance
from latentgen.runtime.files import write_json
from latentgen.runtime.logs import job_log
from latentgen.tables.gathering import (
    ACCURACY,
    HISTORY,
    accuracy_table,
    comparisons_table,
    cost_table,
    history_table,
    run_files,
    summary_table,
    write_parquet,
    write_summary,
)

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    runs = run_files(snakemake.input.histories, snakemake.input.probes, snakemake.input.transfers)
    accuracy = accuracy_table(runs)
    write_parquet(snakemake.output.accuracy, accuracy, ACCURACY)
    write_parquet(snakemake.output.history, history_table(runs), HISTORY)
    write_summary(snakemake.output.summary, summary_table(accuracy))
    write_summary(snakemake.output.comparisons, comparisons_table(accuracy))
    write_summary(snakemake.output.cost, cost_table(snakemake.input.costs))
    write_json(snakemake.output.study, params.study)
    datasets, trainings = snakemake.input.datasets, snakemake.input.trainings
    write_json(snakemake.output.provenance, provenance(datasets, trainings, params.logs, params.kept))
